//! Certificates and keys as users give them. What cannot be used is named when it is given, and no text repeats it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rustls::SignatureScheme;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use zeroize::{Zeroize, Zeroizing};

use super::configuration;
use super::der::{self, Certificate, KeyKind, PrivateKey};
use super::pem::{self, Block, Blocks};
use super::provider::{load_key, verifies};
use crate::error::TransportError;

/// A certificate, or why it is none.
pub(super) type Given = Result<CertificateDer<'static>, &'static str>;

const NO_CERTIFICATE: &str = "it is not an X.509 certificate";

/// What a key signs to show that a certificate is its own. No message of TLS begins so.
const CHALLENGE: &[u8] = b"mqtt-wasi: does this key belong to this certificate?";

/// The certificates in PEM, or one in DER.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<Given>, TransportError> {
    let narrow = pem::narrowed(bytes);
    let text = narrow.as_ref().map_or(bytes, |narrow| narrow);
    let certificates: Vec<_> = Blocks::of(text).filter_map(certificate_in).collect();
    if !certificates.is_empty() {
        return Ok(certificates);
    }
    if Certificate::read(bytes).is_some() {
        return Ok(Vec::from([Ok(CertificateDer::from(bytes.to_vec()))]));
    }
    Err(configuration(match Blocks::of(text).next() {
        Some(block) if block.label.ends_with(b"PRIVATE KEY") => "there is no certificate in it, but a private key",
        Some(block) if block.label.starts_with(b"PKCS7") => {
            "it is PKCS #7: convert it, for example by `openssl pkcs7 -print_certs`"
        }
        Some(block) if block.label.ends_with(b"REQUEST") => {
            "it is a request for a certificate (CSR), not the certificate that a CA made of it"
        }
        Some(_) => "there is no certificate among what is in it",
        None if bytes.is_empty() => "it is empty",
        None => match PrivateKey::read(bytes) {
            PrivateKey::Other(der::PKCS12) => der::PKCS12,
            PrivateKey::Other(_) => {
                "there is no certificate in PEM or DER in it (what is needed is what is in the file, not its name)"
            }
            _ => "there is no certificate in it, but a private key",
        },
    }))
}

fn certificate_in(block: Block<'_>) -> Option<Given> {
    if !matches!(block.label, b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE") {
        return None;
    }
    let read = |bytes: Zeroizing<Vec<u8>>| {
        // OpenSSL puts what a certificate is trusted for behind it.
        let der = if block.label.starts_with(b"T") { der::first(&bytes) } else { Some(&bytes[..]) };
        der.filter(|der| Certificate::read(der).is_some())
            .map(|der| CertificateDer::from(der.to_vec()))
            .ok_or(NO_CERTIFICATE)
    };
    Some(block.decode().and_then(read))
}

/// A certificate that signatures can be checked with.
pub(super) fn authority(certificate: &CertificateDer<'_>) -> Result<(), String> {
    match Certificate::read(certificate).ok_or(NO_CERTIFICATE)?.key {
        key if key.can_be_verified() => Ok(()),
        key => Err(format!("its key is {key}, and this client does not check signatures of such keys")),
    }
}

/// A client's certificate, with those between it and its authority behind it, and its key.
pub(super) fn identity(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, TransportError> {
    let mut certificates_read = Vec::new();
    for (index, certificate) in certificates(chain)
        .map_err(|error| configuration(&format!("the client certificate: {}", error.message)))?
        .into_iter()
        .enumerate()
    {
        let why = |why| configuration(&format!("certificate {} of the client: {why}", index + 1));
        certificates_read.push(certificate.map_err(why)?);
    }
    let fail = |why: &str| configuration(&format!("the client's private key: {why}"));
    let key = private_key(key).map_err(|why| fail(&why))?;
    let (mut der, kind) = match PrivateKey::read(&key) {
        PrivateKey::Pkcs8(kind) => (PrivateKeyDer::Pkcs8(key.to_vec().into()), kind),
        PrivateKey::Pkcs1(kind) => (PrivateKeyDer::Pkcs1(key.to_vec().into()), kind),
        PrivateKey::Sec1(kind) => (PrivateKeyDer::Sec1(key.to_vec().into()), kind),
        PrivateKey::Other(why) => return Err(fail(why)),
    };
    let loaded = load_key(&der, &kind);
    der.zeroize();
    let signing = loaded.map_err(|why| fail(&why))?;
    let belongs = |certificate: &CertificateDer<'_>| {
        Certificate::read(certificate).is_some_and(|certificate| belongs(&certificate, &kind, &key, &*signing))
    };
    match certificates_read.iter().position(belongs) {
        Some(0) => Ok(CertifiedKey::new(certificates_read, signing)),
        Some(index) => Err(fail(&format!("it belongs to certificate {}, which must be the first", index + 1))),
        None => Err(fail("it does not belong to the client's certificate")),
    }
}

/// The first private key in PEM, or the one in DER.
fn private_key(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let narrow = pem::narrowed(bytes);
    let text = narrow.as_ref().map_or(bytes, |narrow| narrow);
    let mut instead = None;
    for block in Blocks::of(text) {
        match block.label {
            b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => return Ok(block.decode()?),
            b"ENCRYPTED PRIVATE KEY" => return Err(pem::ENCRYPTED.into()),
            b"OPENSSH PRIVATE KEY" => {
                return Err("it is in the format of OpenSSH: convert it, for example by `ssh-keygen -p -m PEM`".into());
            }
            b"DSA PRIVATE KEY" => return Err(KeyKind::Other("DSA".into()).refusal()),
            b"CERTIFICATE" => instead = Some("there is none in it, but a certificate"),
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => instead = Some("there is none in it, but a public key"),
            _ => instead = instead.or(Some("there is none among what is in it")),
        }
    }
    match instead {
        Some(instead) => Err(instead.into()),
        None if bytes.is_empty() => Err("it is empty".into()),
        None => Ok(Zeroizing::new(bytes.to_vec())),
    }
}

impl KeyKind {
    /// Why such a key is of no use to a client.
    pub(super) fn refusal(&self) -> String {
        format!(
            "it is {self}, and this client signs with ECDSA keys for P-256 and P-384, Ed25519 keys, and RSA keys of \
             2,048 to 4,096 bits"
        )
    }
}

/// Whether a certificate is for this private key.
fn belongs(certificate: &Certificate<'_>, kind: &KeyKind, key: &[u8], signing: &dyn SigningKey) -> bool {
    if certificate.key != *kind {
        return false;
    }
    if matches!(kind, KeyKind::Rsa { .. }) {
        // Signing takes long.
        return der::rsa_modulus(certificate.public) == der::rsa_modulus(key);
    }
    let schemes =
        [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::ED25519];
    let Some(signer) = signing.choose_scheme(&schemes) else { return false };
    let signature = signer.sign(CHALLENGE);
    signature.is_ok_and(|signature| verifies(signer.scheme(), certificate.public, CHALLENGE, &signature))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_was_given_instead_is_named() {
        let pem = |label: &str| format!("-----BEGIN {label}-----\nAAEC\n-----END {label}-----\n");
        for (given, word) in [
            (String::new(), "empty"),
            ("/etc/ssl/ca.pem".into(), "not its name"),
            (pem("PRIVATE KEY"), "a private key"),
            (pem("PKCS7"), "PKCS #7"),
            (pem("CERTIFICATE REQUEST"), "CSR"),
            (pem("X509 CRL"), "no certificate"),
        ] {
            let error = certificates(given.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        for (given, word) in [
            (String::new(), "empty"),
            ("client.key".into(), "neither PEM nor DER"),
            (pem("ENCRYPTED PRIVATE KEY"), "openssl pkey"),
            (pem("OPENSSH PRIVATE KEY"), "ssh-keygen"),
            (pem("CERTIFICATE"), "a certificate"),
            (pem("PUBLIC KEY"), "a public key"),
            (pem("EC PARAMETERS"), "none among"),
            (pem("DSA PRIVATE KEY"), "DSA"),
        ] {
            let why = private_key(given.as_bytes()).and_then(|key| match PrivateKey::read(&key) {
                PrivateKey::Other(why) => Err(why.into()),
                _ => Ok(()),
            });
            let why = why.unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
