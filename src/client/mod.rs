//! The blocking client: a face over the [engine](crate::engine), whose calls return when they are done.

mod driver;
mod request;
#[cfg(feature = "store")]
mod store;

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
    NextEvent, Options, Publishing, PublishingAll, ResponderId, Subscribing, Unsubscribing, write_size,
};
use crate::error::{Error, Reason, SubscribeReason};
use crate::message::{Message, borrowed};
use crate::respond::Responder;
use crate::session::{ConnectionInfo, Delivery, InFlightMessage, Stats};
use crate::time::Instant;
use crate::trace::TraceContext;
use crate::transport::{Connector, Transport};
#[cfg(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2")))]
use crate::transport::{TcpConnector, TcpTransport};

/// A client whose calls block until they are done.
///
/// The client works only during calls. Between calls it sends and receives nothing, and keeps no Keep Alive. A program
/// that mostly waits should wait in [`Client::receive`], which keeps the connection alive. A program that is busy with
/// something else should call the client again before the Keep Alive runs out (see [`Client::deadline`]), or turn the
/// Keep Alive off.
///
/// A QoS 1 or 2 message is acknowledged when a call returns it. The acknowledgement is sent by the next call that sends
/// or waits. To acknowledge only when the work is done, use [`Client::receive_unacknowledged`].
///
/// When the connection is lost, calls fail with the reason until there is a new one: [`Client::reconnect`] connects
/// again and continues the session. With [`Options::reconnect`], calls connect again by themselves, within the time
/// that they have, and continue. [`Client::next_event`] tells what happened.
///
/// A timeout of zero never waits. A timeout of [`Duration::MAX`] never ends.
///
/// In the examples below, `url` is the URL of a broker, such as `mqtt://localhost:1883`.
///
#[doc = example!()]
/// use std::time::Duration;
/// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
///
/// let mut client = Client::connect(&url, Options::new())?;
/// client.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)])?;
/// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
///
/// let message = client.receive_timeout(Duration::from_secs(5))?.expect("a message within five seconds");
/// assert_eq!(message.topic, "sensors/kitchen");
/// assert_eq!(message.payload, b"21.5");
/// client.disconnect()?;
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub struct Client<
    #[cfg(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2")))] T = TcpTransport,
    #[cfg(not(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2"))))] T,
> {
    /// The component has more to ask of it than a client.
    pub(crate) engine: Engine,
    pub(crate) network: Network<T>,
    /// Of this client's own requests, once it takes any.
    responder: Option<ResponderId>,
}

#[cfg(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2")))]
impl Client<TcpTransport> {
    /// Connects to the broker at a URL: `mqtt://[user:password@]host[:port]`, or `mqtts://` with the feature `tls`.
    /// With the feature `ws` also over WebSocket: `ws://[user:password@]host[:port][/path]`, or `wss://` with both. On
    /// Unix also `unix:///path`. If that fails, tries each of the [fallbacks](Options::fallback) in turn. User Name and
    /// Password of the URL are used where the options have none.
    ///
    /// Blocks for at most twice [`Options::connect_timeout`] for each broker that is tried.
    ///
    /// # Errors
    /// [`Error::Url`]; [`CallError::InvalidOptions`](crate::CallError::InvalidOptions); [`Error::Transport`] with
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) for TLS options that cannot be used. From the
    /// broker that was tried last: [`Error::Transport`], [`Error::ConnectionRefused`], [`Error::ConnectTimeout`],
    /// [`Error::Authentication`], and any error that [ends the connection](Error::is_fatal).
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Error, Options, ReasonCode};
    ///
    /// let client = Client::connect(&url, Options::new().client_id("thermometer-7"))?;
    /// assert!(client.is_connected());
    ///
    /// let refused = Client::connect(&url, Options::new().login("thermometer-7", "wrong")).unwrap_err();
    /// assert_eq!(refused.reason_code(), Some(ReasonCode::BadUserNameOrPassword));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn connect(url: &str, options: Options) -> Result<Self, Error> {
        Self::connect_with(Self::connector_for(&options)?, url, options)
    }

    /// What makes the transports that the options ask for.
    #[cfg_attr(
        not(any(feature = "proxy", feature = "socket-options", feature = "tls", feature = "ws")),
        allow(clippy::unnecessary_wraps, unused_variables)
    )]
    fn connector_for(options: &Options) -> Result<TcpConnector, Error> {
        #[cfg(feature = "tls")]
        let connector = TcpConnector::with_tls(options.tls.clone())?;
        #[cfg(not(feature = "tls"))]
        let connector = TcpConnector::new();
        #[cfg(feature = "ws")]
        let connector = connector.with_websocket_headers(options.websocket_headers.clone())?;
        #[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
        let connector = connector.with_sockets(options.sockets);
        #[cfg(feature = "proxy")]
        let connector = connector.through(options.checked_proxy()?);
        Ok(connector)
    }

    /// Connects to the broker at an address such as `127.0.0.1:1883`, without TLS. Such a client does not connect again
    /// by itself, and [`Client::reconnect`] fails: use [`Client::reconnect_over`].
    ///
    /// # Errors
    /// As [`Client::connect`], except [`Error::Url`].
    ///
    #[doc = example!()]
    /// # let address = broker.address();
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let client = Client::connect_to(&address, Options::new())?; // such as "127.0.0.1:1883"
    /// assert!(client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn connect_to(address: impl std::net::ToSocketAddrs, options: Options) -> Result<Self, Error> {
        options.validate().map_err(crate::error::CallError::InvalidOptions)?;
        let transport = TcpTransport::connect(address, options.session.connect_timeout)?;
        Self::connect_over(transport, options)
    }
}

impl<T: Transport> Client<T> {
    /// As `Client::connect`, over transports that `connector` makes.
    ///
    /// # Errors
    /// As `Client::connect`.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::transport::TcpConnector;
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let client = Client::connect_with(TcpConnector::new(), &url, Options::new())?;
    /// assert!(client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn connect_with(
        connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: Options,
    ) -> Result<Self, Error> {
        let mut client = Self::unconnected(connector, url, options)?;
        client.run(Connecting)?;
        Ok(client)
    }

    #[cfg(not(feature = "store"))]
    const fn over(engine: Engine, network: Network<T>) -> Self {
        Self { engine, network, responder: None }
    }

    /// A client that is to be connected.
    pub(crate) fn unconnected(
        mut connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: Options,
    ) -> Result<Self, Error> {
        #[cfg(feature = "stream")]
        let options = options.without_streams();
        let engine = Engine::new(Some(url), options, connector.random())?;
        Ok(Self::over(engine, Network::new(None, Some(Box::new(connector)))))
    }

    /// Connects to the broker at the other end of a transport. Such a client does not connect again by itself: see
    /// [`Client::reconnect_over`].
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`](crate::CallError::InvalidOptions), [`Error::ConnectionRefused`],
    /// [`Error::ConnectTimeout`], [`Error::Authentication`], and any error that [ends the connection](Error::is_fatal).
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let client = Client::connect_over(network, Options::new())?; // any `Transport`
    /// assert!(client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn connect_over(transport: T, options: Options) -> Result<Self, Error> {
        #[cfg(feature = "stream")]
        let options = options.without_streams();
        let engine = Engine::new(None, options, 0)?;
        let mut client = Self::over(engine, Network::new(None, None));
        client.reconnect_over(transport)?;
        Ok(client)
    }

    /// Connects again, to the broker at the same URL or, if that fails, to the fallbacks in turn. Continues the
    /// session: what was in flight is sent again, in order, also if the broker has lost the session. Closes a
    /// connection that is still there first. Returns whether the broker still had the session.
    ///
    /// # Errors
    /// As [`Client::connect_with`]; [`CallError::NotConnected`](crate::CallError::NotConnected) for a client that was
    /// made over a transport: use [`Client::reconnect_over`]. After an error, `reconnect` may be called again. With
    /// [`Options::reconnect`], the client then also tries again by itself.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(60);
    /// let mut client = Client::connect(&url, options)?;
    /// # broker.cut();
    /// // The connection is lost. Waiting for a message fails with the reason.
    /// let error = client.receive().unwrap_err();
    /// assert!(error.is_fatal());
    ///
    /// assert!(client.reconnect()?, "the broker still had the session");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn reconnect(&mut self) -> Result<bool, Error> {
        self.run(Connecting)
    }

    /// Continues the session over a new transport. What was in flight is sent again, in order, also if the broker has
    /// lost the session. Closes the transport before it. Returns whether the broker still had the session.
    ///
    /// # Errors
    /// As [`Client::connect_over`]. After an error, `reconnect_over` may be called again.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(60);
    /// let mut client = Client::connect_over(network.clone(), options)?;
    /// # network.cut();
    /// assert!(client.receive().is_err(), "the connection is lost");
    ///
    /// let another = network.again();
    /// assert!(client.reconnect_over(another)?, "the broker still had the session");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn reconnect_over(&mut self, transport: T) -> Result<bool, Error> {
        if let Some(before) = &mut self.network.transport {
            before.close();
        }
        let transport = self.network.transport.insert(transport);
        self.engine.attach(transport.now());
        self.run(Connected)
    }

    /// Changes what the next connection is made with, and those after it: User Name, Password, Will Message, and what
    /// else [`ConnectChanges`] has. The connection that is there stays as it is.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`](crate::CallError::InvalidOptions), and nothing is changed.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, ConnectChanges, Options};
    ///
    /// let mut client = Client::connect(&url, Options::new().login("thermometer-7", "a token"))?;
    /// // Before the token expires:
    /// client.update(ConnectChanges { password: Some(b"a new token".to_vec()), ..ConnectChanges::default() })?;
    /// client.reconnect()?;
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn update(&mut self, changes: ConnectChanges) -> Result<(), Error> {
        Ok(self.engine.update(changes)?)
    }

    /// Publishes a message. Returns once it is sent at QoS 0, and once the broker has it at QoS 1 and 2:
    /// [`ReasonCode::Success`], or [`ReasonCode::NoMatchingSubscribers`] if the broker knows of no subscriber to the
    /// topic. Messages are sent in the order of the calls. Blocks for at most [`Options::response_timeout`].
    ///
    /// Each call is a write to the network. For many messages at QoS 0, [`Client::enqueue`] is a tenth of that. On
    /// Linux the messages of a loop at QoS 0 share the packets of TCP, and one may leave a millisecond later for
    /// that.
    ///
    /// # Errors
    /// [`Error::PublishRefused`]; [`Error::Call`] for a message that cannot be sent, or that the broker does not
    /// accept; [`Error::Timeout`] when the broker does not answer in time, with the message still in flight;
    /// [`Error::GivenUp`]; [`Error::AnswerBehindMessages`]; and any error that [ends the connection](Error::is_fatal).
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Error, Options, Publish, QoS, ReasonCode};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let temperature = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce).retain(true);
    /// assert_eq!(client.publish(&temperature)?, ReasonCode::NoMatchingSubscribers);
    ///
    /// let refused = client.publish(&Publish::new("forbidden", "21.5").qos(QoS::AtLeastOnce)).unwrap_err();
    /// assert!(matches!(refused, Error::PublishRefused(_)), "the connection continues");
    /// assert_eq!(refused.reason_code(), Some(ReasonCode::NotAuthorized));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn publish(&mut self, publish: &Publish<'_>) -> Result<ReasonCode, Error> {
        self.publish_with_reason(publish).map(|reason| reason.reason_code)
    }

    /// As [`Client::publish`]. Returns everything that the broker answered: also the Reason String and User Properties.
    ///
    /// # Errors
    /// As [`Client::publish`].
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS, ReasonCode};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let answer = client.publish_with_reason(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// assert_eq!(answer.reason_code, ReasonCode::NoMatchingSubscribers);
    /// assert_eq!(answer.reason_string, None);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn publish_with_reason(&mut self, publish: &Publish<'_>) -> Result<Reason, Error> {
        self.run(Publishing(publish))
    }

    /// As [`Client::publish`], with a trace context in the User Properties, in place of any other in them.
    ///
    /// # Errors
    /// As [`Client::publish`].
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription, TraceContext};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)])?;
    /// let context = TraceContext::random_root(true);
    /// client.publish_traced(&Publish::new("sensors/kitchen", "21.5"), &context)?;
    /// assert_eq!(client.receive()?.trace_context(), Some(context));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn publish_traced(&mut self, publish: &Publish<'_>, context: &TraceContext) -> Result<ReasonCode, Error> {
        let user_properties = context.added_to(&publish.properties.user_properties);
        self.publish(&publish.with_user_properties(&borrowed(&user_properties)))
    }

    /// Serializes `value` to JSON and publishes it, with the Content Type `application/json` and the Payload Format
    /// Indicator for UTF-8 text.
    ///
    /// # Errors
    /// [`Error::Json`] when `value` cannot be written as JSON, and as [`Client::publish`].
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)])?;
    /// client.publish_json("sensors/kitchen", &[21.5, 22.0], QoS::AtLeastOnce)?;
    ///
    /// let message = client.receive()?;
    /// assert_eq!(message.json::<[f64; 2]>()?, [21.5, 22.0]);
    /// assert_eq!(message.content_type.as_deref(), Some("application/json"));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
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

    /// Publishes messages in order, with as many in flight as the broker and the options allow, and as many in one
    /// write. Returns the result of each, in order: what [`Client::publish`] would return. Blocks while answers keep
    /// coming within [`Options::response_timeout`].
    ///
    /// When the connection ends, messages that were not sent fail with the reason.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Error, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let topics = ["sensors/1", "forbidden", "sensors/3"];
    /// let messages = topics.map(|topic| Publish::new(topic, "21.5").qos(QoS::AtLeastOnce));
    /// let results = client.publish_all(messages);
    /// assert!(results[0].is_ok() && results[2].is_ok());
    /// assert!(matches!(results[1], Err(Error::PublishRefused(_))));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn publish_all<'a>(
        &mut self,
        messages: impl IntoIterator<Item = Publish<'a>>,
    ) -> Vec<Result<ReasonCode, Error>> {
        // It fails message by message.
        self.run(PublishingAll::new(messages)).unwrap_or_default()
    }

    /// Puts a message into the outbound buffer; with a store (`Options::store`), at QoS 1 and 2, into that, connected
    /// or not. It is sent by [`Client::flush`] or any other call that sends or waits, or when 64 KiB wait to be sent,
    /// natively more where messages are large. This is the fastest way to publish many small messages one by one. For
    /// QoS 1 and 2 there is no result. Blocks only while there is no room, for at most [`Options::response_timeout`].
    ///
    /// # Errors
    /// As [`Client::publish`], except [`Error::PublishRefused`], [`Error::GivenUp`], [`Error::SessionLost`] and
    /// [`Error::AnswerBehindMessages`]. The message is then not in the buffer.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// for reading in ["21.5", "21.6", "21.7"] {
    ///     client.enqueue(&Publish::new("sensors/kitchen", reading))?;
    /// }
    /// client.flush()?;
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn enqueue(&mut self, publish: &Publish<'_>) -> Result<(), Error> {
        if !self.engine.enqueue_at_once(publish) {
            self.run(Enqueueing(publish))?;
        }
        if self.engine.outgoing() >= write_size(publish.payload.len()) {
            // The message is in the buffer whatever comes of this. If the connection has ended, the next call tells so.
            let _ = self.flush();
        }
        Ok(())
    }

    /// Sends everything that waits to be sent, acknowledgements included. Blocks for at most
    /// [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take it in time,
    /// [`CallError::NotConnected`](crate::CallError::NotConnected), and any error that [ends the
    /// connection](Error::is_fatal).
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.enqueue(&Publish::new("sensors/kitchen", "21.5"))?;
    /// assert!(client.has_outgoing());
    /// client.flush()?;
    /// assert!(!client.has_outgoing());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn flush(&mut self) -> Result<(), Error> {
        self.run(Flushing)
    }

    /// Subscribes to Topic Filters. Returns the QoS that the broker granted for each, in order. Blocks for at most
    /// [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused any of them, with the Reason Code of each: the others are in
    /// effect. [`Error::Call`] for what cannot be sent, or what the broker does not support; [`Error::Timeout`];
    /// [`Error::AnswerBehindMessages`]; and any error that [ends the connection](Error::is_fatal).
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let granted = client.subscribe(&[
    ///     Subscription::new("sensors/+", QoS::AtLeastOnce),
    ///     Subscription { no_local: true, ..Subscription::new("commands/#", QoS::ExactlyOnce) },
    /// ])?;
    /// assert_eq!(granted, [QoS::AtLeastOnce, QoS::ExactlyOnce]);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn subscribe(&mut self, subscriptions: &[Subscription<'_>]) -> Result<Vec<QoS>, Error> {
        self.subscribe_with(subscriptions, SubscribeProperties::default())?.granted()
    }

    /// As [`Client::subscribe`], with a Subscription Identifier or User Properties. Returns everything that the broker
    /// answered: look for refusals among the Reason Codes.
    ///
    /// # Errors
    /// As [`Client::subscribe`], except [`Error::SubscribeRefused`].
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS, ReasonCode, SubscribeProperties, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let subscriptions = ["sensors/+", "forbidden"].map(|filter| Subscription::new(filter, QoS::AtMostOnce));
    /// let properties = SubscribeProperties { subscription_identifier: Some(7), ..SubscribeProperties::default() };
    /// let answer = client.subscribe_with(&subscriptions, properties)?;
    /// assert_eq!(answer.reason_codes, [ReasonCode::GRANTED_QOS_0, ReasonCode::NotAuthorized]);
    ///
    /// client.publish(&Publish::new("sensors/kitchen", "21.5"))?;
    /// assert_eq!(client.receive()?.subscription_identifiers, [7]);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn subscribe_with(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.run(Subscribing { subscriptions, properties })
    }

    /// Unsubscribes from Topic Filters. That a subscription did not exist is no error. Blocks for at most
    /// [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused, with the Reason Code of each Topic Filter; otherwise as
    /// [`Client::subscribe`].
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)])?;
    /// client.unsubscribe(&["sensors/+"])?;
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Result<(), Error> {
        self.unsubscribe_with(filters, UnsubscribeProperties::default())?.granted().map(drop)
    }

    /// As [`Client::unsubscribe`], with User Properties. Returns everything that the broker answered: look for refusals
    /// among the Reason Codes.
    ///
    /// # Errors
    /// As [`Client::unsubscribe`], except [`Error::SubscribeRefused`].
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, ReasonCode, UnsubscribeProperties};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let answer = client.unsubscribe_with(&["sensors/+"], UnsubscribeProperties::default())?;
    /// assert_eq!(answer.reason_codes, [ReasonCode::NoSubscriptionExisted]);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn unsubscribe_with(
        &mut self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.run(Unsubscribing { filters, properties })
    }

    /// Returns the next message, in the order that the broker sent them. Waits for it for as long as it takes. QoS 1
    /// and 2 messages are acknowledged; the acknowledgement is sent by the next call that sends or waits.
    ///
    /// # Errors
    /// What ended the connection, once the messages that came before are received, until there is a new connection.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)])?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let message = client.receive()?;
    /// assert_eq!((message.topic.as_str(), message.qos), ("sensors/kitchen", QoS::AtLeastOnce));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn receive(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.receive_timeout(Duration::MAX)? {
                return Ok(message);
            }
        }
    }

    /// As [`Client::receive`], but waits for at most `timeout`; zero takes only what is there. `None`: no message came.
    ///
    /// # Errors
    /// As [`Client::receive`].
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// assert_eq!(client.receive_timeout(Duration::from_millis(10))?, None);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn receive_timeout(&mut self, timeout: Duration) -> Result<Option<Message>, Error> {
        self.receive_with(timeout, Message::of)
    }

    /// Lends the next message to `read`, without a copy. Returns what `read` returned, or `None` when no message came
    /// within `timeout`. The message is acknowledged as by [`Client::receive`].
    ///
    /// # Errors
    /// As [`Client::receive`].
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)])?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5"))?;
    /// let len = client.receive_with(Duration::from_secs(5), |message| message.payload.len())?;
    /// assert_eq!(len, Some(4));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn receive_with<R>(
        &mut self,
        timeout: Duration,
        read: impl FnOnce(&Publish<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        let mut read = Some(read);
        self.receive_within(timeout, |engine| {
            let publish = engine.receive()?;
            read.take().map(|read| read(&publish))
        })
    }

    /// As [`Client::receive_timeout`], but the message is acknowledged by [`Client::acknowledge`], for example when the
    /// work for it is done. If the program ends before that and its session is kept, the broker sends the message
    /// again. Until then it counts against [`Options::receive_maximum`], so the broker sends no more than the program
    /// keeps up with.
    ///
    /// There is no [`Delivery`] where there is nothing to acknowledge: at QoS 0, and for a message of an earlier
    /// connection.
    ///
    /// # Errors
    /// As [`Client::receive`].
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new().client_id("worker").session_expiry_interval(3600))?;
    /// client.subscribe(&[Subscription::new("jobs", QoS::AtLeastOnce)])?;
    /// client.publish(&Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce))?;
    ///
    /// let (message, delivery) = client.receive_unacknowledged(Duration::from_secs(5))?.expect("a job");
    /// assert_eq!(message.payload, b"print 3 labels");
    /// // The work is done.
    /// if let Some(delivery) = delivery {
    ///     client.acknowledge(delivery);
    /// }
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn receive_unacknowledged(&mut self, timeout: Duration) -> Result<Option<(Message, Option<Delivery>)>, Error> {
        self.receive_within(timeout, |engine| {
            engine.receive_unacknowledged().map(|(publish, delivery)| (Message::from(publish), delivery))
        })
    }

    /// Acknowledges a message, in any order. The broker gets the acknowledgements in the order of the messages
    /// `[MQTT-4.6.0-2]`, with the next call that sends or waits. Never blocks. Returns `false` if it was done before,
    /// or if the connection of the message is over: then the broker sends it again, if it keeps the session.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("jobs", QoS::AtLeastOnce)])?;
    /// client.publish(&Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce))?;
    /// let (_, delivery) = client.receive_unacknowledged(Duration::from_secs(5))?.expect("a job");
    /// let delivery = delivery.expect("a QoS 1 message");
    /// assert!(client.acknowledge(delivery));
    /// assert!(!client.acknowledge(delivery), "it was done before");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn acknowledge(&mut self, delivery: Delivery) -> bool {
        self.engine.acknowledge(delivery)
    }

    /// Lends the next of the messages that have arrived to `read`, without reading from the connection. `None` when
    /// there is none. The message is acknowledged as by [`Client::receive`].
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)])?;
    /// for reading in ["21.5", "21.6", "21.7"] {
    ///     client.publish(&Publish::new("sensors/kitchen", reading).qos(QoS::AtLeastOnce))?;
    /// }
    /// // The messages came before the answers to `publish`.
    /// let mut bytes = 0;
    /// while let Some(len) = client.take_with(|message| message.payload.len()) {
    ///     bytes += len;
    /// }
    /// assert_eq!(bytes, 12);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn take_with<R>(&mut self, read: impl FnOnce(&Publish<'_>) -> R) -> Option<R> {
        self.engine.receive().map(|publish| read(&publish))
    }

    /// Does what can be done without waiting. Returns whether [`Client::receive`] would return at once: there is a
    /// message, or there is no connection.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// assert!(!client.is_ready());
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)])?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// assert!(client.is_ready());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
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
            if !self.turn(Some(now), Some(now)).has_moved {
                return false;
            }
        }
        false
    }

    /// Iterates over the messages as they come, as [`Client::receive`] returns them. Ends after the error that ended
    /// the connection.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)])?;
    /// for reading in ["21.5", "21.6", "21.7"] {
    ///     client.enqueue(&Publish::new("sensors/kitchen", reading))?;
    /// }
    /// let messages = client.messages().take(3).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(messages[2].payload, b"21.7");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn messages(&mut self) -> Messages<'_, T> {
        Messages { client: self, is_over: false }
    }

    /// Authenticates again over this connection (section 4.12.1), for example before a token expires. Waits until no
    /// other authentication is under way. If the connection was lost and is made again, that authenticates too, and the
    /// call is done. Blocks for at most [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`Error::Timeout`] when the broker has not authenticated the client in time: the
    /// connection stays as it was, and later calls continue the exchange;
    /// [`CallError::NothingToAuthenticate`](crate::CallError::NothingToAuthenticate) when the options have no
    /// [authenticator](Options::authenticator); and any error that [ends the connection](Error::is_fatal), as a broker
    /// that refuses does.
    ///
    #[doc = example!()]
    /// # let token = broker::Token(b"a token".to_vec());
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let mut client = Client::connect(&url, Options::new().authenticator(token))?; // any `Authenticator`
    /// client.authenticate_again()?;
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn authenticate_again(&mut self) -> Result<(), Error> {
        self.run(Authenticating)
    }

    /// Sends what waits to be sent, then DISCONNECT, and closes the connection. The broker deletes the Will Message.
    /// Does nothing if there is no connection. Blocks for at most five seconds.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take the last bytes, and any error that [ends the
    /// connection](Error::is_fatal) before that.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.disconnect()?;
    /// assert!(!client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn disconnect(&mut self) -> Result<(), Error> {
        self.disconnect_with(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION))
    }

    /// As [`Client::disconnect`], with any DISCONNECT: for example one after which the broker publishes the Will
    /// Message ([`ReasonCode::DisconnectWithWillMessage`]), or one that changes the Session Expiry Interval.
    ///
    /// # Errors
    /// As [`Client::disconnect`]; [`CallError::Invalid`](crate::CallError::Invalid),
    /// [`CallError::PacketTooLarge`](crate::CallError::PacketTooLarge);
    /// [`CallError::PropertyNotAllowed`](crate::CallError::PropertyNotAllowed) for a Session Expiry Interval when that
    /// of the options is 0 (section 3.14.2.2.2).
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Disconnect, Options, ReasonCode, WillMessage};
    ///
    /// let will = WillMessage::new("status/thermometer-7", "offline");
    /// let mut client = Client::connect(&url, Options::new().will(will))?;
    /// client.disconnect_with(&Disconnect::new(ReasonCode::DisconnectWithWillMessage))?;
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn disconnect_with(&mut self, disconnect: &Disconnect<'_>) -> Result<(), Error> {
        self.run(Disconnecting(disconnect))
    }

    /// What the broker sent when it accepted the connection: its limits, the Client Identifier that it assigned, and
    /// more. `None` before the first connection.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, QoS};
    ///
    /// let client = Client::connect(&url, Options::new())?;
    /// let info = client.connection_info().expect("there is a connection");
    /// assert_eq!((info.maximum_qos, info.retain_available), (QoS::ExactlyOnce, true));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        self.engine.session().connection_info()
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let client = Client::connect(&url, Options::new().client_id("thermometer-7"))?;
    /// assert_eq!(client.client_id(), "thermometer-7");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn client_id(&self) -> String {
        self.engine.client_id()
    }

    /// Whether there is a connection, as far as is known without looking.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// assert!(client.is_connected());
    /// client.disconnect()?;
    /// assert!(!client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.engine.is_connected()
    }

    /// When the client has to be called again, to keep the connection or to make one, by the clock of its
    /// [transport](Client::transport). Any call that can wait will do, for example [`Client::receive_timeout`] with a
    /// timeout of zero. `None`: it need not be called.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::Transport;
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let client = Client::connect(&url, Options::new().keep_alive(30))?;
    /// let now = client.transport().expect("there is a connection").now();
    /// let left = client.deadline().expect("there is a Keep Alive").saturating_duration_since(now);
    /// assert!(left <= Duration::from_secs(30));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.engine.deadline()
    }

    /// Counters over all connections of this client.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let stats = client.stats();
    /// assert_eq!((stats.packets_sent, stats.packets_received), (2, 2), "CONNECT and PUBLISH, CONNACK and PUBACK");
    /// assert_eq!(stats.in_flight, 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Why the last connection ended, or the last attempt to make one failed. `None` while there is a connection, and
    /// after [`Client::disconnect`].
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Error, Options};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// assert_eq!(client.last_failure(), None);
    /// # broker.cut();
    /// // The connection is lost. Waiting for a message tells why, and so does this.
    /// let error = client.receive().unwrap_err();
    /// assert_eq!(client.last_failure(), Some(error));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn last_failure(&self) -> Option<Error> {
        self.engine.last_failure().cloned()
    }

    /// The QoS 1 and 2 messages that are in flight to the broker: those that were received at QoS 2 and wait for the
    /// end of their delivery first, then the others in the order they were sent.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.enqueue(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let in_flight = client.messages_in_flight();
    /// assert_eq!((in_flight[0].message.topic.as_str(), in_flight[0].attempts), ("sensors/kitchen", 1));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn messages_in_flight(&self) -> Vec<InFlightMessage> {
        self.engine.messages_in_flight()
    }

    /// Gives up a message of [`Client::messages_in_flight`]: it is not sent again. What the broker has of it stays
    /// there. Returns false if the message is not in flight any more.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.enqueue(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// for message in client.messages_in_flight() {
    ///     assert!(client.give_up_message(message.id));
    /// }
    /// assert_eq!(client.stats().in_flight, 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn give_up_message(&mut self, id: u64) -> bool {
        self.engine.give_up_message(id, self.network.now())
    }

    /// The session as bytes, for a later process to continue: see [`Options::resume`]. It holds what
    /// [`Session::snapshot`](crate::session::Session::snapshot) lists, and no password.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Snapshot};
    ///
    /// let options = Options::new().session_expiry_interval(3600);
    /// let client = Client::connect(&url, options.clone().client_id("thermometer-7"))?;
    /// let bytes = client.snapshot(); // to a file, for example
    /// drop(client);
    ///
    /// // In a later process:
    /// let client = Client::connect(&url, options.resume(Snapshot::from_bytes(&bytes)?))?;
    /// assert_eq!(client.client_id(), "thermometer-7");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.engine.session().snapshot()
    }

    /// Returns the next event. Waits for it for at most `timeout`; zero takes only what is there. `None`: nothing
    /// happened. Up to 1,024 events wait here; then the oldest is dropped.
    ///
    /// # Errors
    /// What ended the connection, once all events are taken, if the client does not connect again by itself.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Event, Options, Reconnect};
    ///
    /// let policy = Reconnect { first_delay: Duration::from_millis(10), ..Reconnect::default() };
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(60).reconnect(policy);
    /// let mut client = Client::connect(&url, options)?;
    /// # broker.cut();
    /// // The connection is lost, and made again.
    /// let lost = client.next_event(Duration::from_secs(5))?;
    /// assert!(matches!(lost, Some(Event::Disconnected(_))));
    /// let made = client.next_event(Duration::from_secs(5))?;
    /// assert_eq!(made, Some(Event::Connected { session_present: true }));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        if timeout.is_zero() {
            let now = self.network.now();
            let mut event = self.engine.take_event(now);
            if event.is_none() {
                self.turn(Some(now), Some(now));
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
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, Publish};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.enqueue(&Publish::new("sensors/kitchen", "21.5"))?;
    /// assert!(client.has_outgoing());
    /// client.flush()?;
    /// assert!(!client.has_outgoing());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        self.engine.has_outgoing()
    }

    /// The transport. `None` before the first connection. After a connection is closed, its transport stays here until
    /// there is a new one.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let client = Client::connect(&url, Options::new())?;
    /// let transport = client.transport().expect("there is a connection");
    /// assert_eq!(format!("mqtt://{}", transport.stream().peer_addr().unwrap()), url);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn transport(&self) -> Option<&T> {
        self.network.transport.as_ref()
    }

    /// The connector; `None` where the caller makes the transports.
    #[cfg(all(feature = "component", not(feature = "component-p3"), target_arch = "wasm32"))]
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

/// The messages as they come: see [`Client::messages`].
///
#[doc = example!()]
/// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
///
/// let mut client = Client::connect(&url, Options::new())?;
/// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)])?;
/// client.publish(&Publish::new("sensors/kitchen", "21.5"))?;
/// for message in client.messages() {
///     let message = message?;
///     assert_eq!(message.topic, "sensors/kitchen");
///     break;
/// }
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
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
