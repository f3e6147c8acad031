//! Certificates: authorities that nobody trusts but the tests that made them, and what those issue. All is PEM.
//!
//! ```
//! use host_tests::certificates::{Authority, Request, Validity};
//!
//! let authority = Authority::new();
//! let expired = authority.issue(&Request { validity: Validity::Expired, ..Request::default() });
//! assert!(expired.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"));
//! ```

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd,
};

/// What a broker on this machine goes by.
const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// How many authorities there have been, so that no two have the same name.
static AUTHORITIES: AtomicU32 = AtomicU32::new(0);

/// Whoever trusts it trusts what it issues.
pub struct Authority {
    name: String,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate, and the key that proves whose it is.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, as PKCS #8.
    pub key_pem: String,
}

/// What a server's certificate is to say.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The host names and IP addresses that it is for.
    pub names: &'a [&'a str],
    /// What kind of key it is for.
    pub key_kind: KeyKind,
    /// When it is valid.
    pub validity: Validity,
}

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA over the curve P-256.
    EcdsaP256,
    /// ECDSA over the curve P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA with 2,048 bits. Such a key is made with the program `openssl`: there is none in Rust that does.
    Rsa,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now, and long enough for any test.
    Now,
    /// No more.
    Expired,
    /// Not for decades to come.
    NotYet,
}

impl Authority {
    /// A new one, with a name that no other has.
    ///
    /// # Panics
    /// When the system has no random numbers.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "no two are equal")]
    pub fn new() -> Self {
        Self::signing_with(KeyKind::EcdsaP256)
    }

    /// As [`Authority::new`], with such a key.
    ///
    /// # Panics
    /// As [`Authority::new`]; when the kind is not [available](KeyKind::available).
    #[must_use]
    pub fn signing_with(key_kind: KeyKind) -> Self {
        Self::named(format!("test authority {}", AUTHORITIES.fetch_add(1, Relaxed)), key_kind)
    }

    /// One with the same name, but another key: whom it deceives looks at no signature.
    ///
    /// # Panics
    /// As [`Authority::new`].
    #[must_use]
    pub fn impostor(&self) -> Self {
        Self::named(self.name.clone(), KeyKind::EcdsaP256)
    }

    /// Its own certificate, which to trust is to trust it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A certificate for a server on this machine, as good as any.
    ///
    /// # Panics
    /// As [`Authority::new`].
    #[must_use]
    pub fn server(&self) -> Certified {
        self.issue(&Request::default())
    }

    /// A certificate for a server.
    ///
    /// # Panics
    /// As [`Authority::new`]; when a name is none; when the kind of key is not [available](KeyKind::available).
    #[must_use]
    pub fn issue(&self, request: &Request<'_>) -> Certified {
        self.sign(&request.params(), &request.key_kind.generate())
    }

    /// A certificate for the client with this name.
    ///
    /// # Panics
    /// As [`Authority::new`].
    #[must_use]
    pub fn client(&self, name: &str) -> Certified {
        let mut params = params(name, Validity::Now);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params, &KeyKind::EcdsaP256.generate())
    }

    fn named(name: String, key_kind: KeyKind) -> Self {
        let key = key_kind.generate();
        let mut params = params(&name, Validity::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key).expect("its own certificate").pem();
        Self { name, certificate_pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Certified {
        let certificate = params.signed_by(key, &self.issuer).expect("a certificate");
        Certified { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

impl Certified {
    /// A certificate for a server on this machine that has nobody's word but its own.
    ///
    /// # Panics
    /// As [`Authority::new`].
    #[must_use]
    pub fn self_signed() -> Self {
        let request = Request::default();
        let key = request.key_kind.generate();
        let certificate = request.params().self_signed(&key).expect("a certificate");
        Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

impl Request<'_> {
    fn params(&self) -> CertificateParams {
        let mut params = params("test server", self.validity);
        let names: Vec<String> = self.names.iter().copied().map(String::from).collect();
        params.subject_alt_names = CertificateParams::new(names).expect("names and addresses").subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params
    }
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { names: &HERE, key_kind: KeyKind::EcdsaP256, validity: Validity::Now }
    }
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519, Self::Rsa];

    /// The kinds that keys can be made of. Where `openssl` is not installed, says so and leaves RSA out.
    ///
    /// # Panics
    /// When `openssl` is not installed and the variable `CI` is set.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| *kind != Self::Rsa || openssl_is_installed())
    }

    fn generate(self) -> KeyPair {
        let key = match self {
            Self::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => return generate_ed25519(),
            Self::Rsa => KeyPair::from_pem(&generate_rsa()),
        };
        key.expect("a key")
    }
}

/// What the certificates have in common.
fn params(common_name: &str, validity: Validity) -> CertificateParams {
    let (first_year, last_year) = match validity {
        Validity::Now => (2020, 2100),
        Validity::Expired => (2020, 2021),
        Validity::NotYet => (2099, 2100),
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(first_year, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    params
}

/// A key that OpenSSL reads, too. What comes from the generator has the public key behind the private one, as version 2
/// of the format (RFC 5958) has it, and OpenSSL 3.0 knows version 1 only.
fn generate_ed25519() -> KeyPair {
    let generated = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    // A SEQUENCE of 46 bytes, and the version, 0; then the algorithm and the private key, which both versions share.
    let mut der = b"\x30\x2E\x02\x01\0".to_vec();
    der.extend_from_slice(&generated.serialized_der()[5..48]);
    KeyPair::try_from(der).expect("the same key")
}

fn generate_rsa() -> String {
    let output = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .stderr(Stdio::null())
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "openssl makes an RSA key");
    String::from_utf8(output.stdout).expect("PEM is text")
}

fn openssl_is_installed() -> bool {
    let is_installed = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok();
    if !is_installed {
        assert!(std::env::var_os("CI").is_none(), "openssl is not installed, and CI must not go without");
        crate::skipped("RSA, since openssl is not installed");
    }
    is_installed
}
