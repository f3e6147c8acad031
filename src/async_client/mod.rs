//! The async client: a face over the [engine](crate::engine) that any number of tasks share, over one connection.
//!
//! ```text
//!   call ──► engine ──► what has piled up ──► driver: one write ──► broker
//!   call ◄── outcome ◄──┐                        │
//!   listener ◄── inbox ◄┴── engine ◄─────────────┴── one read  ◄── broker
//! ```
//!
//! Calls put their packets into the engine themselves and wake the driver, a task of the runtime, which runs once they
//! wait. So what many of them have to say leaves in one write, and nothing is handed from one task to another on the
//! way.

mod driver;
#[cfg(feature = "stream")]
mod incoming;
mod messages;
mod over;
mod requests;
mod runtime;
#[cfg(all(test, shuttle))]
#[path = "../../tests/schedules/mod.rs"]
mod schedules;
mod shared;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "stream")]
mod stream;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use driver::Driver;
#[cfg(feature = "stream")]
pub use incoming::{AsyncPayload, AsyncStreamedMessages, StreamedMessage};
pub use messages::AsyncMessages;
pub use requests::{AsyncRequests, IncomingRequest};
use runtime::{now, spawn};
use shared::Shared;

use crate::codec::{Disconnect, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties};
use crate::engine::{
    Authenticating, ConnectChanges, Connecting, Disconnecting, Engine, Enqueueing, Event, Flushing, Listening,
    NextEvent, Options, Overflow, Publishing, PublishingAll, Requesting, Subscribing, Unsubscribing,
};
#[cfg(doc)]
use crate::error::CallError;
use crate::error::{Error, Reason, SubscribeReason};
use crate::message::{Message, borrowed};
use crate::respond::{Reply, Responder};
use crate::session::{ConnectionInfo, Delivery, InFlightMessage, Stats};
use crate::trace::TraceContext;
use crate::transport::Layers;

/// A client for tokio, which any number of tasks may use at the same time. Clones share one connection: give each task
/// its own clone.
///
/// The client works in both kinds of tokio runtime, in a `LocalSet`, and on `wasm32-wasip2` in a runtime of the kind
/// `current_thread`. It spawns one task that moves bytes, keeps the Keep Alive and, with [`Options::reconnect`],
/// connects again. Nothing else has to be polled.
///
/// When the connection is lost, calls fail with the reason until there is a new one. With [`Options::reconnect`], calls
/// wait for it, within the time that they have. If the client's task is gone, because its runtime was shut down or
/// because it panicked, every call except `disconnect` fails with [`Error::Stopped`].
///
/// A future that is dropped takes back what it can: a request is given up, and a call that waits for room never
/// happens. What was sent stays sent.
///
/// When the last clone and the last of its [`AsyncMessages`] and [`AsyncRequests`] are dropped, the connection is cut,
/// and the broker publishes the Will Message. [`AsyncClient::disconnect`] ends the connection normally.
///
/// In the examples below, `url` is the URL of a broker, such as `mqtt://localhost:1883`.
///
#[doc = async_example!()]
/// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
///
/// let client = AsyncClient::connect(&url, Options::new()).await?;
/// let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtLeastOnce)).await?;
/// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
///
/// let message = messages.receive().await?;
/// assert_eq!(message.topic, "sensors/kitchen");
/// assert_eq!(message.payload, b"21.5");
/// client.disconnect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AsyncClient {
    handle: Arc<Handle>,
}

/// What ends the client when it is dropped.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl AsyncClient {
    /// Connects to the broker at a URL: `mqtt://[user:password@]host[:port]`, or `mqtts://` with the feature `tls`.
    /// With the feature `ws` also over WebSocket: `ws://[user:password@]host[:port][/path]`, or `wss://` with both. On
    /// Unix also `unix:///path`. If that fails, tries each of the [fallbacks](Options::fallback) in turn. User Name and
    /// Password of the URL are used where the options have none.
    ///
    /// Takes at most twice [`Options::connect_timeout`] for each broker that is tried.
    ///
    /// # Errors
    /// [`Error::Url`]; [`CallError::InvalidOptions`]; [`Error::Transport`] with
    /// [`TlsFailure::Configuration`](crate::TlsFailure::Configuration) for TLS options that cannot be used. From the
    /// broker that was tried last: [`Error::Transport`], [`Error::ConnectionRefused`], [`Error::ConnectTimeout`],
    /// [`Error::Authentication`], and any error that [ends the connection](Error::is_fatal).
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without I/O or time.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, ReasonCode};
    ///
    /// let client = AsyncClient::connect(&url, Options::new().client_id("thermometer-7")).await?;
    /// assert!(client.is_connected());
    ///
    /// let refused = AsyncClient::connect(&url, Options::new().login("thermometer-7", "wrong")).await.unwrap_err();
    /// assert_eq!(refused.reason_code(), Some(ReasonCode::BadUserNameOrPassword));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let client = Self::unconnected(url, options)?;
        client.handle.shared.run(Connecting).await?;
        Ok(client)
    }

    /// A client that is to be connected.
    fn unconnected(url: &str, options: Options) -> Result<Self, Error> {
        #[cfg_attr(
            not(any(feature = "proxy", feature = "socket-options", feature = "tls", feature = "ws")),
            allow(unused_mut)
        )]
        let mut layers = Layers::none();
        #[cfg(feature = "tls")]
        layers.use_tls(options.tls.clone())?;
        #[cfg(feature = "ws")]
        layers.use_websocket_headers(options.websocket_headers.clone())?;
        #[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
        {
            layers.sockets = options.sockets;
        }
        #[cfg(feature = "proxy")]
        layers.use_proxy(options.checked_proxy()?);
        let mut engine = Engine::new(Some(url), options, crate::random::seed())?;
        engine.deliver_to_listeners();
        let shared = Arc::new(Shared::new(engine));
        spawn(Driver::new(Arc::clone(&shared), layers));
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// Publishes a message. Returns once it is sent at QoS 0, and once the broker has it at QoS 1 and 2:
    /// [`ReasonCode::Success`], or [`ReasonCode::NoMatchingSubscribers`] if the broker knows of no subscriber to the
    /// topic. Waits for room when too much is in flight. Messages are sent in the order of the calls. Takes at most
    /// [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::PublishRefused`]; [`Error::Call`] for a message that cannot be sent, or that the broker does not
    /// accept; [`Error::Timeout`] when the broker does not answer in time, with the message still in flight;
    /// [`Error::GivenUp`]; [`Error::AnswerBehindMessages`]; and any error that [ends the connection](Error::is_fatal),
    /// unless the client connects again by itself.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Error, Options, Publish, QoS, ReasonCode};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let temperature = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce).retain(true);
    /// assert_eq!(client.publish(&temperature).await?, ReasonCode::NoMatchingSubscribers);
    ///
    /// let refused = client.publish(&Publish::new("forbidden", "21.5").qos(QoS::AtLeastOnce)).await.unwrap_err();
    /// assert!(matches!(refused, Error::PublishRefused(_)), "the connection continues");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(&self, publish: &Publish<'_>) -> Result<ReasonCode, Error> {
        self.publish_with_reason(publish).await.map(|reason| reason.reason_code)
    }

    /// As [`AsyncClient::publish`]. Returns everything that the broker answered: also the Reason String and User
    /// Properties.
    ///
    /// # Errors
    /// As [`AsyncClient::publish`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, ReasonCode};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let answer = client.publish_with_reason(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
    /// assert_eq!(answer.reason_code, ReasonCode::NoMatchingSubscribers);
    /// assert_eq!(answer.reason_string, None);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_with_reason(&self, publish: &Publish<'_>) -> Result<Reason, Error> {
        self.run(Publishing(publish)).await
    }

    /// As [`AsyncClient::publish`], with a trace context in the User Properties, in place of any other in them.
    ///
    /// # Errors
    /// As [`AsyncClient::publish`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription, TraceContext};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtMostOnce)).await?;
    /// let context = TraceContext::random_root(true);
    /// client.publish_traced(&Publish::new("sensors/kitchen", "21.5"), &context).await?;
    /// assert_eq!(messages.receive().await?.trace_context(), Some(context));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_traced(&self, publish: &Publish<'_>, context: &TraceContext) -> Result<ReasonCode, Error> {
        let user_properties = context.added_to(&publish.properties.user_properties);
        self.publish(&publish.with_user_properties(&borrowed(&user_properties))).await
    }

    /// Serializes `value` to JSON and publishes it, with the Content Type `application/json` and the Payload Format
    /// Indicator for UTF-8 text.
    ///
    /// # Errors
    /// [`Error::Json`] when `value` cannot be written as JSON, and as [`AsyncClient::publish`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtMostOnce)).await?;
    /// client.publish_json("sensors/kitchen", &[21.5, 22.0], QoS::AtLeastOnce).await?;
    /// assert_eq!(messages.receive().await?.json::<[f64; 2]>()?, [21.5, 22.0]);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "json")]
    pub async fn publish_json(
        &self,
        topic: &str,
        value: &(impl serde::Serialize + ?Sized),
        qos: QoS,
    ) -> Result<ReasonCode, Error> {
        let payload = crate::json::to_json(value)?;
        self.publish(&Publish::new(topic, &payload).qos(qos).properties(crate::json::json_properties())).await
    }

    /// Publishes messages in order, with as many in flight as the broker and the options allow, and as many in one
    /// write. Returns the result of each, in order: what [`AsyncClient::publish`] would return. Waits while answers
    /// keep coming within [`Options::response_timeout`].
    ///
    /// When the connection ends, messages that were not sent fail with the reason. The iterator is taken to its end
    /// before the first message is sent.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Error, Options, Publish, QoS};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let topics = ["sensors/1", "forbidden", "sensors/3"];
    /// let results = client.publish_all(topics.map(|topic| Publish::new(topic, "21.5").qos(QoS::AtLeastOnce))).await;
    /// assert!(results[0].is_ok() && results[2].is_ok());
    /// assert!(matches!(results[1], Err(Error::PublishRefused(_))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_all<'a, M>(&self, messages: M) -> Vec<Result<ReasonCode, Error>>
    where
        M: IntoIterator<Item = Publish<'a>, IntoIter: Unpin>,
    {
        // What makes them may ask this client for something.
        let messages: Vec<Publish<'a>> = messages.into_iter().collect();
        // It fails message by message.
        self.run(PublishingAll::new(messages)).await.unwrap_or_default()
    }

    /// Puts a message into the outbound buffer, and returns once there is room for it; with a store (`Options::store`),
    /// at QoS 1 and 2, once it is in that, connected or not. The client's task sends it. For QoS 1 and 2 there is no
    /// result. Takes at most [`Options::response_timeout`].
    ///
    /// # Errors
    /// As [`AsyncClient::publish`], except [`Error::PublishRefused`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// for reading in ["21.5", "21.6", "21.7"] {
    ///     client.enqueue(&Publish::new("sensors/kitchen", reading)).await?;
    /// }
    /// client.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enqueue(&self, publish: &Publish<'_>) -> Result<(), Error> {
        if self.handle.shared.with(|engine| engine.enqueue_at_once(publish)) {
            return Ok(());
        }
        self.run(Enqueueing(publish)).await
    }

    /// As [`AsyncClient::enqueue`], if there is room at once. Never waits.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`] when there is no room, or others wait for it; [`CallError::NotConnected`] while there
    /// is no connection; and as [`AsyncClient::enqueue`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, CallError, Error, Options, Publish};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// match client.try_enqueue(&Publish::new("sensors/kitchen", "21.5")) {
    ///     Ok(()) => {}
    ///     Err(Error::Call(CallError::WouldBlock)) => println!("too much waits: this reading is left out"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_enqueue(&self, publish: &Publish<'_>) -> Result<(), Error> {
        self.handle.shared.with(|engine| engine.try_publish(publish))
    }

    /// Waits until everything that was given to the client so far is sent. Takes at most [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take it in time, and what ended the connection, unless the client
    /// connects again by itself.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// client.enqueue(&Publish::new("sensors/kitchen", "21.5")).await?;
    /// client.flush().await?;
    /// assert_eq!(client.stats().packets_sent, 2, "CONNECT and PUBLISH");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self) -> Result<(), Error> {
        self.run(Flushing).await
    }

    /// Subscribes to Topic Filters. Returns the QoS that the broker granted for each, in order. The messages go to
    /// [`AsyncClient::messages`], and to [listeners](AsyncClient::listen) whose filter matches. Takes at most
    /// [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused any of them, with the Reason Code of each: the others are in
    /// effect. [`Error::Call`] for what cannot be sent, or what the broker does not support; [`Error::Timeout`];
    /// [`Error::AnswerBehindMessages`]; and any error that [ends the connection](Error::is_fatal), unless the client
    /// connects again by itself.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut messages = client.messages();
    /// let granted = client.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)]).await?;
    /// assert_eq!(granted, [QoS::AtLeastOnce]);
    /// client.publish(&Publish::new("sensors/kitchen", "21.5")).await?;
    /// assert_eq!(messages.receive().await?.topic, "sensors/kitchen");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn subscribe(&self, subscriptions: &[Subscription<'_>]) -> Result<Vec<QoS>, Error> {
        self.subscribe_with(subscriptions, SubscribeProperties::default()).await?.granted()
    }

    /// As [`AsyncClient::subscribe`], with a Subscription Identifier or User Properties. Returns everything that the
    /// broker answered: look for refusals among the Reason Codes.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`], except [`Error::SubscribeRefused`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, QoS, ReasonCode, SubscribeProperties, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let subscriptions = ["sensors/+", "forbidden"].map(|filter| Subscription::new(filter, QoS::AtMostOnce));
    /// let properties = SubscribeProperties { subscription_identifier: Some(7), ..SubscribeProperties::default() };
    /// let answer = client.subscribe_with(&subscriptions, properties).await?;
    /// assert_eq!(answer.reason_codes, [ReasonCode::GRANTED_QOS_0, ReasonCode::NotAuthorized]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn subscribe_with(
        &self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.run(Subscribing { subscriptions, properties }).await
    }

    /// Unsubscribes from Topic Filters. That a subscription did not exist is no error. Takes at most
    /// [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused, with the Reason Code of each Topic Filter; otherwise as
    /// [`AsyncClient::subscribe`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)]).await?;
    /// client.unsubscribe(&["sensors/+"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unsubscribe(&self, filters: &[&str]) -> Result<(), Error> {
        self.unsubscribe_with(filters, UnsubscribeProperties::default()).await?.granted().map(drop)
    }

    /// As [`AsyncClient::unsubscribe`], with User Properties. Returns everything that the broker answered: look for
    /// refusals among the Reason Codes.
    ///
    /// # Errors
    /// As [`AsyncClient::unsubscribe`], except [`Error::SubscribeRefused`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, ReasonCode, UnsubscribeProperties};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let answer = client.unsubscribe_with(&["sensors/+"], UnsubscribeProperties::default()).await?;
    /// assert_eq!(answer.reason_codes, [ReasonCode::NoSubscriptionExisted]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unsubscribe_with(
        &self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.run(Unsubscribing { filters, properties }).await
    }

    /// Subscribes to a Topic Filter, and returns the messages of this subscription. When they are dropped, together
    /// with those of all other listeners to the same filter, the client unsubscribes. At most 1,024 messages wait to be
    /// received; then the broker waits (see [`AsyncClient::listen_with`]).
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut sensors = client.listen(Subscription::new("sensors/+", QoS::AtLeastOnce)).await?;
    /// let mut commands = client.listen(Subscription::new("commands/#", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("commands/stop", "now")).await?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5")).await?;
    /// assert_eq!(sensors.receive().await?.topic, "sensors/kitchen");
    /// assert_eq!(commands.receive().await?.topic, "commands/stop");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn listen(&self, subscription: Subscription<'_>) -> Result<AsyncMessages, Error> {
        self.listen_with(subscription, Overflow::default()).await
    }

    /// As [`AsyncClient::listen`]. `overflow` sets how many messages may wait to be received, and what happens to more.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Overflow, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let subscription = Subscription::new("sensors/+", QoS::AtLeastOnce);
    /// let mut latest = client.listen_with(subscription, Overflow::DropOldest(1)).await?;
    /// for reading in ["21.5", "21.6", "21.7"] {
    ///     client.publish(&Publish::new("sensors/kitchen", reading).qos(QoS::AtLeastOnce)).await?;
    /// }
    /// assert_eq!(latest.receive().await?.payload, b"21.7");
    /// assert_eq!(latest.dropped(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn listen_with(
        &self,
        subscription: Subscription<'_>,
        overflow: Overflow,
    ) -> Result<AsyncMessages, Error> {
        let filter = subscription.filter;
        let listener = self.handle.shared.with(|engine| engine.open_listener(Some(filter), overflow, now()));
        // Dropped when it fails.
        let messages = AsyncMessages::new(Arc::clone(&self.handle), listener);
        self.run(Listening { listener, subscription }).await?.granted()?;
        Ok(messages)
    }

    /// Listens to every message that comes. If nobody has listened to anything before, begins with the first message of
    /// the connection. At most 1,024 messages wait to be received; then the broker waits (see
    /// [`AsyncClient::messages_with`]).
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut messages = client.messages();
    /// client.subscribe(&["sensors/+", "commands/#"].map(|filter| Subscription::new(filter, QoS::AtLeastOnce))).await?;
    /// client.publish(&Publish::new("commands/stop", "now")).await?;
    /// assert_eq!(messages.receive().await?.topic, "commands/stop");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn messages(&self) -> AsyncMessages {
        self.messages_with(Overflow::default())
    }

    /// As [`AsyncClient::messages`]. `overflow` sets how many messages may wait to be received, and what happens to
    /// more.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Overflow, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut messages = client.messages_with(Overflow::DropNewest(2));
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)]).await?;
    /// for reading in ["21.5", "21.6", "21.7"] {
    ///     client.publish(&Publish::new("sensors/kitchen", reading).qos(QoS::AtLeastOnce)).await?;
    /// }
    /// assert_eq!(messages.receive().await?.payload, b"21.5");
    /// assert_eq!(messages.dropped(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn messages_with(&self, overflow: Overflow) -> AsyncMessages {
        let listener = self.handle.shared.with(|engine| engine.open_listener(None, overflow, now()));
        AsyncMessages::new(Arc::clone(&self.handle), listener)
    }

    /// Publishes a request and returns the reply. Takes at most `timeout`. The client sets Response Topic and
    /// Correlation Data, and the timeout as Message Expiry Interval unless there is one (section 4.10). Before its
    /// first request it subscribes to its [Response Topic](Options::response_topic). Any number of requests may wait
    /// for their replies at the same time, up to [`Options::pending_request_limit`].
    ///
    /// # Errors
    /// [`Error::Timeout`] when no reply came in time; [`Error::NoResponder`] when the broker knows of no subscriber to
    /// the topic of the request; [`Error::RequestFailed`] when the responder answers that the request failed;
    /// [`CallError::RepliesRefused`] when the broker does not let the client subscribe to its Response Topic; and as
    /// [`AsyncClient::publish`].
    ///
    #[doc = async_example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let add = async |numbers: &str| {
    ///     let request = Publish::new("calculator/add", numbers).qos(QoS::AtLeastOnce);
    ///     client.request(&request, Duration::from_secs(5)).await
    /// };
    /// let (three, seven) = tokio::try_join!(add("1 2"), add("3 4"))?;
    /// assert_eq!((three.payload, seven.payload), (b"3".to_vec(), b"7".to_vec()));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request(&self, request: &Publish<'_>, timeout: Duration) -> Result<Message, Error> {
        let nonce = crate::random::nonce()?;
        self.run(Requesting { request, timeout, nonce }).await
    }

    /// As [`AsyncClient::request`], with a trace context in the User Properties, in place of any other in them.
    ///
    /// # Errors
    /// As [`AsyncClient::request`].
    ///
    #[doc = async_example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, TraceContext};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let context = TraceContext::random_root(true);
    /// let reply = client.request_traced(&request, Duration::from_secs(5), &context).await?;
    /// assert_eq!(reply.payload, b"3");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request_traced(
        &self,
        request: &Publish<'_>,
        timeout: Duration,
        context: &TraceContext,
    ) -> Result<Message, Error> {
        let user_properties = context.added_to(&request.properties.user_properties);
        self.request(&request.with_user_properties(&borrowed(&user_properties)), timeout).await
    }

    /// Serializes a request to JSON, publishes it at QoS 1, and reads the reply as JSON.
    ///
    /// # Errors
    /// [`Error::Json`] when the request cannot be written as JSON, or the reply is not the JSON wanted; and as
    /// [`AsyncClient::request`].
    ///
    #[doc = async_example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let sum: u32 = client.request_json("calculator/add", &[1, 2], Duration::from_secs(5)).await?;
    /// assert_eq!(sum, 3);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "json")]
    pub async fn request_json<R: serde::de::DeserializeOwned>(
        &self,
        topic: &str,
        request: &(impl serde::Serialize + ?Sized),
        timeout: Duration,
    ) -> Result<R, Error> {
        let payload = crate::json::to_json(request)?;
        let publish = Publish::new(topic, &payload).qos(QoS::AtLeastOnce).properties(crate::json::json_properties());
        self.request(&publish, timeout).await?.json()
    }

    /// Subscribes to a Topic Filter, and returns the requests that come, to be answered by any task. Every message is a
    /// request; one without a Response Topic wants no reply. A request that comes again gets the reply that it had, and
    /// is not returned again; the replies to the last 1,024 requests are kept for five minutes (see
    /// [`AsyncClient::requests_with`]).
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    ///
    #[doc = async_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut requests = client.requests(Subscription::new("calculator/double", QoS::AtLeastOnce)).await?;
    /// tokio::spawn(async move {
    ///     while let Ok(request) = requests.receive().await {
    ///         // A task for each request, so that a slow one holds up no other.
    ///         tokio::spawn(async move {
    ///             let number = String::from_utf8_lossy(&request.message().payload).parse::<u32>();
    ///             match number {
    ///                 Ok(number) => request.reply((number * 2).to_string()).await,
    ///                 Err(error) => request.fail(error).await,
    ///             }
    ///         });
    ///     }
    /// });
    /// let request = Publish::new("calculator/double", "21").qos(QoS::AtLeastOnce);
    /// assert_eq!(client.request(&request, Duration::from_secs(5)).await?.payload, b"42");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn requests(&self, subscription: Subscription<'_>) -> Result<AsyncRequests, Error> {
        self.requests_with(subscription, Responder::new()).await
    }

    /// As [`AsyncClient::requests`], with a [`Responder`] that sets how many replies are kept, and for how long.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    ///
    #[doc = async_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Options, QoS, Responder, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// // At most 100 replies or 64 KiB of them, for a minute.
    /// let responder = Responder::new().keep(100, 65_536, Duration::from_secs(60));
    /// let requests = client.requests_with(Subscription::new("jobs", QoS::AtLeastOnce), responder).await?;
    /// assert_eq!(requests.stats().replied, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn requests_with(
        &self,
        subscription: Subscription<'_>,
        responder: Responder,
    ) -> Result<AsyncRequests, Error> {
        Ok(self.listen(subscription).await?.into_requests(responder))
    }

    /// Subscribes, and answers requests with what `handler` returns, one by one, until the connection ends and the
    /// client does not connect again by itself. For several at the same time use [`AsyncClient::requests`], and a task
    /// for each. An error of the handler is sent to the requester, which gets [`Error::RequestFailed`].
    ///
    /// A reply that cannot be sent, for example because it is larger than the broker accepts, ends nothing: it is
    /// counted ([`ResponderStats::failed`](crate::ResponderStats::failed)), the event [`Event::ReplyDropped`] tells of
    /// it, and its request is acknowledged.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`], and what ended the connection.
    ///
    #[doc = async_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Message, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let serving = client.serve(Subscription::new("calculator/double", QoS::AtLeastOnce), async |request: &Message| {
    ///     let number = String::from_utf8_lossy(&request.payload).parse::<u32>();
    ///     number.map(|number| (number * 2).to_string())
    /// });
    /// let request = Publish::new("calculator/double", "21").qos(QoS::AtLeastOnce);
    /// tokio::select! {
    ///     biased;
    ///     ended = serving => return Err(ended.unwrap_err().into()),
    ///     reply = client.request(&request, Duration::from_secs(5)) => assert_eq!(reply?.payload, b"42"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve<R: Into<Reply>, E: fmt::Display>(
        &self,
        subscription: Subscription<'_>,
        mut handler: impl AsyncFnMut(&Message) -> Result<R, E>,
    ) -> Result<core::convert::Infallible, Error> {
        let mut requests = self.requests(subscription).await?;
        loop {
            let request = requests.receive().await?;
            // That a reply cannot be sent is told by itself, and that the connection is over by waiting for the next.
            let _ = match handler(request.message()).await {
                Ok(reply) => request.reply(reply).await,
                Err(error) => request.fail(error).await,
            };
        }
    }

    /// Acknowledges a message of [`AsyncMessages::receive_unacknowledged`], in any order. The broker gets the
    /// acknowledgements in the order of the messages `[MQTT-4.6.0-2]`. A message that several listeners got is
    /// acknowledged when all of them have. Never waits. Returns `false` if it was done before, if another listener has
    /// not acknowledged the message yet, or if the connection of the message is over: then the broker sends it again,
    /// if it keeps the session.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut jobs = client.listen(Subscription::new("jobs", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce)).await?;
    /// let (job, delivery) = jobs.receive_unacknowledged().await?;
    /// assert_eq!(job.payload, b"print 3 labels");
    /// // The work is done.
    /// assert!(client.acknowledge(delivery.expect("a QoS 1 message")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn acknowledge(&self, delivery: Delivery) -> bool {
        self.handle.shared.with(|engine| engine.acknowledge(delivery))
    }

    /// Returns the next event. Waits for it for as long as it takes. Up to 1,024 events wait here; then the oldest is
    /// dropped. Each event is returned once, by whichever clone asks first.
    ///
    /// # Errors
    /// What ended the connection, once all events are taken, if the client does not connect again by itself.
    ///
    #[doc = async_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Event, Options, Reconnect};
    ///
    /// let policy = Reconnect { first_delay: Duration::from_millis(10), ..Reconnect::default() };
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(60).reconnect(policy);
    /// let client = AsyncClient::connect(&url, options).await?;
    /// # broker.cut();
    /// // The connection is lost, and made again.
    /// assert!(matches!(client.next_event().await?, Event::Disconnected(_)));
    /// assert_eq!(client.next_event().await?, Event::Connected { session_present: true });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_event(&self) -> Result<Event, Error> {
        self.run(NextEvent { timeout: Duration::MAX }).await
    }

    /// Authenticates again over this connection (section 4.12.1), for example before a token expires. Other calls
    /// continue meanwhile. Waits until no other authentication is under way. If the connection was lost and is made
    /// again, that authenticates too, and the call is done. Takes at most [`Options::response_timeout`].
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`Error::Timeout`] when the broker has not authenticated the client in time: the
    /// connection stays as it was, and the exchange continues; [`CallError::NothingToAuthenticate`] when the options
    /// have no [authenticator](Options::authenticator); and any error that [ends the connection](Error::is_fatal), as a
    /// broker that refuses does.
    ///
    #[doc = async_example!()]
    /// # let token = broker::Token(b"a token".to_vec());
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let client = AsyncClient::connect(&url, Options::new().authenticator(token)).await?; // any `Authenticator`
    /// client.authenticate_again().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn authenticate_again(&self) -> Result<(), Error> {
        self.run(Authenticating).await
    }

    /// Changes what the next connection is made with, and those after it: User Name, Password, Will Message, and what
    /// else [`ConnectChanges`] has. The connection that is there stays as it is.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`], and nothing is changed.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, ConnectChanges, Options};
    ///
    /// let client = AsyncClient::connect(&url, Options::new().login("thermometer-7", "a token")).await?;
    /// // Before the token expires:
    /// client.update(ConnectChanges { password: Some(b"a new token".to_vec()), ..ConnectChanges::default() })?;
    /// client.reconnect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn update(&self, changes: ConnectChanges) -> Result<(), Error> {
        Ok(self.handle.shared.lock().engine.update(changes)?)
    }

    /// Connects again, to the broker at the same URL or, if that fails, to the fallbacks in turn. Continues the
    /// session: what was in flight is sent again, in order, also if the broker has lost the session. Closes a
    /// connection that is still there first. Returns whether the broker still had the session.
    ///
    /// # Errors
    /// As [`AsyncClient::connect`]. After an error, `reconnect` may be called again. With [`Options::reconnect`], the
    /// client then also tries again by itself.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(60);
    /// let client = AsyncClient::connect(&url, options).await?;
    /// # broker.cut();
    /// // The connection is lost. An event tells of it, and then the next event fails with the reason.
    /// client.next_event().await?;
    /// assert!(client.next_event().await.unwrap_err().is_fatal());
    ///
    /// assert!(client.reconnect().await?, "the broker still had the session");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reconnect(&self) -> Result<bool, Error> {
        self.run(Connecting).await
    }

    /// Sends what waits to be sent, then DISCONNECT, and closes the connection. The broker deletes the Will Message.
    /// Does nothing if there is no connection. Takes at most five seconds.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take the last bytes, and what ended the connection before that.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// client.disconnect().await?;
    /// assert!(!client.is_connected());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn disconnect(&self) -> Result<(), Error> {
        self.disconnect_with(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).await
    }

    /// As [`AsyncClient::disconnect`], with any DISCONNECT: for example one after which the broker publishes the Will
    /// Message ([`ReasonCode::DisconnectWithWillMessage`]), or one that changes the Session Expiry Interval.
    ///
    /// # Errors
    /// As [`AsyncClient::disconnect`]; [`CallError::Invalid`], [`CallError::PacketTooLarge`];
    /// [`CallError::PropertyNotAllowed`] for a Session Expiry Interval when that of the options is 0 (section
    /// 3.14.2.2.2).
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Disconnect, Options, ReasonCode, WillMessage};
    ///
    /// let will = WillMessage::new("status/thermometer-7", "offline");
    /// let client = AsyncClient::connect(&url, Options::new().will(will)).await?;
    /// client.disconnect_with(&Disconnect::new(ReasonCode::DisconnectWithWillMessage)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn disconnect_with(&self, disconnect: &Disconnect<'_>) -> Result<(), Error> {
        self.run(Disconnecting(disconnect)).await
    }

    /// What the broker sent when it accepted the connection: its limits, the Client Identifier that it assigned, and
    /// more. `None` before the first connection.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, QoS};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let info = client.connection_info().expect("there is a connection");
    /// assert_eq!((info.maximum_qos, info.retain_available), (QoS::ExactlyOnce, true));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        self.handle.shared.lock().engine.session().connection_info()
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let client = AsyncClient::connect(&url, Options::new().client_id("thermometer-7")).await?;
    /// assert_eq!(client.client_id(), "thermometer-7");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn client_id(&self) -> String {
        self.handle.shared.lock().engine.client_id()
    }

    /// Whether there is a connection, as far as is known.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// assert!(client.is_connected());
    /// client.disconnect().await?;
    /// assert!(!client.is_connected());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.handle.shared.lock().engine.is_connected()
    }

    /// Counters over all connections of this client.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
    /// let stats = client.stats();
    /// assert_eq!((stats.packets_sent, stats.packets_received), (2, 2), "CONNECT and PUBLISH, CONNACK and PUBACK");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.lock().engine.stats()
    }

    /// How many messages came that no listener wanted. Before the first listener there are none: messages wait for it.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let commands = client.listen(Subscription::new("commands/#", QoS::AtMostOnce)).await?;
    /// client.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)]).await?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
    /// assert_eq!(client.unheard(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.handle.shared.lock().engine.unheard()
    }

    /// Why the last connection ended, or the last attempt to make one failed. `None` while there is a connection, and
    /// after [`AsyncClient::disconnect`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// assert_eq!(client.last_failure(), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn last_failure(&self) -> Option<Error> {
        self.handle.shared.lock().engine.last_failure().cloned()
    }

    /// The QoS 1 and 2 messages that are in flight to the broker: those that were received at QoS 2 and wait for the
    /// end of their delivery first, then the others in the order they were sent.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
    /// assert!(client.messages_in_flight().is_empty(), "the broker has it");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn messages_in_flight(&self) -> Vec<InFlightMessage> {
        self.handle.shared.lock().engine.messages_in_flight()
    }

    /// Gives up a message of [`AsyncClient::messages_in_flight`]: it is not sent again, and its call fails with
    /// [`Error::GivenUp`]. What the broker has of it stays there. Returns false if the message is not in flight any
    /// more.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// for message in client.messages_in_flight() {
    ///     client.give_up_message(message.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn give_up_message(&self, id: u64) -> bool {
        self.handle.shared.with(|engine| engine.give_up_message(id, now()))
    }

    /// The session as bytes, for a later process to continue: see [`Options::resume`]. It holds what
    /// [`Session::snapshot`](crate::session::Session::snapshot) lists, and no password.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Snapshot};
    ///
    /// let options = Options::new().session_expiry_interval(3600);
    /// let client = AsyncClient::connect(&url, options.clone().client_id("thermometer-7")).await?;
    /// let bytes = client.snapshot(); // to a file, for example
    /// drop(client);
    ///
    /// // In a later process:
    /// let client = AsyncClient::connect(&url, options.resume(Snapshot::from_bytes(&bytes)?)).await?;
    /// assert_eq!(client.client_id(), "thermometer-7");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.handle.shared.lock().engine.session().snapshot()
    }

    fn run<O: crate::engine::Operation>(&self, operation: O) -> shared::Running<'_, O> {
        self.handle.shared.run(operation)
    }
}

impl fmt::Debug for AsyncClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncClient").field("client_id", &self.client_id()).finish_non_exhaustive()
    }
}
