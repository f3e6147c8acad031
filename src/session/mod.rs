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
#[cfg(feature = "stream")]
mod incoming;
mod inspect;
mod keep_alive;
mod last_topic;
mod machine;
mod options;
mod outbound;
mod publish;
mod receive;
mod received_ids;
mod request;
mod snapshot;
mod stats;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "stream")]
mod stream;
mod subscriptions;
mod terms;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

pub use acknowledge::Delivery;
pub use connection_info::ConnectionInfo;
pub use event::{Challenge, Event, OperationId};
pub use inspect::InFlightMessage;
use last_topic::LastTopic;
use machine::Machine;
#[cfg(feature = "json")]
pub(crate) use options::Envelope;
pub use options::{SessionOptions, WillMessage};
use receive::{Origin, Waiting};
pub use snapshot::Snapshot;
pub use stats::Stats;
#[cfg(feature = "store")]
pub(crate) use store::Loaded;
#[cfg(feature = "store")]
pub use store::{Changes, Store};
pub(crate) use subscriptions::by_length;

use crate::codec::{Disconnect, Publish, SubscribeProperties, Subscription, UnsubscribeProperties};
use crate::error::{CallError, Error};
use crate::fifo::Fifo;
use crate::frame::FrameReader;
use crate::time::Instant;

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
    backlog: Fifo<Waiting>,
    /// The Topic Name of the last message that was received with nothing but an alias for it.
    topic: Option<Arc<str>>,
    last_topic: LastTopic,
    /// The body of the last CONNACK.
    connack: Vec<u8>,
    /// The message that is streamed from the broker: the last of those that came.
    #[cfg(feature = "stream")]
    incoming: Option<incoming::Incoming>,
    #[cfg(feature = "stream")]
    rest: Option<incoming::Rest>,
    /// How many were streamed.
    #[cfg(feature = "stream")]
    streamed: u64,
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
    /// The connection for a message that is streamed, and a place among the messages in flight for it.
    #[cfg(feature = "stream")]
    Stream,
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
        #[cfg_attr(not(feature = "stream"), allow(unused_mut))]
        let mut reader = FrameReader::new(options.maximum_packet_size);
        #[cfg(feature = "stream")]
        reader.stream_above(options.stream_above);
        Self {
            machine: Machine::new(options),
            reader,
            backlog: Fifo::new(),
            topic: None,
            last_topic: LastTopic::default(),
            connack: Vec::new(),
            #[cfg(feature = "stream")]
            incoming: None,
            #[cfg(feature = "stream")]
            rest: None,
            #[cfg(feature = "stream")]
            streamed: 0,
        }
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
        #[cfg(feature = "stream")]
        self.keep_whole_payload();
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
        #[cfg(feature = "store")]
        if resource == Shortage::Quota && self.has_store() {
            return self.machine.has_store_room();
        }
        self.machine.status == Status::Connected
            && match resource {
                Shortage::Quota => self.machine.has_quota(),
                Shortage::Outbound => self.machine.has_room(),
                Shortage::Requests => self.machine.may_request(),
                #[cfg(feature = "stream")]
                Shortage::Stream => self.machine.may_stream(),
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

    /// Whether nothing is left to be sent over this connection.
    pub(crate) fn has_left(&self) -> bool {
        #[cfg(feature = "stream")]
        if self.awaits_payload() {
            return false;
        }
        self.transmit().is_empty()
    }

    /// Neither restores this subscription nor reports it as lost. The broker is told nothing.
    pub(crate) fn forget_subscription(&mut self, filter: &str) {
        self.machine.subscriptions.remove(filter);
        #[cfg(feature = "store")]
        self.machine.journal.head_changed();
    }

    /// Whether there is this subscription, as far as is known, or it is being restored.
    pub(crate) fn is_subscribed(&self, filter: &str) -> bool {
        self.machine.subscriptions.iter().any(|known| *known.filter == *filter)
    }

    /// What is to be sent next: everything that waits to be sent, except packets of 256 KiB and more, in WebAssembly of
    /// 32 KiB and more. They may come by themselves, and what is behind them after that. So there may be more once this
    /// was sent.
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

    /// How many bytes wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.machine.outbound.waiting()
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
}
