//! Messages whose payload is streamed: it is given bit by bit, and never in memory as a whole.
//!
//! In the outbound stream such a message leaves a gap, into which the payload goes as it comes. What else is to be sent
//! waits behind the gap, since a packet cannot be interrupted:
//!
//! ```text
//!          sent          start      end              buffer.len()
//!  ┌───────┴───────────────┬──────────┬── missing ──┬─────────┐
//!  │ sent  │ whole packets │ streamed │ (no memory) │ packets │
//!  └───────┴───────────────┴──────────┴─────────────┴─────────┘
//! ```
//!
//! Places in the stream count the missing bytes, so that they stay as they are when those come.

use alloc::vec::Vec;

use super::event::OperationId;
use super::in_flight::State;
use super::keep_alive::Due;
use super::machine::Machine;
use super::outbound::Outbound;
use super::{Session, Status};
use crate::codec::{PacketId, PropertyId, Publish, PublishProperties, QoS, ReasonCode};
use crate::error::{CallError, Error, StreamError};
use crate::time::Instant;

/// As many bytes of a payload wait to be sent at most.
const MOST_WAITING: usize = 64 * 1024;

/// How much longer a Topic Alias makes a packet at most: the property, and a longer Property Length.
const ALIAS_LEN: usize = 4;

/// Where the bytes of a streamed message are in the outbound buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streamed {
    /// Where the first of them is that is there.
    pub(super) start: usize,
    /// Where those end that are there.
    end: usize,
    /// How many of its payload are still to come.
    pub(super) missing: usize,
    /// Whether they never will, so that nothing more can be sent.
    is_cut: bool,
}

impl Streamed {
    /// How much of a buffer of this length may be sent, of which so much was.
    pub(super) const fn sendable(&self, sent: usize, len: usize) -> usize {
        match (self.is_cut, self.missing) {
            (true, _) => sent,
            (false, 0) => len,
            (false, _) => self.end,
        }
    }

    /// So many bytes before it are gone from the buffer.
    pub(super) const fn move_by(&mut self, len: usize) {
        self.start = self.start.saturating_sub(len);
        self.end -= len;
    }
}

impl Session {
    /// Begins to publish a message whose payload is given bit by bit, with [`Session::put_payload`]: first what
    /// `publish` has of it, then `payload_len` bytes more. Nothing else is sent before all of it came. One message at a
    /// time is given in this way.
    ///
    /// Returns the operation that [`Event::Published`](super::Event::Published) ends: at QoS 0 once all of the message
    /// is sent. The message is never sent again, since nobody has its payload: if the connection ends before the broker
    /// has acknowledged it, the operation fails with [`StreamError::Cut`]. That a payload is UTF-8 is not checked.
    ///
    /// # Errors
    /// As [`Session::publish`]; [`CallError::WouldBlock`] also while another message is streamed.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.poll_event();
    /// let id = session.publish_streamed(&Publish::new("firmware", "").qos(QoS::AtLeastOnce), 10)?;
    /// assert_eq!(session.payload_room(), 10);
    /// for part in ["hello", "world"] {
    ///     assert_eq!(session.put_payload(part.as_bytes(), network.now()), 5);
    ///     network.exchange(&mut session);
    /// }
    /// assert!(matches!(session.poll_event(), Some(Event::Published { id: done, result: Ok(_) }) if done == id));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn publish_streamed(&mut self, publish: &Publish<'_>, payload_len: u64) -> Result<OperationId, CallError> {
        self.machine.publish_streamed(publish, payload_len)
    }

    /// How many bytes of the payload there is room for now: at most 64 KiB, and at most as many as are missing. 0 where
    /// no message is streamed.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::session::Session;
    ///
    /// assert_eq!(Session::new(Options::new()).payload_room(), 0);
    /// ```
    #[must_use]
    pub fn payload_room(&self) -> usize {
        self.machine.outbound.payload_room()
    }

    /// Takes more of the payload of the message that is [streamed](Session::publish_streamed), as much as there is room
    /// for. Returns how much that is.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish_streamed(&Publish::new("t", ""), 3)?;
    /// assert_eq!(session.put_payload(b"no more than three", network.now()), 3);
    /// assert_eq!(session.transmit(), b"\x30\x07\x00\x01t\x00no ");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn put_payload(&mut self, bytes: &[u8], now: Instant) -> usize {
        if self.machine.outbound.awaits_payload() {
            self.machine.keep_alive.payload_came(now);
        }
        self.machine.outbound.put_payload(bytes)
    }

    /// Tells that no more of the payload will come of the message that is [streamed](Session::publish_streamed). If
    /// some is missing, the connection ends, without a DISCONNECT: there can be none within a packet.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::session::{Session, Status};
    /// use mqtt_wasi::{Options, StreamError};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish_streamed(&Publish::new("t", ""), 3)?;
    /// session.fail_payload(StreamError::SourceTooShort { missing: 3 });
    /// assert_eq!(session.status(), Status::Closing);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn fail_payload(&mut self, error: StreamError) {
        if self.machine.is_given_in_part() {
            self.machine.end_within_message(error);
        }
    }

    /// How many bytes of the payload are still to come of the message that is streamed, if this is it.
    pub(crate) fn missing_payload(&self, operation: OperationId) -> usize {
        let is_it = self.machine.streaming.is_some_and(|streaming| streaming.operation == operation);
        self.machine.outbound.streamed.filter(|_| is_it).map_or(0, |streamed| streamed.missing)
    }

    /// Fails for a message that cannot be streamed to this broker, while there is one.
    pub(crate) fn check_streamed(&self, publish: &Publish<'_>, payload_len: u64) -> Result<(), CallError> {
        match self.machine.status {
            Status::Connected => self.machine.check_streamed(publish, payload_len),
            _ => Ok(()),
        }
    }

    /// Which operation is streaming a message.
    pub(crate) fn streaming(&self) -> Option<OperationId> {
        self.machine.streaming.map(|streaming| streaming.operation)
    }

    /// Whether nothing can be sent before more of a payload comes.
    pub(crate) fn awaits_payload(&self) -> bool {
        self.machine.outbound.awaits_payload()
    }

    /// Whether a message was not given to its end, so that nothing more can be sent.
    pub(crate) fn is_cut_within_message(&self) -> bool {
        self.machine.outbound.streamed.is_some_and(|streamed| streamed.is_cut)
    }

    /// Nobody gives the payload of this message any more.
    pub(crate) fn abandon_payload(&mut self, operation: OperationId) -> bool {
        self.machine.abandon_payload(operation)
    }
}

/// A message whose payload is being streamed to the broker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streaming {
    operation: OperationId,
    /// `None` at QoS 0.
    packet_id: Option<PacketId>,
}

impl Outbound {
    /// The packet that was put in last, from `start` on, has so many bytes more, which are still to come.
    fn stream(&mut self, start: usize, missing: usize) {
        self.streamed = Some(Streamed { start, end: self.buffer.len(), missing, is_cut: false });
    }

    /// Whether nothing can be sent before more of a payload comes.
    pub(super) fn awaits_payload(&self) -> bool {
        let awaits = |streamed: &Streamed| streamed.missing > 0 && !streamed.is_cut && self.sent == streamed.end;
        self.streamed.as_ref().is_some_and(awaits)
    }

    /// How many bytes of a payload there is room for.
    fn payload_room(&self) -> usize {
        let Some(streamed) = self.streamed.filter(|streamed| !streamed.is_cut) else { return 0 };
        let waiting = streamed.end - self.sent.max(streamed.start);
        MOST_WAITING.saturating_sub(waiting).min(streamed.missing)
    }

    /// Takes more of the payload, as much as there is room for; returns how much that is.
    fn put_payload(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.payload_room());
        if self.buffer.capacity() - self.buffer.len() < len {
            self.drop_sent_of_streamed();
        }
        let Some(streamed) = self.streamed.as_mut() else { return 0 };
        self.buffer.extend_from_slice(&bytes[..len]);
        // Before what waits behind it.
        self.buffer[streamed.end..].rotate_right(len);
        streamed.end += len;
        streamed.missing -= len;
        len
    }

    /// Rather than grow: what was sent of it makes room.
    fn drop_sent_of_streamed(&mut self) {
        if let Some(streamed) = self.streamed.as_mut().filter(|streamed| self.sent > streamed.start) {
            streamed.move_by(self.sent);
            self.buffer.drain(..self.sent);
            self.origin += self.sent as u64;
            self.sent = 0;
        }
    }

    /// What there was of it may be sent.
    pub(super) fn pass_streamed(&mut self) {
        let Some(streamed) = self.streamed.as_mut().filter(|streamed| self.sent >= streamed.end) else { return };
        let end = streamed.end;
        streamed.move_by(end);
        if streamed.missing == 0 {
            self.streamed = None;
        }
        self.buffer.drain(..end);
        self.origin += end as u64;
        self.sent -= end;
    }

    /// Nothing more comes of it, nor can anything else be sent over this connection.
    fn cut_streamed(&mut self) {
        if let Some(streamed) = self.streamed.as_mut().filter(|streamed| streamed.missing > 0) {
            streamed.is_cut = true;
        }
    }

    /// The connection is over: leaves whole packets in the buffer.
    pub(super) fn take_out_streamed(&mut self) {
        let Some(Streamed { start, end, missing, .. }) = self.streamed.take() else { return };
        let behind = self.origin + start as u64;
        let len = (end - start + missing) as u64;
        self.unnamed.iter_mut().filter(|(place, _)| *place > behind).for_each(|(place, _)| *place -= len);
        self.buffer.drain(start..end);
        self.sent = self.sent.min(start);
        self.packets -= 1;
    }
}

impl Machine {
    fn publish_streamed(&mut self, publish: &Publish<'_>, payload_len: u64) -> Result<OperationId, CallError> {
        self.require_connected()?;
        self.terms.check_message(publish.qos, publish.retain)?;
        if !publish.properties.subscription_identifiers.is_empty() {
            return Err(CallError::PropertyNotAllowed(PropertyId::SubscriptionIdentifier));
        }
        let may_begin = self.may_stream();
        // What is wrong with the message is told at once.
        let packet_id = match publish.qos {
            QoS::AtMostOnce => None,
            _ => Some(self.in_flight.next_id().ok_or(CallError::WouldBlock)?),
        };
        let mut packet = Publish { dup: false, packet_id, ..*publish };
        let maximum = self.terms.topic_alias_maximum;
        let alias = match packet.properties.topic_alias.take() {
            Some(alias) => Some(self.outbound_aliases.by_hand(publish.topic, alias, maximum)?),
            None => self.outbound_aliases.choose(publish.topic, self.options.outbound_topic_aliases.min(maximum)),
        };
        let known_topic = alias.and_then(|alias| self.outbound_aliases.topic(alias.alias).cloned());
        if let Some(topic) = known_topic.as_ref().filter(|_| packet.topic.is_empty()) {
            packet.topic = topic;
        }
        let len = packet.measure_before(payload_len).map_err(CallError::Invalid)?.len();
        self.terms.check_size(len)?;
        let head_len = packet.measure().map_err(CallError::Invalid)?.len() + ALIAS_LEN;
        if !may_begin || !self.outbound.has_room(head_len, self.options.outbound_limit) {
            return Err(CallError::WouldBlock);
        }
        // An alias that comes with the Topic Name makes the packet longer.
        let alias = alias.filter(|alias| alias.is_known || self.terms.check_size(len + ALIAS_LEN).is_ok());
        self.outbound.gather();
        let place = self.outbound.end();
        let topic = if alias.is_some_and(|alias| alias.is_known) { "" } else { packet.topic };
        let properties = PublishProperties { topic_alias: alias.map(|alias| alias.alias), ..packet.properties };
        let sent = Publish { topic, properties, ..packet };
        let measured = sent.measure_before(payload_len).map_err(CallError::Invalid)?;
        let outbound = self.outbound.appender(head_len);
        let start = outbound.len();
        measured.write_streamed(outbound);
        self.outbound.stream(start, payload_len as usize);
        if let Some(alias) = alias {
            self.outbound_aliases.sent(alias, packet.topic);
        }
        let operation = self.next_operation();
        if let Some(id) = packet_id {
            // Who looks at what is in flight sees what it is about.
            let head = Publish { payload: &[], ..packet };
            let store = |stored: &mut Vec<u8>| head.encode(stored).unwrap_or_default();
            self.in_flight.insert(id, State::after_publish(publish.qos), operation, place, store);
            self.in_flight.set_streamed(id);
            self.keep_alive.will_be_answered(id, self.outbound.end());
        }
        self.streaming = Some(Streaming { operation, packet_id });
        Ok(operation)
    }

    /// Fails for a message that cannot be streamed to this broker.
    fn check_streamed(&self, publish: &Publish<'_>, payload_len: u64) -> Result<(), CallError> {
        self.terms.check_message(publish.qos, publish.retain)?;
        let packet_id = PacketId::new(1).filter(|_| publish.qos != QoS::AtMostOnce);
        let packet = Publish { dup: false, packet_id, ..*publish };
        let len = packet.measure_before(payload_len).map_err(CallError::Invalid)?.len();
        // With an alias it depends on what was sent before.
        if publish.properties.topic_alias.is_none() { self.terms.check_size(len) } else { Ok(()) }
    }

    /// Whether one more message may be streamed: one at a time, since nothing else can be sent within it.
    pub(super) fn may_stream(&self) -> bool {
        self.status == Status::Connected && self.streaming.is_none() && self.has_quota()
    }

    /// Ends the connection if this message is not given to its end: nothing else can be made of it. Whether it was.
    pub(super) fn abandon_payload(&mut self, operation: OperationId) -> bool {
        let is_open =
            self.streaming.is_some_and(|streaming| streaming.operation == operation) && self.is_given_in_part();
        if is_open {
            self.end_within_message(StreamError::Abandoned);
        }
        is_open
    }

    /// Ends the connection, since a payload will never be whole. There cannot be a DISCONNECT within a packet.
    fn end_within_message(&mut self, error: StreamError) {
        if self.status.is_open() {
            self.fail(Error::Stream(error));
        } else {
            self.lose_streams(&Error::Stream(error));
        }
    }

    /// Whether more is to come of a payload.
    fn is_given_in_part(&self) -> bool {
        self.outbound.streamed.is_some_and(|streamed| streamed.missing > 0 && !streamed.is_cut)
    }

    /// Whether not all of this message was sent.
    pub(super) fn is_unfinished(&self, id: PacketId) -> bool {
        self.streaming.is_some_and(|streaming| streaming.packet_id == Some(id))
    }

    /// Bytes were sent: maybe the last of a message.
    pub(super) fn note_streamed(&mut self) {
        if self.outbound.streamed.is_some() {
            return;
        }
        // Others are over with their acknowledgement.
        if let Some(Streaming { operation, packet_id: None }) = self.streaming.take() {
            self.published(operation, Ok(ReasonCode::Success.into()));
        }
    }

    /// The connection is about to end for this reason: messages that were streamed, and are not acknowledged, cannot be
    /// sent again. Those at QoS 2 whose PUBREC came are complete without.
    pub(super) fn lose_streams(&mut self, why: &Error) {
        self.outbound.cut_streamed();
        let lost: Vec<_> = self.in_flight.sent().filter(|id| self.in_flight.is_streamed(*id)).collect();
        let unfinished = self.streaming.take();
        for id in lost {
            let is_unfinished = unfinished.is_some_and(|streaming| streaming.packet_id == Some(id));
            let operation = if is_unfinished { self.in_flight.remove(id) } else { self.in_flight.give_up(id) };
            if let Some(operation) = operation {
                self.published(operation, Err(lost_for(why, is_unfinished)));
            }
        }
        if let Some(Streaming { operation, packet_id: None }) = unfinished {
            self.published(operation, Err(lost_for(why, true)));
        }
    }

    /// Does what is due while nothing can be sent before more of a payload comes.
    pub(super) fn wait_for_payload(&mut self, now: Instant, is_behind: bool) {
        if self.keep_alive.has_source_stalled(now) {
            self.end_within_message(StreamError::SourceStalled);
        } else if self.keep_alive.is_answer_late(now)
            && self.keep_alive.due(now, is_behind, self.outbound.is_overrun()) == Due::GiveUp
        {
            self.fail(Error::KeepAliveTimeout);
        }
    }
}

/// What a message has come to whose connection ended for this reason.
fn lost_for(why: &Error, is_unfinished: bool) -> Error {
    match why {
        Error::Stream(_) if is_unfinished => why.clone(),
        _ => Error::Stream(StreamError::Cut { cause: why.clone().into(), may_have_arrived: !is_unfinished }),
    }
}
