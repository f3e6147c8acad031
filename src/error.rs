//! Everything that can fail, by whose fault it is: the broker's bytes, its behaviour, its refusals, the call, the
//! connection, the time. `docs/errors.md` tells users what to do about each.

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
pub(crate) const SNAPSHOT_VERSION: u8 = 3;

/// The User Property of a reply that reports a failed request, and why it failed.
pub(crate) const ERROR_PROPERTY: &str = "reply-error";

/// Why a call failed or a connection ended.
///
/// [`Error::kind`] says what it means for the program, [`Error::name`] what it is exactly, and its text is for people.
/// `docs/errors.md` lists every name, with what to do about it.
///
/// ```
/// use mqtt_wasi::{Error, ErrorKind};
///
/// let error = Error::Timeout;
/// assert_eq!((error.kind(), error.name()), (ErrorKind::TimedOut, "timeout"));
/// assert!(!error.is_fatal(), "the connection continues");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The broker sent bytes that are not MQTT v5.0, or a packet above the Maximum Packet Size of the options. The
    /// connection is over.
    Malformed(FrameError),
    /// The broker sent a valid packet that it must not send now. The connection is over.
    Protocol(ProtocolError),
    /// The broker refused the connection, with CONNACK.
    ConnectionRefused(Box<Reason>),
    /// The broker ended the connection, with DISCONNECT.
    Disconnected(Box<Reason>),
    /// The broker refused a message, with PUBACK or PUBREC. The connection continues.
    PublishRefused(Box<Reason>),
    /// The broker refused at least one Topic Filter, with SUBACK or UNSUBACK. The others are in effect, and the
    /// connection continues.
    SubscribeRefused(Box<SubscribeReason>),
    /// The call cannot be done as it was made, or not now. Nothing was sent, and the connection continues.
    Call(CallError),
    /// The URL is not one of a broker that this build can connect to.
    Url(UrlError),
    /// The network or TLS failed. The connection is over.
    Transport(TransportError),
    /// The broker did not accept the connection within the [connect timeout](crate::Options::connect_timeout). The
    /// connection is over.
    ConnectTimeout,
    /// The broker did not answer PINGREQ in time, so the connection is dead even if the network reports no failure.
    KeepAliveTimeout,
    /// Enhanced authentication failed on the client's side, for this reason: its
    /// [`Authenticator`](crate::Authenticator) has no answer to the broker, or does not trust it. The connection is
    /// over.
    Authentication(String),
    /// The connection ended, and the broker sent no DISCONNECT with a reason.
    ConnectionClosed,
    /// The peer closed the connection instead of answering CONNECT. It may not be an MQTT broker, may require TLS, or
    /// may refuse the Client Identifier, User Name or Password in this way.
    ClosedBeforeConnack,
    /// The peer answered CONNECT in another protocol.
    NotMqtt(OtherProtocol),
    /// The broker speaks MQTT 3.1.1 or older, and not MQTT v5.0.
    Mqtt3Only,
    /// As many connections ended at the message as [the options](crate::Options::attempts_per_message) allow, or the
    /// program [gave it up](crate::Client::give_up_message). It is not sent again. It may have arrived.
    GivenUp {
        /// How many times it was sent.
        attempts: u32,
    },
    /// The broker has lost the session, and [the options](crate::Options::restore_messages) say to discard what was in
    /// flight then. The message is not sent again. It may have arrived.
    SessionLost,
    /// The task that runs an async client has ended: its runtime was shut down, or it panicked. Make a new client.
    Stopped,
    /// The bytes are not a snapshot that a session can continue from.
    Snapshot(SnapshotError),
    /// The [store](crate::Options::store) cannot be used, or did not take what had to be written before anything more
    /// was sent. The connection is over. What it took before is kept.
    #[cfg(feature = "store")]
    Store(StoreError),
    /// The call took longer than its timeout: its own, or the [response timeout](crate::Options::response_timeout)
    /// for calls without one. The connection continues. What was sent stays in flight.
    Timeout,
    /// The same, of a call that was waiting for a connection: why the last one ended, or the last attempt to make one
    /// failed. What an earlier connection sent stays in flight.
    NoConnectionInTime(Box<Self>),
    /// The broker reports that no client has subscribed to the topic of the request (No matching subscribers, 0x10).
    NoResponder,
    /// The responder reports that the request failed, and why.
    RequestFailed(Box<Failure>),
    /// The broker's answer is behind so many messages that the client reads no more until some are received. Receive
    /// them. What was sent stays in flight.
    AnswerBehindMessages,
    /// A payload is not the JSON of its type, or a value cannot be written as JSON. The text tells what was expected
    /// and where, and nothing of the payload.
    #[cfg(feature = "json")]
    Json(String),
    /// A message whose payload is streamed did not get through as a whole. It is not sent again.
    #[cfg(feature = "stream")]
    Stream(StreamError),
}

/// Why a message whose payload is streamed did not get through.
///
/// ```
/// use mqtt_wasi::{Error, ErrorKind, StreamError};
///
/// let error = Error::Stream(StreamError::SourceTooShort { missing: 4096 });
/// assert_eq!((error.kind(), error.name()), (ErrorKind::ConnectionOver, "stream-too-short"));
/// assert!(error.is_fatal(), "the packet cannot be finished, so the connection has to end");
/// ```
#[cfg(feature = "stream")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The source of the payload failed, or had nothing, before anything was sent. The connection continues.
    SourceUnreadable(String),
    /// The source of the payload failed. The connection is over, since the packet cannot be finished.
    SourceFailed(String),
    /// The source of the payload ended too early. The connection is over, since the packet cannot be finished.
    SourceTooShort {
        /// How many bytes were missing.
        missing: u64,
    },
    /// The source of the payload gave nothing for as long as the Keep Alive allows. Nothing else could be sent
    /// meanwhile, so the broker would have ended the connection, which is over.
    SourceStalled,
    /// The call was dropped or ran out of time, or the message was given up, before all of it was sent. The connection
    /// is over, since the packet cannot be finished.
    Abandoned,
    /// The connection ended before all of the payload of a message came. The broker sends the message again, at QoS 1
    /// and 2, if it keeps the session.
    PayloadLost,
    /// The connection ended before the broker acknowledged the message, or before all of it was sent. What is streamed
    /// cannot be sent again by the client: publish it again from its beginning.
    Cut {
        /// Why the connection ended.
        cause: Box<Error>,
        /// Whether all of the message was sent, so that the broker may have it.
        may_have_arrived: bool,
    },
}

/// Which protocol a peer speaks instead of MQTT.
///
/// ```
/// use mqtt_wasi::{Error, ErrorKind, OtherProtocol};
///
/// let error = Error::NotMqtt(OtherProtocol::Http); // for example at port 80
/// assert_eq!(error.kind(), ErrorKind::ProtocolBroken);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherProtocol {
    /// HTTP, the web.
    Http,
    /// SSH, remote login.
    Ssh,
}

/// What a failure means for the program. The list is complete: later versions add no other kind.
///
/// ```
/// use mqtt_wasi::{CallError, Error, ErrorKind};
///
/// /// Whether it may help to call again, without a change.
/// fn may_help(error: &Error) -> bool {
///     matches!(error.kind(), ErrorKind::TryLater | ErrorKind::TimedOut | ErrorKind::ConnectionOver)
/// }
/// assert!(may_help(&Error::KeepAliveTimeout));
/// assert!(!may_help(&Error::Call(CallError::RetainNotSupported)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The call cannot be done as it was made. Nothing was sent, and the connection is as before. Change the call, or
    /// the options of one that connects.
    WrongCall,
    /// Not now. Nothing was sent, and the connection is as before. Try again.
    TryLater,
    /// The time for the call ran out. What was sent may still arrive.
    TimedOut,
    /// The broker, or the responder of a request, refused. Trying again without a change rarely helps.
    Refused,
    /// There is no connection: it was lost, or could not be made. Connect again.
    ConnectionOver,
    /// One side does not trust the other, by TLS or enhanced authentication, or they have no TLS in common. The
    /// connection is over.
    NotTrusted,
    /// The peer sent what the specification forbids. The connection is over. Report it to those who run the broker.
    ProtocolBroken,
}

/// The reply of a responder that reports a failure.
///
#[doc = example!()]
/// # let broker = broker.with_calculator();
/// use std::time::Duration;
/// use mqtt_wasi::{Client, Error, Options, Publish, QoS};
///
/// let mut client = Client::connect(&url, Options::new())?;
/// let request = Publish::new("calculator/add", "").qos(QoS::AtLeastOnce);
/// let Err(Error::RequestFailed(failure)) = client.request(&request, Duration::from_secs(5)) else { panic!() };
/// assert_eq!(failure.text, "no numbers");
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why the request failed, in the responder's words: the User Property `reply-error`.
    pub text: String,
    /// The whole reply.
    pub reply: Message,
}

impl Failure {
    /// The reply, unless it reports that the request failed.
    pub(crate) fn in_reply(reply: Message) -> Result<Message, Error> {
        match reply.user_properties.iter().find(|(name, _)| name == ERROR_PROPERTY) {
            Some((_, text)) => Err(Error::RequestFailed(Box::new(Self { text: text.clone(), reply }))),
            None => Ok(reply),
        }
    }
}

/// Shows nothing of the reply except its topic: it may hold what is not for a log.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("text", &self.text).field("topic", &self.reply.topic).finish_non_exhaustive()
    }
}

/// A broker's answer: a Reason Code, and what may come with it.
///
/// ```
/// use mqtt_wasi::{Reason, ReasonCode};
///
/// let reason = Reason { reason_string: Some("try tomorrow".into()), ..Reason::from(ReasonCode::QuotaExceeded) };
/// assert_eq!(reason.to_string(), "Quota exceeded (0x97): try tomorrow");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The Reason Code.
    pub reason_code: ReasonCode,
    /// The Reason String: the broker's explanation.
    pub reason_string: Option<String>,
    /// The Server Reference: another server to use, with Reason Codes 0x9C and 0x9D.
    pub server_reference: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

/// A broker's answer to SUBSCRIBE or UNSUBSCRIBE.
///
/// ```
/// use mqtt_wasi::{QoS, ReasonCode, SubscribeReason};
///
/// let answer = SubscribeReason {
///     reason_codes: vec![ReasonCode::GrantedQos1],
///     reason_string: None,
///     user_properties: Vec::new(),
/// };
/// assert_eq!(answer.granted(), Ok(vec![QoS::AtLeastOnce]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeReason {
    /// A Reason Code for each Topic Filter, in order: the granted QoS, or why it was refused.
    pub reason_codes: Vec<ReasonCode>,
    /// The Reason String: the broker's explanation.
    pub reason_string: Option<String>,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

impl SubscribeReason {
    /// The granted QoS of each Topic Filter.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] if at least one was refused.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, QoS, SubscribeProperties, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let subscription = Subscription::new("sensors/+", QoS::AtLeastOnce);
    /// let answer = client.subscribe_with(&[subscription], SubscribeProperties::default())?;
    /// assert_eq!(answer.granted()?, [QoS::AtLeastOnce]);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn granted(self) -> Result<Vec<QoS>, Error> {
        if self.reason_codes.iter().any(|code| code.is_error()) {
            return Err(Error::SubscribeRefused(self.into()));
        }
        // The success codes of SUBACK are QoS levels by their numbers; UNSUBACK has no levels to tell.
        Ok(self.reason_codes.iter().filter_map(|&code| QoS::from_u8(code as u8)).collect())
    }
}

/// Why a session cannot continue from a snapshot.
///
/// ```
/// use mqtt_wasi::{Snapshot, SnapshotError};
///
/// assert_eq!(Snapshot::from_bytes(b"something else"), Err(SnapshotError::Corrupt));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes are not a snapshot, or only a part of one, or were changed.
    Corrupt,
    /// The bytes are a snapshot in a version of the format that this crate does not read.
    Version(u8),
}

/// Why a [store](crate::Options::store) cannot be used, or has not taken something.
///
/// ```
/// use mqtt_wasi::{Error, ErrorKind, StoreError, StoreErrorKind};
///
/// let error = Error::Store(StoreError { kind: StoreErrorKind::Full, message: "No space left on device".into() });
/// assert_eq!((error.kind(), error.name()), (ErrorKind::ConnectionOver, "store-full"));
/// ```
#[cfg(feature = "store")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    /// What it means.
    pub kind: StoreErrorKind,
    /// What the system or the database says, for people.
    pub message: String,
}

/// What is wrong with a store.
///
/// ```
/// use mqtt_wasi::StoreErrorKind;
///
/// /// Whether another file would help.
/// fn is_about_the_file(kind: StoreErrorKind) -> bool {
///     matches!(kind, StoreErrorKind::Torn | StoreErrorKind::Version | StoreErrorKind::OtherClient)
/// }
/// assert!(!is_about_the_file(StoreErrorKind::Full));
/// ```
#[cfg(feature = "store")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no space for more. Free some, and connect again.
    Full,
    /// It may be read and not be written.
    ReadOnly,
    /// It is damaged, or something else than a store. It is left as it is: put it aside, and begin with another.
    Torn,
    /// Another version of this crate or of its database wrote it, and this one does not read it. Use that version until
    /// nothing is in flight, and begin with another store.
    Version,
    /// Another process has it, or another client of this one.
    InUse,
    /// It has the session of another Client Identifier than the options.
    OtherClient,
    /// Something else failed.
    Failed,
}

#[cfg(feature = "store")]
impl StoreErrorKind {
    const fn kind_and_name(self) -> (ErrorKind, &'static str) {
        use ErrorKind::{ConnectionOver, WrongCall};
        match self {
            Self::Full => (ConnectionOver, "store-full"),
            Self::Failed => (ConnectionOver, "store-failed"),
            Self::ReadOnly => (WrongCall, "store-read-only"),
            Self::Torn => (WrongCall, "store-torn"),
            Self::Version => (WrongCall, "store-version"),
            Self::InUse => (WrongCall, "store-in-use"),
            Self::OtherClient => (WrongCall, "store-of-another-client"),
        }
    }
}

#[cfg(feature = "store")]
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, hint) = match self.kind {
            StoreErrorKind::Full => ("is full", "free some space, and connect again"),
            StoreErrorKind::ReadOnly => ("cannot be written", "check who may write it, and how its disk is mounted"),
            StoreErrorKind::Torn => ("is damaged, or is no store", "put it aside, and begin with another"),
            StoreErrorKind::Version => {
                ("is of another version", "use that version until nothing is in flight, and begin with another store")
            }
            StoreErrorKind::InUse => ("is in use", "end the other client, or use another store"),
            StoreErrorKind::OtherClient => {
                ("has the session of another client", "use its Client Identifier, or another store")
            }
            StoreErrorKind::Failed => ("failed", "what it took before is kept"),
        };
        write!(f, "the store {what}: {}; {hint}", self.message)
    }
}

#[cfg(feature = "store")]
impl core::error::Error for StoreError {}

/// What a broker did that the specification forbids.
///
/// ```
/// use mqtt_wasi::session::{Event, Session};
/// use mqtt_wasi::{Error, Instant, Options, ProtocolError};
///
/// let mut session = Session::new(Options::new());
/// session.connect(Instant::ZERO)?;
/// let connack = b"\x20\x03\x01\x00\x00"; // with Session Present, though the client asked for a clean start
/// session.read_buffer()[..5].copy_from_slice(connack);
/// session.received(5, Instant::ZERO);
/// assert_eq!(session.poll_event(), Some(Event::Disconnected(Error::Protocol(ProtocolError::UnexpectedSession))));
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A packet that only clients send, or that must not come in this state of the connection.
    UnexpectedPacket(PacketType),
    /// Session Present although the client asked for a clean start `[MQTT-3.2.2-2]`.
    UnexpectedSession,
    /// Session Present for a session that the client has no state for, so the client has to end the connection
    /// `[MQTT-3.2.2-4]`. The broker did nothing wrong: [resume](crate::Options::resume) a snapshot,
    /// [adopt](crate::Options::adopt_session) the session, or connect with a
    /// [clean start](crate::Options::clean_start).
    UnknownSession,
    /// More QoS 1 and 2 messages at once than the Receive Maximum allows `[MQTT-3.3.4-9]`.
    ReceiveMaximumExceeded,
    /// A Topic Alias that is 0 or above the Topic Alias Maximum `[MQTT-3.1.2-26]`.
    TopicAliasInvalid(u16),
    /// A Topic Alias without a Topic Name, which never came with one over this connection (section 3.3.4).
    UnknownTopicAlias(u16),
    /// An acknowledgement of another kind than the packet in flight with this Packet Identifier needs. One for which
    /// nothing is in flight is ignored.
    UnknownPacketId(PacketType),
    /// SUBACK or UNSUBACK with more or fewer Reason Codes than there were Topic Filters `[MQTT-3.8.4-6]`.
    ReasonCodeCount,
    /// AUTH or CONNACK without the Authentication Method of CONNECT, or with another one `[MQTT-4.12.0-5]`.
    AuthenticationMethod,
    /// A property that a server must not send in this packet `[MQTT-3.14.2-2]`.
    PropertyNotAllowed(PropertyId),
    /// An empty Assigned Client Identifier, which identifies no client (section 3.2.2.3.7).
    EmptyClientIdentifier,
    /// A Reason String or User Properties although Request Problem Information was 0 `[MQTT-3.1.2-29]`.
    ProblemInformationNotRequested(PacketType),
}

/// Why a call cannot be done.
///
#[doc = memory_example!()]
/// use mqtt_wasi::{CallError, Client, Error, Options, Publish};
///
/// let mut client = Client::connect_over(network, Options::new())?;
/// let wildcard = Publish::new("sensors/#", "21.5");
/// assert!(matches!(client.publish(&wildcard), Err(Error::Call(CallError::Invalid(_)))));
/// assert!(client.is_connected(), "nothing was sent");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// Not now: too much is in flight or waits to be sent. Try again once something was acknowledged or sent.
    WouldBlock,
    /// There is no connection.
    NotConnected,
    /// MQTT cannot express it, for example a wildcard in a Topic Name or a string that is too long.
    Invalid(EncodeError),
    /// The packet is larger than the broker accepts.
    PacketTooLarge {
        /// The packet's size in bytes.
        size: usize,
        /// The broker's Maximum Packet Size in bytes.
        maximum: u32,
    },
    /// The broker accepts no messages at this QoS `[MQTT-3.2.2-11]`.
    QosNotSupported {
        /// The highest QoS that the broker accepts.
        maximum: QoS,
    },
    /// The broker does not support retained messages `[MQTT-3.2.2-14]`.
    RetainNotSupported,
    /// The broker does not support wildcards in Topic Filters.
    WildcardSubscriptionsNotSupported,
    /// The broker does not support shared subscriptions.
    SharedSubscriptionsNotSupported,
    /// The broker does not support Subscription Identifiers.
    SubscriptionIdentifiersNotSupported,
    /// A property that the caller must not set here: the client sets it itself, clients do not send it
    /// `[MQTT-3.3.4-6]`, or it contradicts CONNECT, as a Session Expiry Interval in DISCONNECT may (section
    /// 3.14.2.2.2).
    PropertyNotAllowed(PropertyId),
    /// The Payload Format Indicator marks the payload as UTF-8 text, and it is not (section 3.3.2.3.2).
    PayloadNotUtf8,
    /// A Topic Alias that is 0 or above what the broker accepts `[MQTT-3.3.2-8]` `[MQTT-3.3.2-9]`.
    TopicAliasInvalid {
        /// The highest Topic Alias that the broker accepts. 0: none.
        maximum: u16,
    },
    /// A Topic Alias without a Topic Name, which was not sent with one over this connection. Send both first.
    UnknownTopicAlias(u16),
    /// There is nothing to answer or to authenticate with: no challenge of the broker waits for an answer, the options
    /// have no Authentication Method, or the client is authenticating already.
    NothingToAuthenticate,
    /// There is no room until the broker has answered, and its answer is behind messages that wait to be received.
    /// Receive them first.
    ReceiveFirst,
    /// The broker refused the client's subscription to its Response Topic with this Reason Code, so no reply could
    /// come.
    RepliesRefused(ReasonCode),
    /// The payload of a request is not a JSON object, or that of a reply not JSON, which
    /// [`Options::json_envelope`](crate::Options::json_envelope) needs.
    #[cfg(feature = "json")]
    NotJson,
    /// MQTT cannot express these options in CONNECT, for example a Will Message with too long a payload.
    InvalidOptions(EncodeError),
}

/// A failure of the network or of TLS.
///
#[doc = std_example!()]
/// use mqtt_wasi::{Client, Error, Options, TransportErrorKind};
///
/// // Nothing listens there.
/// let Err(Error::Transport(error)) = Client::connect("mqtt://127.0.0.1:1", Options::new()) else { panic!() };
/// assert_eq!(error.kind, TransportErrorKind::ConnectionRefused);
/// println!("{}", error.message);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// The kind of failure.
    pub kind: TransportErrorKind,
    /// Details, such as the words of the system. May be empty. Has nothing of the keys and logins that were given.
    pub message: String,
}

/// Kinds of failure of the network and of TLS.
///
/// ```
/// use mqtt_wasi::{Error, TransportError, TransportErrorKind};
///
/// let error = TransportError { kind: TransportErrorKind::UnknownHost, message: String::new() };
/// assert_eq!(Error::from(error).name(), "unknown-host");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The host name has no address.
    UnknownHost,
    /// Nothing listens at the port.
    ConnectionRefused,
    /// The host does not answer, or there is no route to it.
    Unreachable,
    /// The network connection, TLS included, could not be made within the
    /// [connect timeout](crate::Options::connect_timeout), or within the system's own.
    ConnectTimeout,
    /// The peer or the network cut the connection, or the peer acknowledged no bytes for so long that the system gave
    /// the connection up.
    ConnectionReset,
    /// The program may not use the network there: the host of a component, or the system, does not allow it.
    AccessDenied,
    /// TLS failed.
    Tls(TlsFailure),
    /// WebSocket failed, or the peer closed it.
    #[cfg(feature = "ws")]
    WebSocket(WebSocketFailure),
    /// The proxy gave no connection to the broker.
    #[cfg(feature = "proxy")]
    Proxy(ProxyFailure),
    /// Anything else.
    Other,
}

/// Why TLS failed. If the broker's certificate was not accepted, no byte of MQTT was sent.
///
/// ```
/// use mqtt_wasi::{Error, ErrorKind, TlsFailure, TransportError, TransportErrorKind};
///
/// let kind = TransportErrorKind::Tls(TlsFailure::UnknownIssuer);
/// let error = Error::from(TransportError { kind, message: String::new() });
/// assert_eq!((error.kind(), error.name()), (ErrorKind::NotTrusted, "tls-unknown-issuer"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The broker's certificate is not signed by a trusted authority: the authority is unknown, or the certificate is
    /// self-signed.
    UnknownIssuer,
    /// The broker's certificate is for another name.
    WrongName,
    /// The broker's certificate has expired.
    Expired,
    /// The broker's certificate is not valid yet, by this machine's clock.
    NotYetValid,
    /// The broker's certificate is invalid in another way, or has a key or a signature that this client cannot check.
    /// The text says which.
    BadCertificate,
    /// The broker does not show the certificate whose [fingerprint](crate::TlsOptions::fingerprint) is in the options.
    WrongFingerprint,
    /// The broker requires a client certificate, and got none.
    ClientCertificateRequired,
    /// The broker does not accept the client certificate in the options. The text has the alert, if it sent one.
    ClientCertificateRefused,
    /// The broker asked for a client certificate in the handshake, and ended the connection after that without a word.
    /// It may require one, or not accept the one that it got, or refuse something else in this way. The text says
    /// whether it got one.
    ClosedAfterCertificateRequest,
    /// The two sides have no TLS version, cipher suite, group, kind of key or signature algorithm in common. The text
    /// says which, as far as the broker tells.
    NothingInCommon,
    /// The peer does not speak TLS. It may be another port of the broker.
    NotTls,
    /// The peer speaks TLS, and the URL begins with `mqtt://`. CONNECT was sent unencrypted.
    Expected,
    /// The connection ended during the TLS handshake.
    Cut,
    /// The connection ended without the closing message of TLS, so bytes may be missing, and an attacker may have cut
    /// it.
    Truncated,
    /// A certificate, key or name in the options cannot be used.
    Configuration,
    /// Anything else.
    Other,
}

/// Why the connection over WebSocket could not be made, or ended. Up to [`WebSocketFailure::Extension`] no byte of MQTT
/// was sent.
///
/// ```
/// use mqtt_wasi::{Error, ErrorKind, TransportError, TransportErrorKind, WebSocketFailure};
///
/// let kind = TransportErrorKind::WebSocket(WebSocketFailure::Status(404));
/// let error = Error::from(TransportError { kind, message: String::new() });
/// assert_eq!((error.kind(), error.name()), (ErrorKind::Refused, "websocket-refused"));
/// ```
#[cfg(feature = "ws")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketFailure {
    /// A header in the options cannot be used.
    Configuration,
    /// What the peer answered is no HTTP, or it closed the connection instead of answering.
    NotHttp,
    /// The server answered with this HTTP status in place of 101: there may be no WebSocket at the path.
    Status(u16),
    /// The server answered with this HTTP status, 401 or 403: it wants another login.
    NotAuthorized(u16),
    /// The server answered with this HTTP status, from 300 to 399: it wants the client to ask elsewhere. Not followed,
    /// since the login would go along.
    Redirect(u16),
    /// The server answered with 101, and did not change to WebSocket.
    NoUpgrade,
    /// The server's key does not prove that it has understood the request: a cache or something else has answered.
    WrongAccept,
    /// The server chose another subprotocol than `mqtt`, or none \[MQTT-6.0.0-4\].
    Subprotocol,
    /// The server chose an extension, and none was offered.
    Extension,
    /// The server masked a frame, which only clients may do.
    MaskedFrame,
    /// The server sent a text frame: MQTT goes in binary frames \[MQTT-6.0.0-1\].
    TextFrame,
    /// A frame is longer than what it is may be: 125 bytes for control frames, the longest MQTT packet for others.
    FrameTooLarge,
    /// A frame breaks RFC 6455 in another way. The text says how.
    InvalidFrame,
    /// The server closed the WebSocket, with this close code. The text has its reason.
    Closed(u16),
}

/// Why a proxy gave no connection to the broker. The text names the proxy, without its login, and has its answer. That
/// the proxy itself cannot be reached is an error like that of a broker, with the proxy's name.
///
/// ```
/// use mqtt_wasi::{Error, ErrorKind, ProxyFailure, TransportError, TransportErrorKind};
///
/// let kind = TransportErrorKind::Proxy(ProxyFailure::NotAuthorized);
/// let error = Error::from(TransportError { kind, message: String::new() });
/// assert_eq!((error.kind(), error.name()), (ErrorKind::NotTrusted, "proxy-not-authorized"));
/// ```
#[cfg(feature = "proxy")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// It wants a login, or another one.
    NotAuthorized,
    /// It answered with this HTTP status.
    Status(u16),
    /// It answered with this SOCKS reply (RFC 1928, section 6).
    Reply(u8),
    /// What it answered is not of its protocol, or it closed the connection instead of answering.
    InvalidAnswer,
}

impl Error {
    /// The Reason Code that the broker gave, or that the broker was sent with DISCONNECT. `None` if there is none.
    ///
    /// ```
    /// use mqtt_wasi::{Error, ReasonCode};
    ///
    /// assert_eq!(Error::NoResponder.reason_code(), Some(ReasonCode::NoMatchingSubscribers));
    /// assert_eq!(Error::Timeout.reason_code(), None);
    /// ```
    #[must_use]
    pub fn reason_code(&self) -> Option<ReasonCode> {
        match self {
            Self::Malformed(error) => Some(error.reason_code()),
            Self::Protocol(error) => Some(error.reason_code()),
            Self::ConnectionRefused(reason) | Self::Disconnected(reason) | Self::PublishRefused(reason) => {
                Some(reason.reason_code)
            }
            Self::SubscribeRefused(reason) => reason.reason_codes.iter().copied().find(|code| code.is_error()),
            Self::NoConnectionInTime(cause) => cause.reason_code(),
            #[cfg(feature = "stream")]
            Self::Stream(StreamError::Cut { cause, .. }) => cause.reason_code(),
            Self::NoResponder => Some(ReasonCode::NoMatchingSubscribers),
            Self::Call(CallError::RepliesRefused(code)) => Some(*code),
            // 0x8D, Keep Alive timeout, is for servers to send (section 3.14.2.1).
            Self::KeepAliveTimeout => Some(ReasonCode::UnspecifiedError),
            // To MQTT v5.0, another protocol is malformed.
            Self::NotMqtt(_) | Self::Mqtt3Only => Some(ReasonCode::MalformedPacket),
            _ => None,
        }
    }

    /// Whether the connection is over.
    ///
    /// ```
    /// use mqtt_wasi::Error;
    ///
    /// assert!(Error::ConnectionClosed.is_fatal());
    /// assert!(!Error::Timeout.is_fatal());
    /// ```
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::PublishRefused(_)
            | Self::SubscribeRefused(_)
            | Self::Timeout
            | Self::NoConnectionInTime(_)
            | Self::AnswerBehindMessages
            | Self::GivenUp { .. }
            | Self::SessionLost
            | Self::NoResponder
            | Self::RequestFailed(_) => false,
            Self::Call(error) => matches!(error, CallError::NotConnected),
            #[cfg(feature = "json")]
            Self::Json(_) => false,
            #[cfg(feature = "stream")]
            Self::Stream(StreamError::SourceUnreadable(_)) => false,
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

    /// What it is, exactly: a stable name, for logs and for programs that distinguish failures of one kind. The names
    /// are the same in the component's interface. `docs/errors.md` lists them all.
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

    pub(crate) const fn kind_and_name(&self) -> (ErrorKind, &'static str) {
        use ErrorKind::{ConnectionOver, ProtocolBroken, Refused, TimedOut, WrongCall};
        match self {
            Self::Malformed(_) => (ProtocolBroken, "malformed"),
            // The broker did as it should.
            Self::Protocol(ProtocolError::UnknownSession) => (WrongCall, "unknown-session"),
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
            Self::Timeout | Self::NoConnectionInTime(_) => (TimedOut, "timeout"),
            Self::AnswerBehindMessages => (TimedOut, "answer-behind-messages"),
            Self::GivenUp { .. } => (TimedOut, "given-up"),
            Self::SessionLost => (TimedOut, "session-lost"),
            Self::Snapshot(_) => (WrongCall, "invalid-snapshot"),
            #[cfg(feature = "store")]
            Self::Store(error) => error.kind.kind_and_name(),
            Self::Url(UrlError::TlsNotSupported) => (WrongCall, "tls-not-supported"),
            Self::Url(UrlError::WebSocketNotSupported) => (WrongCall, "websocket-not-supported"),
            #[cfg(feature = "proxy")]
            Self::Url(UrlError::Proxy) => (WrongCall, "invalid-proxy"),
            Self::Url(_) => (WrongCall, "invalid-url"),
            #[cfg(feature = "json")]
            Self::Json(_) => (WrongCall, "invalid-argument"),
            #[cfg(feature = "stream")]
            Self::Stream(error) => match error {
                StreamError::SourceUnreadable(_) => (WrongCall, "stream-unreadable"),
                StreamError::SourceFailed(_) => (ConnectionOver, "stream-failed"),
                StreamError::SourceTooShort { .. } => (ConnectionOver, "stream-too-short"),
                StreamError::SourceStalled => (ConnectionOver, "stream-stalled"),
                StreamError::PayloadLost => (ConnectionOver, "stream-lost"),
                StreamError::Abandoned => (ConnectionOver, "stream-abandoned"),
                StreamError::Cut { .. } => (ConnectionOver, "stream-cut"),
            },
            Self::Call(error) => error.kind_and_name(),
            Self::Transport(error) => error.kind.kind_and_name(),
        }
    }
}

impl CallError {
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
                TlsFailure::WrongFingerprint => (NotTrusted, "tls-wrong-fingerprint"),
                TlsFailure::ClientCertificateRefused => (NotTrusted, "tls-client-certificate-refused"),
                TlsFailure::ClosedAfterCertificateRequest => (ConnectionOver, "tls-closed-after-certificate-request"),
                TlsFailure::NothingInCommon => (NotTrusted, "tls-nothing-in-common"),
                TlsFailure::NotTls => (NotTrusted, "tls-not-tls"),
                TlsFailure::Expected => (NotTrusted, "tls-expected"),
                TlsFailure::Cut => (NotTrusted, "tls-cut"),
                TlsFailure::Truncated => (NotTrusted, "tls-truncated"),
                TlsFailure::Other => (NotTrusted, "tls-failed"),
            },
            #[cfg(feature = "ws")]
            Self::WebSocket(failure) => failure.kind_and_name(),
            #[cfg(feature = "proxy")]
            Self::Proxy(failure) => failure.kind_and_name(),
        }
    }
}

#[cfg(feature = "proxy")]
impl ProxyFailure {
    const fn kind_and_name(self) -> (ErrorKind, &'static str) {
        use ErrorKind::{NotTrusted, ProtocolBroken, Refused};
        match self {
            Self::NotAuthorized => (NotTrusted, "proxy-not-authorized"),
            Self::Status(_) | Self::Reply(_) => (Refused, "proxy-refused"),
            Self::InvalidAnswer => (ProtocolBroken, "proxy-invalid-answer"),
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NotAuthorized => "the proxy wants a login, or another one; set it in the proxy's URL",
            Self::Status(_) | Self::Reply(_) => "the proxy does not connect to the broker",
            Self::InvalidAnswer => {
                "the proxy's answer is invalid; check its port, and whether it is http:// or socks5://"
            }
        }
    }

    /// Why, in more words.
    #[cfg(any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    ))]
    pub(crate) fn because(self, message: &str) -> TransportError {
        TransportErrorKind::Proxy(self).because(message)
    }
}

#[cfg(feature = "ws")]
impl WebSocketFailure {
    const fn kind_and_name(self) -> (ErrorKind, &'static str) {
        use ErrorKind::{ConnectionOver, NotTrusted, ProtocolBroken, Refused, WrongCall};
        match self {
            Self::Configuration => (WrongCall, "websocket-configuration"),
            Self::NotHttp => (ProtocolBroken, "websocket-not-http"),
            Self::Status(_) => (Refused, "websocket-refused"),
            Self::NotAuthorized(_) => (NotTrusted, "websocket-not-authorized"),
            Self::Redirect(_) => (Refused, "websocket-redirect"),
            Self::NoUpgrade => (ProtocolBroken, "websocket-no-upgrade"),
            Self::WrongAccept => (ProtocolBroken, "websocket-wrong-accept"),
            Self::Subprotocol => (ProtocolBroken, "websocket-subprotocol"),
            Self::Extension => (ProtocolBroken, "websocket-extension"),
            Self::MaskedFrame => (ProtocolBroken, "websocket-masked-frame"),
            Self::TextFrame => (ProtocolBroken, "websocket-text-frame"),
            Self::FrameTooLarge => (ProtocolBroken, "websocket-frame-too-large"),
            Self::InvalidFrame => (ProtocolBroken, "websocket-invalid-frame"),
            Self::Closed(_) => (ConnectionOver, "websocket-closed"),
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Configuration => "WebSocket: a header in the options cannot be used",
            Self::NotHttp => "WebSocket: the peer does not answer in HTTP; check the port, and whether it needs wss://",
            Self::Status(_) => "WebSocket: the server refused; check the path of the URL",
            Self::NotAuthorized(_) => {
                "WebSocket: the server wants another login; set the header that it asks for, or correct the URL"
            }
            Self::Redirect(_) => "WebSocket: the server redirects, which is not followed; connect to where it points",
            Self::NoUpgrade => "WebSocket: the server did not change to WebSocket; a proxy may keep it from that",
            Self::WrongAccept => "WebSocket: the server's key is wrong; a cache or another server may have answered",
            Self::Subprotocol => "WebSocket: the server did not choose the subprotocol mqtt; check port and path",
            Self::Extension => "WebSocket: the server chose an extension that was not offered",
            Self::MaskedFrame => "WebSocket: the server sent a masked frame",
            Self::TextFrame => "WebSocket: the server sent a text frame, and MQTT goes in binary frames",
            Self::FrameTooLarge => "WebSocket: the server sent a frame that is longer than allowed",
            Self::InvalidFrame => "WebSocket: the server sent an invalid frame",
            Self::Closed(_) => "the server closed the WebSocket",
        }
    }

    /// Why, in more words.
    #[cfg(any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    ))]
    pub(crate) fn because(self, message: &str) -> TransportError {
        TransportErrorKind::WebSocket(self).because(message)
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
    /// The Reason Code of the DISCONNECT that answers it: Protocol Error (0x82), unless section 3.14.2.1 has a more
    /// specific one. [`DecodeError::reason_code`](crate::codec::DecodeError::reason_code) has the rule.
    ///
    /// ```
    /// use mqtt_wasi::{ProtocolError, ReasonCode};
    ///
    /// assert_eq!(ProtocolError::ReceiveMaximumExceeded.reason_code(), ReasonCode::ReceiveMaximumExceeded);
    /// ```
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
        let text = match self {
            Self::Malformed(error) => return write!(f, "the broker sent an invalid packet: {error}"),
            // Not the broker's fault.
            Self::Protocol(error @ ProtocolError::UnknownSession) => return error.fmt(f),
            Self::Protocol(error) => return write!(f, "the broker broke the protocol: {error}"),
            Self::ConnectionRefused(reason) => return write!(f, "the broker refused the connection: {reason}"),
            Self::Disconnected(reason) => {
                write!(f, "the broker ended the connection: {reason}")?;
                match reason.reason_code {
                    ReasonCode::SessionTakenOver => "; another connection uses this Client Identifier",
                    _ => "",
                }
            }
            Self::PublishRefused(reason) => return write!(f, "the broker refused the message: {reason}"),
            Self::SubscribeRefused(reason) => return reason.fmt_refusals(f),
            Self::Call(error) => return error.fmt(f),
            Self::Url(error) => return error.fmt(f),
            Self::Transport(error) => return error.fmt(f),
            Self::Snapshot(error) => return error.fmt(f),
            #[cfg(feature = "store")]
            Self::Store(error) => return error.fmt(f),
            Self::Authentication(why) => return write!(f, "enhanced authentication failed: {why}"),
            Self::NotMqtt(protocol) => {
                let name = match protocol {
                    OtherProtocol::Http => "HTTP",
                    OtherProtocol::Ssh => "SSH",
                };
                return write!(f, "the peer speaks {name}, not MQTT: check the host and the port");
            }
            Self::GivenUp { attempts } => {
                return write!(
                    f,
                    "the message was sent {attempts} times and not acknowledged: it was given up, and is not sent again"
                );
            }
            Self::NoConnectionInTime(cause) => {
                return write!(f, "the call took longer than its timeout, and there was no connection: {cause}");
            }
            Self::RequestFailed(failure) => return write!(f, "the request failed at the responder: {}", failure.text),
            #[cfg(feature = "json")]
            Self::Json(message) => message,
            #[cfg(feature = "stream")]
            Self::Stream(error) => return error.fmt(f),
            Self::ConnectTimeout => {
                "the broker did not accept the connection within the connect timeout: check that it is an MQTT broker, \
                 or allow more time"
            }
            Self::KeepAliveTimeout => {
                "the broker did not answer PINGREQ in the time that the Keep Alive sets: the connection is dead"
            }
            Self::ConnectionClosed => "the connection ended, and the broker sent no DISCONNECT with a reason",
            Self::ClosedBeforeConnack => {
                "the peer closed the connection instead of answering CONNECT: check the port, whether it needs TLS \
                 (mqtts://), the Client Identifier, User Name and Password"
            }
            Self::Mqtt3Only => "the broker does not support MQTT v5.0, only 3.1.1 or older: enable v5.0 there",
            Self::SessionLost => {
                "the broker has lost the session, and the options say to discard what was in flight: the message may \
                 have arrived, and is not sent again"
            }
            Self::Stopped => {
                "the task that runs this client has ended, by a panic or with its runtime: make a new client"
            }
            Self::NoResponder => {
                "no client has subscribed to the topic of the request: start the responder, or check the topic"
            }
            Self::Timeout => {
                "the call took longer than its timeout (its own, or the response timeout for calls without one); what \
                 was sent may still arrive"
            }
            Self::AnswerBehindMessages => {
                "the broker's answer is behind messages that wait to be received: receive them; what was sent may \
                 still arrive"
            }
        };
        f.write_str(text)
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
            #[cfg(feature = "store")]
            Self::Store(error) => Some(error),
            Self::Transport(error) => Some(error),
            Self::NoConnectionInTime(cause) => Some(cause),
            #[cfg(feature = "stream")]
            Self::Stream(error) => Some(error),
            _ => None,
        }
    }
}

impl SubscribeReason {
    /// Which Topic Filters were refused, by their position, and why.
    fn fmt_refusals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "the broker refused";
        for (index, code) in self.reason_codes.iter().enumerate().filter(|(_, code)| code.is_error()) {
            write!(f, "{before} Topic Filter {}: {code}", index + 1)?;
            before = ",";
        }
        if let Some(reason_string) = &self.reason_string {
            write!(f, ": {reason_string}")?;
        }
        self.user_properties.iter().try_for_each(|(name, value)| write!(f, " [{name}: {value}]"))
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

#[cfg(feature = "stream")]
impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceUnreadable(why) => {
                write!(f, "the source of the payload failed before anything was sent: {why}; nothing was published")
            }
            Self::SourceFailed(why) => write!(
                f,
                "the source of the payload failed in the middle of it: {why}; the connection had to end, and nothing \
                 was published"
            ),
            Self::SourceTooShort { missing } => write!(
                f,
                "the source of the payload ended {missing} bytes too early: the connection had to end, and nothing was \
                 published; give the length that the source has"
            ),
            Self::SourceStalled => f.write_str(
                "the source of the payload gave nothing for as long as the Keep Alive allows: the connection had to \
                 end, and nothing was published; use a faster source or a longer Keep Alive",
            ),
            Self::PayloadLost => f.write_str(
                "the connection ended before all of the payload came: at QoS 1 and 2 the broker sends the message \
                 again, if it keeps the session",
            ),
            Self::Abandoned => f.write_str(
                "the call that streamed a message was dropped, or ran out of time, before all of it was sent: the \
                 connection had to end, and nothing was published",
            ),
            Self::Cut { cause, may_have_arrived: true } => write!(
                f,
                "the connection ended before the broker acknowledged the message, whose payload cannot be sent again: \
                 {cause}; it may have arrived; publish it again from its beginning if it may arrive twice"
            ),
            Self::Cut { cause, may_have_arrived: false } => write!(
                f,
                "the connection ended before all of the payload was sent, which cannot be sent again: {cause}; publish \
                 it again from its beginning"
            ),
        }
    }
}

#[cfg(feature = "stream")]
impl core::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Cut { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt => f.write_str("the bytes are not a complete snapshot: start without it"),
            Self::Version(version) => {
                write!(f, "the snapshot has version {version}, not {SNAPSHOT_VERSION}: start without it")
            }
        }
    }
}

impl core::error::Error for SnapshotError {}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedPacket(packet_type) => write!(f, "{packet_type} must not come now"),
            Self::UnexpectedSession => f.write_str("Session Present, although CONNECT had Clean Start"),
            Self::UnknownSession => f.write_str(
                "the broker kept a session for this Client Identifier, and this client has no state for it: resume \
                 from a snapshot, set the option to adopt the session, or connect with Clean Start",
            ),
            Self::ReceiveMaximumExceeded => f.write_str("more QoS 1 and 2 messages at once than the Receive Maximum"),
            Self::TopicAliasInvalid(alias) => write!(f, "Topic Alias {alias} is 0 or above the Topic Alias Maximum"),
            Self::UnknownTopicAlias(alias) => write!(f, "Topic Alias {alias} has no Topic Name yet"),
            Self::UnknownPacketId(packet_type) => {
                write!(f, "{packet_type} has the Packet Identifier of something that it does not answer")
            }
            Self::AuthenticationMethod => f.write_str("the Authentication Method is not the one of CONNECT"),
            Self::ReasonCodeCount => f.write_str("there is not one Reason Code for each Topic Filter"),
            Self::PropertyNotAllowed(id) => write!(f, "a server must not send {} here", id.name()),
            Self::EmptyClientIdentifier => f.write_str("the Assigned Client Identifier is empty"),
            Self::ProblemInformationNotRequested(packet_type) => {
                write!(f, "{packet_type} has a Reason String or User Properties that were not requested")
            }
        }
    }
}

impl core::error::Error for ProtocolError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Invalid(error) => return error.fmt(f),
            Self::InvalidOptions(error) => return write!(f, "connect options: {error}"),
            Self::PacketTooLarge { size, maximum } => {
                return write!(
                    f,
                    "a packet of {size} bytes is larger than the broker's Maximum Packet Size of {maximum}"
                );
            }
            Self::QosNotSupported { maximum } => {
                return write!(f, "the broker accepts messages up to QoS {} only", *maximum as u8);
            }
            Self::PropertyNotAllowed(id) => return write!(f, "{} must not be set in this call", id.name()),
            Self::TopicAliasInvalid { maximum: 0 } => "the broker accepts no Topic Aliases",
            Self::TopicAliasInvalid { maximum } => {
                return write!(f, "the broker accepts Topic Aliases from 1 to {maximum} only");
            }
            Self::UnknownTopicAlias(alias) => {
                return write!(
                    f,
                    "Topic Alias {alias} has no Topic Name on this connection yet: send it with one first"
                );
            }
            Self::RepliesRefused(code) => {
                return write!(
                    f,
                    "no reply could come: the broker refused the subscription to the Response Topic with {code}; allow \
                     it there, or set another"
                );
            }
            Self::WouldBlock => "no room now: too much is in flight or waits to be sent; try again later",
            Self::NotConnected => "there is no connection: connect first, or wait until the client has connected again",
            Self::RetainNotSupported => "the broker does not support retained messages",
            Self::WildcardSubscriptionsNotSupported => "the broker does not support wildcards in Topic Filters",
            Self::SharedSubscriptionsNotSupported => "the broker does not support shared subscriptions",
            Self::SubscriptionIdentifiersNotSupported => "the broker does not support Subscription Identifiers",
            Self::PayloadNotUtf8 => "the payload is not UTF-8, although its Payload Format Indicator marks it as text",
            Self::NothingToAuthenticate => {
                "no challenge waits for an answer, the options have no Authentication Method, or the client is \
                 authenticating already"
            }
            #[cfg(feature = "json")]
            Self::NotJson => "the JSON envelope needs a JSON object as request, and JSON as reply",
            Self::ReceiveFirst => {
                "no room until the broker answers, and its answer is behind messages that wait to be received: receive \
                 them first"
            }
        };
        f.write_str(text)
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
    #[cfg(any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    ))]
    pub(crate) fn because(self, message: &str) -> TransportError {
        TransportError { kind: self, message: message.to_owned() }
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::UnknownHost => "the host name could not be resolved",
            Self::ConnectionRefused => "nothing listens at this host and port",
            Self::Unreachable => "the host cannot be reached",
            Self::ConnectTimeout => "no network connection within the connect timeout, or the system's own",
            Self::ConnectionReset => "the peer or the network cut the connection",
            Self::AccessDenied => {
                "this program may not use the network there; the system or WebAssembly host must allow it"
            }
            Self::Tls(failure) => failure.text(),
            #[cfg(feature = "ws")]
            Self::WebSocket(failure) => failure.text(),
            #[cfg(feature = "proxy")]
            Self::Proxy(failure) => failure.text(),
            Self::Other => "the network or the system failed",
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
                "TLS: no trusted CA has signed the broker's certificate; if the CA is your own, add it to the options"
            }
            Self::WrongName => {
                "TLS: the broker's certificate is for another name; check the URL's host and the server name option"
            }
            Self::Expired => "TLS: the broker's certificate has expired; renew it, or correct this machine's clock",
            Self::NotYetValid => "TLS: the broker's certificate is not valid yet; check this machine's clock",
            Self::BadCertificate => "TLS: the broker's certificate cannot be accepted",
            Self::WrongFingerprint => {
                "TLS: the broker shows another certificate than the one whose fingerprint is in the options; if the \
                 broker's was renewed, take the fingerprint of its new file"
            }
            Self::ClientCertificateRequired => "TLS: the broker requires a client certificate; set one that it accepts",
            Self::ClientCertificateRefused => {
                "TLS: the broker does not accept the client certificate; check that it trusts the certificate's CA, \
                 and that the certificate is valid"
            }
            Self::ClosedAfterCertificateRequest => {
                "TLS: the broker asked for a client certificate, and ended the connection without a word; check which \
                 it accepts, the Client Identifier, User Name and Password, and read its log"
            }
            Self::NothingInCommon => "TLS: this client and the broker have too little in common",
            Self::NotTls => "TLS: the peer does not speak TLS; check the port",
            #[cfg(not(feature = "ws"))]
            Self::Expected => "the peer speaks TLS: use mqtts://",
            #[cfg(feature = "ws")]
            Self::Expected => "the peer speaks TLS: use mqtts://, or wss:// in place of ws://",
            Self::Cut => "TLS: the connection ended during the handshake; the broker's log may tell why",
            Self::Truncated => "TLS: the connection ended without close_notify; bytes may be missing",
            Self::Configuration => "TLS: a certificate, key or name in the options cannot be used",
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

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;
    use crate::codec::EncodeErrorKind;

    #[test]
    fn session_without_state_is_not_blamed_on_the_broker() {
        let error = Error::from(ProtocolError::UnknownSession);
        assert_eq!((error.kind(), error.name()), (ErrorKind::WrongCall, "unknown-session"));
        let text = error.to_string();
        assert!(!text.contains("protocol"), "{text}");
        for way_out in ["snapshot", "adopt", "Clean Start"] {
            assert!(text.contains(way_out), "{text}");
        }
        let text = Error::from(ProtocolError::UnexpectedSession).to_string();
        assert!(text.starts_with("the broker broke the protocol: "), "{text}");
    }

    #[test]
    fn no_text_leads_away_from_tls() {
        use TlsFailure as F;
        for failure in [
            F::UnknownIssuer,
            F::WrongName,
            F::Expired,
            F::NotYetValid,
            F::BadCertificate,
            F::WrongFingerprint,
            F::ClientCertificateRequired,
            F::ClientCertificateRefused,
            F::ClosedAfterCertificateRequest,
            F::NothingInCommon,
            F::NotTls,
            F::Expected,
            F::Cut,
            F::Truncated,
            F::Configuration,
            F::Other,
        ] {
            let error = TransportError { kind: TransportErrorKind::Tls(failure), message: String::new() };
            for way in ["mqtt://", "dangerous", "accept any", "disable", "without TLS"] {
                assert!(!error.to_string().contains(way), "{error}");
            }
        }
        assert!(!UrlError::TlsNotSupported.to_string().contains("mqtt://"));
    }

    #[test]
    fn refused_filters_are_named_by_their_position() {
        let reason_codes = Vec::from([ReasonCode::GrantedQos1, ReasonCode::NotAuthorized, ReasonCode::QuotaExceeded]);
        let user_properties = Vec::from([("try".to_owned(), "again".to_owned())]);
        let reason = SubscribeReason { reason_codes, reason_string: Some("not today".into()), user_properties };
        let expected = "the broker refused Topic Filter 2: Not authorized (0x87), Topic Filter 3: Quota exceeded (0x97): \
                        not today [try: again]";
        assert_eq!(Error::SubscribeRefused(reason.into()).to_string(), expected);
    }

    #[test]
    fn invalid_options_are_named() {
        let invalid = EncodeError { kind: EncodeErrorKind::ValueOutOfRange, field: "Receive Maximum" };
        let text = format!("{}", Error::Call(CallError::InvalidOptions(invalid)));
        assert_eq!(text, "connect options: invalid Receive Maximum: the value is out of range");
    }
}
