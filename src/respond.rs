//! The other end of a request: which ones to work on, and what to send back (section 4.10).
//!
//! ```text
//!   request ──► accept ──► the user's handler ──► reply ──► PUBLISH to the Response Topic, then the acknowledgement
//!                 │ the same request again                     ▲
//!                 └──► the reply that it had ─────────► flush ─┘
//! ```

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::codec::{Publish, PublishProperties};
use crate::error::RequestError;
use crate::message::Message;
use crate::options::borrowed;
use crate::session::{Delivery, ERROR_PROPERTY, Session};
use crate::time::Instant;
use crate::trace::TraceContext;

/// Answers requests, for one session: keeps the replies, so that a request that comes twice is worked on once.
///
/// A request is the same as one before when it has the same Response Topic and the same Correlation Data; without
/// Correlation Data there is no telling, and it is worked on each time. A request is acknowledged after its reply is on
/// its way, so one that was worked on by a process that died comes again. Until then the acknowledgements of all messages
/// that came after it wait: whoever cannot answer a request says so, or [gives it up](Responder::give_up).
#[derive(Debug)]
pub struct Responder {
    most_replies: usize,
    most_bytes: usize,
    lifetime: Duration,
    /// In the order of their Response Topics and Correlation Data.
    #[expect(clippy::vec_box, reason = "they make room for each other, and are large")]
    known: Vec<Box<(Address, Known)>>,
    /// Requests that were replied to, in that order.
    finished: VecDeque<(Instant, Address)>,
    /// How many bytes their replies have.
    bytes: usize,
    /// Requests that came again, to be replied to as they were before.
    again: VecDeque<Request>,
    stats: ResponderStats,
}

/// What a responder has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponderStats {
    /// Replies that were sent, those that were sent again included.
    pub replied: u64,
    /// Requests that came again.
    pub duplicates: u64,
    /// Replies that were not sent, since the requester waits no longer.
    pub expired: u64,
}

/// A request to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    message: Message,
    address: Option<Address>,
    delivery: Option<Delivery>,
    deadline: Option<Instant>,
}

/// What to send back.
///
/// ```
/// use mqtt_wasi::Reply;
///
/// let reply = Reply::new("21.5").content_type("text/plain").user_property("unit", "celsius");
/// # let _ = reply;
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

#[derive(Debug)]
enum Known {
    /// Somebody works on it. Has come again so many times meanwhile.
    Running(Vec<Request>),
    Finished(Reply),
}

impl Responder {
    /// Keeps the replies to the last 1,024 requests for five minutes, if they have no more than a mebibyte together.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            most_replies: 1024,
            most_bytes: 1024 * 1024,
            lifetime: Duration::from_secs(300),
            known: Vec::new(),
            finished: VecDeque::new(),
            bytes: 0,
            again: VecDeque::new(),
            stats: ResponderStats { replied: 0, duplicates: 0, expired: 0 },
        }
    }

    /// How many replies to keep, how many bytes of them, and for how long. No replies: a request that comes again is
    /// worked on again.
    #[must_use]
    pub const fn keep(mut self, replies: usize, bytes: usize, lifetime: Duration) -> Self {
        (self.most_replies, self.most_bytes, self.lifetime) = (replies, bytes, lifetime);
        self
    }

    /// Takes the next message off a session, as [`Responder::accept`] does; `None` when there is none.
    pub fn take(&mut self, session: &mut Session, now: Instant) -> Option<Request> {
        loop {
            let (publish, delivery) = session.receive_unacknowledged()?;
            let message = Message::from(publish);
            if let Some(request) = self.accept(session, message, delivery, now) {
                return Some(request);
            }
        }
    }

    /// Takes a message; `None` if it is a request that was taken before: that is answered by [`Responder::flush`], or
    /// with the first.
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
        let request = Request { message, address, delivery, deadline: lifetime.map(|lifetime| now + lifetime) };
        let Some(address) = request.key() else { return Some(request) };
        match self.find(address).map(|place| &mut self.known[place].1) {
            Err(place) => {
                self.known.insert(place, Box::new((address.clone(), Known::Running(Vec::new()))));
                return Some(request);
            }
            Ok(Known::Running(again)) => again.push(request),
            Ok(Known::Finished(_)) => self.again.push_back(request),
        }
        self.stats.duplicates += 1;
        None
    }

    /// Sends a reply, with the request's Correlation Data, at the request's QoS if the broker takes it, and acknowledges
    /// the request. Nothing is sent for a message that has no Response Topic, or whose requester waits no longer.
    ///
    /// # Errors
    /// As [`Session::publish`]. After [`RequestError::WouldBlock`] and [`RequestError::NotConnected`] it can be tried again;
    /// after any other the request is done with, without a reply.
    pub fn reply(
        &mut self,
        session: &mut Session,
        request: &Request,
        reply: &Reply,
        now: Instant,
    ) -> Result<(), RequestError> {
        let sent = self.send(session, request, reply, now);
        if matches!(sent, Err(RequestError::WouldBlock)) {
            return sent;
        }
        if let Some(address) = request.key()
            && let Ok(place) = self.find(address)
            && let Known::Running(again) = &mut self.known[place].1
        {
            // It is kept though there may be no connection: if the request is not acknowledged, it comes again.
            self.again.extend(core::mem::take(again));
            self.bytes += reply.len();
            self.known[place].1 = Known::Finished(reply.clone());
            self.finished.push_back((now, address.clone()));
        }
        self.flush(session, now);
        self.forget(now);
        sent
    }

    /// Lets a request go without a reply, and without acknowledging it: the broker may send it again over the next
    /// connection.
    pub fn give_up(&mut self, request: &Request) {
        if let Some(Ok(place)) = request.key().map(|address| self.find(address))
            && matches!(self.known[place].1, Known::Running(_))
        {
            self.known.remove(place);
        }
    }

    /// Answers the requests that came again, as far as there is room.
    pub fn flush(&mut self, session: &mut Session, now: Instant) {
        while let Some(request) = self.again.pop_front() {
            let known = request.key().and_then(|address| self.find(address).ok()).map(|place| &self.known[place].1);
            let Some(Known::Finished(reply)) = known else {
                // It was replied to, longer ago than replies are kept.
                let _ = request.acknowledge(session, Ok(()));
                continue;
            };
            let reply = reply.clone();
            if matches!(self.send(session, &request, &reply, now), Err(RequestError::WouldBlock)) {
                self.again.push_front(request);
                return;
            }
        }
    }

    /// What the responder has done so far.
    #[must_use]
    pub const fn stats(&self) -> ResponderStats {
        self.stats
    }

    /// How many requests are worked on.
    #[must_use]
    pub fn running(&self) -> usize {
        self.known.len() - self.finished.len()
    }

    fn send(
        &mut self,
        session: &mut Session,
        request: &Request,
        reply: &Reply,
        now: Instant,
    ) -> Result<(), RequestError> {
        let Some(address) = &request.address else { return request.acknowledge(session, Ok(())) };
        if request.deadline.is_some_and(|deadline| now >= deadline) {
            self.stats.expired += 1;
            return request.acknowledge(session, Ok(()));
        }
        let sent = reply.publish(session, request, address, now);
        if matches!(sent, Err(RequestError::WouldBlock | RequestError::NotConnected)) {
            return sent;
        }
        self.stats.replied += u64::from(sent.is_ok());
        request.acknowledge(session, sent)
    }

    /// Where an address is, or belongs.
    fn find(&self, address: &Address) -> Result<usize, usize> {
        self.known.binary_search_by(|known| known.0.cmp(address))
    }

    /// Forgets what is too old, or too much.
    fn forget(&mut self, now: Instant) {
        while let Some((since, address)) = self.finished.front() {
            let is_old = now.saturating_duration_since(*since) >= self.lifetime;
            if !is_old && self.finished.len() <= self.most_replies && self.bytes <= self.most_bytes {
                return;
            }
            if let Ok(place) = self.find(address)
                && let Known::Finished(reply) = &self.known[place].1
            {
                self.bytes -= reply.len();
                self.known.remove(place);
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
    /// What was asked.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Whether anyone waits for a reply: a message without a Response Topic is handed out all the same.
    #[must_use]
    pub const fn wants_reply(&self) -> bool {
        self.address.is_some()
    }

    /// How long the requester still waits, by the Message Expiry Interval; `None` if it did not say.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now))
    }

    /// What makes it the same as another.
    fn key(&self) -> Option<&Address> {
        self.address.as_ref().filter(|address| address.correlation.is_some())
    }

    fn acknowledge(&self, session: &mut Session, sent: Result<(), RequestError>) -> Result<(), RequestError> {
        if let Some(delivery) = self.delivery {
            session.acknowledge(delivery);
        }
        sent
    }
}

impl Reply {
    /// A reply with this payload.
    #[must_use]
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// A value as JSON, marked as such by Content Type and Payload Format Indicator.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) when it cannot be written.
    #[cfg(feature = "json")]
    pub fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Self, crate::Error> {
        let payload = crate::message::to_json(value)?;
        Ok(Self { payload, is_text: true, content_type: Some("application/json".into()), ..Self::default() })
    }

    /// What the payload is, a MIME type for example.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Adds a User Property.
    #[must_use]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user_properties.push((name.into(), value.into()));
        self
    }

    /// Adds a trace context: a [child](TraceContext::child) of the request's, mostly.
    #[must_use]
    pub fn trace_context(mut self, context: &TraceContext) -> Self {
        context.inject(&mut self.user_properties);
        self
    }

    /// What tells the requester that its request failed, and why: [`Error::RequestFailed`](crate::Error::RequestFailed).
    #[must_use]
    pub fn failed(why: impl Into<String>) -> Self {
        Self::default().user_property(ERROR_PROPERTY, why)
    }

    fn len(&self) -> usize {
        let properties = self.user_properties.iter().map(|(name, value)| name.len() + value.len());
        self.payload.len() + self.content_type.as_ref().map_or(0, String::len) + properties.sum::<usize>()
    }

    fn publish(
        &self,
        session: &mut Session,
        request: &Request,
        address: &Address,
        now: Instant,
    ) -> Result<(), RequestError> {
        let remaining = request.remaining(now).map(|remaining| remaining.as_millis().div_ceil(1000));
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
        let payload = address.wrap(self)?;
        #[cfg(not(feature = "json"))]
        let payload = &self.payload;
        let mut publish = Publish::new(&address.topic, &payload).properties(properties).qos(request.message.qos);
        loop {
            match session.publish(&publish) {
                Err(RequestError::QosNotSupported { maximum }) => publish.qos = maximum,
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
    /// A payload that is marked as UTF-8 text.
    fn from(text: String) -> Self {
        Self { is_text: true, ..Self::new(text) }
    }
}

impl From<&str> for Reply {
    /// A payload that is marked as UTF-8 text.
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Address {
    fn of(message: &Message, session: &Session) -> Option<Self> {
        let correlation = message.correlation_data.clone();
        #[cfg(feature = "json")]
        if session.has_json_envelope() {
            let (topic, in_payload) = match crate::envelope::reply_address(&message.payload) {
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
    fn wrap<'a>(&self, reply: &'a Reply) -> Result<alloc::borrow::Cow<'a, [u8]>, RequestError> {
        let payload = reply.payload.as_slice();
        let error = reply.user_properties.iter().find(|(name, _)| name == ERROR_PROPERTY).map(|(_, why)| why.as_str());
        if !self.is_in_payload {
            return Ok(payload.into());
        }
        let wrapped = crate::envelope::wrap_reply(payload, error, self.correlation.as_deref());
        wrapped.map(Into::into).ok_or(RequestError::NotJson)
    }
}
