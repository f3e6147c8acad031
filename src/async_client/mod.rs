//! The async client: a session that any number of tasks share, over one connection.
//!
//! ```text
//!   call ──► session ──► what has piled up ──► driver: one write ──► broker
//!   call ◄── how it went ◄──┐                      │
//!   listener ◄── inbox ◄────┴── session ◄──────────┴── one read  ◄── broker
//! ```
//!
//! Calls put their packets into the session's outbound buffer themselves and wake the driver, a task of the runtime,
//! which runs once they wait. So what many of them have to say leaves in one write, and nothing is handed from one task
//! to another on the way.

mod driver;
mod inbox;
mod messages;
mod operation;
mod requests;
mod state;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

use driver::Driver;
pub use messages::Messages;
use operation::{Completion, Flush, Submit};
pub use requests::{IncomingRequest, Requests};
use state::{Call, Command, Outcome, Phase, Shared, State};

use crate::authenticate::Authenticator;
use crate::codec::{
    ConnackProperties, Disconnect, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties,
};
use crate::error::{Error, Reason, RequestError};
use crate::message::Message;
use crate::options::{Options, borrowed};
use crate::respond::Responder;
use crate::session::{Delivery, Event, OperationId, Session, Stats, Status, SubscribeReason};
use crate::trace::TraceContext;
use crate::transport::now;

/// The highest Subscription Identifier. Listeners' own go down from here, so that they are none of the caller's.
const HIGHEST_IDENTIFIER: u32 = 268_435_455;

/// A client for tokio, which any number of tasks may use at the same time, each through a clone of its own.
///
/// It works in both kinds of runtime, in a `LocalSet`, and on `wasm32-wasip2` in a runtime of the kind `current_thread`. A
/// task of its own keeps the connection, so nobody has to poll anything: it is woken by what comes, by what is to be
/// sent, and by the clock when a ping is due. With [`Options::reconnect`] it connects again by itself.
///
/// A future that is dropped takes back what it can: a request is given up, a call that waits for room never happens. What
/// was sent stays sent.
///
/// When the last clone, and the last of the [`Messages`] and [`Requests`], is dropped, the connection is cut, and the
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
        self.shared.lock().command(Command::Stop);
    }
}

/// What becomes of messages that nobody takes in time. The number is how many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The broker waits: no more is read off the connection, once as much more has come as
    /// [`Options::backlog_limit`] says.
    ///
    /// What else comes over the connection waits with them. So a call that waits for the broker's answer fails then, with
    /// [`Error::AnswerBehindMessages`] or [`RequestError::ReceiveFirst`], if nobody takes a message for a second. Whoever
    /// publishes while it works on a message does not wait for itself that way.
    Wait(usize),
    /// The oldest is dropped. At QoS 1 and 2 it is acknowledged all the same.
    DropOldest(usize),
    /// The new one is dropped. At QoS 1 and 2 it is acknowledged all the same.
    DropNewest(usize),
}

impl Overflow {
    const fn capacity(self) -> usize {
        match self {
            Self::Wait(capacity) | Self::DropOldest(capacity) | Self::DropNewest(capacity) => {
                if capacity == 0 {
                    1
                } else {
                    capacity
                }
            }
        }
    }
}

impl Default for Overflow {
    /// The broker waits when 1,024 messages do.
    fn default() -> Self {
        Self::Wait(1024)
    }
}

impl AsyncClient {
    /// Connects to the broker at a URL such as `mqtt://localhost:1883`, or the first of the
    /// [fallbacks](Options::fallback) that takes the connection. A login in the URL counts unless the options have one.
    ///
    /// # Errors
    /// [`Error::Url`], [`RequestError::InvalidOptions`]; of the broker that was tried last, [`Error::Transport`],
    /// [`Error::ConnectionRefused`], [`Error::ConnectTimeout`], and what else ends connections.
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without I/O or time.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        Self::start(url, options, None).await
    }

    /// As [`AsyncClient::connect`], with enhanced authentication (section 4.12), which each later connection begins anew.
    ///
    /// # Errors
    /// As [`AsyncClient::connect`]; [`Error::Authentication`].
    ///
    /// # Panics
    /// As [`AsyncClient::connect`].
    pub async fn connect_authenticated(
        url: &str,
        options: Options,
        authenticator: impl Authenticator + Send + 'static,
    ) -> Result<Self, Error> {
        let options = options.authentication(authenticator.method(), None);
        Self::start(url, options, Some(Box::new(authenticator))).await
    }

    async fn start(
        url: &str,
        options: Options,
        authenticator: Option<Box<dyn Authenticator + Send>>,
    ) -> Result<Self, Error> {
        options.validate().map_err(RequestError::InvalidOptions)?;
        let response_timeout = options.response_timeout;
        let settings = options.clone();
        let state = State::new(Session::new(options), response_timeout, authenticator);
        let shared = Arc::new(Shared::new(state));
        let mut driver = Driver::new(Arc::clone(&shared), url, &settings)?;
        driver.connect().await?;
        tokio::spawn(driver.run());
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// Publishes a message. At QoS 0 it returns once the message is sent, at QoS 1 and 2 once the broker has it, with
    /// [`ReasonCode::Success`] or [`ReasonCode::NoMatchingSubscribers`]. Waits for room when too much is in flight.
    /// Messages leave in the order of the calls.
    ///
    /// # Errors
    /// [`Error::PublishRefused`], [`Error::Request`]; [`Error::Timeout`] when the broker does not answer in time, with
    /// the message still in flight; and what ends connections, if none is made again.
    pub async fn publish(&self, publish: &Publish<'_>) -> Result<ReasonCode, Error> {
        self.publish_with_reason(publish).await.map(|reason| reason.reason_code)
    }

    /// As [`AsyncClient::publish`], and returns everything that the broker says to it.
    ///
    /// # Errors
    /// As [`AsyncClient::publish`].
    pub async fn publish_with_reason(&self, publish: &Publish<'_>) -> Result<Reason, Error> {
        let id = self.submit(|state| {
            let id = state.session.publish(publish)?;
            if let Some(id) = id {
                state.register(id, Some(now() + state.response_timeout));
            }
            Ok(id)
        });
        match id.await? {
            None => self.flush().await.map(|()| ReasonCode::Success.into()),
            Some(id) => match self.completion(id, false).await? {
                Outcome::Published(result) => result,
                Outcome::Failed(error) => Err(error),
                _ => Err(Error::Timeout),
            },
        }
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
        let payload = crate::message::to_json(value)?;
        self.publish(&Publish::new(topic, &payload).qos(qos).properties(crate::message::json_properties())).await
    }

    /// Has a message sent, and returns once there is room for it. Nothing tells how a message at QoS 1 or 2 went.
    ///
    /// # Errors
    /// As [`AsyncClient::publish`], but for [`Error::PublishRefused`].
    pub async fn enqueue(&self, publish: &Publish<'_>) -> Result<(), Error> {
        self.submit(|state| state.session.publish(publish).map(drop)).await
    }

    /// Has a message sent if there is room for it at once. Nothing tells how a message at QoS 1 or 2 went.
    ///
    /// # Errors
    /// [`RequestError::WouldBlock`] when there is no room, or others wait for it; [`RequestError::NotConnected`] while
    /// there is no connection; and as [`AsyncClient::enqueue`].
    pub fn try_enqueue(&self, publish: &Publish<'_>) -> Result<(), Error> {
        let mut state = self.handle.shared.lock();
        state.require_open()?;
        if !state.room.is_empty() {
            return Err(RequestError::WouldBlock.into());
        }
        state.session.publish(publish)?;
        state.wake_driver();
        Ok(())
    }

    /// Waits until everything that was given so far is sent.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take it in time, and what ended the connection, if none is made again.
    pub async fn flush(&self) -> Result<(), Error> {
        let until = now() + self.handle.shared.lock().response_timeout;
        Flush::new(&self.handle.shared, until).await
    }

    /// Subscribes; returns the granted QoS of each Topic Filter, in order. The messages go to [`AsyncClient::messages`], and
    /// to those who [listen](AsyncClient::listen) to such a filter.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused any of them, with the Reason Code of each: the others are in
    /// effect. [`Error::Request`], [`Error::Timeout`], and what ends connections.
    pub async fn subscribe(&self, subscriptions: &[Subscription<'_>]) -> Result<Vec<QoS>, Error> {
        self.subscribe_with(subscriptions, SubscribeProperties::default()).await?.granted()
    }

    /// Subscribes with a Subscription Identifier or User Properties; returns everything that the broker says to it, be
    /// it that it refused.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Timeout`], and what ends connections.
    pub async fn subscribe_with(
        &self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.ask(|session| session.subscribe(subscriptions, properties)).await
    }

    /// Unsubscribes. That a subscription did not exist is no error.
    ///
    /// # Errors
    /// [`Error::SubscribeRefused`] when the broker refused, with the Reason Code of each Topic Filter;
    /// [`Error::Request`], [`Error::Timeout`], and what ends connections.
    pub async fn unsubscribe(&self, filters: &[&str]) -> Result<(), Error> {
        self.unsubscribe_with(filters, UnsubscribeProperties::default()).await?.granted().map(drop)
    }

    /// Unsubscribes with User Properties; returns everything that the broker says to it, be it that it refused.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Timeout`], and what ends connections.
    pub async fn unsubscribe_with(
        &self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<SubscribeReason, Error> {
        self.ask(|session| session.unsubscribe(filters, properties)).await
    }

    /// Subscribes, and returns the messages of this subscription. When these, and those of everyone else who listens to the
    /// same filter, are dropped, it is unsubscribed.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    pub async fn listen(&self, subscription: Subscription<'_>) -> Result<Messages, Error> {
        self.listen_with(subscription, Overflow::default()).await
    }

    /// As [`AsyncClient::listen`], with a bound of the caller's own.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    pub async fn listen_with(&self, subscription: Subscription<'_>, overflow: Overflow) -> Result<Messages, Error> {
        let (id, identifier) = {
            let mut state = self.handle.shared.lock();
            // Messages tell by it which subscription they are of, and then no filters need to be compared.
            let connack = state.session.connack().unwrap_or_default();
            let has_identifiers = connack.properties.subscription_identifier_available.unwrap_or(true);
            let known = state.inboxes.identifier_of(subscription.filter);
            let identifier =
                known.or_else(|| has_identifiers.then(|| state.inboxes.new_identifier(HIGHEST_IDENTIFIER)));
            (state.inboxes.open(Some(subscription.filter), identifier, overflow), identifier)
        };
        // Dropped when it fails.
        let messages = Messages::new(Arc::clone(&self.handle), id);
        let properties = SubscribeProperties { subscription_identifier: identifier, ..SubscribeProperties::default() };
        self.subscribe_with(&[subscription], properties).await?.granted()?;
        Ok(messages)
    }

    /// Every message that comes; if nobody has listened to anything before, from the first on that the connection
    /// brought.
    #[must_use]
    pub fn messages(&self) -> Messages {
        self.messages_with(Overflow::default())
    }

    /// As [`AsyncClient::messages`], with a bound of the caller's own.
    #[must_use]
    pub fn messages_with(&self, overflow: Overflow) -> Messages {
        let mut state = self.handle.shared.lock();
        let id = state.inboxes.open(None, None, overflow);
        state.wake_driver();
        Messages::new(Arc::clone(&self.handle), id)
    }

    /// Publishes a request and waits for the reply, no longer than `timeout`. Any number of them may wait at the same
    /// time; see [`Session::request`] for what is sent.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no reply came in time; [`Error::NoResponder`] when the broker says that nobody serves such
    /// requests; [`Error::RequestFailed`] when the responder says that it failed; [`RequestError::RepliesRefused`]; and
    /// as [`AsyncClient::publish`].
    pub async fn request(&self, request: &Publish<'_>, timeout: Duration) -> Result<Message, Error> {
        let until = now() + timeout;
        let nonce = crate::random::nonce()?;
        let id = Submit::new(&self.handle.shared, true, until, |state: &mut State| {
            let now = now();
            let id = state.session.request(request, until.saturating_duration_since(now), nonce, now)?;
            state.register(id, None);
            Ok(id)
        });
        match self.completion(id.await?, true).await? {
            Outcome::Replied(result) => result.map(|message| *message),
            Outcome::Failed(error) => Err(error),
            _ => Err(Error::Timeout),
        }
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
        let payload = crate::message::to_json(request)?;
        let publish = Publish::new(topic, &payload).qos(QoS::AtLeastOnce).properties(crate::message::json_properties());
        self.request(&publish, timeout).await?.json()
    }

    /// Subscribes, and returns the requests that come, to be answered by whoever likes. A message without a Response
    /// Topic is a request that wants no reply.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    pub async fn requests(&self, subscription: Subscription<'_>) -> Result<Requests, Error> {
        self.requests_with(subscription, Responder::new()).await
    }

    /// As [`AsyncClient::requests`], with bounds of the caller's own.
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`].
    pub async fn requests_with(&self, subscription: Subscription<'_>, responder: Responder) -> Result<Requests, Error> {
        Ok(self.listen(subscription).await?.into_requests(responder))
    }

    /// Answers requests with what `handler` makes of them, one by one, until the connection ends and none is made again.
    /// For many at the same time take [`AsyncClient::requests`], and a task for each. An error of the handler goes to the
    /// requester, as [`Error::RequestFailed`].
    ///
    /// # Errors
    /// As [`AsyncClient::subscribe`], and what ended the connection.
    pub async fn serve<R: Into<crate::respond::Reply>, E: fmt::Display>(
        &self,
        subscription: Subscription<'_>,
        mut handler: impl AsyncFnMut(&Message) -> Result<R, E>,
    ) -> Result<core::convert::Infallible, Error> {
        let mut requests = self.requests(subscription).await?;
        loop {
            let request = requests.receive().await?;
            match handler(request.message()).await {
                Ok(reply) => request.reply(reply).await?,
                Err(error) => request.fail(error).await?,
            }
        }
    }

    /// Acknowledges a message of [`Messages::receive_unacknowledged`], in whatever order the caller likes: the broker gets
    /// the acknowledgements in the order of the messages. Returns `false` if that was done before, if others who got the
    /// same message are not done with it, or if the connection that it came over is over.
    pub fn acknowledge(&self, delivery: Delivery) -> bool {
        self.handle.shared.lock().acknowledge(delivery)
    }

    /// The next thing that happened to the connection: [`Event::Disconnected`], [`Event::Connected`] after the first
    /// connection, [`Event::SubscriptionRestored`], [`Event::SubscriptionLost`], [`Event::MessageDropped`]. They wait
    /// here until asked for, up to 1,024 of them.
    ///
    /// # Errors
    /// What ended the connection, if none is made again, behind the last event.
    pub async fn next_event(&self) -> Result<Event, Error> {
        poll_fn(|context| {
            let mut state = self.handle.shared.lock();
            if let Some(event) = state.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            state.require_open()?;
            state.watchers.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Authenticates again over this connection (section 4.12.1), before a token of the last time expires, say. Everything
    /// else goes on meanwhile.
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`Error::Timeout`] when the broker has not authenticated the client in time, with the
    /// connection as it was: the broker may do so later; [`RequestError::NothingToAuthenticate`] when the client was not
    /// [made with an authenticator](AsyncClient::connect_authenticated), or is authenticating already; and what ends
    /// connections: a broker that refuses does.
    pub async fn authenticate_again(&self) -> Result<(), Error> {
        if self.handle.shared.lock().authenticator.is_none() {
            return Err(RequestError::NothingToAuthenticate.into());
        }
        self.submit(|state| state.authenticate_again(now())).await??;
        match self.completion(Call::Authentication, false).await? {
            Outcome::Authenticated => Ok(()),
            Outcome::Failed(error) => Err(error),
            _ => Err(Error::Timeout),
        }
    }

    /// Connects again, to the broker at the same URL or the first of the fallbacks that takes the connection; returns
    /// whether it still had the session. What was in flight is sent again either way. A connection that is still there is
    /// closed first.
    ///
    /// # Errors
    /// As [`AsyncClient::connect`]. The client can be connected again.
    pub async fn reconnect(&self) -> Result<bool, Error> {
        let before = {
            let mut state = self.handle.shared.lock();
            state.set_phase(Phase::Connecting);
            state.command(Command::Reconnect);
            state.connection
        };
        poll_fn(|context| {
            let mut state = self.handle.shared.lock();
            if state.connection != before {
                return Poll::Ready(Ok(state.session_present));
            }
            state.require_open()?;
            state.watchers.push(context.waker().clone());
            Poll::Pending
        })
        .await
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
    /// As [`AsyncClient::disconnect`]; [`RequestError::Invalid`], [`RequestError::PacketTooLarge`];
    /// [`RequestError::PropertyNotAllowed`] for a Session Expiry Interval when the options have none.
    pub async fn disconnect_with(&self, disconnect: &Disconnect<'_>) -> Result<(), Error> {
        {
            let mut state = self.handle.shared.lock();
            if state.require_open().is_err() {
                return Ok(());
            }
            match state.session.disconnect(disconnect) {
                Ok(()) | Err(RequestError::NotConnected) => {}
                Err(error) => return Err(error.into()),
            }
            state.command(Command::Rest);
        }
        poll_fn(|context| {
            let mut state = self.handle.shared.lock();
            match &state.phase {
                Phase::Resting(Error::Request(RequestError::NotConnected)) => Poll::Ready(Ok(())),
                Phase::Resting(error) => Poll::Ready(Err(error.clone())),
                _ => {
                    state.watchers.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// What the broker said when it took the connection, lent to `read`: its limits, the Client Identifier it assigned, and
    /// more. `None` before the first connection.
    pub fn with_connack<R>(&self, read: impl FnOnce(bool, &ConnackProperties<'_>) -> R) -> Option<R> {
        let state = self.handle.shared.lock();
        state.session.connack().map(|connack| read(connack.session_present, &connack.properties))
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    #[must_use]
    pub fn client_id(&self) -> String {
        self.handle.shared.lock().session.client_id().into()
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.handle.shared.lock().session.status() == Status::Connected
    }

    /// What the client has done so far, over all its connections.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.shared.lock().session.stats()
    }

    /// How many messages came that nobody listened to, though others were listened to.
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.handle.shared.lock().inboxes.unheard()
    }

    /// The session as bytes, for a later process to go on with: [`Options::resume`]. See [`Session::snapshot`].
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.handle.shared.lock().session.snapshot()
    }

    /// Has the broker do something, over as many connections as it takes.
    async fn ask(
        &self,
        mut ask: impl FnMut(&mut Session) -> Result<OperationId, RequestError>,
    ) -> Result<SubscribeReason, Error> {
        loop {
            let id = self.submit(|state| {
                let id = ask(&mut state.session)?;
                state.register(id, Some(now() + state.response_timeout));
                Ok(id)
            });
            let result = match self.completion(id.await?, false).await? {
                Outcome::Subscribed(result) => result,
                Outcome::Failed(error) => Err(error),
                _ => Err(Error::Timeout),
            };
            let is_over = self.handle.shared.lock().require_open().is_err();
            if is_over || !result.as_ref().is_err_and(Error::is_fatal) {
                return result;
            }
        }
    }

    fn submit<R, F: FnMut(&mut State) -> Result<R, RequestError>>(&self, submit: F) -> Submit<'_, F> {
        let until = now() + self.handle.shared.lock().response_timeout;
        Submit::new(&self.handle.shared, false, until, submit)
    }

    fn completion(&self, call: impl Into<Call>, is_request: bool) -> Completion<'_> {
        Completion::new(&self.handle.shared, call.into(), is_request)
    }
}

impl fmt::Debug for AsyncClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncClient").field("client_id", &self.client_id()).finish_non_exhaustive()
    }
}
