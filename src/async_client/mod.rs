//! The async client: a face over the [engine](crate::engine) that any number of tasks share, over one connection.
//!
//! ```text
//!   call ──► engine ──► what has piled up ──► driver: one write ──► broker
//!   call ◄── outcome ◄──┐                        │
//!   listener ◄── inbox ◄┴── engine ◄─────────────┴── one read  ◄── broker
//! ```
//!
//! Calls put their packets into the engine themselves and wake the driver, a task of the runtime, which runs once they
//! wait. So what many of them have to say leaves in one write, and nothing is handed from one task to another on the way.

mod driver;
mod messages;
mod requests;
mod runtime;
#[cfg(all(test, shuttle))]
#[path = "../../tests/schedules/mod.rs"]
mod schedules;
mod shared;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use driver::Driver;
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
use crate::session::{ConnectionInfo, Delivery, Stats};
use crate::trace::TraceContext;
use crate::transport::Layers;

/// A client for tokio, which any number of tasks may use at the same time, each through a clone of its own.
///
/// It works in both kinds of runtime, in a `LocalSet`, and on `wasm32-wasip2` in a runtime of the kind `current_thread`. A
/// task of its own keeps the connection, so nobody has to poll anything: it is woken by what comes, by what is to be
/// sent, and by the clock when a ping is due. With [`Options::reconnect`] it connects again by itself.
///
/// When the connection is lost, calls fail with the reason until there is a new one. Should the task be gone, with its
/// runtime or by a panic, every call but disconnecting fails with [`Error::Stopped`].
///
/// A future that is dropped takes back what it can: a request is given up, a call that waits for room never happens. What
/// was sent stays sent.
///
/// When the last clone, and the last of the [`AsyncMessages`] and [`AsyncRequests`], is dropped, the connection is cut, and the
/// broker publishes the Will Message. [`AsyncClient::disconnect`] ends it in peace.
///
/// ```no_run
/// # async fn example() -> Result<(), mqtt_wasi::Error> {
/// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
///
/// let client = AsyncClient::connect("mqtt://localhost", Options::new()).await?;
/// let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtLeastOnce)).await?;
/// client.publish(&Publish::new("sensors/kitchen", b"21.5").qos(QoS::AtLeastOnce)).await?;
/// let message = messages.receive().await?;
/// assert_eq!((message.topic.as_str(), message.payload.as_slice()), ("sensors/kitchen", &b"21.5"[..]));
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
    /// Connects to the broker at a URL such as `mqtt://localhost:1883`, or the first of the
    /// [fallbacks](Options::fallback) that takes the connection. The URL's login counts where the options have none.
    ///
    /// # Errors
    /// [`Error::Url`], [`CallError::InvalidOptions`]; of the broker that was tried last, [`Error::Transport`],
    /// [`Error::ConnectionRefused`], [`Error::ConnectTimeout`], [`Error::Authentication`], and what else ends connections.
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without I/O or time.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        #[cfg(feature = "tls")]
        let layers = Layers::new(options.tls.clone())?;
        #[cfg(not(feature = "tls"))]
        let layers = Layers::none();
        let mut engine = Engine::new(Some(url), options, getrandom::u64().unwrap_or_default())?;
        engine.deliver_to_listeners();
        let shared = Arc::new(Shared::new(engine));
        spawn(Driver::new(Arc::clone(&shared), layers));
        let client = Self { handle: Arc::new(Handle { shared }) };
        client.handle.shared.run(Connecting).await?;
        Ok(client)
    }

    /// Publishes a message. At QoS 0 it returns once the message is sent, at QoS 1 and 2 once the broker has it, with
    /// [`ReasonCode::Success`] or [`ReasonCode::NoMatchingSubscribers`]. Waits for room when too much is in flight.
    /// Messages leave in the order of the calls.
    ///
    /// # Errors
    /// [`Error::PublishRefused`], [`Error::Call`]; [`Error::Timeout`] when the broker does not answer in time, with
    /// the message still in flight; and what ends connections, if none is made again.
    pub async fn publish(&self, publish: &Publish<'_>) -> Result<ReasonCode, Error> {
        self.publish_with_reason(publish).await.map(|reason| reason.reason_code)
    }

    /// As [`AsyncClient::publish`], and returns everything that the broker says to it.
    ///
    /// # Errors
    /// As [`AsyncClient::publish`].
    pub async fn publish_with_reason(&self, publish: &Publish<'_>) -> Result<Reason, Error> {
        self.run(Publishing(publish)).await
    }

    /// Publishes a message with a trace context, which takes the place of any that is in its User Properties.
    ///
    /// # Errors
    /// As [`AsyncClient::publish`].
    pub async fn publish_traced(&self, publish: &Publish<'_>, context: &TraceContext) -> Result<ReasonCode, Error> {
        let user_properties = context.added_to(&publish.properties.user_properties);
        self.publish(&publish.with_user_properties(&borrowed(&user_properties))).await
    }

    /// Serializes `value` to JSON and publishes it, marked as such by Content Type and Payload Format Indicator.
    ///
    /// # Errors
    /// [`Error::Json`], and as [`AsyncClient::publish`].
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

    /// Publishes messages one behind the other, as many in flight as the broker and the options allow, and as many in
    /// one write. Returns for each how it went, in order: as [`AsyncClient::publish`] would have.
    ///
    /// Messages that could not be sent because the connection ended fail with the reason it ended. The time for it begins
    /// anew with every answer, and whenever there is room for more. What makes the messages is asked for all of them first.
    pub async fn publish_all<'a, M>(&self, messages: M) -> Vec<Result<ReasonCode, Error>>
    where
        M: IntoIterator<Item = Publish<'a>, IntoIter: Unpin>,
    {
        // What makes them may ask this client for something.
        let messages: Vec<Publish<'a>> = messages.into_iter().collect();
        // It fails message by message.
        self.run(PublishingAll::new(messages)).await.unwrap_or_default()
    }

    /// Has a message sent, and returns once there is room for it. Nothing tells how a message at QoS 1 or 2 went.
    ///
    /// # Errors
    /// As [`AsyncClient::publish`], but for [`Error::PublishRefused`].
    pub async fn enqueue(&self, publish: &Publish<'_>) -> Result<(), Error> {
        self.run(Enqueueing(publish)).await
    }

    /// Has a message sent if there is room for it at once. Nothing tells how a message at QoS 1 or 2 went.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`] when there is no room, or others wait for it; [`CallError::NotConnected`] while
    /// there is no connection; and as [`AsyncClient::enqueue`].
    pub fn try_enqueue(&self, publish: &Publish<'_>) -> Result<(), Error> {
        self.handle.shared.with(|engine| engine.try_publish(publish))
    }

    /// Waits until everything that was given so far is sent.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take it in time, and what ended the connection, if none is made again.
    pub async fn flush(&self) -> Result<(), Error> {
        self.run(Flushing).await
    }

    /// Subscribes; returns the granted QoS of each Topic Filter, in order. The messages go to [`AsyncClient::messages`], and
    /// to those who [listen](AsyncClient::listen) to such a filter.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused any of them, with the Reason Code of each: the others are in
    /// effect. [`Error::Call`], [`Error::Timeout`], and what ends connections.
    pub async fn subscribe(&self, subscriptions: &[Subscription<'_>]) -> Result<Vec<QoS>, Error> {
        self.subscribe_with(subscriptions, SubscribeProperties::default()).await?.granted()
    }

    /// Subscribes with a Subscription Identifier or User Properties; returns everything that the broker says to it, be
    /// it that it refused.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Timeout`], and what ends connections.
    pub async fn subscribe_with(
        &self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.run(Subscribing { subscriptions, properties }).await
    }

    /// Unsubscribes. That a subscription did not exist is no error.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused, with the Reason Code of each Topic Filter;
    /// [`Error::Call`], [`Error::Timeout`], and what ends connections.
    pub async fn unsubscribe(&self, filters: &[&str]) -> Result<(), Error> {
        self.unsubscribe_with(filters, UnsubscribeProperties::default()).await?.granted().map(drop)
    }

    /// Unsubscribes with User Properties; returns everything that the broker says to it, be it that it refused.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Timeout`], and what ends connections.
    pub async fn unsubscribe_with(
        &self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.run(Unsubscribing { filters, properties }).await
    }

    /// Subscribes, and returns the messages of this subscription. When these, and those of everyone else who listens to the
    /// same filter, are dropped, it is unsubscribed.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    pub async fn listen(&self, subscription: Subscription<'_>) -> Result<AsyncMessages, Error> {
        self.listen_with(subscription, Overflow::default()).await
    }

    /// As [`AsyncClient::listen`], with a bound of the caller's own.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
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

    /// Every message that comes; if nobody has listened to anything before, from the first on that the connection
    /// brought.
    #[must_use]
    pub fn messages(&self) -> AsyncMessages {
        self.messages_with(Overflow::default())
    }

    /// As [`AsyncClient::messages`], with a bound of the caller's own.
    #[must_use]
    pub fn messages_with(&self, overflow: Overflow) -> AsyncMessages {
        let listener = self.handle.shared.with(|engine| engine.open_listener(None, overflow, now()));
        AsyncMessages::new(Arc::clone(&self.handle), listener)
    }

    /// Publishes a request and waits for the reply, no longer than `timeout`. Any number of them may wait at the same
    /// time; see [`Session::request`](crate::session::Session::request) for what is sent.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no reply came in time; [`Error::NoResponder`] when the broker says that nobody serves such
    /// requests; [`Error::RequestFailed`] when the responder says that it failed; [`CallError::RepliesRefused`]; and
    /// as [`AsyncClient::publish`].
    pub async fn request(&self, request: &Publish<'_>, timeout: Duration) -> Result<Message, Error> {
        let nonce = crate::random::nonce()?;
        self.run(Requesting { request, timeout, nonce }).await
    }

    /// As [`AsyncClient::request`], with a trace context, which takes the place of any that is in its User Properties.
    ///
    /// # Errors
    /// As [`AsyncClient::request`].
    pub async fn request_traced(
        &self,
        request: &Publish<'_>,
        timeout: Duration,
        context: &TraceContext,
    ) -> Result<Message, Error> {
        let user_properties = context.added_to(&request.properties.user_properties);
        self.request(&request.with_user_properties(&borrowed(&user_properties)), timeout).await
    }

    /// Serializes a request to JSON, and reads the reply as JSON.
    ///
    /// # Errors
    /// [`Error::Json`] when either is not possible, and as [`AsyncClient::request`].
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

    /// Subscribes, and returns the requests that come, to be answered by whoever likes. A message without a Response
    /// Topic is a request that wants no reply.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    pub async fn requests(&self, subscription: Subscription<'_>) -> Result<AsyncRequests, Error> {
        self.requests_with(subscription, Responder::new()).await
    }

    /// As [`AsyncClient::requests`], with bounds of the caller's own.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    pub async fn requests_with(
        &self,
        subscription: Subscription<'_>,
        responder: Responder,
    ) -> Result<AsyncRequests, Error> {
        Ok(self.listen(subscription).await?.into_requests(responder))
    }

    /// Answers requests with what `handler` makes of them, one by one, until the connection ends and none is made again.
    /// For many at the same time take [`AsyncClient::requests`], and a task for each. An error of the handler goes to the
    /// requester, as [`Error::RequestFailed`].
    ///
    /// A reply that cannot be sent, as one that is larger than the broker takes, ends nothing: it is counted
    /// ([`ResponderStats::failed`](crate::ResponderStats::failed)) and told ([`Event::ReplyDropped`]), and its request
    /// acknowledged.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`], and what ended the connection.
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

    /// Acknowledges a message of [`AsyncMessages::receive_unacknowledged`], in whatever order the caller likes: the broker gets
    /// the acknowledgements in the order of the messages. Returns `false` if that was done before, if others who got the
    /// same message are not done with it, or if the connection that it came over is over.
    pub fn acknowledge(&self, delivery: Delivery) -> bool {
        self.handle.shared.with(|engine| engine.acknowledge(delivery))
    }

    /// The next thing that happened to the connection. Events wait here until asked for, up to 1,024 of them.
    ///
    /// # Errors
    /// What ended the connection, if none is made again, behind the last event.
    pub async fn next_event(&self) -> Result<Event, Error> {
        self.run(NextEvent { timeout: Duration::MAX }).await
    }

    /// Authenticates again over this connection (section 4.12.1), before a token of the last time expires, say. Everything
    /// else goes on meanwhile. It does not begin while the client is authenticating already. A connection that is made
    /// meanwhile, since this one was lost, does as well: it begins with that.
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`Error::Timeout`] when the broker has not authenticated the client in time, with the
    /// connection as it was: the broker may do so later; [`CallError::NothingToAuthenticate`] when the options have no
    /// [authenticator](Options::authenticator); and what ends connections: a broker that refuses does.
    pub async fn authenticate_again(&self) -> Result<(), Error> {
        self.run(Authenticating).await
    }

    /// Changes what the next connection is made with: login, will, and what else [`ConnectChanges`] has.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`], and nothing is changed.
    pub fn update(&self, changes: ConnectChanges) -> Result<(), Error> {
        Ok(self.handle.shared.lock().engine.update(changes)?)
    }

    /// Connects again, to the broker at the same URL or the first of the fallbacks that takes the connection; returns
    /// whether it still had the session. What was in flight is sent again either way. A connection that is still there is
    /// closed first.
    ///
    /// # Errors
    /// As [`AsyncClient::connect`]. The client can be connected again; with [`Options::reconnect`] it does so by itself.
    pub async fn reconnect(&self) -> Result<bool, Error> {
        self.run(Connecting).await
    }

    /// Disconnects: what waits is sent, then DISCONNECT, and the connection is closed. The broker drops the Will
    /// Message. Does nothing when there is no connection.
    ///
    /// # Errors
    /// What ended the connection before that was done.
    pub async fn disconnect(&self) -> Result<(), Error> {
        self.disconnect_with(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).await
    }

    /// As [`AsyncClient::disconnect`], with a DISCONNECT of the caller's own: one that keeps the Will Message
    /// ([`ReasonCode::DisconnectWithWillMessage`]) or changes the Session Expiry Interval.
    ///
    /// # Errors
    /// As [`AsyncClient::disconnect`]; [`CallError::Invalid`], [`CallError::PacketTooLarge`];
    /// [`CallError::PropertyNotAllowed`] for a Session Expiry Interval when the options have none.
    pub async fn disconnect_with(&self, disconnect: &Disconnect<'_>) -> Result<(), Error> {
        self.run(Disconnecting(disconnect)).await
    }

    /// What the broker said when it took the connection: its limits, the Client Identifier it assigned, and more. `None`
    /// before the first connection.
    #[must_use]
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        self.handle.shared.lock().engine.session().connection_info()
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    #[must_use]
    pub fn client_id(&self) -> String {
        self.handle.shared.lock().engine.client_id()
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.handle.shared.lock().engine.is_connected()
    }

    /// What the client has done so far, over all its connections.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.lock().engine.stats()
    }

    /// How many messages came that nobody listened to, though others were listened to.
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.handle.shared.lock().engine.unheard()
    }

    /// The session as bytes, for a later process to go on with: [`Options::resume`]. See
    /// [`Session::snapshot`](crate::session::Session::snapshot).
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
