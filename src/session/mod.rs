//! The MQTT v5.0 state machine of a client, without a clock, a socket or a thread of its own.
//!
//! # In scope
//! Everything a client does between its user and a network connection: CONNECT, Keep Alive, flow control, delivery at
//! every QoS, and what happens to all of it when the connection is lost and made again.
//!
//! # Out of scope
//! The network connection itself. Whoever drives the session moves bytes and tells the time:
//!
//! ```text
//!    connection ──► read_buffer, received ──►┌─────────┐──► poll_event, receive ──► user
//!    connection ◄── transmit, transmitted ◄──│ Session │◄── publish, subscribe, … ◄── user
//!         clock ──► handle_timeout ─────────►└─────────┘──► deadline
//! ```
//!
//! The rule: after each call on the left, [`Session::poll_event`] and [`Session::receive`] until both return `None`;
//! then send what [`Session::transmit`] has; then wait for bytes or for [`Session::deadline`].
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
//! ```
//! use core::time::Duration;
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
//! session.publish(&Publish::new("t", b"!").qos(QoS::AtLeastOnce))?;
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
    Connack, Disconnect, Packet, PacketType, Publish, PublishProperties, SubscribeProperties, Subscription,
    UnsubscribeProperties,
};
use crate::error::{CallError, Error, OtherProtocol, ProtocolError};
use crate::frame::{FrameError, FrameReader, FrameSpan};
use crate::time::Instant;

/// How long the body of CONNACK is before MQTT v5.0; in v5.0 it has at least a Property Length more.
const CONNACK_3_LEN: usize = 2;

/// The client's side of one MQTT session, over any number of network connections, one after the other.
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
    Answered,
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

/// Where the session stands with its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There is no connection.
    Disconnected,
    /// CONNECT was sent; CONNACK is to come.
    Connecting,
    /// The broker took the connection.
    Connected,
    /// What [`Session::transmit`] has is the last that is sent; then the connection is to be closed.
    Closing,
}

impl Status {
    const fn is_open(self) -> bool {
        matches!(self, Self::Connecting | Self::Connected)
    }
}

impl Session {
    /// A session without a connection.
    #[must_use]
    pub fn new(options: impl Into<SessionOptions>) -> Self {
        let options = options.into();
        let reader = FrameReader::new(options.maximum_packet_size);
        Self { machine: Machine::new(options), reader, backlog: VecDeque::new(), topic: None, connack: Vec::new() }
    }

    /// Starts over a new network connection. After the first one the session goes on: what was in flight is sent again
    /// once the broker took the connection.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`] when CONNECT has no valid bytes for the options.
    pub fn connect(&mut self, now: Instant) -> Result<(), CallError> {
        self.connection_closed(Error::ConnectionClosed);
        self.reader.cut();
        self.machine.connect(now)
    }

    /// Says that the network connection is closed, because of `error` if it was not to be.
    ///
    /// Messages that were received stay, and so does what is in flight.
    pub fn connection_closed(&mut self, error: Error) {
        while !self.is_far_behind() && self.step() {}
        self.machine.closed(error);
        self.backlog.retain(|waiting| waiting.origin != Origin::Answered);
        self.move_backlog(Origin::ThisConnection, Origin::EarlierConnection);
    }

    /// Where the next bytes from the broker go. Empty while nothing more should be read, since too many messages
    /// [wait to be received](Session::receive).
    pub fn read_buffer(&mut self) -> &mut [u8] {
        self.prepare_transfer().1
    }

    /// Takes the packets that came, and makes room for more: [`Session::transmit`] and [`Session::read_buffer`] at once, to
    /// move bytes both ways.
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

    /// Says that the first `len` bytes of [`Session::read_buffer`] now hold the next bytes from the broker.
    ///
    /// # Panics
    /// When that is more than the buffer had.
    pub fn received(&mut self, len: usize, now: Instant) {
        self.reader.filled(len);
        self.machine.stats.bytes_received += len as u64;
        if !self.machine.status.is_open() {
            // Nobody will take it.
            self.reader.cut();
        } else if len > 0 {
            self.machine.keep_alive.received(now);
        }
    }

    /// Does what is due at `now`. Harmless at any time.
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

    /// Takes a message to send. The session sets DUP and the Packet Identifier itself.
    ///
    /// A Topic Alias of the caller's stands for the Topic Name until the connection ends: the session sends the Topic
    /// Name when the broker does not know it, and leaves it out when it does. A message with the alias alone is sent if
    /// one with both was before. See [`Options::outbound_topic_aliases`](crate::Options::outbound_topic_aliases) for aliases by themselves.
    ///
    /// Returns which [`Event::Published`] will tell how it went, at QoS 1 and 2; `None` at QoS 0, which nobody
    /// acknowledges.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`] when too much is in flight or waits to be sent,
    /// [`CallError::NotConnected`], [`CallError::Invalid`], [`CallError::PacketTooLarge`],
    /// [`CallError::QosNotSupported`], [`CallError::RetainNotSupported`], [`CallError::PropertyNotAllowed`],
    /// [`CallError::PayloadNotUtf8`], [`CallError::TopicAliasInvalid`], [`CallError::UnknownTopicAlias`].
    pub fn publish(&mut self, publish: &Publish<'_>) -> Result<Option<OperationId>, CallError> {
        self.machine.publish(publish)
    }

    /// Takes a request to send: a message whose Response Topic and Correlation Data the session sets, and whose Message
    /// Expiry Interval is `timeout` unless it has one. Returns which [`Event::Replied`] will bring the reply, or say that
    /// none came within `timeout`.
    ///
    /// Before the first request the session subscribes to its Response Topic; until the broker has granted that, this is
    /// [`CallError::WouldBlock`]. No message to that topic is ever received as others are.
    ///
    /// `nonce` is what makes Correlation Data hard to guess: a random number that is used once.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`], [`CallError::RepliesRefused`], [`CallError::PropertyNotAllowed`] for a Response
    /// Topic or Correlation Data of the caller's, and as [`Session::publish`].
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

    /// Gives a request up: its reply is dropped when it comes. Returns `false` if it has ended.
    pub fn cancel_request(&mut self, id: OperationId) -> bool {
        self.machine.cancel_request(id)
    }

    /// The Response Topic of requests, once there was one.
    #[must_use]
    pub fn response_topic(&self) -> Option<&str> {
        self.machine.requests.topic()
    }

    /// Asks for messages. Returns which [`Event::Subscribed`] will tell how it went.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`], [`CallError::NotConnected`], [`CallError::Invalid`],
    /// [`CallError::PacketTooLarge`], [`CallError::WildcardSubscriptionsNotSupported`],
    /// [`CallError::SharedSubscriptionsNotSupported`], [`CallError::SubscriptionIdentifiersNotSupported`].
    pub fn subscribe(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<OperationId, CallError> {
        self.machine.subscribe(subscriptions, properties)
    }

    /// As [`Session::subscribe`], with an identifier that is none of the user's: a broker that takes none is not told it, and
    /// neither is it by another connection.
    pub(crate) fn subscribe_with_own_identifier(
        &mut self,
        subscription: Subscription<'_>,
        identifier: Option<u32>,
    ) -> Result<OperationId, CallError> {
        self.machine.subscribe_with_own_identifier(subscription, identifier)
    }

    /// Asks for no more messages. Returns which [`Event::Unsubscribed`] will tell how it went.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`], [`CallError::NotConnected`], [`CallError::Invalid`],
    /// [`CallError::PacketTooLarge`].
    pub fn unsubscribe(
        &mut self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<OperationId, CallError> {
        self.machine.unsubscribe(filters, properties)
    }

    /// Answers [`Event::Challenged`]: an AUTH with this Authentication Data, and the Authentication Method of the options
    /// (section 4.12).
    ///
    /// # Errors
    /// [`CallError::NothingToAuthenticate`] when it is not the user's turn, [`CallError::NotConnected`],
    /// [`CallError::Invalid`], [`CallError::PacketTooLarge`].
    pub fn answer_challenge(&mut self, data: &[u8]) -> Result<(), CallError> {
        self.machine.answer_challenge(data)
    }

    /// Has the client authenticated again, over this connection, beginning with this Authentication Data (section
    /// 4.12.1). [`Event::Authenticated`] tells of success; a broker that refuses ends the connection.
    ///
    /// # Errors
    /// [`CallError::NothingToAuthenticate`] when the options have no Authentication Method or the client is
    /// authenticating already, [`CallError::NotConnected`], [`CallError::Invalid`],
    /// [`CallError::PacketTooLarge`].
    pub fn authenticate_again(&mut self, data: &[u8]) -> Result<(), CallError> {
        self.machine.authenticate_again(data)
    }

    /// Whether the client authenticates, be it that the broker or the user is to go on.
    pub(crate) const fn is_authenticating(&self) -> bool {
        !matches!(self.machine.turn, authenticate::Turn::Idle)
    }

    /// Ends the connection since the user has no answer to [`Event::Challenged`], or does not trust the broker:
    /// [`Event::Disconnected`] says why.
    pub(crate) fn fail_authentication(&mut self, why: String) {
        self.machine.fail_authentication(why);
    }

    /// The Authentication Data that the next CONNECT begins with, for methods that begin with something new each time.
    pub fn set_authentication_data(&mut self, data: impl Into<Vec<u8>>) {
        self.machine.options.authentication_data = Some(data.into());
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

    /// The login of the next CONNECT: what is given of it, be it that there is none.
    pub(crate) fn set_login(&mut self, user_name: Option<Option<String>>, password: Option<Option<Vec<u8>>>) {
        let options = &mut self.machine.options;
        if let Some(user_name) = user_name {
            options.user_name = user_name;
        }
        if let Some(password) = password {
            options.password = password;
        }
    }

    /// Ends the connection: what waits to be sent is the last, with a DISCONNECT behind it.
    ///
    /// # Errors
    /// [`CallError::NotConnected`], [`CallError::Invalid`], [`CallError::PacketTooLarge`];
    /// [`CallError::PropertyNotAllowed`] for a Session Expiry Interval when the options have none.
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
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        self.machine.outbound.pending()
    }

    /// Says that the first `len` bytes of [`Session::transmit`] were sent.
    ///
    /// # Panics
    /// When that is more than there was.
    pub fn transmitted(&mut self, len: usize, now: Instant) {
        if len > 0 {
            self.machine.transmitted(len, now);
        }
    }

    /// The next thing that happened, messages aside.
    pub fn poll_event(&mut self) -> Option<Event> {
        while self.machine.events.is_empty() && !self.is_paused() && self.step() {}
        self.machine.events.pop_front()
    }

    /// The next message, borrowed from the receive buffer. It is acknowledged as its QoS demands: the acknowledgement
    /// waits in [`Session::transmit`], to leave with whatever else does. It has its full Topic Name and no Topic Alias.
    pub fn receive(&mut self) -> Option<Publish<'_>> {
        self.next_message(|machine, publish| machine.acknowledge(publish))
    }

    /// As [`Session::receive`], but the message is acknowledged by [`Session::acknowledge`], in whatever order the user
    /// likes: the broker gets the acknowledgements in the order of the messages. Until then it counts against the Receive
    /// Maximum of the options, so a broker sends no more than the user keeps up with.
    ///
    /// There is no [`Delivery`] where there is nothing to acknowledge: at QoS 0, and for a message of an earlier
    /// connection.
    pub fn receive_unacknowledged(&mut self) -> Option<(Publish<'_>, Option<Delivery>)> {
        let mut delivery = None;
        let publish = self.next_message(|machine, publish| delivery = machine.hold(publish))?;
        Some((publish, delivery))
    }

    /// Hands messages to `deliver`, each decoded once, for as long as that returns `true` and there are any. An event stops
    /// it: it is to be [taken](Session::poll_event) before the messages behind it.
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
                self.machine.fail(error);
                false
            } else if self.has_event() {
                false
            } else {
                let mut delivery = None;
                let waiting = self.finish_message(None, |machine, publish| delivery = machine.hold(publish));
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

    /// Acknowledges a message; `false` if that was done before, or the connection that it came over is over. Then the
    /// broker sends it again, if it keeps the session. At QoS 2 it is in time until the next connection is made: the
    /// message is then not received again.
    pub fn acknowledge(&mut self, delivery: Delivery) -> bool {
        self.machine.acknowledge_by_hand(delivery)
    }

    /// Whether [`Session::receive`] has a message.
    pub fn has_message(&mut self) -> bool {
        while self.backlog.is_empty() && !self.machine.outbound.is_overrun() && self.step() {}
        !self.backlog.is_empty()
    }

    /// When [`Session::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    /// Where the session stands with its connection.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.machine.status
    }

    /// From now on a broker that has sent CONNACK is told nothing and listened to no more, until it is
    /// [trusted](Session::trust).
    pub(crate) const fn check_brokers(&mut self) {
        self.machine.checks_brokers = true;
    }

    /// The broker that has sent CONNACK is one to go on with.
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

    /// The CONNACK of this connection, or of the last; `None` before the first.
    #[must_use]
    pub fn connack(&self) -> Option<Connack<'_>> {
        match Packet::decode_from_server(PacketType::Connack, 0, &self.connack, self.machine.options.decode) {
            Ok(Some(Packet::Connack(connack))) => Some(connack),
            _ => None,
        }
    }

    /// The same as a value that owns what it says; `None` before the first connection.
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
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.machine.assigned_client_id.as_deref().unwrap_or(&self.machine.options.client_id)
    }

    /// How many messages at QoS 1 and 2 are in flight to the broker.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.machine.in_flight.messages() as usize
    }

    /// What the session has done so far.
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

    /// The session as bytes, for a later process to go on with: [`Options::resume`](crate::Options::resume). It has what section 4.1 calls Session
    /// State: messages in flight, Packet Identifiers of QoS 2 messages that came, subscriptions; and messages at QoS 0 that
    /// were not sent. It has no password and nothing else of the options but the Client Identifier.
    ///
    /// Messages that came and were not received are not in it: the broker sends them again at QoS 1 and 2. A snapshot that
    /// is stored before what [`Session::transmit`] has is sent makes QoS 2 exactly once across processes too; an older one
    /// makes it at least once.
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

    /// Whether nothing more is read, since too many messages wait to be received, or too many answers to be sent.
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
        self.finish_message(direct, take)
    }

    /// As [`Session::next_message`], once it is known whether there is one that was not taken yet.
    #[inline]
    fn finish_message(
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
            self.machine.fail(result);
            return None;
        }
        let Waiting { span, origin, topic } = self.backlog.pop_front()?;
        // The bytes of this message are free now, but stay as they are until the buffer is read into again.
        self.reader.release(self.backlog.front().map(|waiting| &waiting.span));
        let publish = Publish::decode(span.flags, self.reader.body(&span), options).ok()?;
        if origin == Origin::ThisConnection {
            take(&mut self.machine, &publish);
        }
        while self.backlog.front().is_some_and(|waiting| waiting.origin == Origin::Answered)
            && let Some(answered) = self.backlog.pop_front()
        {
            if let Ok(reply) = Publish::decode(answered.span.flags, self.reader.body(&answered.span), options) {
                self.machine.acknowledge(&reply);
            }
        }
        Some(if publish.properties.topic_alias.is_some() { named(publish, &mut self.topic, topic) } else { publish })
    }

    /// Takes packets until there is a message to receive. One that could be handed out right away is not taken but
    /// returned: so it is decoded once, and not both when it comes and when it is received. Where Topic Aliases may come,
    /// all are taken, since what an alias stands for may change before a message is received. Stops at the first event, if
    /// that is to be seen before the messages behind it.
    fn next_unchecked<const STOPS_AT_EVENT: bool>(&mut self) -> Option<FrameSpan> {
        while self.backlog.is_empty() && !self.machine.outbound.is_overrun() {
            let span = self.next_frame()?;
            let has_no_alias = self.machine.options.topic_alias_maximum == 0;
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
        match self.reader.next_span() {
            Ok(span) => {
                self.machine.stats.packets_received += u64::from(span.is_some());
                span
            }
            Err(error) => {
                let greeting = if self.machine.status == Status::Connecting { self.reader.unframed() } else { &[] };
                let other = match greeting {
                    [b'H', b'T', b'T', b'P', ..] => Some(OtherProtocol::Http),
                    [b'S', b'S', b'H', b'-', ..] => Some(OtherProtocol::Ssh),
                    _ => None,
                };
                self.machine.fail(other.map_or_else(|| error.into(), Error::NotMqtt));
                None
            }
        }
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
        let publish = Publish::decode(span.flags, self.reader.body(&span), self.machine.options.decode)
            .map_err(FrameError::Malformed)?;
        let topic = self.machine.resolve_alias(&publish)?;
        if self.machine.requests.topic().is_some_and(|own| own == topic.as_deref().unwrap_or(publish.topic)) {
            if self.machine.take_in(&publish)? {
                self.machine.take_reply(&publish);
                if self.backlog.is_empty() {
                    self.machine.acknowledge(&publish);
                } else if publish.packet_id.is_some() {
                    self.backlog.push_back(Waiting { span, origin: Origin::Answered, topic: None });
                }
            }
            return Ok(());
        }
        if self.machine.take_in(&publish)? {
            if self.backlog.is_empty() {
                // What was framed before it is not held for anyone.
                self.reader.release(Some(&span));
            }
            self.backlog.push_back(Waiting { span, origin: Origin::ThisConnection, topic });
        }
        Ok(())
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

/// The message with the Topic Name that its alias stands for, if it has none, and without the alias, which says nothing to
/// the user.
#[cold]
fn named<'a>(publish: Publish<'a>, place: &'a mut Option<Arc<str>>, topic: Option<Arc<str>>) -> Publish<'a> {
    let properties = PublishProperties { topic_alias: None, ..publish.properties };
    if topic.is_none() {
        return Publish { properties, ..publish };
    }
    *place = topic;
    Publish { topic: place.as_deref().unwrap_or_default(), properties, ..publish }
}
