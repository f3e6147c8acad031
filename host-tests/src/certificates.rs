//! Certificates: authorities that nobody trusts but the tests that made them, and what those issue. All is PEM.
//!
//! ```
//! use host_tests::certificates::{Authority, Request, Validity};
//!
//! let authority = Authority::new();
//! let expired = authority.issue(&Request { validity: Validity::Expired, ..Request::default() });
//! assert!(expired.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"));
//! ```

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

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

/// A folder in which the program `openssl` makes what no crate does: for all that real shops have. Removed when dropped.
pub struct OpenSsl(PathBuf);

impl OpenSsl {
    /// A new folder. Where `openssl` is not installed, says so and returns none.
    ///
    /// # Panics
    /// When `openssl` is not installed and the variable `CI` is set.
    #[must_use]
    pub fn start() -> Option<Self> {
        if !openssl_is_installed() {
            return None;
        }
        let number = AUTHORITIES.fetch_add(1, Relaxed);
        let folder = std::env::temp_dir().join(format!("mqtt-wasi-openssl-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Some(Self(folder))
    }

    /// Runs `openssl` in the folder with these words.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, words: &str) {
        let output = Command::new("openssl").current_dir(&self.0).args(words.split_whitespace()).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A file in the folder.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).expect("a file")
    }

    /// A text in the folder.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("a text")
    }

    /// Puts a file there.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.0.join(name), content).expect("a file");
    }

    /// Makes a certificate that signed itself, with a key made by `-newkey` and these words, as the usual guides do.
    ///
    /// # Panics
    /// As [`OpenSsl::run`].
    #[must_use]
    pub fn self_signed(&self, new_key: &str) -> Certified {
        self.run(&format!(
            "req -x509 -newkey {new_key} -nodes -days 30 -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout own.key -out own.pem"
        ));
        self.certified("own")
    }

    /// Makes an authority and a server's certificate that it issued with these words, such as `-sha1`: its PEM, and the
    /// certificate.
    ///
    /// # Panics
    /// As [`OpenSsl::run`].
    #[must_use]
    pub fn issued(&self, authority_key: &str, server_key: &str, signed: &str) -> (String, Certified) {
        self.issue(authority_key, server_key, "extendedKeyUsage=serverAuth", signed)
    }

    /// Makes an authority and a client's certificate that it issued: its PEM, and the certificate.
    ///
    /// # Panics
    /// As [`OpenSsl::run`].
    #[must_use]
    pub fn issued_client(&self, authority_key: &str, client_key: &str) -> (String, Certified) {
        self.issue(authority_key, client_key, "extendedKeyUsage=clientAuth", "-sha256")
    }

    fn issue(&self, authority_key: &str, key: &str, usage: &str, signed: &str) -> (String, Certified) {
        self.run(&format!(
            "req -x509 -newkey {authority_key} -nodes -days 30 -subj /CN=shop -keyout ca.key -out ca.pem"
        ));
        self.run(&format!("req -newkey {key} -nodes -subj /CN=localhost -keyout issued.key -out issued.csr"));
        self.write("issued.ext", &format!("subjectAltName=DNS:localhost,IP:127.0.0.1\n{usage}\n"));
        self.run(&format!(
            "x509 -req -in issued.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile issued.ext {signed} \
             -out issued.pem"
        ));
        (self.text("ca.pem"), self.certified("issued"))
    }

    /// Runs `openssl s_server` in the folder with these words.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn serve(&self, words: &str) -> Server {
        let mut process = Command::new("openssl")
            .current_dir(&self.0)
            .args(["s_server", "-accept", "127.0.0.1:0"])
            .args(words.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("ACCEPT ")?.parse().ok()).expect("where it listens");
        // What it says is read to its end, or it would wait for that one day.
        thread::spawn(move || lines.for_each(drop));
        Server { address, process }
    }

    fn certified(&self, name: &str) -> Certified {
        Certified { certificate_pem: self.text(&format!("{name}.pem")), key_pem: self.text(&format!("{name}.key")) }
    }
}

/// A server that says what it is told to, until it is dropped.
pub struct Server {
    address: SocketAddr,
    process: Child,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it send this once somebody is connected, or do what the letter in it stands for.
    ///
    /// # Panics
    /// When it has ended.
    pub fn say(&mut self, bytes: &[u8]) {
        let input = self.process.stdin.as_mut().expect("it is piped");
        input.write_all(bytes).and_then(|()| input.flush()).expect("it reads");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        // What is left lies in the folder for what may be deleted.
        let _ = fs::remove_dir_all(&self.0);
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
