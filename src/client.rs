//! The blocking client: a session, a transport, and calls that return when they are done.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::codec::{
    Connack, Disconnect, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties,
};
use crate::error::{Error, RequestError};
use crate::message::Message;
use crate::options::Options;
use crate::session::{Event, OperationId, Session, Status, SubscribeReason};
use crate::time::Instant;
use crate::transport::{Transferred, Transport};
#[cfg(feature = "std")]
use crate::{transport::TcpTransport, url::BrokerUrl};

/// How long the last bytes of a connection may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// As many bytes as make a write worthwhile while more is to come.
const WRITE_SIZE: usize = 64 * 1024;

/// A client whose calls block until they are done.
///
/// Everything happens within calls: between them nothing is sent or received, and no Keep Alive is kept. A client that
/// mostly waits does so in [`Client::receive`], which keeps the connection alive; one that is busy with something else
/// should come back before the Keep Alive ends, or turn it off.
///
/// A message at QoS 1 or 2 is acknowledged when it is handed out; the acknowledgement leaves with the next call. So a
/// program that dies while it works on a message is sent that message again, if its session is kept.
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
#[derive(Debug)]
pub struct Client<T> {
    session: Session,
    transport: T,
    response_timeout: Duration,
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
        let url: BrokerUrl = url.parse()?;
        url.require_plain()?;
        options.validate().map_err(RequestError::InvalidOptions)?;
        let transport = TcpTransport::connect((url.host.as_str(), url.port), options.connect_timeout)?;
        Self::connect_over(transport, options.login_from(url))
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
        let response_timeout = options.response_timeout;
        let mut client = Self { session: Session::new(options), transport, response_timeout };
        client.start()?;
        Ok(client)
    }

    /// Goes on over a new transport after the connection was lost; returns whether the broker still had the session.
    /// What was in flight is sent again either way.
    ///
    /// # Errors
    /// As [`Client::connect_over`]. The client can be reconnected again.
    pub fn reconnect_over(&mut self, transport: T) -> Result<bool, Error> {
        self.transport.close();
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
        match self.submit(|session| session.publish(publish))? {
            None => self.flush().map(|()| ReasonCode::Success),
            Some(id) => self.wait_for(|event| match event {
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
        let mut batch =
            Batch { patience: Patience::new(self.response_timeout), results: Vec::new(), in_flight: VecDeque::new() };
        for publish in messages {
            let result = match self.submit_next(&publish, &mut batch) {
                Ok(None) => Ok(ReasonCode::Success),
                Ok(Some(id)) => {
                    batch.in_flight.push_back((id, batch.results.len()));
                    // What stands here until the broker answers.
                    Err(Error::Timeout)
                }
                Err(error) => Err(error),
            };
            batch.results.push(result);
        }
        let mut ended = self.flush();
        while ended.is_ok() && !batch.in_flight.is_empty() {
            ended = self.settle(&mut batch);
        }
        if let Err(error) = ended {
            for (_, place) in batch.in_flight {
                batch.results[place] = Err(error.clone());
            }
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
        self.submit(|session| session.publish(publish))?;
        if self.session.transmit().len() < WRITE_SIZE { Ok(()) } else { self.flush() }
    }

    /// Sends everything that waits to be sent, acknowledgements included.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the broker does not take it in time, and what ends connections.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.flush_within(self.response_timeout)
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
        let id = self.submit(|session| session.subscribe(subscriptions, properties))?;
        self.wait_for(|event| match event {
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
        let id = self.submit(|session| session.unsubscribe(filters, properties))?;
        self.wait_for(|event| match event {
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
            if let Some(message) = self.receive_until(None, |publish| Message::from(*publish))? {
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
        self.receive_until(timeout.map(|timeout| self.transport.now() + timeout), read)
    }

    /// Lends the next of the messages that have come already to `read`, without looking for more; `None` when there is
    /// none.
    pub fn take_with<R>(&mut self, read: impl FnOnce(&Publish<'_>) -> R) -> Option<R> {
        self.session.receive().map(|publish| read(&publish))
    }

    /// Does what can be done without waiting; returns whether there is a message to receive.
    ///
    /// # Errors
    /// What ends connections, after the last message that came before; then [`RequestError::NotConnected`].
    pub fn is_ready(&mut self) -> Result<bool, Error> {
        loop {
            if self.session.has_message() {
                return Ok(true);
            }
            while self.next_event()?.is_some() {}
            self.require_open()?;
            if !self.advance(Some(self.transport.now()))? {
                return Ok(false);
            }
        }
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
    /// As [`Client::disconnect`]; [`RequestError::Invalid`].
    pub fn disconnect_with(&mut self, disconnect: &Disconnect<'_>) -> Result<(), Error> {
        match self.session.disconnect(disconnect) {
            Ok(()) => {
                let flushed = self.flush_within(CLOSE_TIMEOUT);
                self.close(Error::ConnectionClosed);
                flushed
            }
            Err(RequestError::NotConnected) => Ok(()),
            Err(error) => Err(error.into()),
        }
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

    fn start(&mut self) -> Result<bool, Error> {
        self.session.connect(self.transport.now())?;
        // The session keeps the connect timeout itself.
        let answer = self.wait_for(|event| match event {
            Event::Connected { session_present } => Some(Ok(session_present)),
            _ => None,
        });
        if answer.is_err() {
            self.close(Error::ConnectionClosed);
        }
        answer
    }

    fn receive_until<R>(
        &mut self,
        until: Option<Instant>,
        read: impl FnOnce(&Publish<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        loop {
            if let Some(publish) = self.session.receive() {
                return Ok(Some(read(&publish)));
            }
            while self.next_event()?.is_some() {}
            self.require_open()?;
            let is_late = until.is_some_and(|until| self.transport.now() >= until);
            let has_moved = self.advance(until)?;
            if is_late && !has_moved {
                return Ok(None);
            }
        }
    }

    /// Hands something to the session as soon as it has room.
    fn submit<R>(&mut self, mut submit: impl FnMut(&mut Session) -> Result<R, RequestError>) -> Result<R, Error> {
        let mut patience = Patience::new(self.response_timeout);
        loop {
            match submit(&mut self.session) {
                Err(RequestError::WouldBlock) => {}
                result => return Ok(result?),
            }
            // What they tell is about calls that were given up.
            while self.next_event()?.is_some() {}
            patience.wait(self)?;
        }
    }

    /// Hands a message of a batch to the session, as soon as enough of those before it are acknowledged.
    fn submit_next(&mut self, publish: &Publish<'_>, batch: &mut Batch) -> Result<Option<OperationId>, Error> {
        loop {
            match self.session.publish(publish) {
                Err(RequestError::WouldBlock) => self.settle(batch)?,
                result => {
                    if self.session.transmit().len() >= WRITE_SIZE {
                        self.flush()?;
                    }
                    return Ok(result?);
                }
            }
        }
    }

    /// Notes what became of messages of a batch, or lets bytes move so that something may.
    fn settle(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let mut has_settled = false;
        while let Some(event) = self.next_event()? {
            if let Event::Published { id, result } = event
                && let Ok(index) = batch.in_flight.binary_search_by_key(&id, |&(id, _)| id)
                && let Some((_, place)) = batch.in_flight.remove(index)
            {
                batch.results[place] = result.map(|reason| reason.reason_code);
                has_settled = true;
            }
        }
        if has_settled {
            batch.patience = Patience::new(self.response_timeout);
            return Ok(());
        }
        batch.patience.wait(self).map(drop)
    }

    /// Waits until `pick` takes an event.
    fn wait_for<R>(&mut self, mut pick: impl FnMut(Event) -> Option<Result<R, Error>>) -> Result<R, Error> {
        let mut patience = Patience::new(self.response_timeout);
        loop {
            while let Some(event) = self.next_event()? {
                if let Some(result) = pick(event) {
                    return result;
                }
            }
            patience.wait(self)?;
        }
    }

    /// The session's next event; the one that ends the connection as an error, once everything is closed.
    fn next_event(&mut self) -> Result<Option<Event>, Error> {
        match self.session.poll_event() {
            Some(Event::Disconnected(error)) => {
                self.close(error.clone());
                Err(error)
            }
            event => Ok(event),
        }
    }

    /// Moves bytes both ways once, waiting for them until `until` or what the session has to do; returns whether any
    /// moved.
    fn advance(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let status = self.session.status();
        self.session.handle_timeout(self.transport.now());
        if self.session.status() != status {
            // Time ran out for the connection: there is an event to take, and nothing to wait for.
            return Ok(true);
        }
        let until = [until, self.session.deadline()].into_iter().flatten().min();
        let (outgoing, incoming) = self.session.buffers();
        if outgoing.is_empty() && incoming.is_empty() {
            return Err(RequestError::ReceiveFirst.into());
        }
        match self.transport.transfer(outgoing, incoming, until) {
            Ok(moved) => {
                let now = self.transport.now();
                self.session.transmitted(moved.sent, now);
                self.session.received(moved.received, now);
                if moved.closed {
                    self.session.connection_closed(Error::ConnectionClosed);
                }
                Ok(moved != Transferred::default())
            }
            Err(error) => {
                self.session.connection_closed(error.into());
                Ok(true)
            }
        }
    }

    fn flush_within(&mut self, timeout: Duration) -> Result<(), Error> {
        let mut patience = Patience::new(timeout);
        while !self.session.transmit().is_empty() {
            patience.wait(self)?;
        }
        Ok(())
    }

    /// Sends the last bytes, if the peer takes them, and closes the connection.
    fn close(&mut self, error: Error) {
        // Whoever closes has an error to tell already, or none that this one would add to.
        let _ = self.flush_within(CLOSE_TIMEOUT);
        self.transport.close();
        self.session.connection_closed(error);
    }

    fn require_open(&self) -> Result<(), RequestError> {
        if self.session.status() == Status::Disconnected { Err(RequestError::NotConnected) } else { Ok(()) }
    }
}

/// Messages that are published one behind the other.
struct Batch {
    results: Vec<Result<ReasonCode, Error>>,
    /// Those in flight, and their places in `results`; in ascending order.
    in_flight: VecDeque<(OperationId, usize)>,
    /// Begins anew with every answer.
    patience: Patience,
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

    /// Lets bytes move once, unless time is up.
    fn wait<T: Transport>(&mut self, client: &mut Client<T>) -> Result<bool, Error> {
        let now = client.transport.now();
        let until = *self.until.get_or_insert(now + self.timeout);
        if now >= until {
            return Err(Error::Timeout);
        }
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
