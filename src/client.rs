//! The blocking client: a session, a transport, and calls that return when they are done.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::authenticate::Authenticator;
use crate::codec::{
    Connack, Disconnect, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties,
};
use crate::error::{Error, RequestError};
use crate::message::Message;
use crate::options::Options;
use crate::session::{Delivery, Event, OperationId, Session, Status, SubscribeReason};
use crate::time::Instant;
use crate::transport::{Transferred, Transport};
#[cfg(feature = "std")]
use crate::{transport::TcpTransport, url::BrokerUrl};

/// How long the last bytes of a connection may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an acknowledgement waits for something to leave with, while messages are at hand to be received.
const KEEP_UP: Duration = Duration::from_millis(10);

/// How often bytes may move after the time of a call is over, so that a broker cannot keep a caller by talking.
const LATE_ROUNDS: u32 = 16;

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
    response_timeout: Duration,
    /// Why the connection ended, until a call has told so.
    ended: Option<Error>,
    /// When bytes moved last.
    last_moved: Instant,
}

#[cfg(feature = "std")]
impl Client<TcpTransport> {
    /// Connects to the broker at a URL such as `mqtt://localhost:1883`. A login in the URL counts unless the options
    /// have one.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Transport`], [`Error::ConnectionRefused`], [`Error::ConnectTimeout`], and what else
    /// ends connections; [`RequestError::InvalidOptions`].
    pub fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let (transport, options) = open(url, options)?;
        Self::connect_over(transport, options)
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
        let (transport, options) = open(url, options)?;
        Self::connect_authenticated_over(transport, options, authenticator)
    }

    /// Connects to the broker at an address such as `127.0.0.1:1883`.
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
        let last_moved = transport.now();
        let session = Session::new(options);
        let mut client = Self { session, transport, authenticator, response_timeout, ended: None, last_moved };
        client.start()?;
        Ok(client)
    }

    /// Goes on over a new transport after the connection was lost; returns whether the broker still had the session.
    /// What was in flight is sent again either way.
    ///
    /// # Errors
    /// As [`Client::connect_over`]. The client can be reconnected again.
    pub fn reconnect_over(&mut self, transport: T) -> Result<bool, Error> {
        self.close();
        self.transport = transport;
        self.start()
    }

    /// Authenticates again over this connection (section 4.12.1), before a token of the last time expires, say.
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`RequestError::NothingToAuthenticate`] when the client was not
    /// [made with an authenticator](Client::connect_authenticated_over); [`Error::Timeout`], and what ends connections: a broker that
    /// refuses does.
    pub fn authenticate_again(&mut self) -> Result<(), Error> {
        let Some(authenticator) = &mut self.authenticator else {
            return Err(RequestError::NothingToAuthenticate.into());
        };
        let data = authenticator.start().map_err(Error::Authentication)?;
        let mut patience = self.patience();
        self.submit(&mut patience, |session| session.authenticate_again(&data))?;
        let data = self.authenticate(&mut patience, |event| match event {
            Event::Authenticated(said) => Some(said.data.unwrap_or_default()),
            _ => None,
        })?;
        self.finish_authentication(&data)
    }

    /// Publishes a message. At QoS 0 it returns once the message is sent, at QoS 1 and 2 once the broker has it, with
    /// [`ReasonCode::Success`] or [`ReasonCode::NoMatchingSubscribers`].
    ///
    /// # Errors
    /// [`Error::PublishRefused`], [`Error::Request`]; [`Error::Timeout`] when the broker does not answer in time, with
    /// the message still in flight; and what ends connections.
    pub fn publish(&mut self, publish: &Publish<'_>) -> Result<ReasonCode, Error> {
        let mut patience = self.patience();
        match self.submit(&mut patience, |session| session.publish(publish))? {
            None => self.flush().map(|()| ReasonCode::Success),
            Some(id) => self.wait_for(&mut patience, |event| match event {
                Event::Published { id: done, result } if done == id => Some(result.map(|reason| reason.reason_code)),
                _ => None,
            }),
        }
    }

    /// Publishes messages one behind the other, as many in flight as the broker and the options allow, and as many in
    /// one write. Returns for each how it went, in order: as [`Client::publish`] would have.
    ///
    /// Messages that could not be sent because the connection ended fail with the reason it ended.
    pub fn publish_all<'a>(
        &mut self,
        messages: impl IntoIterator<Item = Publish<'a>>,
    ) -> Vec<Result<ReasonCode, Error>> {
        let mut batch = Batch::new(self.patience());
        let mut ended = None;
        for publish in messages {
            let result = match &ended {
                Some(error) => Err(Error::clone(error)),
                None => self.submit_next(&publish, &mut batch),
            };
            ended = ended.or(result.as_ref().err().filter(|error| error.is_fatal()).cloned());
            batch.add(result);
        }
        if let Err(error) = ended.map_or_else(|| self.finish(&mut batch), Err) {
            // Some of them may have been acknowledged before that.
            self.note_settled(&mut batch);
            batch.fail(&error);
        }
        batch.results
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
        let payload =
            serde_json::to_vec(value).map_err(|error| Error::Json(alloc::string::ToString::to_string(&error)))?;
        let properties = crate::codec::PublishProperties {
            payload_format_indicator: Some(true),
            content_type: Some("application/json"),
            ..Default::default()
        };
        self.publish(&Publish::new(topic, &payload).qos(qos).properties(properties))
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
        self.write_out(&mut self.patience())?;
        self.discard_events();
        self.require_open()
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
        let mut patience = self.patience();
        let id = self.submit(&mut patience, |session| session.subscribe(subscriptions, properties))?;
        self.wait_for(&mut patience, |event| match event {
            Event::Subscribed { id: done, result } if done == id => Some(result),
            _ => None,
        })
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
        let mut patience = self.patience();
        let id = self.submit(&mut patience, |session| session.unsubscribe(filters, properties))?;
        self.wait_for(&mut patience, |event| match event {
            Event::Unsubscribed { id: done, result } if done == id => Some(result),
            _ => None,
        })
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// What ends connections, after the last message that came before; then [`RequestError::NotConnected`].
    pub fn receive(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.receive_with(None, |publish| Message::from(*publish))? {
                return Ok(message);
            }
        }
    }

    /// Waits for the next message, no longer than `timeout`; zero takes only what is there.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn receive_timeout(&mut self, timeout: Duration) -> Result<Option<Message>, Error> {
        self.receive_with(Some(timeout), |publish| Message::from(*publish))
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
            if self.session.status() == Status::Disconnected {
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
        self.session.deadline()
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

    fn start(&mut self) -> Result<bool, Error> {
        if let Some(authenticator) = &mut self.authenticator {
            self.session.set_authentication_data(authenticator.start().map_err(Error::Authentication)?);
        }
        self.session.connect(self.transport.now())?;
        // What they tell is about the last connection.
        while self.session.poll_event().is_some() {}
        self.ended = None;
        // The session keeps the connect timeout by itself.
        let answer = self.authenticate(&mut Patience::new(Duration::MAX), |event| match event {
            Event::Connected { session_present } => Some(session_present),
            _ => None,
        });
        if answer.is_err() {
            self.close();
        } else if self.authenticator.is_some() {
            let connack = self.session.connack().unwrap_or_default();
            let data = connack.properties.authentication_data.unwrap_or_default().to_owned();
            self.finish_authentication(&data)?;
        }
        answer
    }

    /// Answers challenges until `pick` takes an event.
    fn authenticate<R>(
        &mut self,
        patience: &mut Patience,
        mut pick: impl FnMut(Event) -> Option<R>,
    ) -> Result<R, Error> {
        loop {
            let step = self.wait_for(patience, |event| match event {
                Event::Challenged(challenge) => Some(Ok(Err(challenge.data.unwrap_or_default()))),
                event => pick(event).map(|done| Ok(Ok(done))),
            })?;
            let challenge = match step {
                Ok(done) => return Ok(done),
                Err(challenge) => challenge,
            };
            let answer = match &mut self.authenticator {
                Some(authenticator) => authenticator.answer(&challenge),
                None => Err("the broker has a challenge, and this client no authenticator".into()),
            };
            match answer {
                Ok(answer) => self.session.answer_challenge(&answer)?,
                Err(why) => return Err(self.fail_authentication(why)),
            }
        }
    }

    /// Lets the authenticator check the broker.
    fn finish_authentication(&mut self, data: &[u8]) -> Result<(), Error> {
        let checked = self.authenticator.as_mut().map_or(Ok(()), |authenticator| authenticator.finish(data));
        checked.map_err(|why| self.fail_authentication(why))
    }

    /// Ends the connection to a broker that cannot be authenticated to, or is not to be trusted.
    fn fail_authentication(&mut self, why: String) -> Error {
        // That it ends is told with the reason at hand.
        let _ = self.disconnect_with(&Disconnect::new(ReasonCode::UnspecifiedError));
        self.close();
        self.discard_events();
        self.ended = None;
        Error::Authentication(why)
    }

    /// Hands something to the session as soon as it has room.
    fn submit<R>(
        &mut self,
        patience: &mut Patience,
        mut submit: impl FnMut(&mut Session) -> Result<R, RequestError>,
    ) -> Result<R, Error> {
        loop {
            match submit(&mut self.session) {
                Err(RequestError::WouldBlock | RequestError::NotConnected) => {}
                result => return Ok(result?),
            }
            self.discard_events();
            self.require_open()?;
            patience.wait(self)?;
        }
    }

    /// Hands a message of a batch to the session, as soon as enough of those before it are acknowledged.
    fn submit_next(&mut self, publish: &Publish<'_>, batch: &mut Batch) -> Result<Option<OperationId>, Error> {
        loop {
            match self.session.publish(publish) {
                Err(RequestError::WouldBlock | RequestError::NotConnected) => self.settle(batch)?,
                result => {
                    if self.session.transmit().len() >= WRITE_SIZE {
                        self.write_out(&mut batch.patience)?;
                        self.note_sent(batch);
                    }
                    return Ok(result?);
                }
            }
        }
    }

    /// Waits until all of a batch is sent and acknowledged.
    fn finish(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.write_out(&mut batch.patience)?;
        self.note_sent(batch);
        while !batch.is_done() {
            self.settle(batch).map_err(Error::while_in_flight)?;
        }
        Ok(())
    }

    /// Notes what became of messages of a batch, or lets bytes move so that something may.
    fn settle(&mut self, batch: &mut Batch) -> Result<(), Error> {
        if self.note_settled(batch) {
            batch.patience = self.patience();
            return Ok(());
        }
        self.require_open()?;
        batch.patience.wait(self)?;
        self.note_sent(batch);
        Ok(())
    }

    /// Notes which messages of a batch are acknowledged or refused; whether there was any.
    fn note_settled(&mut self, batch: &mut Batch) -> bool {
        let mut has_settled = false;
        while let Some(event) = self.next_event() {
            if let Event::Published { id, result } = event {
                has_settled |= batch.settle(id, result.map(|reason| reason.reason_code));
            }
        }
        has_settled
    }

    /// Notes that nothing of a batch waits to be sent any more, if so.
    fn note_sent(&self, batch: &mut Batch) {
        if self.is_connected() && !self.has_outgoing() {
            batch.unsent.clear();
        }
    }

    /// Waits until `pick` takes an event.
    fn wait_for<R>(
        &mut self,
        patience: &mut Patience,
        mut pick: impl FnMut(Event) -> Option<Result<R, Error>>,
    ) -> Result<R, Error> {
        loop {
            while let Some(event) = self.next_event() {
                if let Some(result) = pick(event) {
                    if result.as_ref().is_err_and(Error::is_fatal) {
                        // What is told now need not be told again.
                        self.ended = None;
                    }
                    return result;
                }
            }
            self.require_open()?;
            patience.wait(self).map_err(Error::while_in_flight)?;
        }
    }

    /// Takes events that are of no use to anyone: about calls that were given up, or that wait for nothing.
    fn discard_events(&mut self) {
        while self.next_event().is_some() {}
    }

    /// The session's next event. The end of the connection is noted and seen to here.
    fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.session.poll_event()? {
                Event::Disconnected(error) => {
                    self.close();
                    self.ended = Some(error);
                }
                event => return Some(event),
            }
        }
    }

    /// Fails when there is no connection, with why it ended if no call has told so yet.
    fn require_open(&mut self) -> Result<(), Error> {
        match self.session.status() {
            Status::Connecting | Status::Connected => Ok(()),
            Status::Disconnected | Status::Closing => {
                self.discard_events();
                Err(self.ended.take().unwrap_or(RequestError::NotConnected.into()))
            }
        }
    }

    /// Sends what has waited for a while, and pings, though messages are at hand and nothing is waited for.
    fn keep_up(&mut self, now: Instant) {
        let is_due = self.session.deadline().is_some_and(|deadline| now >= deadline);
        if is_due || (self.has_outgoing() && now >= self.last_moved + KEEP_UP) {
            // That messages must be received first is known here.
            let _ = self.advance(Some(now));
        }
    }

    /// Moves bytes both ways once, waiting for them until `until` or what the session has to do; returns whether any
    /// moved.
    fn advance(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let now = self.transport.now();
        if self.session.deadline().is_some_and(|deadline| now >= deadline) {
            // The answer that the session would miss may be there, unread.
            self.transfer(Direction::In, Some(now));
            self.session.handle_timeout(now);
        }
        if !matches!(self.session.status(), Status::Connecting | Status::Connected) && !self.has_outgoing() {
            return Ok(true);
        }
        let until = [until, self.session.deadline()].into_iter().flatten().min();
        let (outgoing, incoming) = self.session.buffers();
        if outgoing.is_empty() && incoming.is_empty() {
            return Err(RequestError::ReceiveFirst.into());
        }
        Ok(self.transfer(Direction::Both, until))
    }

    /// Moves bytes once; returns whether any moved or the connection ended.
    fn transfer(&mut self, direction: Direction, until: Option<Instant>) -> bool {
        let (outgoing, incoming) = self.session.buffers();
        let outgoing = if direction == Direction::Both { outgoing } else { &[] };
        if outgoing.is_empty() && incoming.is_empty() {
            return false;
        }
        match self.transport.transfer(outgoing, incoming, until) {
            Ok(moved) => {
                let has_moved = moved != Transferred::default();
                if has_moved {
                    self.last_moved = self.transport.now();
                }
                self.session.transmitted(moved.sent, self.last_moved);
                self.session.received(moved.received, self.last_moved);
                if moved.closed {
                    self.session.connection_closed(Error::ConnectionClosed);
                }
                has_moved
            }
            Err(error) => {
                // Why the broker closed the connection may be there, unread.
                let mut rounds = 0..LATE_ROUNDS;
                while direction == Direction::Both
                    && rounds.next().is_some()
                    && self.transfer(Direction::In, Some(self.last_moved))
                    && self.session.status() != Status::Disconnected
                {}
                self.session.connection_closed(error.into());
                true
            }
        }
    }

    /// Waits until everything is sent or there is no connection any more.
    fn write_out(&mut self, patience: &mut Patience) -> Result<(), Error> {
        while self.has_outgoing() {
            patience.wait(self)?;
        }
        Ok(())
    }

    /// Sends the last bytes, if the peer takes them, and closes the connection.
    fn close(&mut self) {
        // Whoever closes has an error to tell already.
        let _ = self.write_out(&mut Patience::new(CLOSE_TIMEOUT));
        self.transport.close();
        self.session.connection_closed(Error::ConnectionClosed);
    }

    const fn patience(&self) -> Patience {
        Patience::new(self.response_timeout)
    }
}

#[cfg(feature = "std")]
fn open(url: &str, options: Options) -> Result<(TcpTransport, Options), Error> {
    let url: BrokerUrl = url.parse()?;
    url.require_plain()?;
    options.validate().map_err(RequestError::InvalidOptions)?;
    let transport = TcpTransport::connect((url.host.as_str(), url.port), options.connect_timeout)?;
    Ok((transport, options.login_from(url)))
}

impl<T: fmt::Debug> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.session)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// Which way bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Both,
}

/// Messages that are published one behind the other.
struct Batch {
    results: Vec<Result<ReasonCode, Error>>,
    /// Those in flight, and their places in `results`; in ascending order.
    in_flight: VecDeque<(OperationId, usize)>,
    /// The places of those at QoS 0 that may not have been sent yet.
    unsent: Vec<usize>,
    /// Begins anew with every answer.
    patience: Patience,
}

impl Batch {
    const fn new(patience: Patience) -> Self {
        Self { results: Vec::new(), in_flight: VecDeque::new(), unsent: Vec::new(), patience }
    }

    fn add(&mut self, submitted: Result<Option<OperationId>, Error>) {
        let place = self.results.len();
        self.results.push(match submitted {
            Ok(None) => {
                self.unsent.push(place);
                Ok(ReasonCode::Success)
            }
            Ok(Some(id)) => {
                self.in_flight.push_back((id, place));
                // What stands here until the broker answers.
                Err(Error::Timeout)
            }
            Err(error) => Err(error),
        });
    }

    /// Notes how a message went; `false` if it is none of these.
    fn settle(&mut self, id: OperationId, result: Result<ReasonCode, Error>) -> bool {
        let index = self.in_flight.binary_search_by_key(&id, |&(id, _)| id);
        let Some((_, place)) = index.ok().and_then(|index| self.in_flight.remove(index)) else { return false };
        self.results[place] = result;
        true
    }

    fn is_done(&self) -> bool {
        self.in_flight.is_empty() && self.unsent.is_empty()
    }

    /// Fails what is not done.
    fn fail(&mut self, error: &Error) {
        for place in self.in_flight.drain(..).map(|(_, place)| place).chain(self.unsent.drain(..)) {
            self.results[place] = Err(error.clone());
        }
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
