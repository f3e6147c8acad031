//! The other end of a request: which ones to work on, and what to send back (section 4.10).
//!
//! ```text
//!   request ──► accept ──► the user's handler ──► reply ──► PUBLISH to the Response Topic, then the acknowledgement
//!                 │ the same request again                     ▲
//!                 └──► once more the reply that it had ─► flush ─┘
//! ```

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::codec::{Publish, PublishProperties, QoS};
use crate::error::{CallError, ERROR_PROPERTY};
use crate::fifo::Fifo;
use crate::message::{Message, borrowed};
use crate::session::{Delivery, Session};
use crate::time::{Instant, seconds_up};

/// How much longer a requester may wait than the Message Expiry Interval of its request says: that has whole seconds,
/// and RabbitMQ rounds off what is left of them, to 0 where it was 1.
const ROUNDED_OFF: Duration = Duration::from_secs(1);

/// Answers requests of one session (section 4.10). Keeps the replies, so that a request that comes again is worked on
/// once.
///
/// A request is the same as one before if it has the same Response Topic and the same Correlation Data. Without
/// Correlation Data there is no telling, and it is worked on each time. A QoS 1 or 2 request is acknowledged after its
/// reply was put into the outbound buffer, so a request that a process worked on when it ended comes again. Until then
/// the acknowledgements of all messages that came after it wait: answer each request, or [give it
/// up](Responder::give_up).
///
/// The payload of a request that comes again is not kept, however often it comes.
///
#[doc = memory_example!()]
/// # let mut session = network.session();
/// # network.ask("Ada");
/// # network.exchange(&mut session);
/// use mqtt_wasi::{Reply, Responder};
///
/// // In the examples of this type, `session` is subscribed to `greet`, and a request has come.
/// let mut responder = Responder::new();
/// while let Some(request) = responder.take(&mut session, network.now()) {
///     let name = String::from_utf8_lossy(&request.message().payload).into_owned();
///     responder.reply(&mut session, &request, &Reply::new(format!("Hello, {name}")), network.now())?;
/// }
/// assert_eq!(responder.stats().replied, 1);
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug)]
pub struct Responder {
    most_replies: usize,
    most_bytes: usize,
    lifetime: Duration,
    /// In the order of their Response Topics and Correlation Data.
    #[expect(clippy::vec_box, reason = "they make room for each other, and are large")]
    known: Vec<Box<Known>>,
    /// Requests that were replied to, in that order.
    finished: Fifo<(Instant, Address)>,
    /// How many bytes their replies have.
    bytes: usize,
    /// Requests that were replied to and came again, to be replied to as they were before.
    again: Fifo<Address>,
    /// What is to be acknowledged, though nothing is known of it any more.
    forgotten: Vec<Delivery>,
    stats: ResponderStats,
}

/// Counters of a responder.
///
/// ```
/// use mqtt_wasi::{Responder, ResponderStats};
///
/// assert_eq!(Responder::new().stats(), ResponderStats::default());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponderStats {
    /// Replies that were sent, with those that were sent again.
    pub replied: u64,
    /// Requests that came again.
    pub duplicates: u64,
    /// Replies that were not sent, because the requester no longer waits.
    pub expired: u64,
    /// Replies that cannot be sent: the Response Topic is not valid, or the reply is larger than the broker accepts.
    pub failed: u64,
}

/// A request to answer.
///
#[doc = memory_example!()]
/// # let mut session = network.session();
/// # network.ask("Ada");
/// # network.exchange(&mut session);
/// use mqtt_wasi::{Request, Responder};
///
/// let mut responder = Responder::new();
/// let request: Request = responder.take(&mut session, network.now()).expect("a request");
/// assert_eq!(request.message().payload, b"Ada");
/// assert!(request.wants_reply());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    message: Message,
    address: Option<Address>,
    delivery: Option<Delivery>,
    /// When the requester has certainly given up.
    deadline: Option<Instant>,
}

/// What to send back. Text and bytes convert into a reply; text is marked as UTF-8.
///
/// ```
/// use mqtt_wasi::Reply;
///
/// let reply = Reply::new("21.5").content_type("text/plain").user_property("unit", "celsius");
/// assert_ne!(reply, Reply::from("21.5"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub(crate) payload: Vec<u8>,
    pub(crate) is_text: bool,
    pub(crate) content_type: Option<String>,
    pub(crate) user_properties: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    topic: String,
    correlation: Option<Vec<u8>>,
    /// Whether it stood in the payload, where it is then expected back.
    is_in_payload: bool,
}

/// A request that was taken.
#[derive(Debug)]
struct Known {
    address: Address,
    /// The reply, once there is one.
    reply: Option<Reply>,
    /// How it came again, if it did since it was last replied to.
    again: Option<Again>,
}

/// What it takes to reply once more, however often a request came again.
#[derive(Debug)]
struct Again {
    qos: QoS,
    deadline: Option<Instant>,
    deliveries: Vec<Delivery>,
}

/// Whom to reply to, and how.
#[derive(Clone, Copy)]
struct To<'a> {
    address: &'a Address,
    qos: QoS,
    deadline: Option<Instant>,
}

/// Acknowledges a request.
pub(crate) type Acknowledge<'a> = &'a mut dyn FnMut(&mut Session, Delivery);

impl Responder {
    /// Keeps the replies to the last 1,024 requests for five minutes, at most 1 MiB of them.
    ///
    /// ```
    /// use mqtt_wasi::Responder;
    ///
    /// let responder = Responder::new();
    /// assert_eq!((responder.running(), responder.stats().replied), (0, 0));
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            most_replies: 1024,
            most_bytes: 1024 * 1024,
            lifetime: Duration::from_secs(300),
            known: Vec::new(),
            finished: Fifo::new(),
            bytes: 0,
            again: Fifo::new(),
            forgotten: Vec::new(),
            stats: ResponderStats { replied: 0, duplicates: 0, expired: 0, failed: 0 },
        }
    }

    /// Sets how many replies are kept, how many bytes of them, and for how long. With 0 replies, a request that comes
    /// again is worked on again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::Responder;
    ///
    /// let responder = Responder::new().keep(100, 65_536, Duration::from_secs(60));
    /// assert!(!responder.has_waiting());
    /// ```
    #[must_use]
    pub const fn keep(mut self, replies: usize, bytes: usize, lifetime: Duration) -> Self {
        (self.most_replies, self.most_bytes, self.lifetime) = (replies, bytes, lifetime);
        self
    }

    /// Takes the next message of a session as a request, as [`Responder::accept`] does. `None`: there is none.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::Responder;
    ///
    /// let mut responder = Responder::new();
    /// let request = responder.take(&mut session, network.now()).expect("a request");
    /// assert_eq!(request.message().payload, b"Ada");
    /// assert_eq!(responder.take(&mut session, network.now()), None);
    /// ```
    pub fn take(&mut self, session: &mut Session, now: Instant) -> Option<Request> {
        loop {
            let (publish, delivery) = session.receive_unacknowledged()?;
            let message = Message::from(publish);
            if let Some(request) = self.accept(session, message, delivery, now) {
                return Some(request);
            }
        }
    }

    /// Takes a message as a request. `None`: it came before, and gets the reply that it had, with [`Responder::flush`]
    /// or together with the first.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::{Message, Responder};
    ///
    /// let mut responder = Responder::new();
    /// let (message, delivery) = session.receive_unacknowledged().expect("a message");
    /// let message = Message::from(message);
    /// assert!(responder.accept(&session, message.clone(), delivery, network.now()).is_some());
    /// assert!(responder.accept(&session, message, None, network.now()).is_none(), "it came before");
    /// assert_eq!(responder.stats().duplicates, 1);
    /// ```
    pub fn accept(
        &mut self,
        session: &Session,
        message: Message,
        delivery: Option<Delivery>,
        now: Instant,
    ) -> Option<Request> {
        self.forget(now);
        let address = Address::of(&message, session);
        let lifetime = message.message_expiry_interval.map(|seconds| Duration::from_secs(seconds.into()));
        let deadline = lifetime.map(|lifetime| now + lifetime + ROUNDED_OFF);
        let request = Request { message, address, delivery, deadline };
        let Some(address) = request.key() else { return Some(request) };
        let place = match self.find(address) {
            Ok(place) => place,
            Err(place) => {
                let known = Known { address: address.clone(), reply: None, again: None };
                self.known.insert(place, Box::new(known));
                return Some(request);
            }
        };
        self.stats.duplicates += 1;
        let known = &mut self.known[place];
        if known.reply.is_some() && known.again.is_none() {
            self.again.push_back(address.clone());
        }
        let new = || Again { qos: request.message.qos, deadline: None, deliveries: Vec::new() };
        let again = known.again.get_or_insert_with(new);
        again.deadline = request.deadline;
        again.deliveries.extend(request.delivery);
        None
    }

    /// Sends a reply with the request's Correlation Data, and acknowledges the request. The QoS of the reply is that of
    /// the request, or the highest that the broker accepts. Sends nothing if the message has no Response Topic, or its
    /// requester no longer waits.
    ///
    /// # Errors
    /// As [`Session::publish`]. After [`CallError::WouldBlock`] and [`CallError::NotConnected`] it can be tried again.
    /// After any other, for example because the reply is larger than the broker takes, the request is acknowledged, and
    /// can still be answered with another reply.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::{Reply, Responder};
    ///
    /// let mut responder = Responder::new();
    /// let request = responder.take(&mut session, network.now()).expect("a request");
    /// responder.reply(&mut session, &request, &Reply::new("Hello"), network.now())?;
    /// assert!(!session.transmit().is_empty(), "the reply, and the acknowledgement of the request");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn reply(
        &mut self,
        session: &mut Session,
        request: &Request,
        reply: &Reply,
        now: Instant,
    ) -> Result<(), CallError> {
        self.reply_and_acknowledge(session, request, reply, now, &mut |session, delivery| {
            session.acknowledge(delivery);
        })
    }

    /// As [`Responder::reply`], where others may have got the request too.
    pub(crate) fn reply_and_acknowledge(
        &mut self,
        session: &mut Session,
        request: &Request,
        reply: &Reply,
        now: Instant,
        acknowledge: Acknowledge<'_>,
    ) -> Result<(), CallError> {
        let sent = match &request.address {
            Some(address) => {
                let to = To { address, qos: request.message.qos, deadline: request.deadline };
                self.send(session, to, reply, now)
            }
            None => Ok(()),
        };
        match sent {
            Err(CallError::WouldBlock) => return sent,
            Ok(()) | Err(CallError::NotConnected) => {}
            // Not this reply. What the request came as is done with, and whoever has it may answer otherwise.
            Err(_) => {
                if let Some(Ok(place)) = request.key().map(|address| self.find(address))
                    && self.known[place].reply.is_none()
                {
                    let again = self.known.remove(place).again;
                    self.forgotten.extend(again.into_iter().flat_map(|again| again.deliveries));
                }
            }
        }
        if let Some(address) = request.key()
            && let Ok(place) = self.find(address)
            && let known = &mut self.known[place]
            && known.reply.is_none()
        {
            // It is kept though there may be no connection: if the request is not acknowledged, it comes again.
            self.bytes += reply.len();
            known.reply = Some(reply.clone());
            if known.again.is_some() {
                self.again.push_back(address.clone());
            }
            self.finished.push_back((now, address.clone()));
        }
        if sent != Err(CallError::NotConnected)
            && let Some(delivery) = request.delivery
        {
            acknowledge(session, delivery);
        }
        self.flush_and_acknowledge(session, now, acknowledge);
        self.forget(now);
        sent
    }

    /// Lets a request go without a reply. It is not acknowledged, so the broker may send it again over the next
    /// connection, and then it is taken again.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::Responder;
    ///
    /// let mut responder = Responder::new();
    /// let request = responder.take(&mut session, network.now()).expect("a request");
    /// responder.give_up(&request);
    /// assert_eq!(responder.running(), 0);
    /// ```
    pub fn give_up(&mut self, request: &Request) {
        if let Some(Ok(place)) = request.key().map(|address| self.find(address))
            && self.known[place].reply.is_none()
        {
            self.known.remove(place);
        }
    }

    /// Whether [`Responder::flush`] has something to do.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::Responder;
    ///
    /// let mut responder = Responder::new();
    /// let request = responder.take(&mut session, network.now()).expect("a request");
    /// responder.reply(&mut session, &request, &"Hello".into(), network.now())?;
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// // The request comes again.
    /// assert_eq!(responder.take(&mut session, network.now()), None);
    /// assert!(responder.has_waiting());
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.again.is_empty() || !self.forgotten.is_empty()
    }

    /// Answers the requests that came again, as far as there is room.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::Responder;
    ///
    /// let mut responder = Responder::new();
    /// let request = responder.take(&mut session, network.now()).expect("a request");
    /// responder.reply(&mut session, &request, &"Hello".into(), network.now())?;
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// // The request comes again.
    /// assert_eq!(responder.take(&mut session, network.now()), None);
    /// responder.flush(&mut session, network.now());
    /// assert_eq!(responder.stats().replied, 2);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn flush(&mut self, session: &mut Session, now: Instant) {
        self.flush_and_acknowledge(session, now, &mut |session, delivery| {
            session.acknowledge(delivery);
        });
    }

    /// As [`Responder::flush`], where others may have got the requests too.
    pub(crate) fn flush_and_acknowledge(&mut self, session: &mut Session, now: Instant, acknowledge: Acknowledge<'_>) {
        while let Some(address) = self.again.pop_front() {
            let Ok(place) = self.find(&address) else { continue };
            let known = &mut self.known[place];
            let (Some(again), Some(reply)) = (known.again.take(), known.reply.take()) else { continue };
            let to = To { address: &address, qos: again.qos, deadline: again.deadline };
            let sent = self.send(session, to, &reply, now);
            let known = &mut self.known[place];
            known.reply = Some(reply);
            if matches!(sent, Err(CallError::WouldBlock | CallError::NotConnected)) {
                known.again = Some(again);
                self.again.push_front(address);
                return;
            }
            self.forgotten.extend(again.deliveries);
        }
        for delivery in self.forgotten.drain(..) {
            acknowledge(session, delivery);
        }
    }

    /// Counters of this responder.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::Responder;
    ///
    /// let mut responder = Responder::new();
    /// let request = responder.take(&mut session, network.now()).expect("a request");
    /// responder.reply(&mut session, &request, &"Hello".into(), network.now())?;
    /// let stats = responder.stats();
    /// assert_eq!((stats.replied, stats.duplicates, stats.failed), (1, 0, 0));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn stats(&self) -> ResponderStats {
        self.stats
    }

    /// How many requests are taken and not answered.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::Responder;
    ///
    /// let mut responder = Responder::new();
    /// let request = responder.take(&mut session, network.now()).expect("a request");
    /// assert_eq!(responder.running(), 1);
    /// responder.reply(&mut session, &request, &"Hello".into(), network.now())?;
    /// assert_eq!(responder.running(), 0);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn running(&self) -> usize {
        self.known.len() - self.finished.len()
    }

    fn send(&mut self, session: &mut Session, to: To<'_>, reply: &Reply, now: Instant) -> Result<(), CallError> {
        if to.deadline.is_some_and(|deadline| now >= deadline) {
            self.stats.expired += 1;
            return Ok(());
        }
        let sent = reply.publish(session, to, now);
        match sent {
            Ok(()) => self.stats.replied += 1,
            Err(CallError::WouldBlock | CallError::NotConnected) => {}
            Err(_) => self.stats.failed += 1,
        }
        sent
    }

    /// Where an address is, or belongs.
    fn find(&self, address: &Address) -> Result<usize, usize> {
        self.known.binary_search_by(|known| known.address.cmp(address))
    }

    /// Forgets what is too old, or too much.
    fn forget(&mut self, now: Instant) {
        while let Some((since, address)) = self.finished.front() {
            let is_old = now.saturating_duration_since(*since) >= self.lifetime;
            if !is_old && self.finished.len() <= self.most_replies && self.bytes <= self.most_bytes {
                return;
            }
            if let Ok(place) = self.find(address)
                && let Some(reply) = &self.known[place].reply
            {
                self.bytes -= reply.len();
                // It was replied to, longer ago than replies are kept.
                self.forgotten.extend(self.known.remove(place).again.into_iter().flat_map(|again| again.deliveries));
            }
            self.finished.pop_front();
        }
    }
}

impl Default for Responder {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    /// Lets go of what takes most memory, once it was handed out.
    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) fn drop_payload(&mut self) {
        self.message.payload = Vec::new();
    }

    /// The message of the request.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::Responder;
    ///
    /// let request = Responder::new().take(&mut session, network.now()).expect("a request");
    /// assert_eq!((request.message().topic.as_str(), &request.message().payload[..]), ("greet", &b"Ada"[..]));
    /// ```
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Whether the requester waits for a reply: the message has a Response Topic.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// # network.ask("Ada");
    /// # network.exchange(&mut session);
    /// use mqtt_wasi::Responder;
    ///
    /// let request = Responder::new().take(&mut session, network.now()).expect("a request");
    /// assert!(request.wants_reply());
    /// ```
    #[must_use]
    pub const fn wants_reply(&self) -> bool {
        self.address.is_some()
    }

    /// How long the requester still waits, by the Message Expiry Interval of the request, which has whole seconds: it
    /// may wait for up to a second more, and a reply is sent as long. `None`: not known.
    ///
    #[doc = memory_example!()]
    /// # let mut session = network.session();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Message, Publish, PublishProperties, Responder};
    ///
    /// let properties = PublishProperties { message_expiry_interval: Some(60), ..PublishProperties::default() };
    /// let message = Message::from(Publish::new("greet", "Ada").properties(properties));
    /// let now = network.now();
    /// let request = Responder::new().accept(&session, message, None, now).expect("a request");
    /// assert_eq!(request.remaining(now + Duration::from_secs(20)), Some(Duration::from_secs(40)));
    /// ```
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now + ROUNDED_OFF))
    }

    /// What makes it the same as another.
    fn key(&self) -> Option<&Address> {
        self.address.as_ref().filter(|address| address.correlation.is_some())
    }
}

impl Reply {
    /// A reply with this payload, without properties.
    ///
    /// ```
    /// use mqtt_wasi::Reply;
    ///
    /// assert_eq!(Reply::new("21.5"), Reply::new(b"21.5".to_vec()));
    /// ```
    #[must_use]
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// Sets the Content Type: what the payload is, for example a MIME type.
    ///
    /// ```
    /// use mqtt_wasi::Reply;
    ///
    /// let reply = Reply::new("21.5").content_type("text/plain");
    /// assert_ne!(reply, Reply::new("21.5"));
    /// ```
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Adds a User Property.
    ///
    /// ```
    /// use mqtt_wasi::Reply;
    ///
    /// let reply = Reply::new("21.5").user_property("unit", "celsius");
    /// assert_ne!(reply, Reply::new("21.5"));
    /// ```
    #[must_use]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user_properties.push((name.into(), value.into()));
        self
    }

    /// A reply that tells the requester that its request failed, and why, in the User Property `reply-error`: it gets
    /// [`Error::RequestFailed`](crate::Error::RequestFailed).
    ///
    /// ```
    /// use mqtt_wasi::Reply;
    ///
    /// assert_eq!(Reply::failed("no paper"), Reply::new("").user_property("reply-error", "no paper"));
    /// ```
    #[must_use]
    pub fn failed(why: impl Into<String>) -> Self {
        Self::default().user_property(ERROR_PROPERTY, why)
    }

    fn len(&self) -> usize {
        let properties = self.user_properties.iter().map(|(name, value)| name.len() + value.len());
        self.payload.len() + self.content_type.as_ref().map_or(0, String::len) + properties.sum::<usize>()
    }

    fn publish(&self, session: &mut Session, to: To<'_>, now: Instant) -> Result<(), CallError> {
        let To { address, qos, deadline } = to;
        // As the requester says, and never 0: with that, ejabberd delivers it to nobody.
        let remaining =
            deadline.map(|deadline| seconds_up(deadline.saturating_duration_since(now + ROUNDED_OFF)).max(1));
        let user_properties = borrowed(&self.user_properties);
        let properties = PublishProperties {
            payload_format_indicator: self.is_text.then_some(true),
            content_type: self.content_type.as_deref(),
            correlation_data: address.correlation.as_deref(),
            message_expiry_interval: remaining.and_then(|seconds| u32::try_from(seconds).ok()),
            user_properties: user_properties.as_slice().into(),
            ..PublishProperties::default()
        };
        #[cfg(feature = "json")]
        let payload = address.wrap(self, session)?;
        #[cfg(not(feature = "json"))]
        let payload = &self.payload;
        let mut publish = Publish::new(&address.topic, &payload).properties(properties).qos(qos);
        loop {
            match session.publish(&publish) {
                Err(CallError::QosNotSupported { maximum }) => publish.qos = maximum,
                published => return published.map(drop),
            }
        }
    }
}

impl From<Vec<u8>> for Reply {
    fn from(payload: Vec<u8>) -> Self {
        Self::new(payload)
    }
}

impl From<String> for Reply {
    /// The payload is marked as UTF-8 text.
    fn from(text: String) -> Self {
        Self { is_text: true, ..Self::new(text) }
    }
}

impl From<&str> for Reply {
    /// The payload is marked as UTF-8 text.
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Address {
    fn of(message: &Message, session: &Session) -> Option<Self> {
        let correlation = message.correlation_data.clone();
        #[cfg(feature = "json")]
        if let Some(envelope) = session.envelope() {
            let (topic, in_payload) = match (envelope.reply_address)(&message.payload) {
                Some((topic, in_payload)) => (message.response_topic.clone().unwrap_or(topic), in_payload),
                None => (message.response_topic.clone()?, None),
            };
            return Some(Self { topic, correlation: correlation.or(in_payload), is_in_payload: true });
        }
        let _ = session;
        Some(Self { topic: message.response_topic.clone()?, correlation, is_in_payload: false })
    }

    /// The payload of a reply, in its envelope if there is to be one.
    #[cfg(feature = "json")]
    fn wrap<'a>(&self, reply: &'a Reply, session: &Session) -> Result<alloc::borrow::Cow<'a, [u8]>, CallError> {
        let payload = reply.payload.as_slice();
        let error = reply.user_properties.iter().find(|(name, _)| name == ERROR_PROPERTY).map(|(_, why)| why.as_str());
        let Some(envelope) = session.envelope().filter(|_| self.is_in_payload) else { return Ok(payload.into()) };
        let wrapped = (envelope.wrap_reply)(payload, error, self.correlation.as_deref());
        wrapped.map(Into::into).ok_or(CallError::NotJson)
    }
}
