//! Why TLS failed, in words of our own: those of rustls are for its makers, hold whatever came, and take up a
//! thirtieth of the component.

use alloc::format;
use alloc::string::String;

use rustls::{AlertDescription, Error, PeerIncompatible, PeerMisbehaved, ProtocolVersion};

use super::Tls;
use crate::error::{TlsFailure, TransportError, TransportErrorKind};

/// What this client has, for those who set up the other side.
const OFFER: &str = "this client has TLS 1.2 (ECDHE with AES-GCM) and 1.3, the groups X25519, P-256 and P-384, and \
                     checks certificates with RSA keys up to 4,096 bits, ECDSA for P-256 and P-384, and Ed25519";

impl Tls {
    /// What an error of rustls means here.
    pub(super) fn failure(&self, error: &Error) -> TransportError {
        if let Some(refusal) = self.notes.take_refusal() {
            return refusal;
        }
        match error {
            Error::AlertReceived(alert) => self.alert(*alert),
            Error::InvalidCertificate(_) => TlsFailure::BadCertificate.because(&own_words(error)),
            Error::NoCertificatesPresented => TlsFailure::BadCertificate.because("it showed none"),
            Error::PeerIncompatible(why) => TlsFailure::NothingInCommon.because(&incompatible(why, self.offer())),
            Error::PeerMisbehaved(why) => match unoffered(why) {
                Some(what) => TlsFailure::NothingInCommon
                    .because(&format!("the broker insists on another {what}; {}", self.offer())),
                None => TlsFailure::Other.because(misbehaved(why)),
            },
            // Once it has chosen a version, it has spoken TLS.
            Error::InvalidMessage(_) if self.connection.protocol_version().is_none() => TlsFailure::NotTls.because(""),
            _ => TlsFailure::Other.because(&words(error)),
        }
    }

    /// What this client has, if that is known.
    fn offer(&self) -> &'static str {
        if self.notes.is_foreign { "compare the configuration or the provider with the broker's" } else { OFFER }
    }

    /// What it means that the broker ended the connection with this alert.
    fn alert(&self, alert: AlertDescription) -> TransportError {
        use AlertDescription as A;
        let number = u8::from(alert);
        let said = match name(alert) {
            "" => format!("the broker sent the alert {number}"),
            name => format!("the broker sent the alert {name} ({number})"),
        };
        // In TLS 1.3 the client is done before the broker has looked at what it was shown, and some look later in 1.2.
        let may_look = self.notes.was_asked() || self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let is_over = self.is_established && (self.has_heard || !may_look);
        if is_over {
            return TlsFailure::Other.because(&format!("{said} after the handshake"));
        }
        let is_refusal = matches!(
            alert,
            A::CertificateRequired
                | A::UnknownCA
                | A::CertificateUnknown
                | A::AccessDenied
                | A::IllegalParameter
                | A::DecryptError
                | A::HandshakeFailure
                | A::BadCertificate
                | A::NoCertificate
                | A::UnsupportedCertificate
                | A::CertificateRevoked
                | A::CertificateExpired
        );
        if is_refusal && (self.notes.was_asked() || alert == A::CertificateRequired) {
            return if self.notes.was_shown() {
                TlsFailure::ClientCertificateRefused.because(&said)
            } else if self.notes.has_identity {
                TlsFailure::ClientCertificateRequired
                    .because(&format!("{said}; it accepts no signature that the client's key can make"))
            } else {
                TlsFailure::ClientCertificateRequired.because(&said)
            };
        }
        let advice = match alert {
            A::ProtocolVersion => "it has neither TLS 1.2 nor 1.3",
            A::HandshakeFailure | A::InsufficientSecurity => self.offer(),
            A::NoApplicationProtocol => "it accepts none of the application protocols (ALPN) in the options",
            A::UnrecognisedName => "it has no certificate for the name that it was asked for (SNI)",
            _ => "",
        };
        let failure = match alert {
            A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity => TlsFailure::NothingInCommon,
            _ => TlsFailure::Other,
        };
        if advice.is_empty() { failure.because(&said) } else { failure.because(&format!("{said}: {advice}")) }
    }
}

impl Tls {
    /// What the end of the connection means that looks like this.
    pub(super) fn ended(&self, end: TransportError) -> TransportError {
        self.unsaid().unwrap_or(end)
    }

    /// What is the matter where the broker asks for a client certificate and ends the connection without a word: with
    /// an alert it would have told. Some servers look at certificates when the handshake is over, and by then it may
    /// be something else that they mind.
    pub(super) fn unsaid(&self) -> Option<TransportError> {
        if self.has_heard || !self.notes.was_asked() {
            return None;
        }
        let (failure, got) = if self.notes.was_shown() {
            (TlsFailure::ClientCertificateRefused, "it got the one in the options")
        } else if self.notes.has_identity {
            let got = "it got none, since it accepts no signature that the client's key can make";
            (TlsFailure::ClientCertificateRequired, got)
        } else {
            (TlsFailure::ClientCertificateRequired, "it got none")
        };
        Some(if self.is_established {
            TlsFailure::ClosedAfterCertificateRequest.because(got)
        } else {
            failure.because(&format!("{got}, and it ended the connection within the handshake, without an alert"))
        })
    }

    /// What may be the matter where the broker says no in another language than that of TLS.
    #[cfg(feature = "ws")]
    pub(super) fn asked(&self) -> &'static str {
        match (self.notes.was_asked(), self.notes.was_shown()) {
            (false, _) => "",
            (true, false) => "it had asked for a client certificate, and got none",
            (true, true) => "it had asked for the client certificate, and may not accept it",
        }
    }
}

impl TlsFailure {
    // Called so often that it should not be inlined.
    #[inline(never)]
    pub(super) fn because(self, why: &str) -> TransportError {
        TransportError { kind: TransportErrorKind::Tls(self), message: why.into() }
    }
}

fn incompatible(why: &PeerIncompatible, offer: &str) -> String {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            "the broker chose a version of TLS that this client does not speak: it speaks 1.2 and 1.3 by default".into()
        }
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "the broker accepts no signature algorithm that this client has".into()
        }
        PeerIncompatible::ExtendedMasterSecretExtensionRequired => {
            "the broker has no Extended Master Secret, which the configuration demands".into()
        }
        _ => format!("an extension of TLS; {offer}"),
    }
}

/// What a broker chose that it was not offered.
const fn unoffered(why: &PeerMisbehaved) -> Option<&'static str> {
    use PeerMisbehaved as M;
    Some(match why {
        M::SelectedUnofferedCipherSuite
        | M::SelectedUnusableCipherSuiteForVersion
        | M::IllegalHelloRetryRequestWithUnofferedCipherSuite => "cipher suite",
        M::SelectedUnofferedKxGroup | M::WrongGroupForKeyShare | M::IllegalHelloRetryRequestWithUnofferedNamedGroup => {
            "group for the key exchange"
        }
        M::IllegalHelloRetryRequestWithUnsupportedVersion => "version of TLS",
        M::SignedKxWithWrongAlgorithm | M::SignedHandshakeWithUnadvertisedSigScheme => "signature algorithm",
        _ => return None,
    })
}

const fn misbehaved(why: &PeerMisbehaved) -> &'static str {
    use PeerMisbehaved as M;
    match why {
        M::AttemptedDowngradeToTls12WhenTls13IsSupported => {
            "the broker has TLS 1.3, and something on the way made it choose 1.2"
        }
        M::SelectedUnofferedApplicationProtocol => "the broker chose an application protocol that it was not offered",
        M::InvalidKeyShare => "the broker's part of the key exchange is invalid",
        M::TooManyRenegotiationRequests => "the broker demands renegotiation, which this client refuses",
        _ => "the broker broke the protocol",
    }
}

/// Those of a configuration of the user's own, its provider and verifier, are not for us to judge.
#[cfg(feature = "std")]
fn own_words(error: &Error) -> String {
    use alloc::string::ToString;
    match error {
        Error::InvalidCertificate(rustls::CertificateError::Other(other)) | Error::Other(other) => other.to_string(),
        _ => String::new(),
    }
}

#[cfg(not(feature = "std"))]
const fn own_words(_: &Error) -> String {
    String::new()
}

/// What else can happen.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the broker sent a message that must not come now"
        }
        Error::InvalidMessage(_) => "the broker sent a message that is not encoded as TLS",
        Error::DecryptError => "a record was changed on the way, or the keys of the two sides differ",
        Error::PeerSentOversizedRecord => "the broker sent a record that is too long",
        Error::EncryptError => "a record could not be encrypted",
        Error::General(_) => "the provider of the cryptography failed, for example at signing with the client's key",
        Error::FailedToGetCurrentTime => "the system has no clock",
        Error::FailedToGetRandomBytes => "the system has no random numbers",
        Error::NoApplicationProtocol => "no application protocol (ALPN) in common",
        _ => return own_words(error),
    }
    .into()
}

/// The name of an alert in the RFCs.
const fn name(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::UnexpectedMessage => "unexpected_message",
        A::BadRecordMac => "bad_record_mac",
        A::RecordOverflow => "record_overflow",
        A::HandshakeFailure => "handshake_failure",
        A::NoCertificate => "no_certificate",
        A::BadCertificate => "bad_certificate",
        A::UnsupportedCertificate => "unsupported_certificate",
        A::CertificateRevoked => "certificate_revoked",
        A::CertificateExpired => "certificate_expired",
        A::CertificateUnknown => "certificate_unknown",
        A::IllegalParameter => "illegal_parameter",
        A::UnknownCA => "unknown_ca",
        A::AccessDenied => "access_denied",
        A::DecodeError => "decode_error",
        A::DecryptError => "decrypt_error",
        A::ProtocolVersion => "protocol_version",
        A::InsufficientSecurity => "insufficient_security",
        A::InternalError => "internal_error",
        A::InappropriateFallback => "inappropriate_fallback",
        A::UserCanceled => "user_canceled",
        A::NoRenegotiation => "no_renegotiation",
        A::MissingExtension => "missing_extension",
        A::UnsupportedExtension => "unsupported_extension",
        A::UnrecognisedName => "unrecognized_name",
        A::CertificateRequired => "certificate_required",
        A::NoApplicationProtocol => "no_application_protocol",
        _ => "",
    }
}
