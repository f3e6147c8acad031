//! Messages that wait to be taken: what they say one behind the other in two places, so that hundreds that come at once
//! take no allocation, and each takes its own when somebody wants it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Publish, QoS};
use crate::fifo::Fifo;
use crate::message::Message;
use crate::session::Delivery;

/// A message, and what acknowledges it. `None` where there is nothing to acknowledge.
///
/// ```
/// use mqtt_wasi::Message;
/// use mqtt_wasi::engine::{Held, Taken};
///
/// let taken: Option<Taken> = Held::default().pop();
/// assert_eq!(taken.map(|(message, _)| message), None::<Message>);
/// ```
pub type Taken = (Message, Option<Delivery>);

/// Payloads up to here are copied twice rather than allocated when they come.
const SMALL: usize = 4096;

/// As many bytes as are kept for the messages that come later, though none wait.
const KEPT: usize = 256 * 1024;

/// Messages taken out of an inbox, in the order that they came: see
/// [`Engine::take_message`](super::Engine::take_message).
///
/// ```
/// use mqtt_wasi::engine::Held;
///
/// let mut more = Held::default();
/// assert!(more.is_empty());
/// assert_eq!(more.pop(), None);
/// ```
#[derive(Debug, Default)]
pub struct Held {
    queue: Fifo<Waiting>,
    /// The Topic Names of small ones, those of messages that are taken first.
    topics: String,
    taken_topics: usize,
    /// The same of payloads.
    payloads: Vec<u8>,
    taken_payloads: usize,
}

#[derive(Debug)]
struct Waiting {
    delivery: Option<Delivery>,
    /// Whether it came in a session that the broker has lost.
    is_lost: bool,
    message: Kind,
}

#[derive(Debug)]
enum Kind {
    /// It is small and has no properties: how long its parts are.
    Small {
        topic: u16,
        payload: u16,
        qos: QoS,
        retain: bool,
        dup: bool,
    },
    Other(Box<Message>),
}

impl Held {
    /// The next message.
    ///
    /// ```
    /// use mqtt_wasi::engine::Held;
    ///
    /// assert_eq!(Held::default().pop(), None);
    /// ```
    #[inline]
    pub fn pop(&mut self) -> Option<Taken> {
        let Waiting { delivery, message, .. } = self.queue.pop_front()?;
        let message = match message {
            Kind::Small { topic, payload, qos, retain, dup } => {
                let (topics, payloads) = (self.taken_topics, self.taken_payloads);
                self.taken_topics += usize::from(topic);
                self.taken_payloads += usize::from(payload);
                Message {
                    topic: self.topics[topics..self.taken_topics].into(),
                    payload: self.payloads[payloads..self.taken_payloads].into(),
                    qos,
                    retain,
                    dup,
                    ..Message::default()
                }
            }
            Kind::Other(message) => *message,
        };
        if self.queue.is_empty() {
            self.begin_anew();
        }
        Some((message, delivery))
    }

    /// Whether there is no message.
    ///
    /// ```
    /// use mqtt_wasi::engine::Held;
    ///
    /// assert!(Held::default().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds a message, with these Subscription Identifiers in place of its own.
    #[inline]
    pub(super) fn push(&mut self, publish: &Publish<'_>, identifiers: &[u32], delivery: Option<Delivery>) {
        let Publish { topic, payload, qos, retain, dup, .. } = *publish;
        let message = match (u16::try_from(topic.len()), u16::try_from(payload.len())) {
            (Ok(topic_len), Ok(payload_len))
                if payload.len() <= SMALL && identifiers.is_empty() && Message::is_plain(publish) =>
            {
                if self.taken_payloads + self.taken_topics > KEPT {
                    self.drop_taken();
                }
                self.topics.push_str(topic);
                self.payloads.extend_from_slice(payload);
                Kind::Small { topic: topic_len, payload: payload_len, qos, retain, dup }
            }
            _ => Kind::Other(Box::new(Message::with_identifiers(publish, identifiers.to_vec()))),
        };
        self.queue.push_back(Waiting { delivery, is_lost: false, message });
    }

    /// The broker has lost the session that they came in.
    pub(super) fn forget_session(&mut self) {
        self.queue.iter_mut().for_each(|waiting| waiting.is_lost = true);
    }

    /// Keeps those that `keeps` is true for, which is told whether the broker has lost their session.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&Taken, bool) -> bool) {
        let mut before = core::mem::take(self);
        while let Some(is_lost) = before.queue.front().map(|waiting| waiting.is_lost)
            && let Some(taken) = before.pop()
        {
            if keeps(&taken, is_lost) {
                let (message, delivery) = taken;
                self.queue.push_back(Waiting { delivery, is_lost, message: Kind::Other(Box::new(message)) });
            }
        }
    }

    /// What acknowledges them.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = Delivery> {
        self.queue.iter().filter_map(|waiting| waiting.delivery)
    }

    fn begin_anew(&mut self) {
        (self.taken_topics, self.taken_payloads) = (0, 0);
        self.topics.clear();
        self.payloads.clear();
        self.topics.shrink_to(KEPT);
        self.payloads.shrink_to(KEPT);
    }

    /// Makes room where nothing is needed any more.
    #[cold]
    fn drop_taken(&mut self) {
        self.topics.drain(..self.taken_topics);
        self.payloads.drain(..self.taken_payloads);
        (self.taken_topics, self.taken_payloads) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;
    use alloc::format;

    use super::*;
    use crate::codec::PublishProperties;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let large = [b'x'; SMALL + 1];
        let mut held = Held::default();
        let mut expected = VecDeque::new();
        let (mut number, mut taken) = (0_u32, 0);
        for round in 0..3000 {
            for _ in 0..round % 7 {
                number += 1;
                let (topic, text) = (format!("ä/{number}"), format!("payload {number}"));
                let payload = if number.is_multiple_of(50) { &large } else { text.as_bytes() };
                let properties = PublishProperties {
                    content_type: number.is_multiple_of(11).then_some("text/plain"),
                    ..PublishProperties::default()
                };
                let publish =
                    Publish { retain: number.is_multiple_of(2), properties, ..Publish::new(&topic, &payload) };
                let identifiers = if number.is_multiple_of(13) { &[7][..] } else { &[] };
                held.push(&publish, identifiers, None);
                expected.push_back(Message::with_identifiers(&publish, identifiers.to_vec()));
            }
            for _ in 0..round % 5 {
                let next = held.pop();
                assert_eq!(next.map(|(message, _)| message), expected.pop_front());
                taken += 1;
            }
            assert_eq!(held.len(), expected.len());
            if round % 500 == 499 {
                held.retain(|(message, _), _| message.retain);
                expected.retain(|message| message.retain);
            }
            if round % 300 == 299 {
                while let Some(message) = expected.pop_front() {
                    assert_eq!(held.pop(), Some((message, None)));
                }
                assert!(held.is_empty() && held.topics.is_empty() && held.payloads.is_empty());
            }
        }
        assert!(number > 5000 && taken > 3000);
    }

    #[test]
    fn what_was_taken_makes_room_though_some_always_wait() {
        let payload = [b'x'; 1024];
        let mut held = Held::default();
        held.push(&Publish::new("a", &payload), &[], None);
        for _ in 0..10_000 {
            held.push(&Publish::new("a", &payload), &[], None);
            held.pop();
        }
        assert!(held.payloads.capacity() < 4 * KEPT, "{} bytes are kept", held.payloads.capacity());
    }
}
