//! Signatures: which are checked, and those that ECDSA keys of clients make.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

use ed25519_dalek::Verifier as _;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::{RsaPublicKey, pkcs1v15, pss};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Which signatures are checked, and which of them each scheme of TLS may mean.
pub(super) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &P256_SHA256,
        &P256_SHA384,
        &P384_SHA256,
        &P384_SHA384,
        &ED25519,
        &RSA_PKCS1_SHA256,
        &RSA_PKCS1_SHA384,
        &RSA_PKCS1_SHA512,
        &RSA_PSS_SHA256,
        &RSA_PSS_SHA384,
        &RSA_PSS_SHA512,
    ],
    mapping: &[
        // In TLS 1.2 a scheme names no curve.
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[&P384_SHA384, &P256_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&P256_SHA256, &P384_SHA256]),
        (SignatureScheme::ED25519, &[&ED25519]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[&RSA_PKCS1_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[&RSA_PKCS1_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[&RSA_PKCS1_SHA512]),
        (SignatureScheme::RSA_PSS_SHA256, &[&RSA_PSS_SHA256]),
        (SignatureScheme::RSA_PSS_SHA384, &[&RSA_PSS_SHA384]),
        (SignatureScheme::RSA_PSS_SHA512, &[&RSA_PSS_SHA512]),
    ],
};

/// Checks signatures of one kind.
#[derive(Debug)]
struct Kind {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    check: Check,
}

/// Takes a public key, a message and a signature, all as X.509 has them: `None` if the signature is not the key's.
type Check = fn(&[u8], &[u8], &[u8]) -> Option<()>;

static P256_SHA256: Kind =
    Kind { key: alg_id::ECDSA_P256, signature: alg_id::ECDSA_SHA256, check: ecdsa_p256::<Sha256> };
static P256_SHA384: Kind =
    Kind { key: alg_id::ECDSA_P256, signature: alg_id::ECDSA_SHA384, check: ecdsa_p256::<Sha384> };
static P384_SHA256: Kind =
    Kind { key: alg_id::ECDSA_P384, signature: alg_id::ECDSA_SHA256, check: ecdsa_p384::<Sha256> };
static P384_SHA384: Kind =
    Kind { key: alg_id::ECDSA_P384, signature: alg_id::ECDSA_SHA384, check: ecdsa_p384::<Sha384> };
static ED25519: Kind = Kind { key: alg_id::ED25519, signature: alg_id::ED25519, check: ed25519 };
static RSA_PKCS1_SHA256: Kind = rsa(alg_id::RSA_PKCS1_SHA256, rsa_pkcs1::<Sha256>);
static RSA_PKCS1_SHA384: Kind = rsa(alg_id::RSA_PKCS1_SHA384, rsa_pkcs1::<Sha384>);
static RSA_PKCS1_SHA512: Kind = rsa(alg_id::RSA_PKCS1_SHA512, rsa_pkcs1::<Sha512>);
static RSA_PSS_SHA256: Kind = rsa(alg_id::RSA_PSS_SHA256, rsa_pss::<Sha256>);
static RSA_PSS_SHA384: Kind = rsa(alg_id::RSA_PSS_SHA384, rsa_pss::<Sha384>);
static RSA_PSS_SHA512: Kind = rsa(alg_id::RSA_PSS_SHA512, rsa_pss::<Sha512>);

const fn rsa(signature: AlgorithmIdentifier, check: Check) -> Kind {
    Kind { key: alg_id::RSA_ENCRYPTION, signature, check }
}

fn ecdsa_p256<D: Digest>(public: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(public).ok()?;
    let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
    key.verify_prehash(&D::digest(message), &signature).ok()
}

fn ecdsa_p384<D: Digest>(public: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(public).ok()?;
    let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
    key.verify_prehash(&D::digest(message), &signature).ok()
}

fn ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
    key.verify(message, &ed25519_dalek::Signature::from_slice(signature).ok()?).ok()
}

fn rsa_pkcs1<D: Digest + rsa::pkcs8::AssociatedOid>(public: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = RsaPublicKey::from_pkcs1_der(public).ok()?;
    pkcs1v15::VerifyingKey::<D>::new(key).verify(message, &signature.try_into().ok()?).ok()
}

fn rsa_pss<D: Digest + sha2::digest::FixedOutputReset>(public: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = RsaPublicKey::from_pkcs1_der(public).ok()?;
    pss::VerifyingKey::<D>::new(key).verify(message, &signature.try_into().ok()?).ok()
}

impl SignatureVerificationAlgorithm for Kind {
    fn verify_signature(&self, public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        (self.check)(public, message, signature).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// A client's key for ECDSA.
#[derive(Debug)]
struct EcdsaKey<K> {
    key: Arc<K>,
    scheme: SignatureScheme,
    /// Signs a message, as X.509 has signatures.
    sign: fn(&K, &[u8]) -> Option<Vec<u8>>,
}

/// The key for P-256 with this secret, if that is one.
pub(super) fn p256_key(secret: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let sign = |key: &p256::ecdsa::SigningKey, message: &[u8]| {
        let signature: p256::ecdsa::DerSignature = key.try_sign(message).ok()?;
        Some(signature.as_bytes().to_vec())
    };
    let key = Arc::new(p256::ecdsa::SigningKey::from_slice(secret).ok()?);
    Some(Arc::new(EcdsaKey { key, scheme: SignatureScheme::ECDSA_NISTP256_SHA256, sign }))
}

/// The key for P-384 with this secret, if that is one.
pub(super) fn p384_key(secret: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let sign = |key: &p384::ecdsa::SigningKey, message: &[u8]| {
        let signature: p384::ecdsa::DerSignature = key.try_sign(message).ok()?;
        Some(signature.as_bytes().to_vec())
    };
    let key = Arc::new(p384::ecdsa::SigningKey::from_slice(secret).ok()?);
    Some(Arc::new(EcdsaKey { key, scheme: SignatureScheme::ECDSA_NISTP384_SHA384, sign }))
}

impl<K: Debug + Send + Sync + 'static> SigningKey for EcdsaKey<K> {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let Self { ref key, scheme, sign } = *self;
        offered.contains(&scheme).then(|| Box::new(Self { key: key.clone(), scheme, sign }) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl<K: Debug + Send + Sync> Signer for EcdsaKey<K> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        (self.sign)(&self.key, message).ok_or_else(|| Error::General("signing failed".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
