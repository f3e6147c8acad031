//! The state machine proper: what each call, packet and point in time does to the connection and the session.
//!
//! It sees packets one by one and never the buffer they are borrowed from, which [`Session`](super::Session) keeps.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use super::Status;
use super::acknowledge::Held;
use super::alias::{InboundAliases, OutboundAliases};
use super::authenticate::Turn;
use super::delivery::Refusal;
use super::event::{Event, OperationId};
use super::in_flight::InFlight;
use super::keep_alive::{Due, KeepAlive};
use super::options::SessionOptions;
use super::outbound::Outbound;
use super::received_ids::ReceivedIds;
use super::request::Requests;
use super::stats::Stats;
use super::subscriptions::Subscriptions;
use super::terms::Terms;
use crate::codec::{
    Disconnect, EncodeError, EncodeErrorKind, Packet, PacketId, PacketType, PropertyId, ReasonCode, UserProperties,
};
use crate::error::{CallError, Error, ProtocolError, Reason};
use crate::time::{Instant, soonest};

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) options: SessionOptions,
    pub(super) status: Status,
    pub(super) outbound: Outbound,
    /// A ring, since there may be one for each message.
    pub(super) events: VecDeque<Event>,

    pub(super) terms: Terms,
    pub(super) connect_deadline: Option<Instant>,
    pub(super) keep_alive: KeepAlive,
    /// Whose turn it is to authenticate.
    pub(super) turn: Turn,
    /// Whether the user says of each broker if it is to be trusted.
    pub(super) checks_brokers: bool,
    /// Whether CONNACK came, and the user has not decided.
    pub(super) awaits_trust: bool,
    /// Whether packets are taken: the connection is open, and no broker awaits trust.
    pub(super) listens: bool,

    /// The Client Identifier that the broker assigned.
    pub(super) assigned_client_id: Option<String>,
    /// Whether a connection was made before, by this process or an earlier one, so that there is a session to continue.
    pub(super) has_session: bool,
    /// Whether a connection ended between CONNECT and CONNACK: the broker may have begun a new session then, and the
    /// next CONNACK tells only that there is one.
    pub(super) is_in_doubt: bool,
    /// Whether the next connection makes the broker forget the session.
    pub(super) starts_clean: bool,
    /// How many packets had come before this connection.
    pub(super) packets_before: u64,
    /// Whether one was made by this process.
    pub(super) was_connected: bool,

    pub(super) in_flight: InFlight,
    /// Where the stream of this connection begins, behind CONNECT.
    pub(super) stream_start: u64,
    /// The first message of the last connection that was not sent again yet; later ones follow it.
    pub(super) resend: Option<PacketId>,
    /// Whether each of them waits for the answer to the one before.
    pub(super) resends_one_by_one: bool,
    next_operation: u64,
    /// Messages at QoS 0 that the last connection ended before: packets one behind the other.
    pub(super) unsent: Vec<u8>,
    /// How long the first of them is, if it was sent in part, and how many connections in a row ended within it.
    pub(super) cut: (usize, u32),

    pub(super) subscriptions: Subscriptions,

    pub(super) requests: Requests,
    /// Whether what is published is a request.
    pub(super) is_requesting: bool,
    /// What the broker says Response Topics are made of.
    pub(super) response_information: Option<String>,

    /// How many messages at QoS 1 and 2 the broker sent on this connection that are not acknowledged.
    pub(super) unacknowledged: u16,
    /// QoS 2 messages that were received and not released: their Packet Identifiers.
    pub(super) received: ReceivedIds,
    /// What messages were refused for.
    pub(super) refusals: Vec<Refusal>,

    /// Messages that the user acknowledges by hand, and what waits behind them.
    pub(super) held: Held,

    pub(super) inbound_aliases: InboundAliases,
    pub(super) outbound_aliases: OutboundAliases,

    pub(super) stats: Stats,
    /// The message whose payload is being streamed to the broker.
    #[cfg(feature = "stream")]
    pub(super) streaming: Option<super::stream::Streaming>,
    /// What has changed since it was written to the store.
    #[cfg(feature = "store")]
    pub(super) journal: super::store::Journal,
}

impl Machine {
    pub(super) fn new(mut options: SessionOptions) -> Self {
        let snapshot = options.resume.take();
        #[cfg(feature = "store")]
        let stored = options.stored.take();
        let mut machine = Self {
            options,
            status: Status::Disconnected,
            outbound: Outbound::default(),
            events: VecDeque::new(),
            terms: Terms::default(),
            connect_deadline: None,
            keep_alive: KeepAlive::default(),
            turn: Turn::default(),
            checks_brokers: false,
            awaits_trust: false,
            listens: false,
            assigned_client_id: None,
            has_session: false,
            is_in_doubt: false,
            starts_clean: false,
            packets_before: 0,
            was_connected: false,
            in_flight: InFlight::default(),
            stream_start: 0,
            resend: None,
            resends_one_by_one: false,
            next_operation: 0,
            unsent: Vec::new(),
            cut: (0, 0),
            subscriptions: Subscriptions::default(),
            requests: Requests::default(),
            is_requesting: false,
            response_information: None,
            unacknowledged: 0,
            received: ReceivedIds::default(),
            refusals: Vec::new(),
            held: Held::default(),
            inbound_aliases: InboundAliases::default(),
            outbound_aliases: OutboundAliases::default(),
            stats: Stats::default(),
            #[cfg(feature = "stream")]
            streaming: None,
            #[cfg(feature = "store")]
            journal: super::store::Journal::default(),
        };
        if let Some(snapshot) = snapshot {
            snapshot.restore(&mut machine);
        }
        #[cfg(feature = "store")]
        if let Some(stored) = stored {
            machine.keep_in_store(&stored);
        }
        machine
    }

    /// The Client Identifier that CONNECT has.
    pub(super) fn client_id(&self) -> &str {
        self.assigned_client_id.as_deref().unwrap_or(&self.options.client_id)
    }

    /// Fails for a packet that must not come now, whatever it says: before CONNACK nothing else may but AUTH, and after
    /// it neither another one nor what only clients send. AUTH must not come if CONNECT did not ask for it
    /// `[MQTT-4.12.0-6]`.
    pub(super) fn expect(&self, packet_type: PacketType) -> Result<(), ProtocolError> {
        use PacketType::{Auth, Connack, Connect, Pingreq, Subscribe, Unsubscribe};
        let is_expected = match (packet_type, self.status) {
            (Auth, _) => self.options.authentication_method.is_some(),
            (_, Status::Connecting) => packet_type == Connack,
            _ => !matches!(packet_type, Connack | Connect | Subscribe | Unsubscribe | Pingreq),
        };
        if is_expected { Ok(()) } else { Err(ProtocolError::UnexpectedPacket(packet_type)) }
    }

    /// Takes any packet but PUBLISH.
    pub(super) fn handle(&mut self, packet: Packet<'_>) -> Result<(), Error> {
        match packet {
            Packet::Connack(connack) => self.connack(&connack),
            Packet::Puback(ack) => self.puback(&ack),
            Packet::Pubrec(ack) => self.pubrec(&ack),
            Packet::Pubrel(ack) => self.pubrel(&ack),
            Packet::Pubcomp(ack) => self.pubcomp(&ack),
            Packet::Suback(suback) => self.suback(&suback),
            Packet::Unsuback(unsuback) => self.unsuback(&unsuback),
            Packet::Disconnect(disconnect) => self.server_disconnect(&disconnect),
            Packet::Pingresp => {
                self.keep_alive.ping_answered(|place| self.outbound.sent_since(place));
                Ok(())
            }
            Packet::Auth(auth) => self.auth(&auth),
            Packet::Connect(_)
            | Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq => Err(ProtocolError::UnexpectedPacket(packet.packet_type()).into()),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, is_behind: bool) {
        if self.connect_deadline.is_some_and(|deadline| now >= deadline) {
            self.fail(Error::ConnectTimeout);
        }
        self.expire_requests(now);
        #[cfg(feature = "stream")]
        if self.outbound.awaits_payload() {
            return self.wait_for_payload(now, is_behind);
        }
        match self.keep_alive.due(now, is_behind, self.outbound.is_overrun()) {
            Due::Nothing => {}
            Due::Ping => {
                self.send(&Packet::Pingreq);
                self.keep_alive.pinged(now, self.outbound.end());
            }
            Due::GiveUp => self.fail(Error::KeepAliveTimeout),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        #[cfg(not(feature = "stream"))]
        let connection = self.connect_deadline.or(self.keep_alive.deadline());
        #[cfg(feature = "stream")]
        let connection = self.connect_deadline.or_else(|| match self.outbound.awaits_payload() {
            true => self.keep_alive.deadline_within_message(),
            false => self.keep_alive.deadline(),
        });
        soonest(connection, self.requests.deadline())
    }

    pub(super) fn transmitted(&mut self, len: usize, now: Instant) {
        self.outbound.transmitted(len);
        self.stats.bytes_sent += len as u64;
        let is_stalled = !self.outbound.pending().is_empty();
        self.keep_alive.sent(len, is_stalled, now, |place| self.outbound.has_sent(place));
        #[cfg(feature = "stream")]
        self.note_streamed();
        self.restore_subscriptions();
        self.send_again();
    }

    pub(super) fn disconnect(&mut self, disconnect: &Disconnect<'_>) -> Result<(), CallError> {
        self.require_connected()?;
        if !disconnect.reason_code.is_for_clients_to_disconnect_with() {
            let (kind, field) = (EncodeErrorKind::InvalidReasonCode, "Reason Code");
            return Err(CallError::Invalid(EncodeError { kind, field }));
        }
        let ends_with_connection = self.options.session_expiry_interval == 0;
        if ends_with_connection && disconnect.properties.session_expiry_interval.is_some_and(|seconds| seconds != 0) {
            // A session that CONNECT said to end with the connection cannot be kept after all (section 3.14.2.2.2).
            return Err(CallError::PropertyNotAllowed(PropertyId::SessionExpiryInterval));
        }
        let packet = Packet::Disconnect(*disconnect);
        self.terms.check_size(packet.encoded_len_from_client().map_err(CallError::Invalid)?)?;
        self.send(&packet);
        self.end(Status::Closing, &Error::ConnectionClosed);
        Ok(())
    }

    /// Ends the connection because of `error`, telling the broker why if there is a Reason Code for it
    /// `[MQTT-4.13.1-1]`.
    pub(super) fn fail(&mut self, error: Error) {
        if !self.status.is_open() {
            return;
        }
        #[cfg(feature = "stream")]
        self.lose_streams(&error);
        if let Some(reason_code) = error.reason_code() {
            self.send(&Packet::Disconnect(Disconnect::new(reason_code)));
        }
        self.suspect_a_message(&error);
        self.forget_refusals(&error);
        self.events.push_back(Event::Disconnected(error.clone()));
        self.end(Status::Closing, &error);
    }

    /// Notes that there is no network connection any more, because of `error` if it was not expected.
    pub(super) fn closed(&mut self, error: Error) {
        #[cfg(feature = "stream")]
        {
            self.lose_streams(&error);
            self.outbound.take_out_streamed();
        }
        let given_up = self.keep_unsent(&error);
        self.outbound.clear();
        self.suspect_a_message(&error);
        if self.status.is_open() {
            self.forget_refusals(&error);
            self.events.push_back(Event::Disconnected(error.clone()));
        }
        given_up.into_iter().for_each(|event| self.events.push_back(event));
        self.end(Status::Disconnected, &error);
    }

    pub(super) fn require_connected(&self) -> Result<(), CallError> {
        if self.status == Status::Connected { Ok(()) } else { Err(CallError::NotConnected) }
    }

    /// Fails for problem information that the client said it does not want `[MQTT-3.1.2-29]`.
    pub(super) fn check_problem_information(
        &self,
        packet: &Packet<'_>,
        reason_string: Option<&str>,
        user_properties: &UserProperties<'_>,
    ) -> Result<(), ProtocolError> {
        if self.options.request_problem_information || (reason_string.is_none() && user_properties.is_empty()) {
            return Ok(());
        }
        Err(ProtocolError::ProblemInformationNotRequested(packet.packet_type()))
    }

    /// Sends a packet of the session's own making, which is no larger than any broker takes that the session keeps a
    /// connection to.
    pub(super) fn send(&mut self, packet: &Packet<'_>) {
        let pushed = self.outbound.push(packet);
        debug_assert_eq!(pushed, Ok(()), "the session's own packets are valid");
    }

    pub(super) const fn next_operation(&mut self) -> OperationId {
        self.next_operation += 1;
        let id = OperationId(self.next_operation);
        if self.is_requesting { id.of_a_request() } else { id }
    }

    /// What [`Machine::next_operation`] will return.
    pub(super) const fn peek_operation(&self) -> OperationId {
        OperationId(self.next_operation + 1)
    }

    /// Notes that the first `count` are taken.
    pub(super) const fn skip_operations(&mut self, count: u64) {
        self.next_operation += count;
    }

    fn server_disconnect(&mut self, disconnect: &Disconnect<'_>) -> Result<(), Error> {
        let properties = &disconnect.properties;
        if properties.session_expiry_interval.is_some() {
            return Err(ProtocolError::PropertyNotAllowed(PropertyId::SessionExpiryInterval).into());
        }
        if disconnect.reason_code == ReasonCode::DisconnectWithWillMessage {
            // Only clients have one.
            return Err(ProtocolError::UnexpectedPacket(PacketType::Disconnect).into());
        }
        let reason = Reason::new(
            disconnect.reason_code,
            properties.reason_string,
            properties.server_reference,
            &properties.user_properties,
        );
        self.closed(Error::Disconnected(reason.into()));
        Ok(())
    }

    /// Leaves the open states: no timer runs on, and requests that the broker will never answer fail.
    fn end(&mut self, status: Status, error: &Error) {
        if self.status == Status::Connecting && !matches!(error, Error::ConnectionRefused(_)) {
            self.is_in_doubt = true;
        }
        self.status = status;
        self.connect_deadline = None;
        self.keep_alive.stop();
        self.resend = None;
        self.turn = Turn::Idle;
        (self.awaits_trust, self.listens) = (false, false);
        self.held.expire();
        self.fail_requests(error);
    }
}
