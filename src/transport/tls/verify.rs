//! Who is trusted, and for whom not, in one line what is wrong with the certificate.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use spin::Mutex;

use super::der::{self, Certificate, Time};
use super::provider::sha256;
use crate::error::{TlsFailure, TransportError};

/// How many names of a certificate an error lists.
const MOST_NAMES: usize = 5;

/// The SHA-256 of a certificate.
pub(super) type Fingerprint = [u8; 32];

/// What is learnt during a handshake that rustls does not tell afterwards.
pub(super) struct Notes {
    /// Whether there is a client certificate to be shown.
    pub(super) has_identity: bool,
    /// Whether the configuration is one of the user's own, about which there is nothing to tell.
    pub(super) is_foreign: bool,
    /// Whether the broker asked for a client certificate.
    was_asked: AtomicBool,
    /// Whether it was shown one.
    was_shown: AtomicBool,
    /// Why its own was refused.
    refusal: Mutex<Option<TransportError>>,
}

impl Notes {
    pub(super) fn new(has_identity: bool, is_foreign: bool) -> Self {
        let (was_asked, was_shown) = Default::default();
        Self { has_identity, is_foreign, was_asked, was_shown, refusal: Mutex::new(None) }
    }

    /// Forgets the last handshake.
    pub(super) fn clear(&self) {
        self.was_asked.store(false, Ordering::Relaxed);
        self.was_shown.store(false, Ordering::Relaxed);
        *self.refusal.lock() = None;
    }

    pub(super) fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Relaxed)
    }

    pub(super) fn was_shown(&self) -> bool {
        self.was_shown.load(Ordering::Relaxed)
    }

    pub(super) fn take_refusal(&self) -> Option<TransportError> {
        self.refusal.lock().take()
    }
}

/// Shows the client's certificate, if there is one, and notes that the broker asked for it.
pub(super) struct Shows {
    pub(super) key: Option<Arc<CertifiedKey>>,
    pub(super) notes: Arc<Notes>,
}

/// Shows no key: those of the provider do.
impl fmt::Debug for Shows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shows").finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.notes.was_asked.store(true, Ordering::Relaxed);
        let key = self.key.as_ref().filter(|key| key.key.choose_scheme(schemes).is_some());
        self.notes.was_shown.store(key.is_some(), Ordering::Relaxed);
        key.cloned()
    }

    fn has_certs(&self) -> bool {
        // Or it would not be asked.
        true
    }
}

/// Whom a client trusts.
#[derive(Default)]
pub(super) struct Trust {
    /// The authorities.
    pub(super) roots: Vec<rustls::pki_types::TrustAnchor<'static>>,
    /// Certificates that are trusted themselves if a broker shows them, for their names and while they are valid.
    pub(super) known: Vec<Fingerprint>,
    /// Which certificates could not be used, in words.
    pub(super) skipped: String,
    /// The only certificates that are trusted, if there are any.
    pub(super) fingerprints: Vec<Fingerprint>,
    /// Whether everyone is.
    #[cfg(feature = "std")]
    pub(super) accepts_any: bool,
}

/// Verifies the certificates of brokers.
pub(super) struct Verifies {
    roots: RootCertStore,
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    notes: Arc<Notes>,
}

impl Verifies {
    pub(super) fn new(mut trust: Trust, algorithms: WebPkiSupportedAlgorithms, notes: Arc<Notes>) -> Self {
        let roots = RootCertStore { roots: core::mem::take(&mut trust.roots) };
        Self { roots, trust, algorithms, notes }
    }

    /// Notes why a certificate is refused, in words that rustls does not have.
    fn refuse(&self, failure: TransportError, error: impl Into<Error>) -> Error {
        *self.notes.refusal.lock() = Some(failure);
        error.into()
    }

    /// The same of what rustls found.
    fn explain(&self, error: Error, chain: &[&[u8]]) -> Error {
        match error {
            Error::InvalidCertificate(error) => self.refuse(self.refusal(&error, chain), error),
            error => error,
        }
    }

    /// Verifies a certificate that is known and so needs nobody's word.
    fn verify_known(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let validity = Certificate::read(certificate).and_then(|certificate| certificate.validity);
        let (not_before, not_after) = validity.ok_or(CertificateError::BadEncoding)?;
        let now = Time::from_unix(now.as_secs());
        if now < not_before {
            return Err(self.refuse(not_yet_valid(not_before, now), CertificateError::NotValidYet));
        }
        if now > not_after {
            return Err(self.refuse(expired(not_after, now), CertificateError::Expired));
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
    }

    /// Verifies that authorities vouch for a certificate.
    fn verify_issued(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        verify_server_name(&certificate, name)
    }

    /// Why a certificate is refused, with those that came with it behind it.
    fn refusal(&self, error: &CertificateError, chain: &[&[u8]]) -> TransportError {
        use CertificateError as E;
        let [leaf, above @ ..] = chain else { return TlsFailure::BadCertificate.because("") };
        let leaf = Certificate::read(leaf);
        match error {
            E::ExpiredContext { time, not_after } => {
                expired(Time::from_unix(not_after.as_secs()), Time::from_unix(time.as_secs()))
            }
            E::NotValidYetContext { time, not_before } => {
                not_yet_valid(Time::from_unix(not_before.as_secs()), Time::from_unix(time.as_secs()))
            }
            E::Expired => TlsFailure::Expired.because(""),
            E::NotValidYet => TlsFailure::NotYetValid.because(""),
            E::NotValidForNameContext { presented, .. } => TlsFailure::WrongName.because(&names(presented)),
            E::NotValidForName => TlsFailure::WrongName.because(""),
            E::UnknownIssuer => self.unknown_issuer(leaf.as_ref(), above),
            E::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => {
                let name = der::algorithm_name(signature_algorithm_id);
                TlsFailure::BadCertificate.because(&format!(
                    "a certificate is signed by {name}, which this client does not check: sign it by ECDSA with \
                     SHA-256 or SHA-384, Ed25519, or RSA with SHA-256 to SHA-512"
                ))
            }
            E::UnsupportedSignatureAlgorithmForPublicKeyContext { signature_algorithm_id, public_key_algorithm_id } => {
                let (name, key) = (der::algorithm_name(signature_algorithm_id), der::key_name(public_key_algorithm_id));
                TlsFailure::BadCertificate
                    .because(&format!("a signature is {name} by a key that is {key}, which this client does not check"))
            }
            E::BadSignature => TlsFailure::BadCertificate.because(&bad_signature(chain)),
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => TlsFailure::BadCertificate
                .because("its Extended Key Usage does not allow servers: make one with serverAuth"),
            E::UnhandledCriticalExtension => {
                TlsFailure::BadCertificate.because("it has a critical extension that this client does not know")
            }
            E::BadEncoding => TlsFailure::BadCertificate.because("it is not encoded as X.509"),
            _ => match leaf {
                Some(leaf) if leaf.is_ca && leaf.is_self_issued() => self.unknown_issuer(Some(&leaf), above),
                Some(leaf) if leaf.is_ca => TlsFailure::BadCertificate.because(
                    "the broker shows the certificate of a CA as its own: issue one for the broker with CA:FALSE, or \
                     add exactly this certificate to the options as a CA",
                ),
                Some(leaf) if !leaf.is_v3 => TlsFailure::BadCertificate
                    .because("it is X.509 version 1: make one of version 3, with a Subject Alternative Name"),
                _ => TlsFailure::BadCertificate.because("it or its chain breaks a rule of X.509 (RFC 5280)"),
            },
        }
    }

    fn unknown_issuer(&self, leaf: Option<&Certificate<'_>>, above: &[&[u8]]) -> TransportError {
        let mut why = match leaf {
            Some(leaf) if leaf.is_self_issued() => {
                "it is self-signed, and not among the certificates in the options: add the broker's own certificate as \
                 a CA, or its fingerprint"
                    .to_owned()
            }
            Some(leaf) => {
                let issuer = leaf.issuer_name().map_or(String::new(), |name| format!("it is issued by \"{name}\""));
                let sent = if above.is_empty() { "the broker sent no intermediate certificates" } else { "" };
                let between = if issuer.is_empty() || sent.is_empty() { "" } else { ", and " };
                format!("{issuer}{between}{sent}")
            }
            None => String::new(),
        };
        if !self.trust.skipped.is_empty() {
            let separator = if why.is_empty() { "" } else { "; " };
            why = format!("{why}{separator}of the CAs in the options, {} cannot be used", self.trust.skipped);
        }
        TlsFailure::UnknownIssuer.because(&why)
    }
}

fn expired(not_after: Time, now: Time) -> TransportError {
    TlsFailure::Expired.because(&format!("it was valid until {not_after}, and this machine's clock shows {now}"))
}

fn not_yet_valid(not_before: Time, now: Time) -> TransportError {
    TlsFailure::NotYetValid.because(&format!("it is valid from {not_before} on, and this machine's clock shows {now}"))
}

fn bad_signature(chain: &[&[u8]]) -> String {
    let mut keys = chain.iter().filter_map(|der| Some(Certificate::read(der)?.key));
    match keys.find(|key| !key.can_be_verified()) {
        Some(key) => format!(
            "a key is {key}, and this client checks signatures of RSA keys up to 4,096 bits, of ECDSA keys for P-256 \
             and P-384, and of Ed25519 keys"
        ),
        None => "a signature is wrong: another CA may have the name of the one that is trusted".to_owned(),
    }
}

/// Which names a certificate is for, of those that webpki lists, as far as they are fit to be shown.
fn names(presented: &[String]) -> String {
    let names = presented.iter().filter_map(|name| {
        let name = match name.strip_prefix("DnsName(\"") {
            Some(name) => name.strip_suffix("\")")?,
            None => name.strip_prefix("IpAddress(")?.strip_suffix(')')?,
        };
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "-._*:".contains(c);
        Some(name).filter(|name| name.len() <= 80 && name.chars().all(is_fit))
    });
    let mut text = String::new();
    for (index, name) in names.enumerate() {
        if index == MOST_NAMES {
            text += " and others";
            break;
        }
        text += if index == 0 { "it is for " } else { ", " };
        text += name;
    }
    if presented.is_empty() {
        text += "it has no Subject Alternative Name, and its Common Name does not count: make one with the name in \
                 subjectAltName, or trust it by its fingerprint";
    }
    text
}

/// Shows no certificate.
impl fmt::Debug for Verifies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifies").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifies {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trust = &self.trust;
        #[cfg(feature = "std")]
        if trust.accepts_any {
            return Ok(ServerCertVerified::assertion());
        }
        let fingerprint = sha256(certificate);
        if !trust.fingerprints.is_empty() {
            if trust.fingerprints.contains(&fingerprint) {
                return Ok(ServerCertVerified::assertion());
            }
            let failure = TlsFailure::WrongFingerprint.because("");
            return Err(self.refuse(failure, CertificateError::ApplicationVerificationFailure));
        }
        let verified = if trust.known.contains(&fingerprint) {
            self.verify_known(certificate, name, now)
        } else {
            self.verify_issued(certificate, intermediates, name, now)
        };
        match verified {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) if self.notes.refusal.lock().is_some() => Err(error),
            Err(error) => {
                let chain: Vec<&[u8]> =
                    core::iter::once(certificate).chain(intermediates).map(|der| &der[..]).collect();
                Err(self.explain(error, &chain))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls12_signature(message, certificate, signed, &self.algorithms);
        verified.map_err(|error| self.explain(error, &[certificate]))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = verify_tls13_signature(message, certificate, signed, &self.algorithms);
        verified.map_err(|error| self.explain(error, &[certificate]))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
