//! What comes from the broker: events and messages, and what waits for its user (sections 3.3 and 4.3).

use alloc::string::String;
use alloc::sync::Arc;

use super::machine::Machine;
use super::{Delivery, Event, Session, SessionOptions, Status};
use crate::codec::{Packet, PacketId, PacketType, Publish, PublishProperties, QoS};
use crate::error::{Error, OtherProtocol, ProtocolError};
use crate::frame::{self, FrameError, FrameSpan};

/// How long the body of CONNACK is before MQTT v5.0; in v5.0 it has at least a Property Length more.
const CONNACK_3_LEN: usize = 2;

/// A message that waits to be received.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) span: FrameSpan,
    pub(super) origin: Origin,
    /// The Topic Name, where the message has nothing but an alias for it.
    topic: Option<Arc<str>>,
}

/// Where a message came from that waits to be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This connection, over which it is acknowledged.
    ThisConnection,
    /// An earlier connection. The broker sends it again at QoS 1 and 2, if it keeps the session.
    EarlierConnection,
    /// A session that the broker has lost, and this message with it.
    LostSession,
    /// This connection, and it was a reply, which its requester has got: it only waits to be acknowledged in its turn.
    Answered(PacketId),
    /// This connection, and it only waits to be refused in its turn.
    Refused(PacketId),
}

impl Origin {
    /// The Packet Identifier of what only waits for its acknowledgement, and whether that is a refusal.
    pub(super) const fn only_acknowledged(self) -> Option<(PacketId, bool)> {
        match self {
            Self::Answered(id) => Some((id, false)),
            Self::Refused(id) => Some((id, true)),
            _ => None,
        }
    }
}

impl Session {
    /// The next event: something that happened, except messages. `None`: nothing happened.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::{Event, Session};
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// while let Some(event) = session.poll_event() {
    ///     match event {
    ///         Event::Connected { session_present } => assert!(!session_present),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn poll_event(&mut self) -> Option<Event> {
        while self.machine.events.is_empty() && !self.is_paused() && self.step() {}
        self.machine.events.pop_front()
    }

    /// The next message, borrowed from the receive buffer, in the order that the broker sent them. It is acknowledged:
    /// the acknowledgement waits in [`Session::transmit`]. It has its full Topic Name, and no Topic Alias.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// network.publish(Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)); // the broker sends a message
    /// network.exchange(&mut session);
    /// let message = session.receive().expect("a message");
    /// assert_eq!((message.topic, message.payload), ("sensors/kitchen", &b"21.5"[..]));
    /// assert_eq!(session.transmit(), b"\x40\x02\x00\x01", "PUBACK");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn receive(&mut self) -> Option<Publish<'_>> {
        #[cfg(feature = "stream")]
        if self.is_turn_of_head() {
            return self.receive_head(false).map(|(publish, _)| publish);
        }
        self.next_message(|machine, publish| machine.acknowledge(publish))
    }

    /// As [`Session::receive`], but the message is acknowledged by [`Session::acknowledge`]. Until then it counts
    /// against the [Receive Maximum](crate::Options::receive_maximum), so the broker sends no more than the user keeps
    /// up with.
    ///
    /// There is no [`Delivery`] where there is nothing to acknowledge: at QoS 0, and for a message of an earlier
    /// connection.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("jobs", QoS::AtLeastOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// network.publish(Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce));
    /// network.exchange(&mut session);
    /// let (_, delivery) = session.receive_unacknowledged().expect("a message");
    /// assert!(session.transmit().is_empty());
    /// session.acknowledge(delivery.expect("a QoS 1 message"));
    /// assert_eq!(session.transmit(), b"\x40\x02\x00\x01", "PUBACK");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn receive_unacknowledged(&mut self) -> Option<(Publish<'_>, Option<Delivery>)> {
        #[cfg(feature = "stream")]
        if self.is_turn_of_head() {
            return self.receive_head(true);
        }
        let mut delivery = None;
        let publish = self.next_message(|machine, publish| delivery = machine.hold(publish))?;
        Some((publish, delivery))
    }

    /// Hands messages to `deliver`, each decoded once, for as long as that returns `true` and there are any. An event
    /// stops it: it is to be [taken](Session::poll_event) before the messages behind it.
    pub(crate) fn deliver(&mut self, mut deliver: impl FnMut(&Publish<'_>, Option<Delivery>) -> bool) {
        while !self.has_event() {
            let goes_on = if let Some(span) = self.next_unchecked::<true>() {
                self.reader.release(None);
                let body = self.reader.body(&span);
                let known = self.last_topic.is_in(body).then(|| self.last_topic.get());
                let error = match Publish::decode_known(span.flags, body, self.machine.options.decode, known) {
                    Ok(publish) => match self.machine.take_in(&publish) {
                        Ok(_) => {
                            let delivery = self.machine.hold(&publish);
                            if !deliver(&publish, delivery) {
                                return;
                            }
                            continue;
                        }
                        Err(error) => error,
                    },
                    Err(error) => FrameError::Malformed(error).into(),
                };
                self.machine.fail_message(topic_of(self.reader.body(&span)), error);
                false
            } else if self.has_event() {
                false
            } else {
                let mut delivery = None;
                let waiting =
                    self.finish_message::<true>(None, |machine, publish| delivery = machine.hold_for_later(publish));
                waiting.is_some_and(|publish| deliver(&publish, delivery))
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Whether there is an event that is known already.
    pub(crate) fn has_event(&self) -> bool {
        !self.machine.events.is_empty()
    }

    /// Acknowledges a message, in any order. The broker gets the acknowledgements in the order of the messages
    /// `[MQTT-4.6.0-2]`. Returns `false` if it was done before, or if the connection of the message is over: then the
    /// broker sends it again, if it keeps the session. At QoS 2 it is in time until the next connection is made, and
    /// the message is then not received again.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("jobs", QoS::AtLeastOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// network.publish(Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce));
    /// network.publish(Publish::new("jobs", "print 5 labels").qos(QoS::AtLeastOnce));
    /// network.exchange(&mut session);
    /// let first = session.receive_unacknowledged().and_then(|(_, delivery)| delivery).expect("a QoS 1 message");
    /// let second = session.receive_unacknowledged().and_then(|(_, delivery)| delivery).expect("another");
    /// session.acknowledge(second);
    /// assert!(session.transmit().is_empty(), "it waits for the first");
    /// session.acknowledge(first);
    /// assert_eq!(session.transmit(), b"\x40\x02\x00\x01\x40\x02\x00\x02", "PUBACK for both");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn acknowledge(&mut self, delivery: Delivery) -> bool {
        #[cfg(feature = "stream")]
        if let Some(is_new) = self.acknowledge_incoming(delivery) {
            return is_new;
        }
        self.machine.acknowledge_by_hand(delivery)
    }

    /// Whether [`Session::receive`] has a message.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, SubscribeProperties, Subscription};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.subscribe(&[Subscription::new("sensors/+", QoS::AtMostOnce)], SubscribeProperties::default())?;
    /// network.exchange(&mut session);
    /// assert!(!session.has_message());
    /// network.publish(Publish::new("sensors/kitchen", "21.5"));
    /// network.exchange(&mut session);
    /// assert!(session.has_message());
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn has_message(&mut self) -> bool {
        while self.backlog.is_empty() && !self.machine.outbound.is_overrun() && self.step() {}
        #[cfg(feature = "stream")]
        if self.has_head() {
            return true;
        }
        !self.backlog.is_empty()
    }

    /// Takes all packets that came, so that what waits is known and keeps within its bounds.
    pub(super) fn take_all(&mut self) {
        while !self.is_paused() && self.step() {}
    }

    /// Whether nothing more is read, because too many messages wait to be received, or too many answers to be sent.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// assert!(!session.is_paused());
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_behind() || self.machine.outbound.is_overrun()
    }

    /// Whether too many messages wait to be received.
    pub(super) fn is_behind(&self) -> bool {
        #[cfg(feature = "stream")]
        if self.reader.is_full_of_payload() {
            return true;
        }
        match self.machine.status {
            Status::Connected => self.has_waiting(self.machine.options.backlog_limit),
            // CONNACK does not have to wait for that, nor AUTH before it.
            _ => self.is_far_behind(),
        }
    }

    /// Whether so many wait that what came with them, and is not taken yet, has to wait or be lost with its connection.
    pub(super) fn is_far_behind(&self) -> bool {
        let SessionOptions { backlog_limit, maximum_packet_size, .. } = self.machine.options;
        #[cfg(feature = "stream")]
        let maximum_packet_size = maximum_packet_size.min(self.machine.options.stream_above);
        self.has_waiting(backlog_limit.saturating_add(2 * maximum_packet_size as usize))
    }

    /// Whether messages wait that have as many bytes.
    fn has_waiting(&self, bytes: usize) -> bool {
        !self.backlog.is_empty() && self.reader.held() >= bytes
    }

    /// The next message, after `take` if it came over this connection.
    #[inline]
    fn next_message(&mut self, take: impl FnOnce(&mut Machine, &Publish<'_>)) -> Option<Publish<'_>> {
        let direct = self.next_unchecked::<false>();
        self.finish_message::<false>(direct, take)
    }

    /// As [`Session::next_message`], once it is known whether there is one that was not taken yet.
    #[inline]
    fn finish_message<const WAITS: bool>(
        &mut self,
        direct: Option<FrameSpan>,
        take: impl FnOnce(&mut Machine, &Publish<'_>),
    ) -> Option<Publish<'_>> {
        let options = self.machine.options.decode;
        if let Some(span) = direct {
            self.reader.release(None);
            let body = self.reader.body(&span);
            let known = self.last_topic.is_in(body).then(|| self.last_topic.get());
            let result = match Publish::decode_known(span.flags, body, options, known) {
                Ok(publish) => match self.machine.take_in(&publish) {
                    Ok(_) => {
                        take(&mut self.machine, &publish);
                        return Some(publish);
                    }
                    Err(error) => error,
                },
                Err(error) => FrameError::Malformed(error).into(),
            };
            self.machine.fail_message(topic_of(self.reader.body(&span)), result);
            return None;
        }
        let Waiting { span, origin, topic } = self.backlog.pop_front()?;
        #[cfg(feature = "store")]
        if !WAITS && origin == Origin::EarlierConnection && span.is_exactly_once() {
            // The broker sends it again, and the user does not get it again.
            self.reader.packet_id(&span).into_iter().for_each(|id| self.machine.journal.delivered(id));
        }
        // The bytes of this message are free now, but stay as they are until the buffer is read into again.
        self.reader.release(self.backlog.front().map(|waiting| &waiting.span));
        let publish = Publish::decode(span.flags, self.reader.body(&span), options).ok()?;
        // What waits for its user has not been delivered, though its connection is over.
        if origin == Origin::ThisConnection || (WAITS && origin == Origin::EarlierConnection) {
            take(&mut self.machine, &publish);
        }
        while let Some(waiting) = self.backlog.front()
            && let Some((id, is_refused)) = waiting.origin.only_acknowledged()
        {
            self.machine.acknowledge_in_order(id, waiting.span.qos(), is_refused);
            self.backlog.pop_front();
        }
        Some(if publish.properties.topic_alias.is_some() { named(publish, &mut self.topic, topic) } else { publish })
    }

    /// Takes packets until there is a message to receive. One that could be handed out right away is not taken but
    /// returned: so it is decoded once, and not both when it comes and when it is received. Where Topic Aliases may
    /// come, all are taken, since what an alias stands for may change before a message is received. Stops at the first
    /// event, if that is to be seen before the messages behind it.
    fn next_unchecked<const STOPS_AT_EVENT: bool>(&mut self) -> Option<FrameSpan> {
        while self.backlog.is_empty() && !self.machine.outbound.is_overrun() {
            let span = self.next_frame()?;
            // Where messages may be skipped, they are looked at when they come.
            let options = &self.machine.options;
            let has_no_alias = options.topic_alias_maximum == 0 && !options.skip_refused_messages;
            let is_plain = span.packet_type == PacketType::Publish
                && !span.is_exactly_once()
                && has_no_alias
                && !self.is_reply(&span);
            if is_plain && self.machine.expect(PacketType::Publish).is_ok() {
                return Some(span);
            }
            self.take(span);
            if STOPS_AT_EVENT && self.has_event() {
                return None;
            }
        }
        None
    }

    /// Whether this is a PUBLISH to the Response Topic, with its Topic Name.
    fn is_reply(&self, span: &FrameSpan) -> bool {
        self.machine.requests.topic().is_some_and(|topic| {
            let name = self.reader.body(span).split_first_chunk().map(|(len, rest)| (u16::from_be_bytes(*len), rest));
            name.is_some_and(|(len, rest)| usize::from(len) == topic.len() && rest.starts_with(topic.as_bytes()))
        })
    }

    /// Takes the next packet; `false` if there is none.
    pub(super) fn step(&mut self) -> bool {
        let span = self.next_frame();
        if let Some(span) = span {
            self.take(span);
        }
        span.is_some()
    }

    fn next_frame(&mut self) -> Option<FrameSpan> {
        #[cfg(feature = "stream")]
        self.skip_what_came();
        // What a broker says that is not to be trusted is not even looked at.
        if !self.machine.listens {
            return None;
        }
        loop {
            match self.reader.next_span() {
                #[cfg(feature = "stream")]
                Ok(Some(head)) if self.reader.is_streaming() => {
                    if !self.take_head(head) {
                        return None;
                    }
                }
                Ok(span) => {
                    self.machine.stats.packets_received += u64::from(span.is_some());
                    return span;
                }
                Err(error) => match self.refuse_oversized(error) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => {
                        self.fail_framing(error);
                        return None;
                    }
                },
            }
        }
    }

    /// What comes is no packet that could be taken.
    #[cold]
    fn fail_framing(&mut self, error: Error) {
        let greeting = if self.machine.status == Status::Connecting { self.reader.unframed() } else { &[] };
        let other = match greeting {
            [b'H', b'T', b'T', b'P', ..] => Some(OtherProtocol::Http),
            [b'S', b'S', b'H', b'-', ..] => Some(OtherProtocol::Ssh),
            _ => None,
        };
        self.machine.fail(other.map_or(error, Error::NotMqtt));
    }

    fn take(&mut self, span: FrameSpan) {
        let result = match span.packet_type {
            PacketType::Publish => self.take_publish(span),
            _ => self.take_other(&span),
        };
        if let Err(error) = result {
            self.machine.fail(error);
        }
    }

    fn take_publish(&mut self, span: FrameSpan) -> Result<(), Error> {
        self.machine.expect(PacketType::Publish)?;
        let error = match Publish::decode(span.flags, self.reader.body(&span), self.machine.options.decode) {
            Ok(publish) => match self.machine.resolve_alias(&publish) {
                Ok(topic) => {
                    let own = self.machine.requests.topic();
                    let is_reply = own.is_some_and(|own| own == topic.as_deref().unwrap_or(publish.topic));
                    if self.machine.take_in(&publish)? {
                        if !is_reply {
                            if self.backlog.is_empty() {
                                // What was framed before it is not held for anyone.
                                self.reader.release(Some(&span));
                            }
                            self.backlog.push_back(Waiting { span, origin: Origin::ThisConnection, topic });
                            return Ok(());
                        }
                        self.machine.take_reply(&publish);
                        if self.backlog.is_empty() {
                            self.machine.acknowledge(&publish);
                        } else if let Some(id) = publish.packet_id {
                            self.backlog.push_back(Waiting { span, origin: Origin::Answered(id), topic: None });
                        }
                    }
                    return Ok(());
                }
                Err(error) => error.into(),
            },
            Err(error) => FrameError::Malformed(error).into(),
        };
        let head = Head::of(self.reader.body(&span), span.flags);
        self.refuse(span, head, error)
    }

    /// Refuses a message: skips it if the options tell it to and it can be acknowledged, and fails otherwise.
    #[cold]
    pub(super) fn refuse(&mut self, span: FrameSpan, head: Head, error: Error) -> Result<(), Error> {
        let Head { topic, packet_id } = head;
        let may_be_skipped = match QoS::from_u8(span.flags >> 1 & 0b11) {
            Some(QoS::AtMostOnce) => true,
            Some(_) => packet_id.is_some(),
            // How to acknowledge it is not known.
            None => false,
        };
        let is_skipped = may_be_skipped && self.machine.options.skip_refused_messages;
        self.machine.note_refusal(topic, error.clone(), is_skipped);
        if !is_skipped {
            return Err(error);
        }
        if let Some(id) = packet_id
            && self.machine.take_in_refused(id, span.qos())?
        {
            if self.backlog.is_empty() {
                self.machine.acknowledge_in_order(id, span.qos(), true);
            } else {
                self.backlog.push_back(Waiting { span, origin: Origin::Refused(id), topic: None });
            }
        }
        Ok(())
    }

    /// Refuses a message that is larger than the Maximum Packet Size; whether it is skipped now. Otherwise more of it
    /// has to come first.
    #[cold]
    fn refuse_oversized(&mut self, error: FrameError) -> Result<bool, Error> {
        let is_oversized = matches!(error, FrameError::PacketTooLarge { .. });
        let is_message = is_oversized && self.machine.expect(PacketType::Publish).is_ok();
        let Some((span, body, is_all)) = self.reader.oversized_message().filter(|_| is_message) else {
            return Err(error.into());
        };
        let head = Head::of(body, span.flags);
        if self.machine.options.skip_refused_messages && !is_all && !head.is_whole(body, &span) {
            return Ok(false);
        }
        self.refuse(span, head, error.into())?;
        self.reader.skip_packet();
        self.machine.stats.packets_received += 1;
        Ok(true)
    }

    fn take_other(&mut self, span: &FrameSpan) -> Result<(), Error> {
        self.machine.expect(span.packet_type)?;
        let body = self.reader.body(span);
        if span.packet_type == PacketType::Connack && body.len() == CONNACK_3_LEN {
            return Err(Error::Mqtt3Only);
        }
        let packet = Packet::decode_from_server(span.packet_type, span.flags, body, self.machine.options.decode)
            .map_err(FrameError::Malformed)?
            .ok_or(ProtocolError::UnexpectedPacket(span.packet_type))?;
        self.machine.handle(packet)?;
        if let Packet::Connack(connack) = packet {
            self.connack.clear();
            self.connack.extend_from_slice(body);
            self.take_up_session(connack.session_present);
        }
        Ok(())
    }

    /// What becomes of the messages that wait, if there is a connection: a refusal says nothing of the session.
    pub(super) fn take_up_session(&mut self, is_present: bool) {
        if self.machine.status != Status::Connected {
            return;
        }
        if is_present {
            self.drop_what_comes_again();
        } else {
            self.move_backlog(Origin::EarlierConnection, Origin::LostSession);
        }
    }

    /// Drops messages that came over an earlier connection and that the broker will send again over this one, since it
    /// kept the session and was not told that they came.
    fn drop_what_comes_again(&mut self) {
        let (reader, machine) = (&self.reader, &mut self.machine);
        self.backlog.retain(|Waiting { span, origin, .. }| {
            let packet_id = reader.packet_id(span).filter(|_| *origin == Origin::EarlierConnection);
            if let Some(id) = packet_id.filter(|_| span.is_exactly_once()) {
                machine.received.remove(id);
            }
            packet_id.is_none()
        });
    }

    pub(super) fn move_backlog(&mut self, from: Origin, to: Origin) {
        for waiting in self.backlog.iter_mut().filter(|waiting| waiting.origin == from) {
            waiting.origin = to;
        }
    }
}

/// The message with the Topic Name that its alias stands for, if it has none, and without the alias, which says nothing
/// to the user.
#[cold]
pub(super) fn named<'a>(publish: Publish<'a>, place: &'a mut Option<Arc<str>>, topic: Option<Arc<str>>) -> Publish<'a> {
    let properties = PublishProperties { topic_alias: None, ..publish.properties };
    if topic.is_none() {
        return Publish { properties, ..publish };
    }
    *place = topic;
    Publish { topic: place.as_deref().unwrap_or_default(), properties, ..publish }
}

/// What can be read of a message that is refused.
pub(super) struct Head {
    topic: Option<String>,
    packet_id: Option<PacketId>,
}

impl Head {
    pub(super) fn of(body: &[u8], flags: u8) -> Self {
        Self { topic: topic_of(body).map(Into::into), packet_id: frame::packet_id(body, flags) }
    }

    /// Whether nothing more is to be read of it, where this is all of its body that has come.
    fn is_whole(&self, body: &[u8], span: &FrameSpan) -> bool {
        let is_enough = |len: u16| body.len() >= 2 + usize::from(len) + 2;
        span.qos() == QoS::AtMostOnce
            || self.packet_id.is_some()
            || body.first_chunk().is_some_and(|len| is_enough(u16::from_be_bytes(*len)))
    }
}

/// The Topic Name that the body of a PUBLISH begins with, if it is text.
pub(super) fn topic_of(body: &[u8]) -> Option<&str> {
    let (len, rest) = body.split_first_chunk()?;
    core::str::from_utf8(rest.get(..u16::from_be_bytes(*len).into())?).ok()
}
