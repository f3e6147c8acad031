//! The cryptography: ciphers, hashes and some keys as the pure-Rust provider has them, except what must not be used or
//! nobody needs. For curves and signatures it has older versions of the libraries that `exchange` and `signature` use.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rustls::crypto::{CipherSuiteCommon, CryptoProvider, KeyProvider};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{SignatureScheme, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use rustls_rustcrypto as rustcrypto;
use rustls_rustcrypto::sign::eddsa::Ed25519SigningKey;
use rustls_rustcrypto::sign::rsa::RsaSigningKey;

use super::der::{KeyKind, ec_secret};
use super::exchange::GROUPS;
use super::signature::{ALGORITHMS, p256_key, p384_key};
use super::verify::Fingerprint;

/// How many records AES-GCM may encrypt under one key (RFC 8446, section 5.5: 2^24.5 full ones). Behind them TLS 1.3
/// changes keys and TLS 1.2 ends the connection. The provider sets no limit.
const MOST_RECORDS: u64 = 1 << 24;

static TLS13_AES_128: Tls13CipherSuite = limit_tls13(rustcrypto::TLS13_AES_128_GCM_SHA256);
static TLS13_AES_256: Tls13CipherSuite = limit_tls13(rustcrypto::TLS13_AES_256_GCM_SHA384);
static ECDSA_AES_128: Tls12CipherSuite = limit_tls12(rustcrypto::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
static ECDSA_AES_256: Tls12CipherSuite = limit_tls12(rustcrypto::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384);
static RSA_AES_128: Tls12CipherSuite = limit_tls12(rustcrypto::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
static RSA_AES_256: Tls12CipherSuite = limit_tls12(rustcrypto::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384);

/// In the order in which they are offered, of which brokers take the first that they have.
///
/// Without the two suites of TLS 1.2 with ChaCha20: the provider subtracts the length of the tag from records that may
/// be shorter, before it refuses them.
const CIPHER_SUITES: [SupportedCipherSuite; 7] = [
    // WebAssembly has no instructions for AES, and processors of this kind mostly have.
    if cfg!(target_family = "wasm") { rustcrypto::TLS13_CHACHA20_POLY1305_SHA256 } else { TLS13_AES[0] },
    if cfg!(target_family = "wasm") { TLS13_AES[0] } else { TLS13_AES[1] },
    if cfg!(target_family = "wasm") { TLS13_AES[1] } else { rustcrypto::TLS13_CHACHA20_POLY1305_SHA256 },
    SupportedCipherSuite::Tls12(&ECDSA_AES_128),
    SupportedCipherSuite::Tls12(&ECDSA_AES_256),
    SupportedCipherSuite::Tls12(&RSA_AES_128),
    SupportedCipherSuite::Tls12(&RSA_AES_256),
];

const TLS13_AES: [SupportedCipherSuite; 2] =
    [SupportedCipherSuite::Tls13(&TLS13_AES_128), SupportedCipherSuite::Tls13(&TLS13_AES_256)];

/// What connections are made with.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: Vec::from(CIPHER_SUITES),
        kx_groups: Vec::from(GROUPS),
        signature_verification_algorithms: ALGORITHMS,
        secure_random: &rustcrypto::Provider,
        key_provider: &NoKeys,
    }
}

/// Reads a private key of this kind; or says why it cannot be used.
pub(super) fn load_key(key: &PrivateKeyDer<'_>, kind: &KeyKind) -> Result<Arc<dyn SigningKey>, String> {
    if !kind.can_sign() {
        return Err(kind.refusal());
    }
    let loaded: Option<Arc<dyn SigningKey>> = match kind {
        KeyKind::Rsa { .. } => RsaSigningKey::try_from(key).ok().map(|key| Arc::new(key) as _),
        KeyKind::P256 => ec_secret(key.secret_der()).and_then(p256_key),
        KeyKind::P384 => ec_secret(key.secret_der()).and_then(p384_key),
        _ => Ed25519SigningKey::try_from(key).ok().map(|key| Arc::new(key) as _),
    };
    loaded.ok_or_else(|| "it is damaged".into())
}

/// Whether a signature by such a scheme is that of the key with these bits.
pub(super) fn verifies(scheme: SignatureScheme, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let algorithms =
        ALGORITHMS.mapping.iter().find(|(known, _)| *known == scheme).map_or(&[][..], |(_, algorithms)| algorithms);
    algorithms.first().is_some_and(|algorithm| algorithm.verify_signature(public, message, signature).is_ok())
}

/// The SHA-256 of these bytes.
pub(super) fn sha256(bytes: &[u8]) -> Fingerprint {
    let SupportedCipherSuite::Tls13(suite) = rustcrypto::TLS13_CHACHA20_POLY1305_SHA256 else {
        unreachable!("a suite of TLS 1.3");
    };
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(suite.common.hash_provider.hash(bytes).as_ref());
    fingerprint
}

/// Reads no keys: [`load_key`] does.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General(String::new()))
    }
}

const fn limit_tls13(suite: SupportedCipherSuite) -> Tls13CipherSuite {
    let SupportedCipherSuite::Tls13(suite) = suite else { panic!("a suite of TLS 1.3") };
    Tls13CipherSuite {
        common: limit(&suite.common),
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: None,
    }
}

const fn limit_tls12(suite: SupportedCipherSuite) -> Tls12CipherSuite {
    let SupportedCipherSuite::Tls12(suite) = suite else { panic!("a suite of TLS 1.2") };
    Tls12CipherSuite {
        common: limit(&suite.common),
        prf_provider: suite.prf_provider,
        kx: suite.kx,
        sign: suite.sign,
        aead_alg: suite.aead_alg,
    }
}

const fn limit(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon { suite: common.suite, hash_provider: common.hash_provider, confidentiality_limit: MOST_RECORDS }
}

#[cfg(test)]
mod tests {
    use rustls::CipherSuite;

    use super::*;

    #[test]
    fn keys_of_aes_gcm_have_their_limit_and_chacha20_is_for_tls_1_3_alone() {
        let suites = provider().cipher_suites;
        let limits = suites.iter().map(|suite| match suite {
            SupportedCipherSuite::Tls12(suite) => &suite.common,
            SupportedCipherSuite::Tls13(suite) => &suite.common,
        });
        let unlimited: Vec<_> = limits.filter(|common| common.confidentiality_limit > MOST_RECORDS).collect();
        let [CipherSuiteCommon { suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, .. }] = unlimited[..] else {
            panic!("{:?}", unlimited.iter().map(|common| common.suite).collect::<Vec<_>>());
        };
        assert_eq!(suites.len(), 7);
    }
}
