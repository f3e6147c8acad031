//! The blocking client: a face over the [engine](crate::engine), whose calls return when they are done.

mod driver;
mod request;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use driver::{LATE_ROUNDS, Network};
pub use request::PendingReply;

use crate::codec::{Disconnect, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties};
use crate::engine::{
    Authenticating, ConnectChanges, Connected, Connecting, Disconnecting, Engine, Enqueueing, Event, Flushing,
    NextEvent, Options, Publishing, PublishingAll, ResponderId, Subscribing, Unsubscribing,
};
use crate::error::{Error, Reason, SubscribeReason};
use crate::message::{Message, borrowed};
use crate::respond::Responder;
use crate::session::{ConnectionInfo, Delivery, Stats};
use crate::time::Instant;
use crate::trace::TraceContext;
use crate::transport::{Connector, Transport};
#[cfg(feature = "std")]
use crate::transport::{TcpConnector, TcpTransport};

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
/// When the connection is lost, calls fail with the reason until there is a new one; [`Client::reconnect`] goes on with the
/// session. With [`Options::reconnect`] calls connect again by themselves and go on where they were, within the time that
/// they have. [`Client::next_event`] tells of it.
///
/// A timeout of zero never waits, and one of [`Duration::MAX`] never ends.
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
pub struct Client<#[cfg(feature = "std")] T = TcpTransport, #[cfg(not(feature = "std"))] T> {
    /// The component has more to ask of it than a client.
    pub(crate) engine: Engine,
    pub(crate) network: Network<T>,
    /// Of this client's own requests, once it takes any.
    responder: Option<ResponderId>,
}

#[cfg(feature = "std")]
impl Client<TcpTransport> {
    /// Connects to the broker at a URL such as `mqtt://localhost:1883`, or the first of the
    /// [fallbacks](Options::fallback) that takes the connection. The URL's login counts where the options have none.
    ///
    /// # Errors
    /// [`Error::Url`], [`CallError::InvalidOptions`](crate::CallError::InvalidOptions); of the broker that was tried last,
    /// [`Error::Transport`], [`Error::ConnectionRefused`], [`Error::ConnectTimeout`], [`Error::Authentication`], and what
    /// else ends connections.
    pub fn connect(url: &str, options: Options) -> Result<Self, Error> {
        #[cfg(feature = "tls")]
        let connector = TcpConnector::with_tls(options.tls.clone())?;
        #[cfg(not(feature = "tls"))]
        let connector = TcpConnector::new();
        Self::connect_with(connector, url, options)
    }

    /// Connects to the broker at an address such as `127.0.0.1:1883`. Such a client does not connect again by itself.
    ///
    /// # Errors
    /// As [`Client::connect`], without [`Error::Url`].
    pub fn connect_to(address: impl std::net::ToSocketAddrs, options: Options) -> Result<Self, Error> {
        options.validate().map_err(crate::error::CallError::InvalidOptions)?;
        let transport = TcpTransport::connect(address, options.session.connect_timeout)?;
        Self::connect_over(transport, options)
    }
}

impl<T: Transport> Client<T> {
    /// Connects to the broker at a URL, or the first of the [fallbacks](Options::fallback) that takes the connection,
    /// over transports that `connector` makes. Such a client can connect [again](Client::reconnect), and does so by itself
    /// if the [options](Options::reconnect) say so. The URL's login counts where the options have none.
    ///
    /// # Errors
    /// As `Client::connect`.
    pub fn connect_with(
        connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: Options,
    ) -> Result<Self, Error> {
        let mut client = Self::unconnected(connector, url, options)?;
        client.run(Connecting)?;
        Ok(client)
    }

    /// A client that is to be connected.
    pub(crate) fn unconnected(
        mut connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: Options,
    ) -> Result<Self, Error> {
        let engine = Engine::new(Some(url), options, connector.random())?;
        Ok(Self { engine, network: Network::new(None, Some(Box::new(connector))), responder: None })
    }

    /// Connects to the broker at the other end of a transport.
    ///
    /// # Errors
    /// [`Error::ConnectionRefused`], [`Error::ConnectTimeout`], [`Error::Authentication`], and what else ends connections;
    /// [`CallError::InvalidOptions`](crate::CallError::InvalidOptions).
    pub fn connect_over(transport: T, options: Options) -> Result<Self, Error> {
        let engine = Engine::new(None, options, 0)?;
        let mut client = Self { engine, network: Network::new(None, None), responder: None };
        client.reconnect_over(transport)?;
        Ok(client)
    }

    /// Connects again, to the broker at the same URL or the first of the fallbacks that takes the connection; returns
    /// whether it still had the session. What was in flight is sent again either way. A connection that is still there is
    /// closed first.
    ///
    /// # Errors
    /// As [`Client::connect_with`]; [`CallError::NotConnected`](crate::CallError::NotConnected) for a client that was made
    /// over a transport: see [`Client::reconnect_over`]. The client can be connected again; with
    /// [`Options::reconnect`] it does so by itself.
    pub fn reconnect(&mut self) -> Result<bool, Error> {
        self.run(Connecting)
    }

    /// Goes on over a new transport after the connection was lost; returns whether the broker still had the session.
    /// What was in flight is sent again either way.
    ///
    /// # Errors
    /// As [`Client::connect_over`]. The client can be reconnected again.
    pub fn reconnect_over(&mut self, transport: T) -> Result<bool, Error> {
        if let Some(before) = &mut self.network.transport {
            before.close();
        }
        let transport = self.network.transport.insert(transport);
        self.engine.attach(transport.now());
        self.run(Connected)
    }

    /// Changes what the next connection is made with: login, will, and what else [`ConnectChanges`] has.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`](crate::CallError::InvalidOptions), and nothing is changed.
    pub fn update(&mut self, changes: ConnectChanges) -> Result<(), Error> {
        Ok(self.engine.update(changes)?)
    }

    /// Publishes a message. At QoS 0 it returns once the message is sent, at QoS 1 and 2 once the broker has it, with
    /// [`ReasonCode::Success`] or [`ReasonCode::NoMatchingSubscribers`].
    ///
    /// # Errors
    /// [`Error::PublishRefused`], [`Error::Call`]; [`Error::Timeout`] when the broker does not answer in time, with
    /// the message still in flight; and what ends connections.
    pub fn publish(&mut self, publish: &Publish<'_>) -> Result<ReasonCode, Error> {
        self.publish_with_reason(publish).map(|reason| reason.reason_code)
    }

    /// As [`Client::publish`], and returns everything that the broker says to it: a Reason String, User Properties.
    ///
    /// # Errors
    /// As [`Client::publish`].
    pub fn publish_with_reason(&mut self, publish: &Publish<'_>) -> Result<Reason, Error> {
        self.run(Publishing(publish))
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
        let payload = crate::json::to_json(value)?;
        self.publish(&Publish::new(topic, &payload).qos(qos).properties(crate::json::json_properties()))
    }

    /// Publishes messages one behind the other, as many in flight as the broker and the options allow, and as many in
    /// one write. Returns for each how it went, in order: as [`Client::publish`] would have.
    ///
    /// Messages that could not be sent because the connection ended fail with the reason it ended. The time for it begins
    /// anew with every answer, and whenever there is room for more.
    pub fn publish_all<'a>(
        &mut self,
        messages: impl IntoIterator<Item = Publish<'a>>,
    ) -> Vec<Result<ReasonCode, Error>> {
        // It fails message by message.
        self.run(PublishingAll::new(messages)).unwrap_or_default()
    }

    /// Puts a message into the outbound buffer, to leave with the next [`Client::flush`] or any other call. Writes only
    /// when the buffer is full. For many small messages at QoS 0 this is the fastest way.
    ///
    /// Nothing tells how a message at QoS 1 or 2 went.
    ///
    /// # Errors
    /// As [`Client::publish`], but for [`Error::PublishRefused`].
    pub fn enqueue(&mut self, publish: &Publish<'_>) -> Result<(), Error> {
        self.run(Enqueueing(publish))?;
        if self.engine.outgoing() < WRITE_SIZE { Ok(()) } else { self.flush() }
    }

    /// Sends everything that waits to be sent, acknowledgements included.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take it in time,
    /// [`CallError::NotConnected`](crate::CallError::NotConnected), and what ends connections.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.run(Flushing)
    }

    /// Subscribes; returns the granted QoS of each Topic Filter, in order.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused any of them, with the Reason Code of each: the others are in
    /// effect. [`Error::Call`], [`Error::Timeout`], and what ends connections.
    pub fn subscribe(&mut self, subscriptions: &[Subscription<'_>]) -> Result<Vec<QoS>, Error> {
        self.subscribe_with(subscriptions, SubscribeProperties::default())?.granted()
    }

    /// Subscribes with a Subscription Identifier or User Properties; returns everything that the broker says to it, be
    /// it that it refused.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Timeout`], and what ends connections.
    pub fn subscribe_with(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.run(Subscribing { subscriptions, properties })
    }

    /// Unsubscribes. That a subscription did not exist is no error.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused, with the Reason Code of each Topic Filter;
    /// [`Error::Call`], [`Error::Timeout`], and what ends connections.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), Error> {
        self.unsubscribe_with(filters, UnsubscribeProperties::default())?.granted().map(drop)
    }

    /// Unsubscribes with User Properties; returns everything that the broker says to it, be it that it refused.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Timeout`], and what ends connections.
    pub fn unsubscribe_with(
        &mut self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.run(Unsubscribing { filters, properties })
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// What ended the connection, after the last message that came before.
    pub fn receive(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.receive_timeout(Duration::MAX)? {
                return Ok(message);
            }
        }
    }

    /// Waits for the next message, no longer than `timeout`.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn receive_timeout(&mut self, timeout: Duration) -> Result<Option<Message>, Error> {
        self.receive_with(timeout, Message::of)
    }

    /// Lends the next message to `read`, without a copy, and returns what that makes of it; `None` when none came
    /// within `timeout`.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn receive_with<R>(
        &mut self,
        timeout: Duration,
        read: impl FnOnce(&Publish<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        let mut read = Some(read);
        self.take_within(timeout, |engine, _| {
            let publish = engine.receive()?;
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
    pub fn receive_unacknowledged(&mut self, timeout: Duration) -> Result<Option<(Message, Option<Delivery>)>, Error> {
        self.take_within(timeout, |engine, _| {
            engine.receive_unacknowledged().map(|(publish, delivery)| (Message::from(publish), delivery))
        })
    }

    /// Acknowledges a message, in whatever order the caller likes: the broker gets the acknowledgements in the order of the
    /// messages, with the next call that sends or waits. Returns `false` if that was done before, or the connection that
    /// the message came over is over; then the broker sends it again, if it keeps the session.
    pub fn acknowledge(&mut self, delivery: Delivery) -> bool {
        self.engine.acknowledge(delivery)
    }

    /// Lends the next of the messages that have come already to `read`, without looking for more; `None` when there is
    /// none.
    pub fn take_with<R>(&mut self, read: impl FnOnce(&Publish<'_>) -> R) -> Option<R> {
        self.engine.receive().map(|publish| read(&publish))
    }

    /// Does what can be done without waiting; returns whether [`Client::receive`] would return at once, with a message
    /// or because the connection is over.
    pub fn is_ready(&mut self) -> bool {
        for _ in 0..LATE_ROUNDS {
            if self.engine.has_message() {
                return true;
            }
            let now = self.network.now();
            self.engine.catch_up(now);
            if self.engine.require_open().is_err() {
                return true;
            }
            if !self.turn(Some(now)) {
                return false;
            }
        }
        false
    }

    /// The messages as they come, without end but for the error that ends the connection.
    pub fn messages(&mut self) -> Messages<'_, T> {
        Messages { client: self, is_over: false }
    }

    /// Authenticates again over this connection (section 4.12.1), before a token of the last time expires, say. It does not
    /// begin while the client is authenticating already. A connection that is made meanwhile, since this one was lost, does
    /// as well: it begins with that.
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`Error::Timeout`] when the broker has not authenticated the client in time, with the
    /// connection as it was: the broker may do so later, and is answered and checked in whatever call that comes;
    /// [`CallError::NothingToAuthenticate`](crate::CallError::NothingToAuthenticate) when the options have no
    /// [authenticator](Options::authenticator); and what ends connections: a broker that refuses does.
    pub fn authenticate_again(&mut self) -> Result<(), Error> {
        self.run(Authenticating)
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
    /// As [`Client::disconnect`]; [`CallError::Invalid`](crate::CallError::Invalid),
    /// [`CallError::PacketTooLarge`](crate::CallError::PacketTooLarge);
    /// [`CallError::PropertyNotAllowed`](crate::CallError::PropertyNotAllowed) for a Session Expiry Interval when the options
    /// have none.
    pub fn disconnect_with(&mut self, disconnect: &Disconnect<'_>) -> Result<(), Error> {
        self.run(Disconnecting(disconnect))
    }

    /// What the broker said when it took the connection: its limits, the Client Identifier it assigned, and more. `None`
    /// before the first connection.
    #[must_use]
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        self.engine.session().connection_info()
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    #[must_use]
    pub fn client_id(&self) -> String {
        self.engine.client_id()
    }

    /// Whether there is a connection, as far as is known without looking.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.engine.is_connected()
    }

    /// When the client should be called again to keep the connection alive, or to make one; `None` when it need not.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.engine.deadline()
    }

    /// What the client has done so far, over all its connections.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The session as bytes, for a later process to go on with: [`Options::resume`]. See
    /// [`Session::snapshot`](crate::session::Session::snapshot).
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.engine.session().snapshot()
    }

    /// The next thing that happened to the connection, waiting for it no longer than `timeout`; zero looks at what is
    /// there. Events wait here until asked for, up to 1,024 of them.
    ///
    /// # Errors
    /// What ended the connection, if it is not made again, behind the last event.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        if timeout.is_zero() {
            let now = self.network.now();
            let mut event = self.engine.take_event(now);
            if event.is_none() {
                self.turn(Some(now));
                event = self.engine.take_event(now);
            }
            return if event.is_none() { self.engine.require_open().map(|()| None) } else { Ok(event) };
        }
        match self.run(NextEvent { timeout }) {
            Err(Error::Timeout) => Ok(None),
            event => event.map(Some),
        }
    }

    /// Whether something waits to be sent.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        self.engine.has_outgoing()
    }

    /// The transport; `None` before the first connection. One that is closed is still there until there is a new one.
    #[must_use]
    pub const fn transport(&self) -> Option<&T> {
        self.network.transport.as_ref()
    }

    /// The connector; `None` where the caller makes the transports.
    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) fn connector(&self) -> Option<&dyn Connector<Transport = T>> {
        let connector = self.network.connector.as_deref()?;
        Some(connector)
    }

    /// The responder of this client's own requests.
    fn responder(&mut self) -> ResponderId {
        *self.responder.get_or_insert_with(|| self.engine.open_responder(Responder::new()))
    }
}

impl<T: fmt::Debug> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("engine", &self.engine)
            .field("transport", &self.network.transport)
            .finish_non_exhaustive()
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
