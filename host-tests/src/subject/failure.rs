//! Why a call failed, whoever was called.

use mqtt_wasi::{Error, ReasonCode};

/// A failure as the WIT interface tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What it is, exactly.
    pub kind: ErrorKind,
    /// What it means for the program.
    pub class: mqtt_wasi::ErrorKind,
    /// What the broker gave, or was told.
    pub code: Option<ReasonCode>,
    /// What went wrong, in words.
    pub message: String,
}

macro_rules! kinds {
    ($($class:ident { $($kind:ident = $name:literal,)+ })+) => {
        /// All that the interface lists by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "as the interface has them")]
        pub enum ErrorKind {
            $($($kind,)+)+
        }

        impl ErrorKind {
            /// The one with this name.
            ///
            /// # Panics
            /// When the interface lists none.
            #[must_use]
            pub fn named(name: &str) -> Self {
                match name {
                    $($($name => Self::$kind,)+)+
                    _ => panic!("the interface does not list {name}"),
                }
            }

            /// What it means for the program, as the interface lists it.
            #[must_use]
            pub const fn class(self) -> mqtt_wasi::ErrorKind {
                match self {
                    $($(Self::$kind => mqtt_wasi::ErrorKind::$class,)+)+
                }
            }
        }
    };
}

kinds! {
    WrongCall {
        InvalidUrl = "invalid-url",
        TlsNotSupported = "tls-not-supported",
        TlsOptionNotSupported = "tls-option-not-supported",
        WebSocketNotSupported = "websocket-not-supported",
        ProxyNotSupported = "proxy-not-supported",
        TlsConfiguration = "tls-configuration",
        WebSocketConfiguration = "websocket-configuration",
        InvalidProxy = "invalid-proxy",
        InvalidArgument = "invalid-argument",
        PacketTooLarge = "packet-too-large",
        QosNotSupported = "qos-not-supported",
        RetainNotSupported = "retain-not-supported",
        WildcardSubscriptionsNotSupported = "wildcard-subscriptions-not-supported",
        SharedSubscriptionsNotSupported = "shared-subscriptions-not-supported",
        SubscriptionIdentifiersNotSupported = "subscription-identifiers-not-supported",
        NothingToAuthenticate = "nothing-to-authenticate",
        UnknownRequest = "unknown-request",
        InvalidSnapshot = "invalid-snapshot",
        InvalidFrames = "invalid-frames",
        UnknownSession = "unknown-session",
    }
    TryLater {
        WouldBlock = "would-block",
        ReceiveFirst = "receive-first",
        TooManyRequests = "too-many-requests",
    }
    TimedOut {
        Timeout = "timeout",
        AnswerBehindMessages = "answer-behind-messages",
        GivenUp = "given-up",
        SessionLost = "session-lost",
    }
    Refused {
        WebSocketRefused = "websocket-refused",
        WebSocketRedirect = "websocket-redirect",
        ProxyRefused = "proxy-refused",
        PublishRefused = "publish-refused",
        SubscribeRefused = "subscribe-refused",
        RepliesRefused = "replies-refused",
        NoResponder = "no-responder",
        RequestFailed = "request-failed",
        ConnectionRefused = "connection-refused",
    }
    ConnectionOver {
        NotConnected = "not-connected",
        Disconnected = "disconnected",
        ConnectionClosed = "connection-closed",
        ClosedBeforeConnack = "closed-before-connack",
        ConnectTimeout = "connect-timeout",
        KeepAliveTimeout = "keep-alive-timeout",
        UnknownHost = "unknown-host",
        PortClosed = "port-closed",
        Unreachable = "unreachable",
        NetworkTimeout = "network-timeout",
        ConnectionReset = "connection-reset",
        AccessDenied = "access-denied",
        NetworkFailed = "network-failed",
        WebSocketClosed = "websocket-closed",
        TlsClosedAfterCertificateRequest = "tls-closed-after-certificate-request",
    }
    NotTrusted {
        TlsUnknownIssuer = "tls-unknown-issuer",
        TlsWrongName = "tls-wrong-name",
        TlsExpired = "tls-expired",
        TlsNotYetValid = "tls-not-yet-valid",
        TlsBadCertificate = "tls-bad-certificate",
        TlsWrongFingerprint = "tls-wrong-fingerprint",
        TlsClientCertificateRefused = "tls-client-certificate-refused",
        TlsClientCertificateRequired = "tls-client-certificate-required",
        TlsNothingInCommon = "tls-nothing-in-common",
        TlsNotTls = "tls-not-tls",
        TlsExpected = "tls-expected",
        TlsCut = "tls-cut",
        TlsTruncated = "tls-truncated",
        TlsFailed = "tls-failed",
        WebSocketNotAuthorized = "websocket-not-authorized",
        ProxyNotAuthorized = "proxy-not-authorized",
    }
    ProtocolBroken {
        Malformed = "malformed",
        ProtocolError = "protocol-error",
        NotMqtt = "not-mqtt",
        Mqtt3Only = "mqtt-3-only",
        WebSocketNotHttp = "websocket-not-http",
        WebSocketNoUpgrade = "websocket-no-upgrade",
        WebSocketWrongAccept = "websocket-wrong-accept",
        WebSocketSubprotocol = "websocket-subprotocol",
        WebSocketExtension = "websocket-extension",
        WebSocketMaskedFrame = "websocket-masked-frame",
        WebSocketTextFrame = "websocket-text-frame",
        WebSocketFrameTooLarge = "websocket-frame-too-large",
        WebSocketInvalidFrame = "websocket-invalid-frame",
        ProxyInvalidAnswer = "proxy-invalid-answer",
    }
}

impl Failure {
    /// The Reason Code, if there is one.
    #[must_use]
    pub const fn reason_code(&self) -> Option<ReasonCode> {
        self.code
    }

    /// One of which only the name and the words are known.
    ///
    /// # Panics
    /// When the interface does not list the name.
    #[must_use]
    pub fn named(name: &str, code: Option<u8>, message: String) -> Self {
        let kind = ErrorKind::named(name);
        Self { kind, class: kind.class(), code: code.and_then(ReasonCode::from_u8), message }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = match &error {
            Error::RequestFailed(failure) => failure.text.clone(),
            error => error.to_string(),
        };
        let (class, code) = (error.kind(), error.reason_code().map(|code| code as u8));
        let failure = Self::named(error.name(), code, message);
        assert_eq!(class, failure.class, "{}", error.name());
        failure
    }
}
