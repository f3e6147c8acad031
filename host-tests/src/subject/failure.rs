//! Why a call failed, whoever was called.

use mqtt_wasi::{CallError, Error, Reason, ReasonCode, TlsFailure, TransportErrorKind, UrlError};

pub use crate::bindings::exports::mqtt_wasi::client::mqtt::ErrorKind;

/// A failure as the WIT interface tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What the broker said, or was told.
    pub reason: Option<Reason>,
    /// What went wrong, in words.
    pub message: String,
}

impl Failure {
    /// The Reason Code, if there is one.
    #[must_use]
    pub fn reason_code(&self) -> Option<ReasonCode> {
        self.reason.as_ref().map(|reason| reason.reason_code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, reason_code) = (kind(&error), error.reason_code());
        let message = match &error {
            Error::RequestFailed(failure) => failure.text.clone(),
            error => error.to_string(),
        };
        let reason = match error {
            Error::ConnectionRefused(reason) | Error::Disconnected(reason) | Error::PublishRefused(reason) => {
                Some(*reason)
            }
            _ => reason_code.map(Reason::from),
        };
        Self { kind, reason, message }
    }
}

/// What the contract has for each error of the crate.
fn kind(error: &Error) -> ErrorKind {
    match error {
        Error::Malformed(_) => ErrorKind::Malformed,
        Error::Protocol(_) => ErrorKind::ProtocolError,
        Error::ConnectionRefused(_) => ErrorKind::ConnectionRefused,
        Error::Disconnected(_) => ErrorKind::Disconnected,
        Error::PublishRefused(_) => ErrorKind::PublishRefused,
        Error::Snapshot(_) => ErrorKind::InvalidSnapshot,
        Error::Url(UrlError::TlsNotSupported) => ErrorKind::TlsNotSupported,
        Error::Url(_) => ErrorKind::InvalidUrl,
        Error::ConnectTimeout => ErrorKind::ConnectTimeout,
        Error::KeepAliveTimeout => ErrorKind::KeepAliveTimeout,
        Error::ConnectionClosed => ErrorKind::ConnectionClosed,
        Error::Timeout => ErrorKind::Timeout,
        Error::NoResponder => ErrorKind::NoResponder,
        Error::RequestFailed(_) => ErrorKind::RequestFailed,
        Error::AnswerBehindMessages => ErrorKind::AnswerBehindMessages,
        Error::Call(error) => request_kind(error),
        Error::Transport(error) => transport_kind(error.kind),
        _ => panic!("the contract has no kind for {error:?}"),
    }
}

fn request_kind(error: &CallError) -> ErrorKind {
    match error {
        CallError::WouldBlock => ErrorKind::WouldBlock,
        CallError::NotConnected => ErrorKind::NotConnected,
        CallError::ReceiveFirst => ErrorKind::ReceiveFirst,
        CallError::RepliesRefused(_) => ErrorKind::RepliesRefused,
        CallError::NothingToAuthenticate => ErrorKind::NothingToAuthenticate,
        CallError::PacketTooLarge { .. } => ErrorKind::PacketTooLarge,
        CallError::QosNotSupported { .. } => ErrorKind::QosNotSupported,
        CallError::RetainNotSupported => ErrorKind::RetainNotSupported,
        CallError::WildcardSubscriptionsNotSupported => ErrorKind::WildcardSubscriptionsNotSupported,
        CallError::SharedSubscriptionsNotSupported => ErrorKind::SharedSubscriptionsNotSupported,
        CallError::SubscriptionIdentifiersNotSupported => ErrorKind::SubscriptionIdentifiersNotSupported,
        CallError::Invalid(_)
        | CallError::InvalidOptions(_)
        | CallError::PropertyNotAllowed(_)
        | CallError::TopicAliasInvalid { .. }
        | CallError::UnknownTopicAlias(_)
        | CallError::PayloadNotUtf8 => ErrorKind::InvalidArgument,
        _ => panic!("the contract has no kind for {error:?}"),
    }
}

fn tls_kind(failure: TlsFailure) -> ErrorKind {
    match failure {
        TlsFailure::UnknownIssuer => ErrorKind::TlsUnknownIssuer,
        TlsFailure::WrongName => ErrorKind::TlsWrongName,
        TlsFailure::Expired => ErrorKind::TlsExpired,
        TlsFailure::NotYetValid => ErrorKind::TlsNotYetValid,
        TlsFailure::BadCertificate => ErrorKind::TlsBadCertificate,
        TlsFailure::ClientCertificateRequired => ErrorKind::TlsClientCertificateRequired,
        TlsFailure::NothingInCommon => ErrorKind::TlsNothingInCommon,
        TlsFailure::NotTls => ErrorKind::TlsNotTls,
        TlsFailure::Expected => ErrorKind::TlsExpected,
        TlsFailure::Cut => ErrorKind::TlsCut,
        TlsFailure::Truncated => ErrorKind::TlsTruncated,
        TlsFailure::Configuration => ErrorKind::TlsConfiguration,
        TlsFailure::Other => ErrorKind::TlsFailed,
        _ => panic!("the contract has no kind for {failure:?}"),
    }
}

fn transport_kind(kind: TransportErrorKind) -> ErrorKind {
    match kind {
        TransportErrorKind::UnknownHost => ErrorKind::UnknownHost,
        TransportErrorKind::ConnectionRefused => ErrorKind::PortClosed,
        TransportErrorKind::Unreachable => ErrorKind::Unreachable,
        TransportErrorKind::ConnectTimeout => ErrorKind::NetworkTimeout,
        TransportErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
        TransportErrorKind::AccessDenied => ErrorKind::AccessDenied,
        TransportErrorKind::Tls(failure) => tls_kind(failure),
        TransportErrorKind::Other => ErrorKind::NetworkFailed,
        _ => panic!("the contract has no kind for {kind:?}"),
    }
}
