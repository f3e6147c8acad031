//! What can go wrong, split by who is to blame: the broker's bytes, its behaviour, its refusals, the caller, the
//! connection, the clock.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::codec::{EncodeError, PacketType, PropertyId, QoS, ReasonCode, UserProperties};
use crate::frame::FrameError;
use crate::message::{Message, owned};
use crate::url::UrlError;

/// The version of snapshots that this crate writes and reads.
pub(crate) const SNAPSHOT_VERSION: u8 = 2;

/// The User Property that makes a reply say that the request failed, and why.
pub(crate) const ERROR_PROPERTY: &str = "reply-error";

/// Why a call failed or a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The broker sent bytes that are no MQTT v5.0, or a packet over the Maximum Packet Size. The connection is over.
    Malformed(FrameError),
    /// The broker sent a valid packet that it must not send now. The connection is over.
    Protocol(ProtocolError),
    /// The broker refused the connection, with CONNACK.
    ConnectionRefused(Box<Reason>),
    /// The broker ended the connection, with DISCONNECT.
    Disconnected(Box<Reason>),
    /// The broker refused a message, with PUBACK or PUBREC. The connection goes on.
    PublishRefused(Box<Reason>),
    /// The broker refused at least one Topic Filter, with SUBACK or UNSUBACK. The others are in effect, and the
    /// connection goes on.
    SubscribeRefused(Box<SubscribeReason>),
    /// The call cannot be done as it was made. Nothing was sent; the connection goes on.
    Call(CallError),
    /// The URL says no place to connect to.
    Url(UrlError),
    /// The network failed. The connection is over.
    Transport(TransportError),
    /// The broker did not answer CONNECT within the connect timeout. The connection is over.
    ConnectTimeout,
    /// The broker did not answer PINGREQ: the connection is dead, whatever the network says.
    KeepAliveTimeout,
    /// Enhanced authentication failed on the client's side: its [`Authenticator`](crate::Authenticator) has no answer to the
    /// broker, or does not trust it; says why. The connection is over.
    Authentication(String),
    /// The connection ended without a DISCONNECT.
    ConnectionClosed,
    /// The peer closed the connection instead of answering CONNECT. It may be no MQTT broker, may want TLS, or may refuse
    /// the Client Identifier or login without saying so.
    ClosedBeforeConnack,
    /// The peer answered CONNECT in another protocol.
    NotMqtt(OtherProtocol),
    /// The broker speaks MQTT 3.1.1 or older, and no MQTT v5.0.
    Mqtt3Only,
    /// The message was sent as often as [the options](crate::Options::attempts_per_message) allow, and was not
    /// acknowledged. It is not sent again; it may have arrived.
    GivenUp {
        /// How many times it was sent.
        attempts: u32,
    },
    /// The task that keeps the connection of an async client is gone: its runtime was shut down, or it panicked. Make a new
    /// client.
    Stopped,
    /// The bytes are no snapshot of a session to go on with.
    Snapshot(SnapshotError),
    /// The call's own time ran out. The connection goes on; what was sent stays in flight.
    Timeout,
    /// Nobody is there to answer the request, says the broker (No matching subscribers, 0x10).
    NoResponder,
    /// The responder says that the request failed, and why.
    RequestFailed(Box<Failure>),
    /// So many messages wait to be received that no more is read, and the broker's answer is behind them: receive. What
    /// was sent stays in flight.
    AnswerBehindMessages,
    /// A typed payload that is not what its type wants, or that cannot be written; says what and where.
    #[cfg(feature = "json")]
    Json(String),
}

/// What a peer speaks that is not MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherProtocol {
    /// HTTP.
    Http,
    /// SSH.
    Ssh,
}

/// What a failure means for the program. This is all there is: later versions add no other kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The call cannot be done as it was made. Nothing was sent, and the connection is as before. Change the call.
    WrongCall,
    /// Not now. Nothing was sent, and the connection is as before. Try again.
    TryLater,
    /// The time of the call ran out. What was sent may still arrive.
    TimedOut,
    /// The broker, or the responder of a request, refused.
    Refused,
    /// There is no connection: it was lost, or could not be made. Connect again.
    ConnectionOver,
    /// One side does not trust the other, by TLS or enhanced authentication, or they have no TLS in common. The connection is
    /// over.
    NotTrusted,
    /// The peer sent what the specification forbids. The connection is over.
    ProtocolBroken,
}

/// What a responder sent instead of what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why, in words: the User Property `reply-error`.
    pub text: String,
    /// The whole reply.
    pub reply: Message,
}

impl Failure {
    /// The reply, unless it says that the request failed.
    pub(crate) fn in_reply(reply: Message) -> Result<Message, Error> {
        match reply.user_properties.iter().find(|(name, _)| name == ERROR_PROPERTY) {
            Some((_, text)) => Err(Error::RequestFailed(Box::new(Self { text: text.clone(), reply }))),
            None => Ok(reply),
        }
    }
}

/// What a broker says beside a Reason Code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The Reason Code.
    pub reason_code: ReasonCode,
    /// The Reason String: why, in words.
    pub reason_string: Option<String>,
    /// Another server to use, with Reason Codes 0x9C and 0x9D.
    pub server_reference: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

/// What a broker says to SUBSCRIBE or UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeReason {
    /// A Reason Code for each Topic Filter, in order: the granted QoS, or why not.
    pub reason_codes: Vec<ReasonCode>,
    /// The Reason String: why, in words.
    pub reason_string: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

impl SubscribeReason {
    /// The granted QoS of each Topic Filter.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when any was refused.
    pub fn granted(self) -> Result<Vec<QoS>, Error> {
        if self.reason_codes.iter().any(|code| code.is_error()) {
            return Err(Error::SubscribeRefused(self.into()));
        }
        // The success codes of SUBACK are QoS levels by their numbers; UNSUBACK has no levels to tell.
        Ok(self.reason_codes.iter().filter_map(|&code| QoS::from_u8(code as u8)).collect())
    }
}

/// Why bytes are no snapshot to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They are not a snapshot, or only a part of one, or were changed.
    Corrupt,
    /// They are a snapshot of a version that this one does not know.
    Version(u8),
}

/// What a broker did that the specification forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A packet that only clients send, or that must not come in this state of the connection.
    UnexpectedPacket(PacketType),
    /// Session Present for a session that the client asked to be forgotten `[MQTT-3.2.2-2]`.
    UnexpectedSession,
    /// More QoS 1 and 2 messages at once than the Receive Maximum allows `[MQTT-3.3.4-9]`.
    ReceiveMaximumExceeded,
    /// A Topic Alias over the Topic Alias Maximum `[MQTT-3.1.2-26]`.
    TopicAliasInvalid(u16),
    /// A Topic Alias without a Topic Name that was never told what it stands for (section 3.3.4).
    UnknownTopicAlias(u16),
    /// An acknowledgement of something that is not in flight.
    UnknownPacketId(PacketType),
    /// SUBACK or UNSUBACK with more or fewer Reason Codes than there were Topic Filters `[MQTT-3.8.4-6]`.
    ReasonCodeCount,
    /// AUTH or CONNACK with another Authentication Method than CONNECT had, or none `[MQTT-4.12.0-5]`.
    AuthenticationMethod,
    /// A property that a server does not send in this packet `[MQTT-3.14.2-2]`.
    PropertyNotAllowed(PropertyId),
    /// Something that was not asked for, as a Reason String without Request Problem Information `[MQTT-3.1.2-29]`.
    ProblemInformationNotRequested(PacketType),
}

/// Why a call cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// Not now: too much is in flight or waiting to be sent. Try again when something was acknowledged or sent.
    WouldBlock,
    /// There is no connection.
    NotConnected,
    /// The specification has no valid bytes for it: a wildcard in a Topic Name, say, or a string that is too long.
    Invalid(EncodeError),
    /// The packet is larger than the broker takes.
    PacketTooLarge {
        /// The packet's size in bytes.
        size: usize,
        /// The broker's Maximum Packet Size in bytes.
        maximum: u32,
    },
    /// The broker takes no messages at this QoS `[MQTT-3.2.2-11]`.
    QosNotSupported {
        /// The highest QoS that it takes.
        maximum: QoS,
    },
    /// The broker keeps no retained messages `[MQTT-3.2.2-14]`.
    RetainNotSupported,
    /// The broker knows no wildcards in Topic Filters.
    WildcardSubscriptionsNotSupported,
    /// The broker knows no shared subscriptions.
    SharedSubscriptionsNotSupported,
    /// The broker knows no Subscription Identifiers.
    SubscriptionIdentifiersNotSupported,
    /// A property that the session sets by itself, that clients do not send `[MQTT-3.3.4-6]`, or that does not fit what
    /// CONNECT said, as a Session Expiry Interval in DISCONNECT (section 3.14.2.2.2).
    PropertyNotAllowed(PropertyId),
    /// The Payload Format Indicator says that the payload is UTF-8 text, and it is not (section 3.3.2.3.2).
    PayloadNotUtf8,
    /// A Topic Alias that is 0 or over what the broker takes `[MQTT-3.3.2-8]` `[MQTT-3.3.2-9]`.
    TopicAliasInvalid {
        /// The highest that it takes; 0: none.
        maximum: u16,
    },
    /// A Topic Alias without a Topic Name, with which none was sent over this connection: give both.
    UnknownTopicAlias(u16),
    /// Nothing to answer, or nothing to authenticate with: no challenge of the broker waits for an answer, the options have
    /// no Authentication Method, or the client is authenticating already.
    NothingToAuthenticate,
    /// There is no room until the broker has answered, and its answer is behind messages that wait to be received:
    /// receive them first.
    ReceiveFirst,
    /// The broker does not let the client subscribe to its Response Topic, for this reason: no reply would come.
    RepliesRefused(ReasonCode),
    /// The payload is no JSON object, or no JSON, which [`Options::json_envelope`](crate::Options::json_envelope) needs.
    #[cfg(feature = "json")]
    NotJson,
    /// Too long a payload for a Will Message, or other options that CONNECT has no valid bytes for.
    InvalidOptions(EncodeError),
}

/// A failure of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// What kind of failure.
    pub kind: TransportErrorKind,
    /// The system's own words.
    pub message: String,
}

/// Kinds of failure of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The host's name has no address.
    UnknownHost,
    /// Nothing listens at the port.
    ConnectionRefused,
    /// The host does not answer, or there is no way to it.
    Unreachable,
    /// The connection could not be made in time.
    ConnectTimeout,
    /// The peer or the network cut the connection, or the peer has not acknowledged what was sent for so long that the system
    /// gave the connection up.
    ConnectionReset,
    /// The host of this component does not let it use the network there.
    AccessDenied,
    /// TLS failed.
    Tls(TlsFailure),
    /// Anything else.
    Other,
}

/// Why TLS failed. Not a byte of MQTT was sent unless the connection was made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The broker's certificate is from nobody that is trusted: its authority is unknown, or it is its own.
    UnknownIssuer,
    /// The broker's certificate is for another name.
    WrongName,
    /// The broker's certificate was valid once.
    Expired,
    /// The broker's certificate will be valid one day, by this machine's clock.
    NotYetValid,
    /// The broker's certificate is wrong in another way.
    BadCertificate,
    /// The broker wants a client certificate, and got none or not the one it wants.
    ClientCertificateRequired,
    /// There is no version or no cipher suite that both sides have.
    NothingInCommon,
    /// The peer does not speak TLS: perhaps it is `mqtt://` that it speaks.
    NotTls,
    /// The peer speaks TLS, and the URL says `mqtt://`.
    Expected,
    /// The connection ended before TLS was agreed on.
    Cut,
    /// The connection ended without TLS saying so: what was under way may be missing, and somebody else may have cut it.
    Truncated,
    /// A certificate, key or name of the options cannot be used.
    Configuration,
    /// Anything else.
    Other,
}

impl Error {
    /// The Reason Code behind it, as the broker gave it or as the DISCONNECT carried it; `None` where there is none.
    #[must_use]
    pub fn reason_code(&self) -> Option<ReasonCode> {
        match self {
            Self::Malformed(error) => Some(error.reason_code()),
            Self::Protocol(error) => Some(error.reason_code()),
            Self::ConnectionRefused(reason) | Self::Disconnected(reason) | Self::PublishRefused(reason) => {
                Some(reason.reason_code)
            }
            Self::SubscribeRefused(reason) => reason.reason_codes.iter().copied().find(|code| code.is_error()),
            Self::NoResponder => Some(ReasonCode::NoMatchingSubscribers),
            Self::Call(CallError::RepliesRefused(code)) => Some(*code),
            // 0x8D, Keep Alive timeout, is for servers to send (section 3.14.2.1).
            Self::KeepAliveTimeout => Some(ReasonCode::UnspecifiedError),
            // To MQTT v5.0, what others speak is malformed.
            Self::NotMqtt(_) | Self::Mqtt3Only => Some(ReasonCode::MalformedPacket),
            _ => None,
        }
    }

    /// Whether the connection is over.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::PublishRefused(_)
            | Self::SubscribeRefused(_)
            | Self::Timeout
            | Self::AnswerBehindMessages
            | Self::GivenUp { .. }
            | Self::NoResponder
            | Self::RequestFailed(_) => false,
            Self::Call(error) => matches!(error, CallError::NotConnected),
            #[cfg(feature = "json")]
            Self::Json(_) => false,
            _ => true,
        }
    }
}

impl Error {
    /// What it means for the program.
    ///
    /// ```
    /// use mqtt_wasi::{CallError, Error, ErrorKind};
    ///
    /// assert_eq!(Error::Call(CallError::WouldBlock).kind(), ErrorKind::TryLater);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind_and_name().0
    }

    /// What it is, exactly: a name that stays the same, for logs and for programs that tell failures of a kind apart. The
    /// component's interface lists them by kind, in `wit/mqtt.wit`.
    ///
    /// ```
    /// use mqtt_wasi::{CallError, Error};
    ///
    /// assert_eq!(Error::Call(CallError::WouldBlock).name(), "would-block");
    /// ```
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind_and_name().1
    }

    const fn kind_and_name(&self) -> (ErrorKind, &'static str) {
        use ErrorKind::{ConnectionOver, ProtocolBroken, Refused, TimedOut, WrongCall};
        match self {
            Self::Malformed(_) => (ProtocolBroken, "malformed"),
            Self::Protocol(_) => (ProtocolBroken, "protocol-error"),
            Self::NotMqtt(_) => (ProtocolBroken, "not-mqtt"),
            Self::Mqtt3Only => (ProtocolBroken, "mqtt-3-only"),
            Self::ConnectionRefused(_) => (Refused, "connection-refused"),
            Self::PublishRefused(_) => (Refused, "publish-refused"),
            Self::SubscribeRefused(_) => (Refused, "subscribe-refused"),
            Self::NoResponder => (Refused, "no-responder"),
            Self::RequestFailed(_) => (Refused, "request-failed"),
            Self::Authentication(_) => (ErrorKind::NotTrusted, "authentication-failed"),
            Self::Disconnected(_) => (ConnectionOver, "disconnected"),
            Self::ConnectTimeout => (ConnectionOver, "connect-timeout"),
            Self::KeepAliveTimeout => (ConnectionOver, "keep-alive-timeout"),
            Self::ConnectionClosed => (ConnectionOver, "connection-closed"),
            Self::ClosedBeforeConnack => (ConnectionOver, "closed-before-connack"),
            Self::Stopped => (ConnectionOver, "stopped"),
            Self::Timeout => (TimedOut, "timeout"),
            Self::AnswerBehindMessages => (TimedOut, "answer-behind-messages"),
            Self::GivenUp { .. } => (TimedOut, "given-up"),
            Self::Snapshot(_) => (WrongCall, "invalid-snapshot"),
            Self::Url(UrlError::TlsNotSupported) => (WrongCall, "tls-not-supported"),
            Self::Url(UrlError::WebSocketNotSupported) => (WrongCall, "websocket-not-supported"),
            Self::Url(_) => (WrongCall, "invalid-url"),
            #[cfg(feature = "json")]
            Self::Json(_) => (WrongCall, "invalid-argument"),
            Self::Call(error) => error.kind_and_name(),
            Self::Transport(error) => error.kind.kind_and_name(),
        }
    }
}

impl CallError {
    /// Whether the same call may be made again as it is.
    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) const fn is_temporary(self) -> bool {
        matches!(self, Self::WouldBlock | Self::ReceiveFirst | Self::NotConnected)
    }

    pub(crate) const fn kind_and_name(&self) -> (ErrorKind, &'static str) {
        use ErrorKind::{TryLater, WrongCall};
        match self {
            Self::WouldBlock => (TryLater, "would-block"),
            Self::ReceiveFirst => (TryLater, "receive-first"),
            Self::NotConnected => (ErrorKind::ConnectionOver, "not-connected"),
            Self::RepliesRefused(_) => (ErrorKind::Refused, "replies-refused"),
            Self::NothingToAuthenticate => (WrongCall, "nothing-to-authenticate"),
            Self::PacketTooLarge { .. } => (WrongCall, "packet-too-large"),
            Self::QosNotSupported { .. } => (WrongCall, "qos-not-supported"),
            Self::RetainNotSupported => (WrongCall, "retain-not-supported"),
            Self::WildcardSubscriptionsNotSupported => (WrongCall, "wildcard-subscriptions-not-supported"),
            Self::SharedSubscriptionsNotSupported => (WrongCall, "shared-subscriptions-not-supported"),
            Self::SubscriptionIdentifiersNotSupported => (WrongCall, "subscription-identifiers-not-supported"),
            Self::Invalid(_)
            | Self::InvalidOptions(_)
            | Self::PropertyNotAllowed(_)
            | Self::TopicAliasInvalid { .. }
            | Self::UnknownTopicAlias(_)
            | Self::PayloadNotUtf8 => (WrongCall, "invalid-argument"),
            #[cfg(feature = "json")]
            Self::NotJson => (WrongCall, "invalid-argument"),
        }
    }
}

impl TransportErrorKind {
    const fn kind_and_name(self) -> (ErrorKind, &'static str) {
        use ErrorKind::{ConnectionOver, NotTrusted};
        match self {
            Self::UnknownHost => (ConnectionOver, "unknown-host"),
            Self::ConnectionRefused => (ConnectionOver, "port-closed"),
            Self::Unreachable => (ConnectionOver, "unreachable"),
            Self::ConnectTimeout => (ConnectionOver, "network-timeout"),
            Self::ConnectionReset => (ConnectionOver, "connection-reset"),
            Self::AccessDenied => (ConnectionOver, "access-denied"),
            Self::Other => (ConnectionOver, "network-failed"),
            Self::Tls(failure) => match failure {
                TlsFailure::Configuration => (ErrorKind::WrongCall, "tls-configuration"),
                TlsFailure::UnknownIssuer => (NotTrusted, "tls-unknown-issuer"),
                TlsFailure::WrongName => (NotTrusted, "tls-wrong-name"),
                TlsFailure::Expired => (NotTrusted, "tls-expired"),
                TlsFailure::NotYetValid => (NotTrusted, "tls-not-yet-valid"),
                TlsFailure::BadCertificate => (NotTrusted, "tls-bad-certificate"),
                TlsFailure::ClientCertificateRequired => (NotTrusted, "tls-client-certificate-required"),
                TlsFailure::NothingInCommon => (NotTrusted, "tls-nothing-in-common"),
                TlsFailure::NotTls => (NotTrusted, "tls-not-tls"),
                TlsFailure::Expected => (NotTrusted, "tls-expected"),
                TlsFailure::Cut => (NotTrusted, "tls-cut"),
                TlsFailure::Truncated => (NotTrusted, "tls-truncated"),
                TlsFailure::Other => (NotTrusted, "tls-failed"),
            },
        }
    }
}

impl Reason {
    pub(crate) fn new(
        reason_code: ReasonCode,
        reason_string: Option<&str>,
        server_reference: Option<&str>,
        user_properties: &UserProperties<'_>,
    ) -> Self {
        Self {
            reason_code,
            reason_string: reason_string.map(ToOwned::to_owned),
            server_reference: server_reference.map(ToOwned::to_owned),
            user_properties: owned(user_properties),
        }
    }
}

impl From<ReasonCode> for Reason {
    /// The Reason Code alone.
    fn from(reason_code: ReasonCode) -> Self {
        Self { reason_code, reason_string: None, server_reference: None, user_properties: Vec::new() }
    }
}

impl ProtocolError {
    /// The Reason Code of the DISCONNECT that answers it.
    #[must_use]
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::ReceiveMaximumExceeded => ReasonCode::ReceiveMaximumExceeded,
            Self::TopicAliasInvalid(_) => ReasonCode::TopicAliasInvalid,
            _ => ReasonCode::ProtocolError,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the broker sent bytes that are not MQTT v5.0: {error}"),
            Self::Protocol(error) => write!(f, "the broker broke the protocol: {error}"),
            Self::ConnectionRefused(reason) => write!(f, "the broker refused the connection: {reason}"),
            Self::Disconnected(reason) => write!(f, "the broker ended the connection: {reason}"),
            Self::PublishRefused(reason) => write!(f, "the broker refused the message: {reason}"),
            Self::SubscribeRefused(reason) => {
                f.write_str("the broker refused:")?;
                for code in reason.reason_codes.iter().filter(|code| code.is_error()) {
                    write!(f, " {code}")?;
                }
                if let Some(reason_string) = &reason.reason_string {
                    write!(f, ": {reason_string}")?;
                }
                reason.user_properties.iter().try_for_each(|(name, value)| write!(f, " [{name}: {value}]"))
            }
            Self::Call(error) => error.fmt(f),
            Self::Url(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::ConnectTimeout => f.write_str("the broker did not answer CONNECT in time"),
            Self::KeepAliveTimeout => f.write_str("the broker did not answer PINGREQ: the connection is dead"),
            Self::Snapshot(error) => error.fmt(f),
            Self::Authentication(why) => write!(f, "authentication failed: {why}"),
            Self::ConnectionClosed => f.write_str("the connection ended without a DISCONNECT"),
            Self::ClosedBeforeConnack => f.write_str(
                "the peer closed the connection instead of answering CONNECT: check that an MQTT broker listens there, \
                 whether it wants TLS (mqtts://), the Client Identifier and the login",
            ),
            Self::NotMqtt(protocol) => {
                let name = match protocol {
                    OtherProtocol::Http => "HTTP",
                    OtherProtocol::Ssh => "SSH",
                };
                write!(f, "the peer speaks {name}, not MQTT: check host and port")
            }
            Self::Mqtt3Only => f.write_str("the broker speaks MQTT 3.1.1 or older: MQTT v5.0 is needed"),
            Self::GivenUp { attempts } => {
                write!(f, "the message was sent {attempts} times and not acknowledged: it is given up")
            }
            Self::Stopped => f.write_str("the client's task is gone: make a new client"),
            Self::NoResponder => f.write_str("nobody is there to answer the request, says the broker"),
            Self::RequestFailed(failure) => write!(f, "the responder says that the request failed: {}", failure.text),
            Self::Timeout => f.write_str("the time given for the call ran out"),
            Self::AnswerBehindMessages => f.write_str("the broker's answer is behind messages that wait: receive them"),
            #[cfg(feature = "json")]
            Self::Json(message) => write!(f, "the payload is not the JSON wanted: {message}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Call(error) => Some(error),
            Self::Url(error) => Some(error),
            Self::Snapshot(error) => Some(error),
            Self::Transport(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason_code.fmt(f)?;
        if let Some(reason_string) = &self.reason_string {
            write!(f, ": {reason_string}")?;
        }
        if let Some(server_reference) = &self.server_reference {
            write!(f, " (use {server_reference})")?;
        }
        for (name, value) in &self.user_properties {
            write!(f, " [{name}: {value}]")?;
        }
        Ok(())
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt => f.write_str("not a snapshot of a session, or not all of one: start without it"),
            Self::Version(version) => {
                write!(f, "a snapshot of version {version}, where {SNAPSHOT_VERSION} is known: start without it")
            }
        }
    }
}

impl core::error::Error for SnapshotError {}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedPacket(packet_type) => write!(f, "{packet_type} must not come now"),
            Self::UnexpectedSession => f.write_str(
                "Session Present, for a session that this client asked to be forgotten or knows nothing of: without a \
                 clean start, the option to adopt a session takes it up",
            ),
            Self::ReceiveMaximumExceeded => f.write_str("more messages at once than the Receive Maximum"),
            Self::TopicAliasInvalid(alias) => write!(f, "Topic Alias {alias} is over the Topic Alias Maximum"),
            Self::UnknownTopicAlias(alias) => write!(f, "Topic Alias {alias} stands for nothing yet"),
            Self::UnknownPacketId(packet_type) => write!(f, "{packet_type} for something that is not in flight"),
            Self::AuthenticationMethod => f.write_str("the Authentication Method is not the one of CONNECT"),
            Self::ReasonCodeCount => f.write_str("not one Reason Code for each Topic Filter"),
            Self::PropertyNotAllowed(id) => write!(f, "{} is not for servers to send here", id.name()),
            Self::ProblemInformationNotRequested(packet_type) => {
                write!(f, "{packet_type} has problem information that was not requested")
            }
        }
    }
}

impl core::error::Error for ProtocolError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("too much is in flight or waiting to be sent: try again later"),
            Self::NotConnected => f.write_str("not connected: connect first"),
            Self::Invalid(error) => error.fmt(f),
            Self::InvalidOptions(error) => write!(f, "connect options: {error}"),
            Self::PacketTooLarge { size, maximum } => {
                write!(f, "a packet of {size} bytes is over the broker's Maximum Packet Size of {maximum}")
            }
            Self::QosNotSupported { maximum } => {
                write!(f, "the broker takes messages up to QoS {} only", *maximum as u8)
            }
            Self::RetainNotSupported => f.write_str("the broker keeps no retained messages"),
            Self::WildcardSubscriptionsNotSupported => f.write_str("the broker knows no wildcards in Topic Filters"),
            Self::SharedSubscriptionsNotSupported => f.write_str("the broker knows no shared subscriptions"),
            Self::SubscriptionIdentifiersNotSupported => f.write_str("the broker knows no Subscription Identifiers"),
            Self::PropertyNotAllowed(id) => write!(f, "{} is not for the caller to set", id.name()),
            Self::PayloadNotUtf8 => f.write_str("the payload is marked as UTF-8 text and is none"),
            Self::NothingToAuthenticate => {
                f.write_str("no challenge to answer, or no Authentication Method to begin with")
            }
            Self::TopicAliasInvalid { maximum: 0 } => f.write_str("the broker takes no Topic Aliases"),
            Self::TopicAliasInvalid { maximum } => write!(f, "the broker takes Topic Aliases from 1 to {maximum}"),
            Self::UnknownTopicAlias(alias) => {
                write!(f, "Topic Alias {alias} stands for nothing on this connection: send the Topic Name with it")
            }
            Self::RepliesRefused(code) => {
                write!(f, "the broker does not let the client subscribe to its Response Topic: {code}")
            }
            #[cfg(feature = "json")]
            Self::NotJson => f.write_str("the payload is not the JSON that an envelope goes around"),
            Self::ReceiveFirst => {
                f.write_str("no room: messages wait to be received, and the broker's answers are behind them")
            }
        }
    }
}

impl core::error::Error for CallError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Invalid(error) | Self::InvalidOptions(error) => Some(error),
            _ => None,
        }
    }
}

impl TransportErrorKind {
    /// An error of this kind.
    #[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
    pub(crate) fn because(self, message: &str) -> TransportError {
        TransportError { kind: self, message: message.to_owned() }
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::UnknownHost => "the host's name has no address",
            Self::ConnectionRefused => "nothing listens there",
            Self::Unreachable => "the host cannot be reached",
            Self::ConnectTimeout => "the connection could not be made in time",
            Self::ConnectionReset => "the connection was cut",
            Self::AccessDenied => "this component may not use the network there",
            Self::Tls(failure) => failure.text(),
            Self::Other => "the network failed",
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.text();
        if self.message.is_empty() { f.write_str(kind) } else { write!(f, "{kind}: {}", self.message) }
    }
}

impl core::error::Error for TransportError {}

impl TlsFailure {
    const fn text(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "TLS: the broker's certificate is from nobody that is trusted; add its CA to trust it"
            }
            Self::WrongName => "TLS: the broker's certificate is for another name",
            Self::Expired => "TLS: the broker's certificate has expired",
            Self::NotYetValid => "TLS: the broker's certificate is not valid yet, by this machine's clock",
            Self::BadCertificate => "TLS: the broker's certificate cannot be accepted",
            Self::ClientCertificateRequired => "TLS: the broker wants a client certificate that it accepts",
            Self::NothingInCommon => "TLS: no version or cipher suite in common with the broker",
            Self::NotTls => "the peer does not speak TLS: use mqtt:// or another port",
            Self::Expected => "the peer speaks TLS: use mqtts://",
            Self::Cut => "TLS: the connection ended in the handshake",
            Self::Truncated => "TLS: the connection was cut",
            Self::Configuration => "TLS: the options cannot be used",
            Self::Other => "TLS failed",
        }
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        Self::Malformed(error)
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<SnapshotError> for Error {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(error)
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}
