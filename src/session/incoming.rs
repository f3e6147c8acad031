//! Messages whose payload is streamed from the broker: it is taken as it comes, and never in memory as a whole.
//!
//! ```text
//!   head came ► Waiting ── received ► Reading ── all of it taken ► acknowledged
//!                  │                     │ given up                    ▲
//!                  └── collected         └──► Skipping ── all of it came
//! ```
//!
//! Nothing that is behind the payload is framed before all of it was taken. So such a message is the last of those that
//! came, there is one at a time, and the broker waits for the one who takes it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::receive::{Head, named, topic_of};
use super::{Delivery, Session};
use crate::codec::{PacketType, Publish, QoS};
use crate::frame::{FrameError, FrameSpan};

/// A message that is streamed.
#[derive(Debug)]
pub(super) struct Incoming {
    span: FrameSpan,
    topic: Option<Arc<str>>,
    stage: Stage,
    /// What acknowledges it once all of its payload was taken.
    delivery: Option<Delivery>,
    /// What acknowledges it by hand.
    held: Option<Delivery>,
    /// Counts those that were received.
    number: u64,
}

/// What was not taken of a message at QoS 0 that had come as a whole when its connection ended.
#[derive(Debug)]
pub(super) struct Rest {
    bytes: Vec<u8>,
    taken: usize,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Reading,
    Skipping,
}

impl Session {
    /// How many bytes are still to be taken of the payload of the message that was received last, if that is
    /// [streamed](crate::Options::stream_above). `None` once all of it was taken, or if there will be no more of it
    /// since the connection was lost: if not all of it was taken then, the broker sends the message again, at QoS 1 and
    /// 2, if it keeps the session.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new().stream_above(100_000));
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("firmware", QoS::AtMostOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("firmware", &[0x55; 300_000]))?;
    ///
    /// let mut firmware = Vec::new();
    /// loop {
    ///     network.exchange(&mut session);
    ///     while session.poll_event().is_some() {}
    ///     if session.payload_left().is_none() {
    ///         if !firmware.is_empty() {
    ///             break;
    ///         }
    ///         if let Some(message) = session.receive() {
    ///             assert_eq!((message.topic, message.payload.len()), ("firmware", 0));
    ///         }
    ///     }
    ///     firmware.extend_from_slice(session.payload());
    ///     session.payload_taken(session.payload().len());
    /// }
    /// assert_eq!(firmware.len(), 300_000);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn payload_left(&self) -> Option<u64> {
        let left = match &self.rest {
            Some(rest) => Some(rest.bytes.len() - rest.taken),
            None => self.reader.payload_left().filter(|_| self.is_reading()),
        };
        left.map(|left| left as u64)
    }

    /// What has come of that payload and was not taken. At most 64 KiB are read before some of it is taken.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::session::Session;
    ///
    /// assert!(Session::new(Options::new()).payload().is_empty());
    /// ```
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match &self.rest {
            Some(rest) => &rest.bytes[rest.taken..],
            None if self.is_reading() => self.reader.payload(),
            None => &[],
        }
    }

    /// Notes that the first `len` bytes of [`Session::payload`] were taken. With the last of all, the message is
    /// acknowledged, unless it was received to be acknowledged by hand.
    ///
    /// # Panics
    /// If that is more than there was.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::session::Session;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.payload_taken(session.payload().len());
    /// assert_eq!(session.payload_left(), None);
    /// ```
    pub fn payload_taken(&mut self, len: usize) {
        assert!(len <= self.payload().len(), "more of a payload taken than there was");
        if let Some(rest) = &mut self.rest {
            rest.taken += len;
            self.rest.take_if(|rest| rest.taken == rest.bytes.len());
        } else if len > 0 {
            self.reader.payload_taken(len);
            if self.reader.payload_left().is_none() {
                self.finish_incoming();
            }
        }
    }

    /// Gives the rest of that payload up: it is skipped as it comes. Then the message is acknowledged, unless it was
    /// received to be acknowledged by hand.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::session::Session;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.skip_payload(); // there is none
    /// assert_eq!(session.payload_left(), None);
    /// ```
    pub fn skip_payload(&mut self) {
        if self.rest.take().is_none()
            && let Some(incoming) = self.incoming.as_mut().filter(|incoming| incoming.stage == Stage::Reading)
        {
            incoming.stage = Stage::Skipping;
            self.skip_what_came();
        }
    }

    /// Whether a message is the next to be received whose payload will be streamed.
    pub(crate) fn has_head(&self) -> bool {
        let waits = |incoming: &Incoming| incoming.stage == Stage::Waiting;
        self.backlog.is_empty() && self.rest.is_none() && self.incoming.as_ref().is_some_and(waits)
    }

    /// The same, once all that came was looked at.
    pub(super) fn is_turn_of_head(&mut self) -> bool {
        if self.machine.options.stream_above == u32::MAX {
            return false;
        }
        self.take_all();
        self.has_head()
    }

    /// Whether that message has a payload.
    pub(crate) fn head_has_payload(&self) -> bool {
        self.reader.head_has_payload()
    }

    /// That message, without its payload.
    pub(crate) fn head(&mut self) -> Option<Publish<'_>> {
        let incoming = self.incoming.as_ref().filter(|incoming| incoming.stage == Stage::Waiting)?;
        let body = self.reader.body(&incoming.span);
        let publish = Publish::decode(incoming.span.flags, body, self.machine.options.decode).ok()?;
        Some(named(publish, &mut self.topic, incoming.topic.clone()))
    }

    /// That message is received as a whole after all.
    pub(crate) fn collect_head(&mut self) {
        self.incoming = None;
        self.reader.collect();
    }

    /// Receives that message: its payload is streamed from now on. It is acknowledged once all of that was taken, or
    /// by hand with what is returned.
    pub(crate) fn receive_head(&mut self, by_hand: bool) -> Option<(Publish<'_>, Option<Delivery>)> {
        let incoming = self.incoming.as_mut()?;
        let (span, topic) = (incoming.span, incoming.topic.clone());
        let options = self.machine.options.decode;
        let len = self.reader.begin_payload();
        incoming.stage = Stage::Reading;
        let body = self.reader.body(&span);
        match self.machine.take_in(&Publish::decode(span.flags, body, options).ok()?) {
            Ok(true) => {}
            Ok(false) => {
                // It was delivered before, and is acknowledged.
                self.skip_payload();
                return None;
            }
            Err(error) => {
                self.machine.fail_message(topic_of(body), error);
                self.incoming = None;
                return None;
            }
        }
        let publish = Publish::decode(span.flags, self.reader.body(&span), options).ok()?;
        let incoming = self.incoming.as_mut()?;
        self.streamed += 1;
        incoming.number = self.streamed;
        let delivery = self.machine.hold(&publish);
        (incoming.delivery, incoming.held) = if by_hand { (None, delivery) } else { (delivery, None) };
        if len == 0 {
            let delivery = self.incoming.take().and_then(|incoming| incoming.delivery);
            delivery.map(|delivery| self.machine.acknowledge_by_hand(delivery));
        }
        Some((named(publish, &mut self.topic, topic), delivery))
    }

    /// The message is acknowledged once all of its payload was taken, or skipped.
    pub(crate) fn acknowledge_at_end(&mut self, delivery: Delivery) {
        if let Some(incoming) = &mut self.incoming {
            incoming.delivery = Some(delivery);
        }
    }

    /// Acknowledges that message, if this is its delivery, once all of its payload was taken, or skipped: before, the
    /// broker has not sent all of it. Returns whether that is new.
    pub(super) fn acknowledge_incoming(&mut self, delivery: Delivery) -> Option<bool> {
        let incoming = self.incoming.as_mut().filter(|incoming| incoming.held == Some(delivery))?;
        Some(incoming.delivery.replace(delivery).is_none())
    }

    /// Which message's payload is streamed, if one's is.
    pub(crate) fn payload_number(&self) -> Option<u64> {
        let number = self.rest.as_ref().map(|rest| rest.number);
        number.or_else(|| self.payload_left().and(self.incoming.as_ref()).map(|incoming| incoming.number))
    }

    /// The head of a message has come; whether something else may be framed.
    pub(super) fn take_head(&mut self, span: FrameSpan) -> bool {
        if let Err(error) = self.machine.expect(PacketType::Publish) {
            self.machine.fail(error.into());
            return false;
        }
        let body = self.reader.body(&span);
        let error = match Publish::decode(span.flags, body, self.machine.options.decode) {
            Ok(publish) => match self.machine.resolve_alias(&publish) {
                Ok(topic) => {
                    let own = self.machine.requests.topic();
                    if own.is_some_and(|own| own == topic.as_deref().unwrap_or(publish.topic)) {
                        // Who asked gets replies as a whole.
                        self.reader.collect();
                        return true;
                    }
                    self.machine.stats.packets_received += 1;
                    self.incoming = Some(Incoming::new(span, topic, Stage::Waiting));
                    return false;
                }
                Err(error) => error.into(),
            },
            Err(error) => FrameError::Malformed(error).into(),
        };
        let head = Head::of(body, span.flags);
        match self.refuse(span, head, error) {
            Ok(()) => {
                self.machine.stats.packets_received += 1;
                self.reader.begin_payload();
                self.reader.skip_payload();
                true
            }
            Err(error) => {
                self.machine.fail(error);
                false
            }
        }
    }

    /// Skips what has come of a payload that nobody takes.
    pub(super) fn skip_what_came(&mut self) {
        let is_skipping = self.incoming.as_ref().is_some_and(|incoming| incoming.stage == Stage::Skipping);
        if is_skipping {
            self.reader.skip_payload();
            if self.reader.has_skipped() {
                self.finish_incoming();
            }
        }
    }

    /// The connection is over: what came as a whole is kept, and all else given up.
    pub(super) fn keep_whole_payload(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        let is_whole = self.reader.is_streaming() && self.reader.has_whole_payload();
        match incoming.stage {
            Stage::Waiting if is_whole => return self.collect_head(),
            // What may be sent again must not be received twice.
            Stage::Reading if is_whole && incoming.span.qos() == QoS::AtMostOnce => {
                self.rest = Some(Rest { bytes: self.reader.payload().to_vec(), taken: 0, number: incoming.number });
            }
            _ => {}
        }
        self.reader.give_payload_up();
    }

    fn is_reading(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| incoming.stage == Stage::Reading)
    }

    /// All of it was taken, or skipped.
    fn finish_incoming(&mut self) {
        if let Some(Incoming { delivery: Some(delivery), .. }) = self.incoming.take() {
            self.machine.acknowledge_by_hand(delivery);
        }
    }
}

impl Incoming {
    const fn new(span: FrameSpan, topic: Option<Arc<str>>, stage: Stage) -> Self {
        Self { span, topic, stage, delivery: None, held: None, number: 0 }
    }
}
