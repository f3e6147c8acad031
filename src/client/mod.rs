//! The blocking client: a session, a transport, and calls that return when they are done.

mod authentication;
mod batch;
mod connection;
mod dial;
mod request;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::authenticate::Authenticator;
use crate::codec::{
    Connack, Disconnect, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties,
};
use crate::error::{Error, Reason, RequestError};
use crate::message::Message;
use crate::options::{Options, borrowed};
use crate::session::{Delivery, Event, OperationId, Session, Stats, Status, SubscribeReason};
use crate::time::Instant;
use crate::trace::TraceContext;
use crate::transport::Transport;
#[cfg(feature = "std")]
use crate::transport::{TcpConnector, TcpTransport};
#[cfg(all(feature = "component", target_arch = "wasm32"))]
pub(crate) use authentication::Step;
use dial::Dialer;
use request::Awaited;
pub use request::PendingReply;

/// How long the last bytes of a connection may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an acknowledgement waits for something to leave with, while messages are at hand to be received.
const KEEP_UP: Duration = Duration::from_millis(10);

/// How often bytes may move after the time of a call is over, so that a broker cannot keep a caller by talking.
const LATE_ROUNDS: u32 = 16;

/// As many events wait for [`Client::next_event`] at the most; then the oldest goes.
const MOST_EVENTS: usize = 1024;

/// As many bytes as make a write worthwhile while more is to come.
const WRITE_SIZE: usize = 64 * 1024;

/// A client whose calls block until they are done.
///
/// Everything happens within calls: between them nothing is sent or received, and no Keep Alive is kept. A client that
/// mostly waits does so in [`Client::receive`], which keeps the connection alive; one that is busy with something else
/// should come back before the Keep Alive ends, or turn it off.
///
/// A message at QoS 1 or 2 is acknowledged when it is handed out; the acknowledgement leaves with the next call that
/// sends or waits, some milliseconds later at the most. So a program that dies while it works on a message is sent that
/// message again, if its session is kept.
///
/// When the connection is lost, calls fail with the reason; [`Client::reconnect`] goes on with the session. With
/// [`Options::reconnect`] calls connect again by themselves and go on where they were, within the time that they have;
/// the attempt under way when that ends may take the connect timeouts longer. [`Client::next_event`] tells of it.
///
#[cfg_attr(feature = "std", doc = "```no_run")]
#[cfg_attr(not(feature = "std"), doc = "```ignore")]
/// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
///
/// let mut client = Client::connect("mqtt://localhost", Options::new())?;
/// client.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)])?;
/// client.publish(&Publish::new("sensors/kitchen", b"21.5").qos(QoS::AtLeastOnce))?;
/// let message = client.receive()?;
/// assert_eq!((message.topic.as_str(), message.payload.as_slice()), ("sensors/kitchen", &b"21.5"[..]));
/// client.disconnect()?;
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub struct Client<T> {
    session: Session,
    transport: T,
    authenticator: Option<Box<dyn Authenticator + Send>>,
    dialer: Option<Dialer<T>>,
    response_timeout: Duration,
    /// Whether the broker took the connection, whose end is then to be told.
    is_made: bool,
    /// Why the connection ended, until a call has told so.
    ended: Option<Error>,
    /// What happened to the connection, until the user asks.
    events: VecDeque<Event>,
    /// Events about calls that came while a connection was made.
    others: VecDeque<Event>,
    /// How the broker went on last, until whoever connects or authenticates takes that: [`Event::Connected`], and where
    /// there is no authenticator [`Event::Challenged`] and [`Event::Authenticated`].
    step: Option<Event>,
    /// Replies that someone waits for.
    replies: Vec<Awaited>,
    /// When bytes moved last.
    last_moved: Instant,
}

#[cfg(feature = "std")]
impl Client<TcpTransport> {
    /// Connects to the broker at a URL such as `mqtt://localhost:1883`, or the first of the
    /// [fallbacks](Options::fallback) that takes the connection. A login in the URL counts unless the options have one.
    ///
    /// # Errors
    /// [`Error::Url`], [`RequestError::InvalidOptions`]; of the broker that was tried last, [`Error::Transport`],
    /// [`Error::ConnectionRefused`], [`Error::ConnectTimeout`], and what else ends connections.
    pub fn connect(url: &str, options: Options) -> Result<Self, Error> {
        Self::connect_with(TcpConnector::with_options(&options)?, url, options)
    }

    /// As [`Client::connect`], with enhanced authentication.
    ///
    /// # Errors
    /// As [`Client::connect`]; [`Error::Authentication`].
    pub fn connect_authenticated(
        url: &str,
        options: Options,
        authenticator: impl Authenticator + Send + 'static,
    ) -> Result<Self, Error> {
        Self::connect_authenticated_with(TcpConnector::with_options(&options)?, url, options, authenticator)
    }

    /// Connects to the broker at an address such as `127.0.0.1:1883`. Such a client does not connect again by itself.
    ///
    /// # Errors
    /// As [`Client::connect`], without [`Error::Url`].
    pub fn connect_to(address: impl std::net::ToSocketAddrs, options: Options) -> Result<Self, Error> {
        options.validate().map_err(RequestError::InvalidOptions)?;
        let transport = TcpTransport::connect(address, options.connect_timeout)?;
        Self::connect_over(transport, options)
    }
}

impl<T: Transport> Client<T> {
    /// Connects to the broker at the other end of a transport.
    ///
    /// # Errors
    /// [`Error::ConnectionRefused`], [`Error::ConnectTimeout`], and what else ends connections;
    /// [`RequestError::InvalidOptions`].
    pub fn connect_over(transport: T, options: Options) -> Result<Self, Error> {
        Self::started(transport, options, None)
    }

    /// As [`Client::connect_over`], with enhanced authentication (section 4.12), which each later connection begins anew.
    /// All of it has the time that CONNACK has.
    ///
    /// # Errors
    /// As [`Client::connect_over`]; [`Error::Authentication`].
    pub fn connect_authenticated_over(
        transport: T,
        options: Options,
        authenticator: impl Authenticator + Send + 'static,
    ) -> Result<Self, Error> {
        let options = options.authentication(authenticator.method(), None);
        Self::started(transport, options, Some(Box::new(authenticator)))
    }

    fn started(
        transport: T,
        options: Options,
        authenticator: Option<Box<dyn Authenticator + Send>>,
    ) -> Result<Self, Error> {
        let response_timeout = options.response_timeout;
        let mut client = Self::new(transport, Session::new(options), response_timeout, authenticator);
        client.start()?;
        Ok(client)
    }

    fn new(
        transport: T,
        session: Session,
        response_timeout: Duration,
        authenticator: Option<Box<dyn Authenticator + Send>>,
    ) -> Self {
        let last_moved = transport.now();
        Self {
            session,
            transport,
            authenticator,
            dialer: None,
            response_timeout,
            is_made: false,
            ended: None,
            events: VecDeque::new(),
            others: VecDeque::new(),
            step: None,
            replies: Vec::new(),
            last_moved,
        }
    }

    /// Goes on over a new transport after the connection was lost; returns whether the broker still had the session.
    /// What was in flight is sent again either way.
    ///
    /// # Errors
    /// As [`Client::connect_over`]. The client can be reconnected again.
    pub fn reconnect_over(&mut self, transport: T) -> Result<bool, Error> {
        self.rest();
        self.close();
        self.transport = transport;
        self.start()
    }

    /// Publishes a message. At QoS 0 it returns once the message is sent, at QoS 1 and 2 once the broker has it, with
    /// [`ReasonCode::Success`] or [`ReasonCode::NoMatchingSubscribers`].
    ///
    /// # Errors
    /// [`Error::PublishRefused`], [`Error::Request`]; [`Error::Timeout`] when the broker does not answer in time, with
    /// the message still in flight; and what ends connections.
    pub fn publish(&mut self, publish: &Publish<'_>) -> Result<ReasonCode, Error> {
        self.publish_with_reason(publish).map(|reason| reason.reason_code)
    }

    /// As [`Client::publish`], and returns everything that the broker says to it: a Reason String, User Properties.
    ///
    /// # Errors
    /// As [`Client::publish`].
    pub fn publish_with_reason(&mut self, publish: &Publish<'_>) -> Result<Reason, Error> {
        let mut patience = self.patience();
        match self.submit(&mut patience, |session| session.publish(publish))? {
            None => self.flush().map(|()| ReasonCode::Success.into()),
            Some(id) => self.wait_for(&mut patience, |event| match event {
                Event::Published { id: done, result } if done == id => Some(result),
                _ => None,
            }),
        }
    }

    /// Publishes a message with a trace context, which takes the place of any that is in its User Properties.
    ///
    /// # Errors
    /// As [`Client::publish`].
    pub fn publish_traced(&mut self, publish: &Publish<'_>, context: &TraceContext) -> Result<ReasonCode, Error> {
        let user_properties = context.added_to(&publish.properties.user_properties);
        self.publish(&publish.with_user_properties(&borrowed(&user_properties)))
    }

    /// Serializes `value` to JSON and publishes it, marked as such by Content Type and Payload Format Indicator.
    ///
    /// # Errors
    /// [`Error::Json`], and as [`Client::publish`].
    #[cfg(feature = "json")]
    pub fn publish_json(
        &mut self,
        topic: &str,
        value: &(impl serde::Serialize + ?Sized),
        qos: QoS,
    ) -> Result<ReasonCode, Error> {
        let payload = crate::message::to_json(value)?;
        self.publish(&Publish::new(topic, &payload).qos(qos).properties(crate::message::json_properties()))
    }

    /// Puts a message into the outbound buffer, to leave with the next [`Client::flush`] or any other call. Writes only
    /// when the buffer is full. For many small messages at QoS 0 this is the fastest way.
    ///
    /// Nothing tells how a message at QoS 1 or 2 went.
    ///
    /// # Errors
    /// As [`Client::publish`], but for [`Error::PublishRefused`].
    pub fn enqueue(&mut self, publish: &Publish<'_>) -> Result<(), Error> {
        self.submit(&mut self.patience(), |session| session.publish(publish))?;
        if self.session.transmit().len() < WRITE_SIZE { Ok(()) } else { self.flush() }
    }

    /// Sends everything that waits to be sent, acknowledgements included.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take it in time, [`RequestError::NotConnected`], and what ends
    /// connections.
    pub fn flush(&mut self) -> Result<(), Error> {
        let mut patience = self.patience();
        loop {
            self.write_out(&mut patience)?;
            self.discard_events();
            self.require_open()?;
            if !self.is_dialing() {
                return Ok(());
            }
            patience.wait(self)?;
        }
    }

    /// Subscribes; returns the granted QoS of each Topic Filter, in order.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused any of them, with the Reason Code of each: the others are in
    /// effect. [`Error::Request`], [`Error::Timeout`], and what ends connections.
    pub fn subscribe(&mut self, subscriptions: &[Subscription<'_>]) -> Result<Vec<QoS>, Error> {
        self.subscribe_with(subscriptions, SubscribeProperties::default())?.granted()
    }

    /// Subscribes with a Subscription Identifier or User Properties; returns everything that the broker says to it, be
    /// it that it refused.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Timeout`], and what ends connections.
    pub fn subscribe_with(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.ask(
            |session| session.subscribe(subscriptions, properties),
            |event| match event {
                Event::Subscribed { id, result } => Some((id, result)),
                _ => None,
            },
        )
    }

    /// Unsubscribes. That a subscription did not exist is no error.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused, with the Reason Code of each Topic Filter;
    /// [`Error::Request`], [`Error::Timeout`], and what ends connections.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), Error> {
        self.unsubscribe_with(filters, UnsubscribeProperties::default())?.granted().map(drop)
    }

    /// Unsubscribes with User Properties; returns everything that the broker says to it, be it that it refused.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Timeout`], and what ends connections.
    pub fn unsubscribe_with(
        &mut self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.ask(
            |session| session.unsubscribe(filters, properties),
            |event| match event {
                Event::Unsubscribed { id, result } => Some((id, result)),
                _ => None,
            },
        )
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// What ends connections, after the last message that came before; then [`RequestError::NotConnected`].
    pub fn receive(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.receive_with(None, Message::of)? {
                return Ok(message);
            }
        }
    }

    /// Waits for the next message, no longer than `timeout`; zero takes only what is there.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn receive_timeout(&mut self, timeout: Duration) -> Result<Option<Message>, Error> {
        self.receive_with(Some(timeout), Message::of)
    }

    /// Lends the next message to `read`, without a copy, and returns what that makes of it; `None` when none came
    /// within `timeout`.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn receive_with<R>(
        &mut self,
        timeout: Option<Duration>,
        read: impl FnOnce(&Publish<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        let mut read = Some(read);
        self.receive_from(timeout, |session| {
            let publish = session.receive()?;
            read.take().map(|read| read(&publish))
        })
    }

    /// As [`Client::receive_timeout`], but the message is acknowledged by [`Client::acknowledge`], once the work that it
    /// asks for is done, say. Until then it counts against the Receive Maximum of the options: a broker sends no more than
    /// the caller keeps up with.
    ///
    /// There is no [`Delivery`] where there is nothing to acknowledge: at QoS 0, and for a message of an earlier
    /// connection.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn receive_unacknowledged(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<Option<(Message, Option<Delivery>)>, Error> {
        self.receive_from(timeout, |session| {
            session.receive_unacknowledged().map(|(publish, delivery)| (Message::from(publish), delivery))
        })
    }

    /// Acknowledges a message, in whatever order the caller likes: the broker gets the acknowledgements in the order of the
    /// messages, with the next call that sends or waits. Returns `false` if that was done before, or the connection that
    /// the message came over is over; then the broker sends it again, if it keeps the session.
    pub fn acknowledge(&mut self, delivery: Delivery) -> bool {
        self.session.acknowledge(delivery)
    }

    /// As [`Client::receive_with`], with whatever takes the next message off the session.
    pub(crate) fn receive_from<R>(
        &mut self,
        timeout: Option<Duration>,
        mut take: impl FnMut(&mut Session) -> Option<R>,
    ) -> Result<Option<R>, Error> {
        let now = self.transport.now();
        let until = timeout.map(|timeout| now + timeout);
        self.keep_up(now);
        let mut late_rounds = 0;
        loop {
            if let Some(taken) = take(&mut self.session) {
                return Ok(Some(taken));
            }
            self.discard_events();
            self.require_open()?;
            let is_late = until.is_some_and(|until| self.transport.now() >= until);
            late_rounds += u32::from(is_late);
            let has_moved = self.advance(until)?;
            if is_late && (!has_moved || late_rounds >= LATE_ROUNDS) {
                return Ok(None);
            }
        }
    }

    /// Lends the next of the messages that have come already to `read`, without looking for more; `None` when there is
    /// none.
    pub fn take_with<R>(&mut self, read: impl FnOnce(&Publish<'_>) -> R) -> Option<R> {
        self.session.receive().map(|publish| read(&publish))
    }

    /// As [`Client::take_with`], with whatever takes the next message off the session.
    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) fn take_from<R>(&mut self, take: impl FnOnce(&mut Session) -> Option<R>) -> Option<R> {
        take(&mut self.session)
    }

    /// Does what can be done without waiting; returns whether [`Client::receive`] would return at once, with a message
    /// or because the connection is over.
    pub fn is_ready(&mut self) -> bool {
        for _ in 0..LATE_ROUNDS {
            if self.session.has_message() {
                return true;
            }
            self.discard_events();
            if self.session.status() == Status::Disconnected && !self.is_dialing() {
                return true;
            }
            if !self.advance(Some(self.transport.now())).unwrap_or(false) {
                return false;
            }
        }
        false
    }

    /// The messages as they come, without end but for the error that ends the connection.
    pub fn messages(&mut self) -> Messages<'_, T> {
        Messages { client: self, is_over: false }
    }

    /// Disconnects: what waits is sent, then DISCONNECT, and the connection is closed. The broker drops the Will
    /// Message. Does nothing when there is no connection.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take the last bytes, and what ends connections.
    pub fn disconnect(&mut self) -> Result<(), Error> {
        self.disconnect_with(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION))
    }

    /// As [`Client::disconnect`], with a DISCONNECT of the caller's own: one that keeps the Will Message
    /// ([`ReasonCode::DisconnectWithWillMessage`]) or changes the Session Expiry Interval.
    ///
    /// # Errors
    /// As [`Client::disconnect`]; [`RequestError::Invalid`], [`RequestError::PacketTooLarge`];
    /// [`RequestError::PropertyNotAllowed`] for a Session Expiry Interval when the options have none.
    pub fn disconnect_with(&mut self, disconnect: &Disconnect<'_>) -> Result<(), Error> {
        self.rest();
        match self.session.disconnect(disconnect) {
            Ok(()) => {}
            Err(RequestError::NotConnected) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let written = self.write_out(&mut Patience::new(CLOSE_TIMEOUT));
        let is_cut = self.session.status() == Status::Disconnected;
        self.transport.close();
        self.session.connection_closed(Error::ConnectionClosed);
        self.discard_events();
        written.and(if is_cut { Err(Error::ConnectionClosed) } else { Ok(()) })
    }

    /// What the broker said when it took the connection: its limits, the Client Identifier it assigned, and more.
    #[must_use]
    pub fn connack(&self) -> Option<Connack<'_>> {
        self.session.connack()
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.session.client_id()
    }

    /// Whether there is a connection, as far as is known without looking.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.session.status() == Status::Connected
    }

    /// How many messages at QoS 1 and 2 are in flight to the broker.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.session.in_flight()
    }

    /// When the client should be called again to keep the connection alive; `None` when it need not.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.session.deadline().or(self.dialer.as_ref().and_then(Dialer::due))
    }

    /// What the client has done so far, over all its connections.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.session.stats()
    }

    /// The session as bytes, for a later process to go on with: [`Options::resume`]. See [`Session::snapshot`].
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.session.snapshot()
    }

    /// The next thing that happened to the connection, waiting for it no longer than `timeout`; zero takes only what is
    /// known. [`Event::Disconnected`], [`Event::Connected`] after the first connection, [`Event::SubscriptionRestored`],
    /// [`Event::SubscriptionLost`], [`Event::MessageDropped`]. They wait here until asked for, up to 1,024 of them.
    ///
    /// # Errors
    /// What ended the connection, if it is not made again, behind the last event; [`RequestError::ReceiveFirst`] when so
    /// many messages wait that no more is read.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        let until = self.transport.now() + timeout;
        loop {
            self.discard_events();
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.transport.now() >= until {
                return Ok(None);
            }
            self.require_open()?;
            self.advance(Some(until))?;
        }
    }

    /// Whether something waits to be sent.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        !self.session.transmit().is_empty()
    }

    /// The transport.
    #[must_use]
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// Whether there is room for more from the broker.
    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) fn wants_input(&self) -> bool {
        !self.session.is_paused()
    }

    /// Has the broker do something, over as many connections as it takes.
    fn ask(
        &mut self,
        mut submit: impl FnMut(&mut Session) -> Result<OperationId, RequestError>,
        mut pick: impl FnMut(Event) -> Option<(OperationId, Result<SubscribeReason, Error>)>,
    ) -> Result<SubscribeReason, Error> {
        let mut patience = self.patience();
        loop {
            let id = self.submit(&mut patience, &mut submit)?;
            let result = self
                .wait_for(&mut patience, |event| pick(event).filter(|(done, _)| *done == id).map(|(_, result)| result));
            if !(result.as_ref().is_err_and(Error::is_fatal) && self.is_dialing()) {
                return result;
            }
        }
    }

    /// Does not connect again by itself any more.
    const fn rest(&mut self) {
        if let Some(dialer) = &mut self.dialer {
            dialer.rest();
        }
    }

    const fn patience(&self) -> Patience {
        Patience::new(self.response_timeout)
    }
}

impl<T: fmt::Debug> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.session)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// How long a call waits for the broker.
struct Patience {
    timeout: Duration,
    /// When it ends; the clock is only read once there is something to wait for.
    until: Option<Instant>,
}

impl Patience {
    const fn new(timeout: Duration) -> Self {
        Self { timeout, until: None }
    }

    /// Lets bytes move once, unless time is up. The first time it always does.
    fn wait<T: Transport>(&mut self, client: &mut Client<T>) -> Result<bool, Error> {
        let now = client.transport.now();
        let until = match self.until {
            Some(until) if now >= until => return Err(Error::Timeout),
            Some(until) => until,
            None => *self.until.insert(now + self.timeout),
        };
        client.advance(Some(until))
    }
}

/// The messages as they come; see [`Client::messages`].
#[derive(Debug)]
pub struct Messages<'a, T> {
    client: &'a mut Client<T>,
    is_over: bool,
}

impl<T: Transport> Iterator for Messages<'_, T> {
    type Item = Result<Message, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let message = self.client.receive();
        self.is_over = message.is_err();
        Some(message)
    }
}
