//! Whom to trust and what to show, and what makes connections of it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};

use super::failure::words;
use super::given;
use super::provider::{provider, sha256};
use super::sessions::Sessions;
use super::verify::{Fingerprint, Notes, Shows, Trust, Verifies};
use super::{TlsTransport, configuration};
use crate::error::TransportError;
use crate::transport::Transport;

/// How many certificates that cannot be used an error lists.
const MOST_LISTED: usize = 8;

/// Which certificates to trust and to show at `mqtts://` URLs.
///
/// By default: trusts Mozilla's certificate authorities, demands a certificate for the host of the URL, shows no client
/// certificate, and uses TLS 1.3 or 1.2. The system's own store of certificates is never read.
///
/// ```no_run
/// use std::fs::read;
/// use mqtt_wasi::{Options, TlsOptions};
///
/// let tls = TlsOptions::new()
///     .ca(read("ca.pem")?)?
///     .only_own_ca()
///     .client_certificate(read("client.pem")?, read("client.key")?)?;
/// let options = Options::new().tls(tls); // for `Client::connect("mqtts://broker.local", options)`
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsOptions {
    authorities: Vec<TrustAnchor<'static>>,
    /// The certificates that those were read from.
    known: Vec<Fingerprint>,
    /// How many were given, those included that cannot be used.
    given: usize,
    skipped: Vec<SkippedCertificate>,
    fingerprints: Vec<Fingerprint>,
    trusts_mozilla: bool,
    client: Option<Arc<CertifiedKey>>,
    server_name: Option<String>,
    alpn: Vec<Vec<u8>>,
    provider: Option<Arc<CryptoProvider>>,
    config: Option<Arc<ClientConfig>>,
    #[cfg(feature = "std")]
    accepts_any: bool,
}

/// A certificate that was given to [`TlsOptions::ca`] among others, and cannot be used.
///
/// ```no_run
/// use mqtt_wasi::TlsOptions;
///
/// let tls = TlsOptions::new().ca(std::fs::read("bundle.pem")?)?;
/// for skipped in tls.skipped_certificates() {
///     eprintln!("bundle.pem: {skipped}"); // such as "certificate 3: ..."
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedCertificate {
    /// Which one it was of all that were given, counted from 1.
    pub position: usize,
    /// Why it cannot be used.
    pub reason: String,
}

impl fmt::Display for SkippedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate {}: {}", self.position, self.reason)
    }
}

impl TlsOptions {
    /// The defaults: Mozilla's certificate authorities, and the host of the URL.
    ///
    /// ```
    /// use mqtt_wasi::{Options, TlsOptions};
    ///
    /// let options = Options::new().tls(TlsOptions::new()); // the same as without `tls`
    /// assert!(options.validate().is_ok());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            authorities: Vec::new(),
            known: Vec::new(),
            given: 0,
            skipped: Vec::new(),
            fingerprints: Vec::new(),
            trusts_mozilla: true,
            client: None,
            server_name: None,
            alpn: Vec::new(),
            provider: None,
            config: None,
            #[cfg(feature = "std")]
            accepts_any: false,
        }
    }

    /// Trusts more certificate authorities: any number of certificates in PEM, or one in DER. A broker that shows one
    /// of these very certificates as its own is trusted as well, if its name and its dates are right: such as one that
    /// signed itself.
    ///
    /// Certificates that cannot be used are skipped if there are others: see [`TlsOptions::skipped_certificates`].
    ///
    /// # Errors
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) when none of them can be used.
    ///
    /// ```no_run
    /// use mqtt_wasi::TlsOptions;
    ///
    /// let tls = TlsOptions::new().ca(std::fs::read("ca.pem")?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// ```
    /// use mqtt_wasi::{TlsFailure, TlsOptions, TransportErrorKind};
    ///
    /// let error = TlsOptions::new().ca("not a certificate").unwrap_err();
    /// assert_eq!(error.kind, TransportErrorKind::Tls(TlsFailure::Configuration));
    /// ```
    pub fn ca(mut self, certificates: impl AsRef<[u8]>) -> Result<Self, TransportError> {
        let (authorities, skipped) = (self.authorities.len(), self.skipped.len());
        for certificate in given::certificates(certificates.as_ref())? {
            self.given += 1;
            if let Err(reason) = certificate.map_err(String::from).and_then(|certificate| self.trust(&certificate)) {
                self.skipped.push(SkippedCertificate { position: self.given, reason });
            }
        }
        match self.skipped.get(skipped) {
            Some(first) if self.authorities.len() == authorities => {
                Err(configuration(&format!("no certificate of the CA can be used; {first}")))
            }
            _ => Ok(self),
        }
    }

    fn trust(&mut self, certificate: &CertificateDer<'_>) -> Result<(), String> {
        given::authority(certificate)?;
        let mut store = RootCertStore { roots: core::mem::take(&mut self.authorities) };
        let added = store.add(certificate.clone());
        self.authorities = store.roots;
        added.map_err(|_| "it is not an X.509 certificate that this client can read")?;
        self.known.push(sha256(certificate));
        Ok(())
    }

    /// Which of the certificates that were given to [`TlsOptions::ca`] cannot be used, and why. Brokers that need one
    /// of them are not trusted, and the error lists their numbers.
    ///
    /// ```
    /// use mqtt_wasi::TlsOptions;
    ///
    /// assert!(TlsOptions::new().skipped_certificates().is_empty());
    /// ```
    #[must_use]
    pub fn skipped_certificates(&self) -> &[SkippedCertificate] {
        &self.skipped
    }

    /// Trusts only the authorities of [`TlsOptions::ca`], and not Mozilla's.
    ///
    /// ```no_run
    /// use mqtt_wasi::TlsOptions;
    ///
    /// let tls = TlsOptions::new().ca(std::fs::read("ca.pem")?)?.only_own_ca();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn only_own_ca(mut self) -> Self {
        self.trusts_mozilla = false;
        self
    }

    /// Trusts only a broker that shows the certificate with this SHA-256 fingerprint, or one of them if there are more.
    /// Issuer, names and dates of that certificate do not matter then, as with DANE-EE (RFC 7671, section 5.1), and
    /// neither do the authorities in the options.
    ///
    /// The fingerprint is 64 hexadecimal digits, with or without colons, as
    /// `openssl x509 -in broker.pem -noout -fingerprint -sha256` prints it. Take it from the broker's certificate file.
    ///
    /// # Errors
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) when it is not such a fingerprint.
    ///
    /// ```
    /// use mqtt_wasi::TlsOptions;
    ///
    /// let fingerprint = "4B:22:D5:A6:AE:C9:9F:3C:DB:79:AA:5E:C0:68:38:47:9C:D5:EC:BA:71:64:F7:F2:2D:C1:D6:5F:63:D8:57:08";
    /// let options = TlsOptions::new().fingerprint(fingerprint)?;
    /// assert!(options.fingerprint("4B:22:D5").is_err());
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
    pub fn fingerprint(mut self, sha256: impl AsRef<str>) -> Result<Self, TransportError> {
        // The line that openssl prints begins with what it is.
        let (_, text) = sha256.as_ref().rsplit_once('=').unwrap_or(("", sha256.as_ref()));
        let mut fingerprint = Fingerprint::default();
        let mut len = 0;
        for digit in text.trim().chars().filter(|c| *c != ':') {
            let (Some(digit), Some(byte)) = (digit.to_digit(16), fingerprint.get_mut(len / 2)) else {
                len = 0;
                break;
            };
            *byte = *byte << 4 | digit as u8;
            len += 1;
        }
        if len != 2 * fingerprint.len() {
            return Err(configuration("a fingerprint is the SHA-256 of a certificate, as 64 hexadecimal digits"));
        }
        self.fingerprints.push(fingerprint);
        Ok(self)
    }

    /// The certificate to show to brokers that ask for one, followed by its intermediates, in PEM, or one certificate
    /// in DER; and its private key, not encrypted, in PEM or DER: ECDSA (P-256, P-384), Ed25519, or RSA with 2,048 to
    /// 4,096 bits.
    ///
    /// # Errors
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) when there is no certificate or no key in them,
    /// when a key of this kind cannot be used, and when the key does not belong to the certificate.
    ///
    /// ```no_run
    /// use mqtt_wasi::TlsOptions;
    ///
    /// let (chain, key) = (std::fs::read("client.pem")?, std::fs::read("client.key")?);
    /// let tls = TlsOptions::new().client_certificate(chain, key)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn client_certificate(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TransportError> {
        self.client = Some(Arc::new(given::identity(chain.as_ref(), key.as_ref())?));
        Ok(self)
    }

    /// The name that the broker's certificate must have. Default: the host of the URL.
    ///
    /// ```
    /// use mqtt_wasi::{Options, TlsOptions};
    ///
    /// // For mqtts://10.0.0.7, with a certificate for a name.
    /// let options = Options::new().tls(TlsOptions::new().server_name("broker.local"));
    /// assert!(options.validate().is_ok());
    /// ```
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The application protocols to offer (ALPN), such as `mqtt`, or `x-amzn-mqtt-ca` for AWS IoT at port 443. Default:
    /// none.
    ///
    /// ```
    /// use mqtt_wasi::{Options, TlsOptions};
    ///
    /// let options = Options::new().tls(TlsOptions::new().alpn(["x-amzn-mqtt-ca"]));
    /// assert!(options.validate().is_ok());
    /// ```
    #[must_use]
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) fn add_alpn(mut self, protocol: Vec<u8>) -> Self {
        self.alpn.push(protocol);
        self
    }

    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) const fn trust_mozilla(mut self, trust: bool) -> Self {
        self.trusts_mozilla = trust;
        self
    }

    /// Has handshakes and records done by this provider of rustls' algorithms, in place of the one in pure Rust: ring
    /// and aws-lc-rs, which are partly C and assembler, are faster on native targets. Features of this crate have both:
    /// `TlsOptions::ring` and `TlsOptions::aws_lc_rs`.
    ///
    /// Everything else here holds as before. Which certificates and keys can be given does not change: a client's key
    /// still signs by the provider in pure Rust.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::TlsOptions;
    /// use rustls::crypto::CryptoProvider;
    ///
    /// // The same provider, with but one suite of ciphers.
    /// let provider = CryptoProvider {
    ///     cipher_suites: vec![rustls_rustcrypto::TLS13_CHACHA20_POLY1305_SHA256],
    ///     ..rustls_rustcrypto::provider()
    /// };
    /// let tls = TlsOptions::new().provider(provider);
    /// ```
    #[must_use]
    pub fn provider(mut self, provider: impl Into<Arc<CryptoProvider>>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// [`TlsOptions::provider`] with ring.
    ///
    /// ```
    /// use mqtt_wasi::{Options, TlsOptions};
    ///
    /// let options = Options::new().tls(TlsOptions::new().ring());
    /// assert!(options.validate().is_ok());
    /// ```
    #[cfg(feature = "ring")]
    #[must_use]
    pub fn ring(self) -> Self {
        self.provider(rustls::crypto::ring::default_provider())
    }

    /// [`TlsOptions::provider`] with aws-lc-rs.
    ///
    /// ```
    /// use mqtt_wasi::{Options, TlsOptions};
    ///
    /// let options = Options::new().tls(TlsOptions::new().aws_lc_rs());
    /// assert!(options.validate().is_ok());
    /// ```
    #[cfg(feature = "aws-lc-rs")]
    #[must_use]
    pub fn aws_lc_rs(self) -> Self {
        self.provider(rustls::crypto::aws_lc_rs::default_provider())
    }

    /// Uses this configuration of rustls, in place of all options here except [`TlsOptions::server_name`]. What it
    /// verifies is its maker's choice.
    ///
    #[doc = std_example!()]
    /// use std::sync::Arc;
    /// use mqtt_wasi::TlsOptions;
    /// use rustls::{ClientConfig, RootCertStore};
    ///
    /// // TLS 1.3 alone.
    /// let config = ClientConfig::builder_with_provider(Arc::new(rustls_rustcrypto::provider()))
    ///     .with_protocol_versions(&[&rustls::version::TLS13])?
    ///     .with_root_certificates(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() })
    ///     .with_no_client_auth();
    /// let tls = TlsOptions::new().config(Arc::new(config));
    /// # Ok::<(), rustls::Error>(())
    /// ```
    #[must_use]
    pub fn config(mut self, config: Arc<ClientConfig>) -> Self {
        self.config = Some(config);
        self
    }

    /// Accepts any certificate of anyone: an attacker between client and broker can read and change everything, logins
    /// included. For a look at a test system only.
    ///
    #[doc = std_example!()]
    /// use mqtt_wasi::{Options, TlsOptions};
    ///
    /// let options = Options::new().tls(TlsOptions::new().dangerous_accept_any_certificate());
    /// assert!(options.validate().is_ok());
    /// ```
    #[cfg(feature = "std")]
    #[must_use]
    pub const fn dangerous_accept_any_certificate(mut self) -> Self {
        self.accepts_any = true;
        self
    }

    /// Makes the configuration, once for all connections of a client, so that they can resume TLS sessions.
    pub(crate) fn connector(self) -> Result<TlsConnector, TransportError> {
        let is_foreign = self.config.is_some() || self.provider.is_some();
        let notes = Arc::new(Notes::new(self.client.is_some(), is_foreign));
        let server_name = match self.server_name.map(ServerName::try_from) {
            Some(Ok(name)) => Some(name),
            Some(Err(_)) => return Err(configuration("the server name is neither a DNS name nor an IP address")),
            None => None,
        };
        if let Some(config) = self.config {
            return Ok(TlsConnector { config, server_name, notes });
        }
        let mut trust = Trust {
            skipped: listed(&self.skipped),
            roots: self.authorities,
            known: self.known,
            fingerprints: self.fingerprints,
            #[cfg(feature = "std")]
            accepts_any: self.accepts_any,
        };
        if self.trusts_mozilla {
            trust.roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = self.provider.unwrap_or_else(|| Arc::new(provider()));
        let verifies = Verifies::new(trust, provider.signature_verification_algorithms, notes.clone());
        let shows = Shows { key: self.client, notes: notes.clone() };
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(clock()))
            .with_safe_default_protocol_versions()
            .map_err(|error| configuration(&words(&error)))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifies))
            .with_client_cert_resolver(Arc::new(shows));
        config.alpn_protocols = self.alpn;
        config.resumption = Resumption::store(Arc::new(Sessions::default()));
        Ok(TlsConnector { config: Arc::new(config), server_name, notes })
    }
}

/// Which certificates those are, in words.
fn listed(skipped: &[SkippedCertificate]) -> String {
    let mut text = String::new();
    for (index, SkippedCertificate { position: number, .. }) in skipped.iter().enumerate() {
        if index == MOST_LISTED {
            return format!("{text} and {} more", skipped.len() - index);
        }
        let separator = if index == 0 { "number " } else { ", " };
        text = format!("{text}{separator}{number}");
    }
    text
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows no key.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("authorities", &self.authorities.len())
            .field("skipped", &self.skipped)
            .field("fingerprints", &self.fingerprints.len())
            .field("trusts_mozilla", &self.trusts_mozilla)
            .field("shows_a_certificate", &self.client.is_some())
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "std")]
const fn clock() -> rustls::time_provider::DefaultTimeProvider {
    rustls::time_provider::DefaultTimeProvider
}

#[cfg(all(
    not(feature = "std"),
    any(
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )
))]
const fn clock() -> crate::transport::wasi::WallClock {
    crate::transport::wasi::WallClock
}

/// Makes TLS connections over transports that are there.
#[derive(Clone)]
pub(crate) struct TlsConnector {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    notes: Arc<Notes>,
}

impl TlsConnector {
    /// Begins to shake hands with the broker at the other end of a transport.
    pub(crate) fn begin<T: Transport>(&self, inner: T, host: &str) -> Result<TlsTransport<T>, TransportError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|_| configuration("the host of the URL is neither a DNS name nor an IP address"))?,
        };
        self.notes.clear();
        let connection = UnbufferedClientConnection::new(self.config.clone(), name)
            .map_err(|error| configuration(&words(&error)))?;
        Ok(TlsTransport::new(inner, connection, self.notes.clone()))
    }
}

/// Shows nothing of the configuration, whose key may show itself.
impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}
