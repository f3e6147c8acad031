//! Requests and the replies to them: Response Topic and Correlation Data (section 4.10).
//!
//! A session has one Response Topic, which it subscribes to before the first request, and again when the broker has
//! lost that subscription. A request's Correlation Data is its number, which finds it again, and a nonce, which nobody
//! can guess who has not seen the request: 15 bytes, as 20 characters that survive every protocol on the way.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::event::{Event, OperationId};
use super::machine::Machine;
use super::subscriptions::Subscriptions;
use crate::codec::{
    PropertyId, Publish, PublishProperties, QoS, ReasonCode, SubscribeProperties, Subscription, validate_topic_name,
};
use crate::deadlines::Deadlines;
use crate::error::{CallError, Error, Failure, Reason, SubscribeReason};
use crate::message::Message;
use crate::ordered::Ordered;
use crate::time::{Instant, seconds_up};

/// How many bytes of Correlation Data are the number; the rest is the nonce.
const NUMBER_LEN: usize = 7;
const NONCE_LEN: usize = 8;
const CORRELATION_LEN: usize = (NUMBER_LEN + NONCE_LEN) * 8 / 6;

/// The digits of base64 for URLs and file names (RFC 4648, section 5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Requests that wait for their replies.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The Response Topic, once one was needed.
    topic: Option<Box<str>>,
    replies: Replies,
    pending: Ordered<Pending>,
    /// When each of them ends.
    deadlines: Deadlines,
}

/// Where the subscription to the Response Topic stands.
#[derive(Debug, Default, PartialEq, Eq)]
enum Replies {
    #[default]
    NotAsked,
    Asked(OperationId),
    Granted,
    Refused(ReasonCode),
}

#[derive(Debug)]
struct Pending {
    nonce: u64,
}

impl Requests {
    /// Those of an earlier process, which wait no longer; replies to them may still come.
    pub(super) fn restored(topic: String, subscriptions: &Subscriptions) -> Self {
        let is_subscribed = subscriptions.iter().any(|granted| *granted.filter == *topic);
        let replies = if is_subscribed { Replies::Granted } else { Replies::NotAsked };
        Self { topic: (!topic.is_empty()).then(|| topic.into()), replies, ..Self::default() }
    }

    pub(super) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// How many wait.
    pub(super) const fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    fn insert(&mut self, id: OperationId, nonce: u64, deadline: Instant) {
        self.deadlines.push(id.0, deadline);
        self.pending.push(id.0, Pending { nonce });
    }

    fn remove(&mut self, id: OperationId) -> bool {
        if self.pending.remove(id.0).is_none() {
            return false;
        }
        let Self { pending, deadlines, .. } = self;
        deadlines.forget(pending.len(), |id| pending.contains(id));
        true
    }
}

impl Machine {
    /// Publishes a request, once the broker sends the replies.
    pub(super) fn request(
        &mut self,
        request: &Publish<'_>,
        timeout: Duration,
        nonce: u64,
        now: Instant,
    ) -> Result<OperationId, CallError> {
        self.require_connected()?;
        for (property, is_set) in [
            (PropertyId::ResponseTopic, request.properties.response_topic.is_some()),
            (PropertyId::CorrelationData, request.properties.correlation_data.is_some()),
        ] {
            if is_set {
                return Err(CallError::PropertyNotAllowed(property));
            }
        }
        self.require_replies()?;
        if self.requests.pending() >= self.options.pending_request_limit {
            return Err(CallError::WouldBlock);
        }
        let id = self.peek_operation().of_a_request();
        let correlation = write_correlation(id, nonce);
        let topic = self.requests.topic.take().unwrap_or_default();
        self.is_requesting = true;
        let published = self.publish_request(request, &topic, &correlation, timeout);
        self.is_requesting = false;
        self.requests.topic = Some(topic);
        if published?.is_none() {
            // At QoS 0 it takes no number to publish.
            self.next_operation();
        }
        self.requests.insert(id, nonce, now + timeout);
        Ok(id)
    }

    fn publish_request(
        &mut self,
        request: &Publish<'_>,
        topic: &str,
        correlation: &[u8; CORRELATION_LEN],
        timeout: Duration,
    ) -> Result<Option<OperationId>, CallError> {
        let seconds = seconds_up(timeout).max(1);
        let lifetime = u32::try_from(seconds).ok();
        let properties = PublishProperties {
            response_topic: Some(topic),
            correlation_data: Some(correlation),
            // Nobody need work on a request that its requester has given up.
            message_expiry_interval: request.properties.message_expiry_interval.or(lifetime),
            ..request.properties
        };
        #[cfg(feature = "json")]
        if let Some(envelope) = self.options.envelope {
            let payload = (envelope.wrap_request)(request.payload, topic, correlation)?;
            return self.publish(&Publish { properties, payload: &payload, ..*request });
        }
        self.publish(&Publish { properties, ..*request })
    }

    /// Whether one more request may wait for its reply, or may find out that none can.
    pub(super) fn may_request(&self) -> bool {
        let is_known = match self.requests.replies {
            Replies::Granted => !self.requests.topic().is_some_and(|topic| self.subscriptions.is_lost(topic)),
            Replies::Refused(_) | Replies::NotAsked => true,
            Replies::Asked(_) => false,
        };
        is_known && self.requests.pending() < self.options.pending_request_limit
    }

    /// Has the broker send replies; fails as long as it does not.
    fn require_replies(&mut self) -> Result<(), CallError> {
        match self.requests.replies {
            // The broker may have lost it, and not have been asked again for want of room.
            Replies::Granted if !self.requests.topic().is_some_and(|topic| self.subscriptions.is_lost(topic)) => Ok(()),
            Replies::Granted | Replies::Asked(_) => Err(CallError::WouldBlock),
            Replies::Refused(reason_code) => {
                // The next request asks again.
                self.requests.replies = Replies::NotAsked;
                Err(CallError::RepliesRefused(reason_code))
            }
            Replies::NotAsked => {
                let topic = self.requests.topic.take().unwrap_or_else(|| self.choose_response_topic());
                let subscription = Subscription::new(&topic, QoS::AtLeastOnce);
                let asked = self.subscribe(&[subscription], SubscribeProperties::default());
                self.requests.topic = Some(topic);
                #[cfg(feature = "store")]
                self.journal.head_changed();
                self.requests.replies = Replies::Asked(asked?);
                Err(CallError::WouldBlock)
            }
        }
    }

    /// The option, or what the broker's Response Information begins (section 3.2.2.3.15), or one of the client's own.
    /// The Client Identifier in it is what brokers' access rules can refer to.
    fn choose_response_topic(&self) -> Box<str> {
        if let Some(topic) = &self.options.response_topic {
            return topic.as_str().into();
        }
        let base = self.response_information.as_deref().unwrap_or("replies").trim_end_matches('/');
        let client = self.assigned_client_id.as_deref().unwrap_or(&self.options.client_id);
        let topic = format!("{base}/{}", as_topic_level(client));
        match validate_topic_name(&topic) {
            Ok(()) => topic.into(),
            // The broker's information is no good.
            Err(_) => format!("replies/{}", as_topic_level(client)).into(),
        }
    }

    /// Takes what the broker said to the subscription to the Response Topic; gives back what it said to any other.
    pub(super) fn take_own_subscription(
        &mut self,
        id: OperationId,
        result: Result<SubscribeReason, Error>,
    ) -> Option<Result<SubscribeReason, Error>> {
        if self.requests.replies != Replies::Asked(id) {
            return Some(result);
        }
        self.requests.replies = match result.map(|reason| reason.reason_codes.first().copied()) {
            Ok(Some(reason_code)) if reason_code.is_error() => Replies::Refused(reason_code),
            Ok(_) => Replies::Granted,
            // The connection ended first.
            Err(_) => Replies::NotAsked,
        };
        None
    }

    /// Whether this filter is the Response Topic, of whose subscription the user knows nothing. Notes whether the
    /// broker grants it again after it was lost.
    pub(super) fn take_own_restored(&mut self, filter: &str, refused: Option<ReasonCode>) -> bool {
        let is_own = self.requests.topic() == Some(filter);
        if is_own {
            self.requests.replies = refused.map_or(Replies::Granted, Replies::Refused);
        }
        is_own
    }

    /// Takes how publishing a request went; gives back how it went with any other message.
    pub(super) fn take_own_published(
        &mut self,
        id: OperationId,
        result: Result<Reason, Error>,
    ) -> Option<Result<Reason, Error>> {
        // One that has ended is acknowledged too.
        if !id.is_of_a_request() {
            return Some(result);
        }
        match result {
            Ok(reason) => self.request_received(id, reason.reason_code),
            Err(error) => self.end_request(id, Err(error)),
        }
        None
    }

    /// The broker has a message, that may be a request: then it may know that nobody is there to answer it.
    pub(super) fn request_received(&mut self, id: OperationId, reason_code: ReasonCode) {
        if reason_code == ReasonCode::NoMatchingSubscribers {
            self.end_request(id, Err(Error::NoResponder));
        }
    }

    /// Takes a message that came to the Response Topic.
    pub(super) fn take_reply(&mut self, reply: &Publish<'_>) {
        let topic = self.requests.topic().unwrap_or_default().to_owned();
        let message = || Message { topic, ..Message::from(*reply) };
        #[cfg(feature = "json")]
        if let Some(envelope) = self.options.envelope {
            let (correlation, message) = (envelope.unwrap_reply)(message());
            return self.match_reply(correlation.as_deref(), || message);
        }
        self.match_reply(reply.properties.correlation_data, message);
    }

    fn match_reply(&mut self, correlation: Option<&[u8]>, message: impl FnOnce() -> Message) {
        let (id, nonce) = correlation.and_then(read_correlation).unwrap_or_default();
        match self.requests.pending.get(id.0).map(|pending| pending.nonce) {
            Some(expected) if expected == nonce => self.end_request(id, Failure::in_reply(message())),
            None if id.is_of_a_request() && id < self.peek_operation().of_a_request() => self.stats.late_replies += 1,
            _ => self.stats.unmatched_replies += 1,
        }
    }

    /// Gives a request up; `false` if it has ended.
    pub(super) fn cancel_request(&mut self, id: OperationId) -> bool {
        self.requests.remove(id)
    }

    /// Ends the requests whose time is up.
    pub(super) fn expire_requests(&mut self, now: Instant) {
        while let Some(id) = self.requests.deadlines.pop_due(now) {
            self.end_request(OperationId(id), Err(Error::Timeout));
        }
    }

    fn end_request(&mut self, id: OperationId, result: Result<Message, Error>) {
        if self.requests.remove(id) {
            self.events.push_back(Event::Replied { id, result: result.map(Box::new) });
        }
    }
}

/// The Client Identifier as a level of a topic: whatever is not a letter, a digit or `-` is written as `_` and its byte
/// in hexadecimal, since some characters mean something to brokers or to what is behind them.
fn as_topic_level(client_id: &str) -> String {
    let mut level = String::new();
    for byte in client_id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => level.push(byte.into()),
            _ => level.push_str(&format!("_{byte:02X}")),
        }
    }
    level
}

fn write_correlation(id: OperationId, nonce: u64) -> [u8; CORRELATION_LEN] {
    let mut bytes = [0; NUMBER_LEN + NONCE_LEN];
    bytes[..NUMBER_LEN].copy_from_slice(&id.0.to_be_bytes()[8 - NUMBER_LEN..]);
    bytes[NUMBER_LEN..].copy_from_slice(&nonce.to_be_bytes());
    let mut digits = [0; CORRELATION_LEN];
    for (digits, bytes) in digits.chunks_exact_mut(4).zip(bytes.chunks_exact(3)) {
        let bits = bytes.iter().fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        for (place, digit) in digits.iter_mut().enumerate() {
            *digit = DIGITS[bits >> (18 - 6 * place) & 63];
        }
    }
    digits
}

/// The number and the nonce, if that is what it is.
fn read_correlation(correlation: &[u8]) -> Option<(OperationId, u64)> {
    let mut bytes = Vec::with_capacity(NUMBER_LEN + NONCE_LEN);
    for digits in <&[u8; CORRELATION_LEN]>::try_from(correlation).ok()?.chunks_exact(4) {
        let mut bits = 0;
        for &digit in digits {
            bits = bits << 6 | value(digit)?;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    let number = bytes[..NUMBER_LEN].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let nonce = bytes[NUMBER_LEN..].iter().fold(0, |nonce, &byte| nonce << 8 | u64::from(byte));
    Some((OperationId(number).of_a_request(), nonce))
}

fn value(digit: u8) -> Option<u32> {
    Some(
        match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_data_is_read_back_as_it_was_written() {
        for (number, nonce) in [(1, 0), (2, u64::MAX), ((1 << 56) - 1, 0x0123_4567_89AB_CDEF)] {
            let id = OperationId(number).of_a_request();
            let correlation = write_correlation(id, nonce);
            assert!(correlation.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
            assert_eq!(read_correlation(&correlation), Some((id, nonce)));
        }
    }

    #[test]
    fn what_was_not_written_here_is_not_read() {
        for foreign in [&b""[..], b"short", b"AAAAAAAAAAAAAAAAAAA=", b"AAAAAAAAAAAAAAAAAAAAA", &[0xFF; 20]] {
            assert_eq!(read_correlation(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn client_identifiers_make_topic_levels_that_differ_where_they_do() {
        let levels = ["plain-7", "a/b", "a_2Fb", "a.b", "#", "ü"].map(as_topic_level);
        assert_eq!(levels, ["plain-7", "a_2Fb", "a_5F2Fb", "a_2Eb", "_23", "_C3_BC"]);
    }
}
