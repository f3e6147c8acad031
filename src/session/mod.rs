//! The MQTT v5.0 protocol of a client as a state machine, without a clock, a socket or a thread of its own. `no_std`.
//!
//! # In scope
//! Everything between the user of a client and its network connection: CONNECT, Keep Alive, flow control, delivery at
//! every QoS, and what happens to all of that when the connection is lost and made again.
//!
//! # Out of scope
//! The network connection itself. The driver of a session moves bytes and tells the time:
//!
//! ```text
//!    connection ──► read_buffer, received ──►┌─────────┐──► poll_event, receive ──► user
//!    connection ◄── transmit, transmitted ◄──│ Session │◄── publish, subscribe, … ◄── user
//!         clock ──► handle_timeout ─────────►└─────────┘──► deadline
//! ```
//!
//! The rule: after each call on the left, call [`Session::poll_event`] and [`Session::receive`] until both return
//! `None`. Then send what [`Session::transmit`] returns. Then wait for bytes or for [`Session::deadline`].
//!
//! ```text
//!                  connect                CONNACK
//!  Disconnected ────────────► Connecting ─────────► Connected
//!      ▲  ▲                       │ refused, error      │ disconnect, error, DISCONNECT
//!      │  └───────────────────────┤◄────────────────────┘
//!      │       connection_closed  ▼
//!      └────────────────────── Closing: transmit the DISCONNECT, then close
//! ```
//!
//! # An example
//! ```
//! use std::time::Duration;
//! use mqtt_wasi::{Instant, Options};
//! use mqtt_wasi::codec::{Publish, QoS};
//! use mqtt_wasi::session::{Event, Session};
//!
//! let now = Instant::ZERO;
//! let mut session = Session::new(Options::new().client_id("c"));
//! session.connect(now)?;
//! assert_eq!(session.transmit(), b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3C\x05\x27\x01\x00\x00\x00\x00\x01c");
//! session.transmitted(session.transmit().len(), now);
//!
//! // The broker answers CONNACK.
//! let connack = b"\x20\x03\x00\x00\x00";
//! session.read_buffer()[..5].copy_from_slice(connack);
//! session.received(5, now);
//! assert_eq!(session.poll_event(), Some(Event::Connected { session_present: false }));
//!
//! session.publish(&Publish::new("t", "!").qos(QoS::AtLeastOnce))?;
//! assert_eq!(session.transmit(), b"\x32\x07\x00\x01t\x00\x01\x00!");
//! assert_eq!(session.deadline(), Some(now + Duration::from_secs(55)), "when a ping is due");
//! # Ok::<(), mqtt_wasi::CallError>(())
//! ```

mod acknowledge;
mod alias;
mod authenticate;
mod connect;
mod connection_info;
mod delivery;
mod event;
mod in_flight;
mod keep_alive;
mod machine;
mod options;
mod outbound;
mod publish;
mod received_ids;
mod request;
mod snapshot;
mod stats;
mod subscriptions;
mod terms;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

pub use acknowledge::Delivery;
pub use connection_info::ConnectionInfo;
pub use event::{Challenge, Event, OperationId};
use machine::Machine;
#[cfg(feature = "json")]
pub(crate) use options::Envelope;
pub use options::{SessionOptions, WillMessage};
pub use snapshot::Snapshot;
pub use stats::Stats;

use crate::codec::{
    Connack, Disconnect, Packet, PacketId, PacketType, Publish, PublishProperties, QoS, SubscribeProperties,
    Subscription, UnsubscribeProperties,
};
use crate::error::{CallError, Error, OtherProtocol, ProtocolError};
use crate::frame::{self, FrameError, FrameReader, FrameSpan};
use crate::message::Message;
use crate::time::Instant;

/// How long the body of CONNACK is before MQTT v5.0; in v5.0 it has at least a Property Length more.
const CONNACK_3_LEN: usize = 2;

/// The client's side of one MQTT session, over any number of network connections, one after the other.
///
/// In the examples below, `network.exchange(&mut session)` moves bytes between the session and a broker in memory,
/// until nothing is left to be moved. The example of the [module](self) does that by hand.
///
#[doc = memory_example!()]
/// use mqtt_wasi::Options;
/// use mqtt_wasi::session::{Event, Session, Status};
///
/// let mut session = Session::new(Options::new().client_id("thermometer-7"));
/// session.connect(network.now())?;
/// network.exchange(&mut session);
/// assert_eq!(session.poll_event(), Some(Event::Connected { session_present: false }));
/// assert_eq!(session.status(), Status::Connected);
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug)]
pub struct Session {
    machine: Machine,
    reader: FrameReader,
    /// Messages that wait to be received, in the order they came. Their bytes stay in the reader's buffer.
    backlog: VecDeque<Waiting>,
    /// The Topic Name of the last message that was received with nothing but an alias for it.
    topic: Option<Arc<str>>,
    /// The body of the last CONNACK.
    connack: Vec<u8>,
}

/// A message that waits to be received.
#[derive(Debug)]
struct Waiting {
    span: FrameSpan,
    origin: Origin,
    /// The Topic Name, where the message has nothing but an alias for it.
    topic: Option<Arc<str>>,
}

/// Where a message came from that waits to be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This connection, over which it is acknowledged.
    ThisConnection,
    /// An earlier connection. The broker sends it again at QoS 1 and 2, if it keeps the session.
    EarlierConnection,
    /// A session that the broker has lost, and this message with it.
    LostSession,
    /// This connection, and it was a reply, which its requester has got: it only waits to be acknowledged in its turn.
    Answered(PacketId),
    /// This connection, and it only waits to be refused in its turn.
    Refused(PacketId),
}

impl Origin {
    /// The Packet Identifier of what only waits for its acknowledgement, and whether that is a refusal.
    const fn only_acknowledged(self) -> Option<(PacketId, bool)> {
        match self {
            Self::Answered(id) => Some((id, false)),
            Self::Refused(id) => Some((id, true)),
            _ => None,
        }
    }
}

/// A QoS 1 or 2 message that is in flight to the broker.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::session::{InFlightMessage, Session};
/// use mqtt_wasi::Options;
///
/// let mut session = Session::new(Options::new());
/// session.connect(network.now())?;
/// network.exchange(&mut session);
/// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
/// let InFlightMessage { message, attempts, .. } = session.messages_in_flight().remove(0);
/// assert_eq!((message.payload.as_slice(), attempts), (&b"21.5"[..], 1));
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlightMessage {
    /// Its number, for [`Session::give_up_message`]. A session uses each number once.
    pub id: u64,
    /// The message. It has no topic and no payload where the broker has the message, and only the end of its delivery
    /// at QoS 2 is missing.
    pub message: Message,
    /// How many times it was sent.
    pub attempts: u32,
}

/// What a call may have to wait for that the session has no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Messages at QoS 1 and 2 that may be in flight: the send quota (section 4.9), and the bounds of the options.
    Quota,
    /// Bytes that may wait to be sent.
    Outbound,
    /// Requests that may wait for their replies, or the subscription to the Response Topic.
    Requests,
}

/// Where a session stands with its connection.
///
/// ```
/// use mqtt_wasi::session::{Session, Status};
/// use mqtt_wasi::{Instant, Options};
///
/// let mut session = Session::new(Options::new());
/// assert_eq!(session.status(), Status::Disconnected);
/// session.connect(Instant::ZERO)?;
/// assert_eq!(session.status(), Status::Connecting);
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There is no connection.
    Disconnected,
    /// CONNECT was sent. CONNACK has not come yet.
    Connecting,
    /// The broker accepted the connection.
    Connected,
    /// What [`Session::transmit`] returns is the last to be sent. Then close the connection.
    Closing,
}

impl Status {
    const fn is_open(self) -> bool {
        matches!(self, Self::Connecting | Self::Connected)
    }
}

impl Session {
    /// A session without a connection.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::session::{Session, Status};
    ///
    /// let session = Session::new(Options::new().client_id("thermometer-7"));
    /// assert_eq!((session.client_id(), session.status()), ("thermometer-7", Status::Disconnected));
    /// ```
    #[must_use]
    pub fn new(options: impl Into<SessionOptions>) -> Self {
        let options = options.into();
        let reader = FrameReader::new(options.maximum_packet_size);
        Self { machine: Machine::new(options), reader, backlog: VecDeque::new(), topic: None, connack: Vec::new() }
    }

    /// Begins over a new network connection, with CONNECT. Connections after the first continue the session: once the
    /// broker accepts the connection, what was in flight is sent again.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`] when CONNECT has no valid bytes for the options.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::session::{Event, Session};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// assert_eq!(session.poll_event(), Some(Event::Connected { session_present: false }));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn connect(&mut self, now: Instant) -> Result<(), CallError> {
        self.connection_closed(Error::ConnectionClosed);
        self.reader.cut();
        self.machine.connect(now)
    }

    /// Notes that the network connection is closed, and why. Messages that were received stay, and so does what is in
    /// flight.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::{Event, Session, Status};
    /// use mqtt_wasi::{Error, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.poll_event();
    /// session.connection_closed(Error::ConnectionClosed);
    /// assert_eq!(session.status(), Status::Disconnected);
    /// assert_eq!(session.poll_event(), Some(Event::Disconnected(Error::ConnectionClosed)));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn connection_closed(&mut self, error: Error) {
        while !self.is_far_behind() && self.step() {}
        self.machine.closed(error);
        self.backlog.retain(|waiting| waiting.origin.only_acknowledged().is_none());
        self.move_backlog(Origin::ThisConnection, Origin::EarlierConnection);
    }

    /// Where to put the next bytes from the broker. Empty while nothing more should be read, because too many messages
    /// [wait to be received](Session::receive).
    ///
    /// ```
    /// use mqtt_wasi::session::{Session, Status};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(Instant::ZERO)?;
    /// let connack = b"\x20\x03\x00\x00\x00"; // as a socket would read it
    /// session.read_buffer()[..connack.len()].copy_from_slice(connack);
    /// session.received(connack.len(), Instant::ZERO);
    /// session.poll_event();
    /// assert_eq!(session.status(), Status::Connected);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn read_buffer(&mut self) -> &mut [u8] {
        self.prepare_transfer().1
    }

    /// [`Session::transmit`] and [`Session::read_buffer`] at once, to move bytes both ways. Takes the packets that
    /// came, and makes room for more.
    ///
    /// ```
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(Instant::ZERO)?;
    /// let (outgoing, incoming) = session.prepare_transfer();
    /// assert_eq!(outgoing[0], 0x10, "CONNECT");
    /// assert!(!incoming.is_empty());
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn prepare_transfer(&mut self) -> (&[u8], &mut [u8]) {
        self.take_all();
        let incoming: &mut [u8] = if self.is_paused() {
            &mut []
        } else {
            self.reader.release(self.backlog.front().map(|waiting| &waiting.span));
            self.reader.space()
        };
        (self.machine.outbound.pending(), incoming)
    }

    /// Notes that the first `len` bytes of [`Session::read_buffer`] are the next bytes from the broker.
    ///
    /// # Panics
    /// If that is more than the buffer had.
    ///
    /// ```
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(Instant::ZERO)?;
    /// session.read_buffer()[..2].copy_from_slice(b"\x20\x03");
    /// session.received(2, Instant::ZERO);
    /// assert_eq!(session.poll_event(), None, "that was not a whole packet");
    /// session.read_buffer()[..3].copy_from_slice(b"\x00\x00\x00");
    /// session.received(3, Instant::ZERO);
    /// assert_eq!(session.poll_event(), Some(Event::Connected { session_present: false }));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn received(&mut self, len: usize, now: Instant) {
        let was_within_packet = self.machine.keep_alive.is_pinging() && self.reader.is_within_packet();
        self.reader.filled(len);
        self.machine.stats.bytes_received += len as u64;
        if !self.machine.status.is_open() {
            // Nobody will take it.
            self.reader.cut();
        } else if len > 0 {
            let is_within_packet = was_within_packet && self.reader.is_within_packet();
            self.machine.keep_alive.received(len, is_within_packet, now);
        }
    }

    /// Does what is due at `now`: see [`Session::deadline`]. Harmless at any time.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new().keep_alive(30));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let deadline = session.deadline().expect("a ping is due some time");
    /// session.handle_timeout(deadline);
    /// assert_eq!(session.transmit(), b"\xC0\x00", "PINGREQ");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout_while(now, false);
    }

    /// The same, where what comes may be left unread for now.
    pub(crate) fn handle_timeout_while(&mut self, now: Instant, is_held_back: bool) {
        if !is_held_back {
            self.take_all();
        }
        let is_behind = is_held_back || self.is_behind();
        self.machine.handle_timeout(now, is_behind);
    }

    /// Puts a message into the outbound buffer. The session sets DUP and the Packet Identifier itself.
    ///
    /// A [Topic Alias](crate::PublishProperties::topic_alias) of the caller's stands for the Topic Name until the
    /// connection ends. The session sends the Topic Name with it where the broker does not know it yet, and leaves it
    /// out where it does. A message with an empty Topic Name is sent if the alias was sent before. For aliases by
    /// themselves see [`Options::outbound_topic_aliases`](crate::Options::outbound_topic_aliases).
    ///
    /// Returns the operation that [`Event::Published`] ends, at QoS 1 and 2. `None` at QoS 0, which has no answer.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`] when too much is in flight or waits to be sent; [`CallError::NotConnected`];
    /// [`CallError::Invalid`] for a message that has no valid bytes; [`CallError::PacketTooLarge`],
    /// [`CallError::QosNotSupported`] and [`CallError::RetainNotSupported`] for what the broker does not accept;
    /// [`CallError::PropertyNotAllowed`], [`CallError::PayloadNotUtf8`], [`CallError::TopicAliasInvalid`],
    /// [`CallError::UnknownTopicAlias`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::{Options, ReasonCode};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.poll_event();
    /// let id = session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?.expect("QoS 1");
    /// network.exchange(&mut session);
    /// let result = Ok(ReasonCode::NoMatchingSubscribers.into());
    /// assert_eq!(session.poll_event(), Some(Event::Published { id, result }));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn publish(&mut self, publish: &Publish<'_>) -> Result<Option<OperationId>, CallError> {
        self.machine.publish(publish)
    }

    /// Puts a request into the outbound buffer: a message whose Response Topic and Correlation Data the session sets,
    /// and whose Message Expiry Interval is `timeout` unless it has one (section 4.10). Returns the operation that
    /// [`Event::Replied`] ends, with the reply, or with why there is none.
    ///
    /// Before the first request the session subscribes to its Response Topic. Until the broker has granted that,
    /// `request` fails with [`CallError::WouldBlock`]. Messages to that topic are never received as others are.
    ///
    /// `nonce` is a random number that is used once. It makes Correlation Data hard to guess.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`]; [`CallError::RepliesRefused`] when the broker does not let the client subscribe to
    /// its Response Topic; [`CallError::PropertyNotAllowed`] for a Response Topic or Correlation Data of the caller's;
    /// and as [`Session::publish`].
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::{CallError, Error, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.poll_event();
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let (timeout, random) = (Duration::from_secs(5), 0x7f3c_11d0_5a9e_4b21);
    /// assert_eq!(session.request(&request, timeout, random, network.now()), Err(CallError::WouldBlock));
    /// network.exchange(&mut session); // it has subscribed to its Response Topic now
    /// let id = session.request(&request, timeout, random, network.now())?;
    /// network.exchange(&mut session);
    /// assert_eq!(session.poll_event(), Some(Event::Replied { id, result: Err(Error::NoResponder) }));
    /// # Ok::<(), CallError>(())
    /// ```
    pub fn request(
        &mut self,
        request: &Publish<'_>,
        timeout: Duration,
        nonce: u64,
        now: Instant,
    ) -> Result<OperationId, CallError> {
        self.machine.request(request, timeout, nonce, now)
    }

    /// The format in which payloads say what Response Topic and Correlation Data say, if there is one.
    #[cfg(feature = "json")]
    pub(crate) const fn envelope(&self) -> Option<&'static Envelope> {
        self.machine.options.envelope
    }

    /// Gives a request up. Its reply is dropped when it comes. Returns `false` if it has ended.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let request = Publish::new("calculator/add", "1 2");
    /// # let _ = session.request(&request, Duration::from_secs(5), 0x7f3c_11d0, network.now());
    /// # network.exchange(&mut session);
    /// let id = session.request(&request, Duration::from_secs(5), 0x7f3c_11d0, network.now())?;
    /// assert!(session.cancel_request(id));
    /// assert!(!session.cancel_request(id), "it has ended");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn cancel_request(&mut self, id: OperationId) -> bool {
        self.machine.cancel_request(id)
    }

    /// The Response Topic of requests. `None` before the first request.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new().client_id("terminal-7"));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// assert_eq!(session.response_topic(), None);
    /// let _ = session.request(&Publish::new("calculator/add", "1 2"), Duration::from_secs(5), 1, network.now());
    /// assert_eq!(session.response_topic(), Some("replies/terminal-7"));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn response_topic(&self) -> Option<&str> {
        self.machine.requests.topic()
    }

    /// Subscribes to Topic Filters. Returns the operation that [`Event::Subscribed`] ends.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`], [`CallError::NotConnected`]; [`CallError::Invalid`] for what has no valid bytes;
    /// [`CallError::PacketTooLarge`], [`CallError::WildcardSubscriptionsNotSupported`],
    /// [`CallError::SharedSubscriptionsNotSupported`] and [`CallError::SubscriptionIdentifiersNotSupported`] for what
    /// the broker does not accept.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.poll_event();
    /// let subscription = Subscription::new("sensors/+", QoS::AtLeastOnce);
    /// let asked = session.subscribe(&[subscription], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// let Some(Event::Subscribed { id, result: Ok(answer) }) = session.poll_event() else { panic!() };
    /// assert_eq!((id, answer.granted()), (asked, Ok(vec![QoS::AtLeastOnce])));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn subscribe(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<OperationId, CallError> {
        self.machine.subscribe(subscriptions, properties)
    }

    /// As [`Session::subscribe`], with an identifier that is none of the user's: a broker that takes none is not told
    /// it, and neither is it by another connection.
    pub(crate) fn subscribe_with_own_identifier(
        &mut self,
        subscription: Subscription<'_>,
        identifier: Option<u32>,
    ) -> Result<OperationId, CallError> {
        self.machine.subscribe_with_own_identifier(subscription, identifier)
    }

    /// Unsubscribes from Topic Filters. Returns the operation that [`Event::Unsubscribed`] ends.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`], [`CallError::NotConnected`]; [`CallError::Invalid`] for what has no valid bytes;
    /// [`CallError::PacketTooLarge`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::UnsubscribeProperties;
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::{Options, ReasonCode};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.poll_event();
    /// session.unsubscribe(&["sensors/+"], UnsubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// let Some(Event::Unsubscribed { result: Ok(answer), .. }) = session.poll_event() else { panic!() };
    /// assert_eq!(answer.reason_codes, [ReasonCode::NoSubscriptionExisted]);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn unsubscribe(
        &mut self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<OperationId, CallError> {
        self.machine.unsubscribe(filters, properties)
    }

    /// Answers [`Event::Challenged`]: sends an AUTH with this Authentication Data, and the Authentication Method of the
    /// options (section 4.12).
    ///
    /// # Errors
    /// [`CallError::NothingToAuthenticate`] when no challenge waits for an answer; [`CallError::NotConnected`],
    /// [`CallError::Invalid`], [`CallError::PacketTooLarge`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new().authentication("CHALLENGE", None));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let Some(Event::Challenged(challenge)) = session.poll_event() else { panic!("the broker asks") };
    /// assert_eq!(challenge.data.as_deref(), Some(&b"who are you?"[..]));
    /// session.answer_challenge(b"thermometer-7")?;
    /// network.exchange(&mut session);
    /// assert_eq!(session.poll_event(), Some(Event::Connected { session_present: false }));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn answer_challenge(&mut self, data: &[u8]) -> Result<(), CallError> {
        self.machine.answer_challenge(data)
    }

    /// Authenticates again over this connection, beginning with this Authentication Data (section 4.12.1).
    /// [`Event::Authenticated`] tells of success. A broker that refuses ends the connection.
    ///
    /// # Errors
    /// [`CallError::NothingToAuthenticate`] when the options have no Authentication Method, or an authentication is
    /// under way; [`CallError::NotConnected`], [`CallError::Invalid`], [`CallError::PacketTooLarge`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new().authentication("TOKEN", Some(b"a token".to_vec())));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.poll_event();
    /// session.authenticate_again(b"a new token")?;
    /// network.exchange(&mut session);
    /// assert!(matches!(session.poll_event(), Some(Event::Authenticated(_))));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn authenticate_again(&mut self, data: &[u8]) -> Result<(), CallError> {
        self.begin_authenticating(Some(data))
    }

    /// As [`Session::authenticate_again`], with or without Authentication Data.
    pub(crate) fn begin_authenticating(&mut self, data: Option<&[u8]>) -> Result<(), CallError> {
        self.machine.authenticate_again(data)
    }

    /// Whether the client authenticates, whether it is the turn of the broker or of the user.
    pub(crate) const fn is_authenticating(&self) -> bool {
        !matches!(self.machine.turn, authenticate::Turn::Idle)
    }

    /// Ends the connection since the user has no answer to [`Event::Challenged`], or does not trust the broker:
    /// [`Event::Disconnected`] says why.
    pub(crate) fn fail_authentication(&mut self, why: String) {
        self.machine.fail_authentication(why);
    }

    /// Sets the Authentication Data of the next CONNECT, for methods that begin with something new each time.
    ///
    /// ```
    /// use mqtt_wasi::codec::Packet;
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new().authentication("TOKEN", None));
    /// session.set_authentication_data("a new token");
    /// session.connect(Instant::ZERO)?;
    /// let Ok(Some((Packet::Connect(connect), _))) = Packet::decode(session.transmit()) else { panic!("no CONNECT") };
    /// assert_eq!(connect.properties.authentication_data, Some(&b"a new token"[..]));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn set_authentication_data(&mut self, data: impl Into<Vec<u8>>) {
        self.use_authentication_data(Some(data.into()));
    }

    /// As [`Session::set_authentication_data`], or none.
    pub(crate) fn use_authentication_data(&mut self, data: Option<Vec<u8>>) {
        self.machine.options.authentication_data = data;
    }

    /// Whether CONNECT was sent and nothing came back.
    pub(crate) const fn is_unanswered(&self) -> bool {
        let machine = &self.machine;
        matches!(machine.status, Status::Connecting) && machine.stats.packets_received == machine.packets_before
    }

    /// Changes what the next CONNECT says, as far as nothing else is made of it: login, Will Message, User Properties,
    /// Authentication Data.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`], and nothing is changed.
    pub(crate) fn change_connect(&mut self, change: impl FnOnce(&mut SessionOptions)) -> Result<(), CallError> {
        let mut changed = self.machine.options.clone();
        change(&mut changed);
        changed.validate().map_err(CallError::InvalidOptions)?;
        self.machine.options = changed;
        Ok(())
    }

    /// Whether the next connection makes the broker forget the session.
    pub(crate) const fn set_clean_start(&mut self, clean_start: bool) {
        self.machine.starts_clean = clean_start;
        if !clean_start {
            self.machine.options.clean_start = false;
        }
    }

    /// The login of the next CONNECT: what is given of it, also if that is none.
    pub(crate) fn set_login(&mut self, user_name: Option<Option<String>>, password: Option<Option<Vec<u8>>>) {
        let options = &mut self.machine.options;
        if let Some(user_name) = user_name {
            options.user_name = user_name;
        }
        if let Some(password) = password {
            options.password = password;
        }
    }

    /// Ends the connection: puts DISCONNECT behind what waits to be sent. Then nothing more can be sent.
    ///
    /// # Errors
    /// [`CallError::NotConnected`], [`CallError::Invalid`], [`CallError::PacketTooLarge`];
    /// [`CallError::PropertyNotAllowed`] for a Session Expiry Interval when that of the options is 0 (section
    /// 3.14.2.2.2).
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Disconnect, ReasonCode};
    /// use mqtt_wasi::session::{Session, Status};
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.disconnect(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION))?;
    /// assert_eq!(session.transmit(), b"\xE0\x00");
    /// assert_eq!(session.status(), Status::Closing);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn disconnect(&mut self, disconnect: &Disconnect<'_>) -> Result<(), CallError> {
        self.machine.disconnect(disconnect)
    }

    /// Whether there is something of this, as far as can be told without the packet that needs it.
    pub(crate) fn has(&self, resource: Shortage) -> bool {
        self.machine.status == Status::Connected
            && match resource {
                Shortage::Quota => self.machine.has_quota(),
                Shortage::Outbound => self.machine.has_room(),
                Shortage::Requests => self.machine.may_request(),
            }
    }

    /// Tells one point in the life of the session from another: something has moved between them.
    pub(crate) const fn progress(&self) -> u64 {
        let Stats { bytes_sent, packets_received, .. } = self.machine.stats;
        bytes_sent + packets_received + 1
    }

    /// Where the bytes that wait to be sent end in the stream of this connection.
    pub(crate) const fn outbound_end(&self) -> u64 {
        self.machine.outbound.end()
    }

    /// Whether everything before this place in the stream of this connection was sent.
    pub(crate) const fn has_sent(&self, place: u64) -> bool {
        self.machine.outbound.has_sent(place)
    }

    /// Neither restores this subscription nor reports it as lost. The broker is told nothing.
    pub(crate) fn forget_subscription(&mut self, filter: &str) {
        self.machine.subscriptions.remove(filter);
    }

    /// Whether there is this subscription, as far as is known, or it is being restored.
    pub(crate) fn is_subscribed(&self, filter: &str) -> bool {
        self.machine.subscriptions.iter().any(|known| *known.filter == *filter)
    }

    /// Everything that waits to be sent.
    ///
    /// ```
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// assert!(session.transmit().is_empty());
    /// session.connect(Instant::ZERO)?;
    /// assert_eq!(session.transmit()[0], 0x10, "CONNECT");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        self.machine.outbound.pending()
    }

    /// Notes that the first `len` bytes of [`Session::transmit`] were sent.
    ///
    /// # Panics
    /// If that is more than there was.
    ///
    /// ```
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(Instant::ZERO)?;
    /// session.transmitted(session.transmit().len(), Instant::ZERO);
    /// assert!(session.transmit().is_empty());
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn transmitted(&mut self, len: usize, now: Instant) {
        if len > 0 {
            self.machine.transmitted(len, now);
        }
    }

    /// The next event: something that happened, except messages. `None`: nothing happened.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// while let Some(event) = session.poll_event() {
    ///     match event {
    ///         Event::Connected { session_present } => assert!(!session_present),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn poll_event(&mut self) -> Option<Event> {
        while self.machine.events.is_empty() && !self.is_paused() && self.step() {}
        self.machine.events.pop_front()
    }

    /// The next message, borrowed from the receive buffer, in the order that the broker sent them. It is acknowledged:
    /// the acknowledgement waits in [`Session::transmit`]. It has its full Topic Name, and no Topic Alias.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// network.publish(Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)); // the broker sends a message
    /// network.exchange(&mut session);
    /// let message = session.receive().expect("a message");
    /// assert_eq!((message.topic, message.payload), ("sensors/kitchen", &b"21.5"[..]));
    /// assert_eq!(session.transmit(), b"\x40\x02\x00\x01", "PUBACK");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn receive(&mut self) -> Option<Publish<'_>> {
        self.next_message(|machine, publish| machine.acknowledge(publish))
    }

    /// As [`Session::receive`], but the message is acknowledged by [`Session::acknowledge`]. Until then it counts
    /// against the [Receive Maximum](crate::Options::receive_maximum), so the broker sends no more than the user keeps
    /// up with.
    ///
    /// There is no [`Delivery`] where there is nothing to acknowledge: at QoS 0, and for a message of an earlier
    /// connection.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("jobs", QoS::AtLeastOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// network.publish(Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce));
    /// network.exchange(&mut session);
    /// let (_, delivery) = session.receive_unacknowledged().expect("a message");
    /// assert!(session.transmit().is_empty());
    /// session.acknowledge(delivery.expect("a QoS 1 message"));
    /// assert_eq!(session.transmit(), b"\x40\x02\x00\x01", "PUBACK");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn receive_unacknowledged(&mut self) -> Option<(Publish<'_>, Option<Delivery>)> {
        let mut delivery = None;
        let publish = self.next_message(|machine, publish| delivery = machine.hold(publish))?;
        Some((publish, delivery))
    }

    /// Hands messages to `deliver`, each decoded once, for as long as that returns `true` and there are any. An event
    /// stops it: it is to be [taken](Session::poll_event) before the messages behind it.
    pub(crate) fn deliver(&mut self, mut deliver: impl FnMut(&Publish<'_>, Option<Delivery>) -> bool) {
        while !self.has_event() {
            let goes_on = if let Some(span) = self.next_unchecked::<true>() {
                self.reader.release(None);
                let body = self.reader.body(&span);
                let error = match Publish::decode(span.flags, body, self.machine.options.decode) {
                    Ok(publish) => match self.machine.take_in(&publish) {
                        Ok(_) => {
                            let delivery = self.machine.hold(&publish);
                            if !deliver(&publish, delivery) {
                                return;
                            }
                            continue;
                        }
                        Err(error) => error,
                    },
                    Err(error) => FrameError::Malformed(error).into(),
                };
                self.machine.fail_message(topic_of(self.reader.body(&span)), error);
                false
            } else if self.has_event() {
                false
            } else {
                let mut delivery = None;
                let waiting =
                    self.finish_message::<true>(None, |machine, publish| delivery = machine.hold_for_later(publish));
                waiting.is_some_and(|publish| deliver(&publish, delivery))
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Whether there is an event that is known already.
    pub(crate) fn has_event(&self) -> bool {
        !self.machine.events.is_empty()
    }

    /// Acknowledges a message, in any order. The broker gets the acknowledgements in the order of the messages
    /// `[MQTT-4.6.0-2]`. Returns `false` if it was done before, or if the connection of the message is over: then the
    /// broker sends it again, if it keeps the session. At QoS 2 it is in time until the next connection is made, and
    /// the message is then not received again.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("jobs", QoS::AtLeastOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// network.publish(Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce));
    /// network.publish(Publish::new("jobs", "print 5 labels").qos(QoS::AtLeastOnce));
    /// network.exchange(&mut session);
    /// let first = session.receive_unacknowledged().and_then(|(_, delivery)| delivery).expect("a QoS 1 message");
    /// let second = session.receive_unacknowledged().and_then(|(_, delivery)| delivery).expect("another");
    /// session.acknowledge(second);
    /// assert!(session.transmit().is_empty(), "it waits for the first");
    /// session.acknowledge(first);
    /// assert_eq!(session.transmit(), b"\x40\x02\x00\x01\x40\x02\x00\x02", "PUBACK for both");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn acknowledge(&mut self, delivery: Delivery) -> bool {
        self.machine.acknowledge_by_hand(delivery)
    }

    /// Whether [`Session::receive`] has a message.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// assert!(!session.has_message());
    /// network.publish(Publish::new("sensors/kitchen", "21.5"));
    /// network.exchange(&mut session);
    /// assert!(session.has_message());
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn has_message(&mut self) -> bool {
        while self.backlog.is_empty() && !self.machine.outbound.is_overrun() && self.step() {}
        !self.backlog.is_empty()
    }

    /// When [`Session::handle_timeout`] has something to do. `None`: never, as things are.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new().connect_timeout(Duration::from_secs(5)));
    /// assert_eq!(session.deadline(), None);
    /// session.connect(Instant::ZERO)?;
    /// assert_eq!(session.deadline(), Some(Instant::ZERO + Duration::from_secs(5)), "CONNACK must come by then");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    /// Where the session stands with its connection.
    ///
    /// ```
    /// use mqtt_wasi::session::{Session, Status};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(Instant::ZERO)?;
    /// assert_eq!(session.status(), Status::Connecting);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn status(&self) -> Status {
        self.machine.status
    }

    /// From now on a broker that has sent CONNACK is told nothing and listened to no more, until it is
    /// [trusted](Session::trust).
    pub(crate) const fn check_brokers(&mut self) {
        self.machine.checks_brokers = true;
    }

    /// The broker that has sent CONNACK is to be trusted.
    pub(crate) fn trust(&mut self) {
        if self.machine.awaits_trust
            && let Ok(Some(Packet::Connack(connack))) =
                Packet::decode_from_server(PacketType::Connack, 0, &self.connack, self.machine.options.decode)
        {
            let is_present = connack.session_present;
            self.machine.accept(&connack);
            self.take_up_session(is_present);
        }
    }

    /// The CONNACK of this connection, or of the last one. `None` before the first.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let connack = session.connack().expect("the broker answered");
    /// assert_eq!(connack.properties.topic_alias_maximum, Some(8));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn connack(&self) -> Option<Connack<'_>> {
        match Packet::decode_from_server(PacketType::Connack, 0, &self.connack, self.machine.options.decode) {
            Ok(Some(Packet::Connack(connack))) => Some(connack),
            _ => None,
        }
    }

    /// What the broker sent in CONNACK, with the specification's defaults where it sent nothing.
    /// `None` before the first connection.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{Options, QoS};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let info = session.connection_info().expect("the broker answered");
    /// assert_eq!((info.maximum_qos, info.topic_alias_maximum), (QoS::ExactlyOnce, 8));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        self.connack().map(|connack| ConnectionInfo::new(self.client_id(), &connack))
    }

    /// The same, with what holds where a broker says nothing before there was one.
    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) fn connection_info_or_default(&self) -> ConnectionInfo {
        ConnectionInfo::new(self.client_id(), &self.connack().unwrap_or_default())
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// assert_eq!(session.client_id(), "");
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// assert_eq!(session.client_id(), "assigned-0");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.machine.client_id()
    }

    /// How many QoS 1 and 2 messages are in flight to the broker.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// assert_eq!(session.in_flight(), 1);
    /// network.exchange(&mut session);
    /// assert_eq!(session.in_flight(), 0);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.machine.in_flight.messages() as usize
    }

    /// The QoS 1 and 2 messages that are in flight to the broker: those whose PUBREL was sent first, then the others in
    /// the order they were sent.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let in_flight = session.messages_in_flight();
    /// assert_eq!((in_flight[0].message.topic.as_str(), in_flight[0].attempts), ("sensors/kitchen", 1));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn messages_in_flight(&self) -> Vec<InFlightMessage> {
        let in_flight = &self.machine.in_flight;
        let list = in_flight.messages_in_order().map(|id| InFlightMessage {
            id: in_flight.operation(id).unwrap_or_default().number(),
            message: self.machine.message_in_flight(id).into(),
            attempts: in_flight.attempts(id),
        });
        list.collect()
    }

    /// Gives up a message of [`Session::messages_in_flight`]: it is not sent again. Its call fails with
    /// [`Error::GivenUp`]. What the broker has of the message stays there. `false` if it is not in flight any more.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let id = session.messages_in_flight()[0].id;
    /// assert!(session.give_up_message(id));
    /// assert_eq!(session.in_flight(), 0);
    /// assert!(!session.give_up_message(id), "it was given up before");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn give_up_message(&mut self, id: u64) -> bool {
        self.machine.give_up_by_hand(OperationId::from_number(id))
    }

    /// How many messages in a row the client had to refuse for this reason.
    pub(crate) fn refusals_for(&self, error: &Error) -> u32 {
        let refusals = self.machine.refusals.iter().filter(|refusal| refusal.is_for(error));
        refusals.map(|refusal| refusal.times).max().unwrap_or(0)
    }

    /// Counters over all connections of this session.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let stats = session.stats();
    /// assert_eq!((stats.packets_sent, stats.packets_received), (1, 1), "CONNECT and CONNACK");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            packets_sent: self.machine.outbound.packets(),
            in_flight: self.in_flight(),
            pending_requests: self.machine.requests.pending(),
            ping_round_trip: self.machine.keep_alive.round_trip(),
            ..self.machine.stats
        }
    }

    /// The session as bytes, for a later process to continue: see [`Options::resume`](crate::Options::resume). It holds
    /// the messages in flight, QoS 0 messages that were not sent, the state of QoS 2, and the subscriptions (section
    /// 4.1). It holds no password, and of the options only the Client Identifier.
    ///
    /// Messages that were not received are not in it: the broker sends them again at QoS 1 and 2. A snapshot that is
    /// stored before [`Session::transmit`] is sent keeps QoS 2 at exactly once over processes. An older one makes it at
    /// least once.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::{Session, Snapshot};
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(3600);
    /// let mut session = Session::new(options.clone());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let bytes = session.snapshot();
    ///
    /// // In a later process:
    /// let session = Session::new(options.resume(Snapshot::from_bytes(&bytes)?));
    /// assert_eq!(session.in_flight(), 1, "it is sent once there is a connection");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let waiting = self.backlog.iter().filter(|waiting| waiting.origin != Origin::LostSession);
        let waiting = waiting.filter(|waiting| waiting.span.is_exactly_once());
        let waiting = waiting.filter_map(|waiting| self.reader.packet_id(&waiting.span));
        let undelivered: Vec<_> = waiting.chain(self.machine.held.undelivered()).collect();
        Snapshot::write(&self.machine, self.client_id(), &undelivered)
    }

    /// Takes all packets that came, so that what waits is known and keeps within its bounds.
    fn take_all(&mut self) {
        while !self.is_paused() && self.step() {}
    }

    /// Whether nothing more is read, because too many messages wait to be received, or too many answers to be sent.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// assert!(!session.is_paused());
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_behind() || self.machine.outbound.is_overrun()
    }

    /// Whether too many messages wait to be received.
    fn is_behind(&self) -> bool {
        match self.machine.status {
            Status::Connected => self.has_waiting(self.machine.options.backlog_limit),
            // CONNACK does not have to wait for that, nor AUTH before it.
            _ => self.is_far_behind(),
        }
    }

    /// Whether so many wait that what came with them, and is not taken yet, has to wait or be lost with its connection.
    fn is_far_behind(&self) -> bool {
        let SessionOptions { backlog_limit, maximum_packet_size, .. } = self.machine.options;
        self.has_waiting(backlog_limit.saturating_add(2 * maximum_packet_size as usize))
    }

    /// Whether messages wait that have as many bytes.
    fn has_waiting(&self, bytes: usize) -> bool {
        !self.backlog.is_empty() && self.reader.held() >= bytes
    }

    /// The next message, after `take` if it came over this connection.
    #[inline]
    fn next_message(&mut self, take: impl FnOnce(&mut Machine, &Publish<'_>)) -> Option<Publish<'_>> {
        let direct = self.next_unchecked::<false>();
        self.finish_message::<false>(direct, take)
    }

    /// As [`Session::next_message`], once it is known whether there is one that was not taken yet.
    #[inline]
    fn finish_message<const WAITS: bool>(
        &mut self,
        direct: Option<FrameSpan>,
        take: impl FnOnce(&mut Machine, &Publish<'_>),
    ) -> Option<Publish<'_>> {
        let options = self.machine.options.decode;
        if let Some(span) = direct {
            self.reader.release(None);
            let result = match Publish::decode(span.flags, self.reader.body(&span), options) {
                Ok(publish) => match self.machine.take_in(&publish) {
                    Ok(_) => {
                        take(&mut self.machine, &publish);
                        return Some(publish);
                    }
                    Err(error) => error,
                },
                Err(error) => FrameError::Malformed(error).into(),
            };
            self.machine.fail_message(topic_of(self.reader.body(&span)), result);
            return None;
        }
        let Waiting { span, origin, topic } = self.backlog.pop_front()?;
        // The bytes of this message are free now, but stay as they are until the buffer is read into again.
        self.reader.release(self.backlog.front().map(|waiting| &waiting.span));
        let publish = Publish::decode(span.flags, self.reader.body(&span), options).ok()?;
        // What waits for its user has not been delivered, though its connection is over.
        if origin == Origin::ThisConnection || (WAITS && origin == Origin::EarlierConnection) {
            take(&mut self.machine, &publish);
        }
        while let Some(waiting) = self.backlog.front()
            && let Some((id, is_refused)) = waiting.origin.only_acknowledged()
        {
            self.machine.acknowledge_in_order(id, waiting.span.qos(), is_refused);
            self.backlog.pop_front();
        }
        Some(if publish.properties.topic_alias.is_some() { named(publish, &mut self.topic, topic) } else { publish })
    }

    /// Takes packets until there is a message to receive. One that could be handed out right away is not taken but
    /// returned: so it is decoded once, and not both when it comes and when it is received. Where Topic Aliases may
    /// come, all are taken, since what an alias stands for may change before a message is received. Stops at the first
    /// event, if that is to be seen before the messages behind it.
    fn next_unchecked<const STOPS_AT_EVENT: bool>(&mut self) -> Option<FrameSpan> {
        while self.backlog.is_empty() && !self.machine.outbound.is_overrun() {
            let span = self.next_frame()?;
            // Where messages may be skipped, they are looked at when they come.
            let options = &self.machine.options;
            let has_no_alias = options.topic_alias_maximum == 0 && !options.skip_refused_messages;
            let is_plain = span.packet_type == PacketType::Publish
                && !span.is_exactly_once()
                && has_no_alias
                && !self.is_reply(&span);
            if is_plain && self.machine.expect(PacketType::Publish).is_ok() {
                return Some(span);
            }
            self.take(span);
            if STOPS_AT_EVENT && self.has_event() {
                return None;
            }
        }
        None
    }

    /// Whether this is a PUBLISH to the Response Topic, with its Topic Name.
    fn is_reply(&self, span: &FrameSpan) -> bool {
        self.machine.requests.topic().is_some_and(|topic| {
            let name = self.reader.body(span).split_first_chunk().map(|(len, rest)| (u16::from_be_bytes(*len), rest));
            name.is_some_and(|(len, rest)| usize::from(len) == topic.len() && rest.starts_with(topic.as_bytes()))
        })
    }

    /// Takes the next packet; `false` if there is none.
    fn step(&mut self) -> bool {
        let span = self.next_frame();
        if let Some(span) = span {
            self.take(span);
        }
        span.is_some()
    }

    fn next_frame(&mut self) -> Option<FrameSpan> {
        // What a broker says that is not to be trusted is not even looked at.
        if !self.machine.listens {
            return None;
        }
        loop {
            match self.reader.next_span() {
                Ok(span) => {
                    self.machine.stats.packets_received += u64::from(span.is_some());
                    return span;
                }
                Err(error) => match self.refuse_oversized(error) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => {
                        self.fail_framing(error);
                        return None;
                    }
                },
            }
        }
    }

    /// What comes is no packet that could be taken.
    #[cold]
    fn fail_framing(&mut self, error: Error) {
        let greeting = if self.machine.status == Status::Connecting { self.reader.unframed() } else { &[] };
        let other = match greeting {
            [b'H', b'T', b'T', b'P', ..] => Some(OtherProtocol::Http),
            [b'S', b'S', b'H', b'-', ..] => Some(OtherProtocol::Ssh),
            _ => None,
        };
        self.machine.fail(other.map_or(error, Error::NotMqtt));
    }

    fn take(&mut self, span: FrameSpan) {
        let result = match span.packet_type {
            PacketType::Publish => self.take_publish(span),
            _ => self.take_other(&span),
        };
        if let Err(error) = result {
            self.machine.fail(error);
        }
    }

    fn take_publish(&mut self, span: FrameSpan) -> Result<(), Error> {
        self.machine.expect(PacketType::Publish)?;
        let error = match Publish::decode(span.flags, self.reader.body(&span), self.machine.options.decode) {
            Ok(publish) => match self.machine.resolve_alias(&publish) {
                Ok(topic) => {
                    let own = self.machine.requests.topic();
                    let is_reply = own.is_some_and(|own| own == topic.as_deref().unwrap_or(publish.topic));
                    if self.machine.take_in(&publish)? {
                        if !is_reply {
                            if self.backlog.is_empty() {
                                // What was framed before it is not held for anyone.
                                self.reader.release(Some(&span));
                            }
                            self.backlog.push_back(Waiting { span, origin: Origin::ThisConnection, topic });
                            return Ok(());
                        }
                        self.machine.take_reply(&publish);
                        if self.backlog.is_empty() {
                            self.machine.acknowledge(&publish);
                        } else if let Some(id) = publish.packet_id {
                            self.backlog.push_back(Waiting { span, origin: Origin::Answered(id), topic: None });
                        }
                    }
                    return Ok(());
                }
                Err(error) => error.into(),
            },
            Err(error) => FrameError::Malformed(error).into(),
        };
        let head = Head::of(self.reader.body(&span), span.flags);
        self.refuse(span, head, error)
    }

    /// Refuses a message: skips it if the options tell it to and it can be acknowledged, and fails otherwise.
    #[cold]
    fn refuse(&mut self, span: FrameSpan, head: Head, error: Error) -> Result<(), Error> {
        let Head { topic, packet_id } = head;
        let may_be_skipped = match QoS::from_u8(span.flags >> 1 & 0b11) {
            Some(QoS::AtMostOnce) => true,
            Some(_) => packet_id.is_some(),
            // How to acknowledge it is not known.
            None => false,
        };
        let is_skipped = may_be_skipped && self.machine.options.skip_refused_messages;
        self.machine.note_refusal(topic, error.clone(), is_skipped);
        if !is_skipped {
            return Err(error);
        }
        if let Some(id) = packet_id
            && self.machine.take_in_refused(id, span.qos())?
        {
            if self.backlog.is_empty() {
                self.machine.acknowledge_in_order(id, span.qos(), true);
            } else {
                self.backlog.push_back(Waiting { span, origin: Origin::Refused(id), topic: None });
            }
        }
        Ok(())
    }

    /// Refuses a message that is larger than the Maximum Packet Size; whether it is skipped now. Otherwise more of it
    /// has to come first.
    #[cold]
    fn refuse_oversized(&mut self, error: FrameError) -> Result<bool, Error> {
        let is_oversized = matches!(error, FrameError::PacketTooLarge { .. });
        let is_message = is_oversized && self.machine.expect(PacketType::Publish).is_ok();
        let Some((span, body, is_all)) = self.reader.oversized_message().filter(|_| is_message) else {
            return Err(error.into());
        };
        let head = Head::of(body, span.flags);
        if self.machine.options.skip_refused_messages && !is_all && !head.is_whole(body, &span) {
            return Ok(false);
        }
        self.refuse(span, head, error.into())?;
        self.reader.skip_packet();
        self.machine.stats.packets_received += 1;
        Ok(true)
    }

    fn take_other(&mut self, span: &FrameSpan) -> Result<(), Error> {
        self.machine.expect(span.packet_type)?;
        let body = self.reader.body(span);
        if span.packet_type == PacketType::Connack && body.len() == CONNACK_3_LEN {
            return Err(Error::Mqtt3Only);
        }
        let packet = Packet::decode_from_server(span.packet_type, span.flags, body, self.machine.options.decode)
            .map_err(FrameError::Malformed)?
            .ok_or(ProtocolError::UnexpectedPacket(span.packet_type))?;
        self.machine.handle(packet)?;
        if let Packet::Connack(connack) = packet {
            self.connack.clear();
            self.connack.extend_from_slice(body);
            self.take_up_session(connack.session_present);
        }
        Ok(())
    }

    /// What becomes of the messages that wait, if there is a connection: a refusal says nothing of the session.
    fn take_up_session(&mut self, is_present: bool) {
        if self.machine.status != Status::Connected {
            return;
        }
        if is_present {
            self.drop_what_comes_again();
        } else {
            self.move_backlog(Origin::EarlierConnection, Origin::LostSession);
        }
    }

    /// Drops messages that came over an earlier connection and that the broker will send again over this one, since it
    /// kept the session and was not told that they came.
    fn drop_what_comes_again(&mut self) {
        let (reader, machine) = (&self.reader, &mut self.machine);
        self.backlog.retain(|Waiting { span, origin, .. }| {
            let packet_id = reader.packet_id(span).filter(|_| *origin == Origin::EarlierConnection);
            if let Some(id) = packet_id.filter(|_| span.is_exactly_once()) {
                machine.received.remove(id);
            }
            packet_id.is_none()
        });
    }

    fn move_backlog(&mut self, from: Origin, to: Origin) {
        for waiting in self.backlog.iter_mut().filter(|waiting| waiting.origin == from) {
            waiting.origin = to;
        }
    }
}

/// The message with the Topic Name that its alias stands for, if it has none, and without the alias, which says nothing
/// to the user.
#[cold]
fn named<'a>(publish: Publish<'a>, place: &'a mut Option<Arc<str>>, topic: Option<Arc<str>>) -> Publish<'a> {
    let properties = PublishProperties { topic_alias: None, ..publish.properties };
    if topic.is_none() {
        return Publish { properties, ..publish };
    }
    *place = topic;
    Publish { topic: place.as_deref().unwrap_or_default(), properties, ..publish }
}

/// What can be read of a message that is refused.
struct Head {
    topic: Option<String>,
    packet_id: Option<PacketId>,
}

impl Head {
    fn of(body: &[u8], flags: u8) -> Self {
        Self { topic: topic_of(body).map(Into::into), packet_id: frame::packet_id(body, flags) }
    }

    /// Whether nothing more is to be read of it, where this is all of its body that has come.
    fn is_whole(&self, body: &[u8], span: &FrameSpan) -> bool {
        let is_enough = |len: u16| body.len() >= 2 + usize::from(len) + 2;
        span.qos() == QoS::AtMostOnce
            || self.packet_id.is_some()
            || body.first_chunk().is_some_and(|len| is_enough(u16::from_be_bytes(*len)))
    }
}

/// The Topic Name that the body of a PUBLISH begins with, if it is text.
fn topic_of(body: &[u8]) -> Option<&str> {
    let (len, rest) = body.split_first_chunk()?;
    core::str::from_utf8(rest.get(..u16::from_be_bytes(*len).into())?).ok()
}
