//! Whom to trust and what to show, and what makes connections of it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use rustls::client::{ResolvesClientCert, Resumption, UnbufferedClientConnection};
#[cfg(feature = "std")]
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use zeroize::Zeroize;

use super::provider::{load_key, provider};
use super::sessions::Sessions;
use super::{TlsTransport, configuration};
use crate::error::TransportError;
use crate::transport::Transport;

/// Which certificates to trust and to show at `mqtts://` URLs.
///
/// By default: trusts Mozilla's certificate authorities, demands a certificate for the host of the URL, shows no client
/// certificate, and uses TLS 1.3 or 1.2. The system's own store of certificates is never read.
///
/// ```
/// # let (ca, chain) = ([0x30, 0x00], [0x30, 0x00]);
/// # let key = [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", &[7; 32][..]].concat();
/// use mqtt_wasi::{Options, TlsOptions};
///
/// let tls = TlsOptions::new()
///     .ca(ca)? // such as the bytes of ca.pem
///     .only_own_ca()
///     .client_certificate(chain, key)?; // such as the bytes of client.pem and client.key
/// let options = Options::new().tls(tls); // for `Client::connect("mqtts://broker.local", options)`
/// # Ok::<(), mqtt_wasi::TransportError>(())
/// ```
#[derive(Clone)]
pub struct TlsOptions {
    authorities: Vec<CertificateDer<'static>>,
    trusts_mozilla: bool,
    client: Option<Identity>,
    server_name: Option<String>,
    alpn: Vec<Vec<u8>>,
    config: Option<Arc<ClientConfig>>,
    #[cfg(feature = "std")]
    accepts_any: bool,
}

/// What a client shows of itself.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Overwrites the key.
impl Drop for Identity {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
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
            trusts_mozilla: true,
            client: None,
            server_name: None,
            alpn: Vec::new(),
            config: None,
            #[cfg(feature = "std")]
            accepts_any: false,
        }
    }

    /// Trusts more certificate authorities: certificates in PEM, or one in DER.
    ///
    /// # Errors
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) when there is no certificate in it. A
    /// certificate that cannot be used is an error when a client is made.
    ///
    /// ```
    /// # let ca = [0x30, 0x00];
    /// use mqtt_wasi::{TlsFailure, TlsOptions, TransportErrorKind};
    ///
    /// let tls = TlsOptions::new().ca(ca)?; // such as `std::fs::read("ca.pem")?`
    /// let error = TlsOptions::new().ca("not a certificate").unwrap_err();
    /// assert_eq!(error.kind, TransportErrorKind::Tls(TlsFailure::Configuration));
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
    pub fn ca(mut self, certificates: impl AsRef<[u8]>) -> Result<Self, TransportError> {
        self.authorities.extend(read_certificates(certificates.as_ref())?);
        Ok(self)
    }

    /// Trusts only the authorities of [`TlsOptions::ca`], and not Mozilla's.
    ///
    /// ```
    /// # let ca = [0x30, 0x00];
    /// use mqtt_wasi::TlsOptions;
    ///
    /// let tls = TlsOptions::new().ca(ca)?.only_own_ca();
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
    #[must_use]
    pub const fn only_own_ca(mut self) -> Self {
        self.trusts_mozilla = false;
        self
    }

    /// The certificate to show to brokers that ask for one, followed by its intermediates, in PEM, or one certificate
    /// in DER; and its private key in PEM or DER: ECDSA (P-256, P-384), Ed25519 or RSA.
    ///
    /// # Errors
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) when there is no certificate or no key in them.
    /// A key that cannot be used is an error when a client is made.
    ///
    /// ```
    /// # let chain = [0x30, 0x00];
    /// # let key = [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", &[7; 32][..]].concat();
    /// use mqtt_wasi::TlsOptions;
    ///
    /// let tls = TlsOptions::new().client_certificate(chain, key)?; // such as the bytes of client.pem and client.key
    /// assert!(TlsOptions::new().client_certificate(chain, "not a key").is_err());
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
    pub fn client_certificate(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TransportError> {
        let (chain, key) = (read_certificates(chain.as_ref())?, key.as_ref());
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(_) => PrivateKeyDer::try_from(key.to_vec()).map_err(configuration)?,
        };
        self.client = Some(Identity { chain, key });
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
        let was_asked = Arc::new(AtomicBool::new(false));
        let server_name = match self.server_name {
            Some(name) => Some(ServerName::try_from(name).map_err(configuration)?),
            None => None,
        };
        if let Some(config) = self.config {
            return Ok(TlsConnector { config, server_name, was_asked });
        }
        let mut roots = RootCertStore::empty();
        if self.trusts_mozilla {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for authority in self.authorities {
            roots.add(authority).map_err(configuration)?;
        }
        let key = match self.client {
            None => None,
            Some(identity) => {
                let key = load_key(&identity.key).map_err(configuration)?;
                Some(Arc::new(CertifiedKey::new(identity.chain.clone(), key)))
            }
        };
        let builder = ClientConfig::builder_with_details(Arc::new(provider()), Arc::new(clock()))
            .with_safe_default_protocol_versions()
            .map_err(configuration)?;
        let builder = builder.with_root_certificates(roots);
        let shows = Shows { key, was_asked: was_asked.clone() };
        let mut config = builder.with_client_cert_resolver(Arc::new(shows));
        config.alpn_protocols = self.alpn;
        config.resumption = Resumption::store(Arc::new(Sessions::default()));
        #[cfg(feature = "std")]
        if self.accepts_any {
            config.dangerous().set_certificate_verifier(Arc::new(AcceptsAny(Arc::new(provider()))));
        }
        Ok(TlsConnector { config: Arc::new(config), server_name, was_asked })
    }
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
            .field("trusts_mozilla", &self.trusts_mozilla)
            .field("shows_a_certificate", &self.client.is_some())
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn read_certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>().map_err(configuration)?;
    match bytes {
        _ if !certificates.is_empty() => Ok(certificates),
        // What DER begins with: a sequence.
        [0x30, ..] => Ok(Vec::from([CertificateDer::from(bytes.to_vec())])),
        _ => Err(configuration("there is no certificate in PEM or DER")),
    }
}

#[cfg(feature = "std")]
const fn clock() -> rustls::time_provider::DefaultTimeProvider {
    rustls::time_provider::DefaultTimeProvider
}

#[cfg(all(not(feature = "std"), feature = "component", target_arch = "wasm32"))]
const fn clock() -> crate::transport::wasi::WallClock {
    crate::transport::wasi::WallClock
}

/// Shows the client's certificate, if there is one, and notes that the broker asked for it.
struct Shows {
    key: Option<Arc<CertifiedKey>>,
    was_asked: Arc<AtomicBool>,
}

/// Shows no key: those of the provider do.
impl fmt::Debug for Shows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shows").finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        // Or it would not be asked.
        true
    }
}

/// Trusts everyone, for [`TlsOptions::dangerous_accept_any_certificate`].
#[cfg(feature = "std")]
#[derive(Debug)]
struct AcceptsAny(Arc<CryptoProvider>);

#[cfg(feature = "std")]
mod accepts_any {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    use super::{AcceptsAny, Vec};

    impl ServerCertVerifier for AcceptsAny {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

/// Makes TLS connections over transports that are there.
#[derive(Debug, Clone)]
pub(crate) struct TlsConnector {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    /// Whether the broker asked for a client certificate.
    was_asked: Arc<AtomicBool>,
}

impl TlsConnector {
    /// Begins to shake hands with the broker at the other end of a transport.
    pub(crate) fn begin<T: Transport>(&self, inner: T, host: &str) -> Result<TlsTransport<T>, TransportError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(configuration)?,
        };
        self.was_asked.store(false, Ordering::Relaxed);
        let connection = UnbufferedClientConnection::new(self.config.clone(), name).map_err(configuration)?;
        Ok(TlsTransport::new(inner, connection, self.was_asked.clone()))
    }
}
