//! What a session tells of itself.

use alloc::vec::Vec;

use super::receive::Origin;
use super::{ConnectionInfo, OperationId, Session, Snapshot, Stats, Status};
use crate::codec::{Connack, Packet, PacketType};
use crate::error::Error;
use crate::message::Message;

/// A QoS 1 or 2 message that is in flight to the broker.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::session::{InFlightMessage, Session};
/// use mqtt_wasi::Options;
///
/// let mut session = Session::new(Options::new());
/// session.connect(network.now())?;
/// network.exchange(&mut session);
/// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
/// let InFlightMessage { message, attempts, .. } = session.messages_in_flight().remove(0);
/// assert_eq!((message.payload.as_slice(), attempts), (&b"21.5"[..], 1));
/// # Ok::<(), mqtt_wasi::CallError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlightMessage {
    /// Its number, for [`Session::give_up_message`]. A session uses each number once.
    pub id: u64,
    /// The message. It has no topic and no payload where the broker has the message, and only the end of its delivery
    /// at QoS 2 is missing.
    pub message: Message,
    /// How many times it was sent.
    pub attempts: u32,
}

impl Session {
    /// Where the session stands with its connection.
    ///
    /// ```
    /// use mqtt_wasi::session::{Session, Status};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(Instant::ZERO)?;
    /// assert_eq!(session.status(), Status::Connecting);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn status(&self) -> Status {
        self.machine.status
    }

    /// From now on a broker that has sent CONNACK is told nothing and listened to no more, until it is
    /// [trusted](Session::trust).
    pub(crate) const fn check_brokers(&mut self) {
        self.machine.checks_brokers = true;
    }

    /// The broker that has sent CONNACK is to be trusted.
    pub(crate) fn trust(&mut self) {
        if self.machine.awaits_trust
            && let Ok(Some(Packet::Connack(connack))) =
                Packet::decode_from_server(PacketType::Connack, 0, &self.connack, self.machine.options.decode)
        {
            let is_present = connack.session_present;
            self.machine.accept(&connack);
            self.take_up_session(is_present);
        }
    }

    /// The CONNACK of this connection, or of the last one. `None` before the first.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let connack = session.connack().expect("the broker answered");
    /// assert_eq!(connack.properties.topic_alias_maximum, Some(8));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn connack(&self) -> Option<Connack<'_>> {
        match Packet::decode_from_server(PacketType::Connack, 0, &self.connack, self.machine.options.decode) {
            Ok(Some(Packet::Connack(connack))) => Some(connack),
            _ => None,
        }
    }

    /// What the broker sent in CONNACK, with the specification's defaults where it sent nothing.
    /// `None` before the first connection.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::{Options, QoS};
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let info = session.connection_info().expect("the broker answered");
    /// assert_eq!((info.maximum_qos, info.topic_alias_maximum), (QoS::ExactlyOnce, 8));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        self.connack().map(|connack| ConnectionInfo::new(self.client_id(), &connack))
    }

    /// The same, with what holds where a broker says nothing before there was one.
    #[cfg(all(feature = "component", target_arch = "wasm32"))]
    pub(crate) fn connection_info_or_default(&self) -> ConnectionInfo {
        ConnectionInfo::new(self.client_id(), &self.connack().unwrap_or_default())
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// assert_eq!(session.client_id(), "");
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// assert_eq!(session.client_id(), "assigned-0");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.machine.client_id()
    }

    /// How many QoS 1 and 2 messages are in flight to the broker.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// assert_eq!(session.in_flight(), 1);
    /// network.exchange(&mut session);
    /// assert_eq!(session.in_flight(), 0);
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.machine.in_flight.messages() as usize
    }

    /// The QoS 1 and 2 messages that are in flight to the broker: those whose PUBREL was sent first, then the others in
    /// the order they were sent.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let in_flight = session.messages_in_flight();
    /// assert_eq!((in_flight[0].message.topic.as_str(), in_flight[0].attempts), ("sensors/kitchen", 1));
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn messages_in_flight(&self) -> Vec<InFlightMessage> {
        let in_flight = &self.machine.in_flight;
        let mut list = Vec::new();
        for id in in_flight.messages_in_order() {
            list.push(InFlightMessage {
                id: in_flight.operation(id).unwrap_or_default().number(),
                message: self.machine.message_in_flight(id).into(),
                attempts: in_flight.attempts(id),
            });
        }
        list
    }

    /// Gives up a message of [`Session::messages_in_flight`]: it is not sent again. Its call fails with
    /// [`Error::GivenUp`]. What the broker has of the message stays there. `false` if it is not in flight any more.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let id = session.messages_in_flight()[0].id;
    /// assert!(session.give_up_message(id));
    /// assert_eq!(session.in_flight(), 0);
    /// assert!(!session.give_up_message(id), "it was given up before");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    pub fn give_up_message(&mut self, id: u64) -> bool {
        self.machine.give_up_by_hand(OperationId::from_number(id))
    }

    /// How many messages in a row the client had to refuse for this reason.
    pub(crate) fn refusals_for(&self, error: &Error) -> u32 {
        let refusals = self.machine.refusals.iter().filter(|refusal| refusal.is_for(error));
        refusals.map(|refusal| refusal.times).max().unwrap_or(0)
    }

    /// Counters over all connections of this session.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let mut session = Session::new(Options::new());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// let stats = session.stats();
    /// assert_eq!((stats.packets_sent, stats.packets_received), (1, 1), "CONNECT and CONNACK");
    /// # Ok::<(), mqtt_wasi::CallError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            packets_sent: self.machine.outbound.packets(),
            in_flight: self.in_flight(),
            pending_requests: self.machine.requests.pending(),
            ping_round_trip: self.machine.keep_alive.round_trip(),
            ..self.machine.stats
        }
    }

    /// The session as bytes, for a later process to continue: see [`Options::resume`](crate::Options::resume). It holds
    /// the messages in flight, QoS 0 messages that were not sent, the state of QoS 2, and the subscriptions (section
    /// 4.1). It holds no password, and of the options only the Client Identifier.
    ///
    /// Messages that were not received are not in it: the broker sends them again at QoS 1 and 2. A snapshot that is
    /// stored before [`Session::transmit`] is sent keeps QoS 2 at exactly once over processes. An older one makes it at
    /// least once.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::session::{Session, Snapshot};
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(3600);
    /// let mut session = Session::new(options.clone());
    /// session.connect(network.now())?;
    /// network.exchange(&mut session);
    /// session.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let bytes = session.snapshot();
    ///
    /// // In a later process:
    /// let session = Session::new(options.resume(Snapshot::from_bytes(&bytes)?));
    /// assert_eq!(session.in_flight(), 1, "it is sent once there is a connection");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut undelivered = Vec::new();
        for waiting in self.backlog.iter() {
            if waiting.origin != Origin::LostSession && waiting.span.is_exactly_once() {
                undelivered.extend(self.reader.packet_id(&waiting.span));
            }
        }
        for id in self.machine.held.undelivered() {
            undelivered.push(id);
        }
        Snapshot::write(&self.machine, self.client_id(), &undelivered)
    }
}
