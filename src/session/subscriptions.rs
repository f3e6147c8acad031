//! SUBSCRIBE and UNSUBSCRIBE, and what the broker says to them (sections 3.8 to 3.11).

use super::event::{Event, OperationId, SubscribeReason};
use super::in_flight::State;
use super::machine::Machine;
use crate::codec::{
    AckProperties, List, Packet, PacketId, ReasonCode, Suback, Subscribe, SubscribeProperties, Subscription, Unsuback,
    Unsubscribe, UnsubscribeProperties,
};
use crate::error::{self, Error, ProtocolError, RequestError};

impl Machine {
    pub(super) fn subscribe(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<OperationId, RequestError> {
        self.require_connected()?;
        self.terms.check_subscribe(subscriptions, properties.subscription_identifier.is_some())?;
        let packet_id = self.in_flight.next_id().ok_or(RequestError::WouldBlock)?;
        let packet = Packet::Subscribe(Subscribe { packet_id, properties, subscriptions: subscriptions.into() });
        self.request(packet_id, State::AwaitingSuback(subscriptions.len()), &packet)
    }

    pub(super) fn unsubscribe(
        &mut self,
        filters: &[&str],
        properties: UnsubscribeProperties<'_>,
    ) -> Result<OperationId, RequestError> {
        self.require_connected()?;
        let packet_id = self.in_flight.next_id().ok_or(RequestError::WouldBlock)?;
        let packet = Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters: filters.into() });
        self.request(packet_id, State::AwaitingUnsuback(filters.len()), &packet)
    }

    pub(super) fn suback(&mut self, suback: &Suback<'_>) -> Result<(), Error> {
        let Suback { packet_id, properties, reason_codes } = suback;
        let (id, reason) = self.answer(&Packet::Suback(*suback), *packet_id, properties, reason_codes)?;
        self.events.push_back(Event::Subscribed { id, result: Ok(reason) });
        Ok(())
    }

    pub(super) fn unsuback(&mut self, unsuback: &Unsuback<'_>) -> Result<(), Error> {
        let Unsuback { packet_id, properties, reason_codes } = unsuback;
        let (id, reason) = self.answer(&Packet::Unsuback(*unsuback), *packet_id, properties, reason_codes)?;
        self.events.push_back(Event::Unsubscribed { id, result: Ok(reason) });
        Ok(())
    }

    /// Ends what no broker will answer any more, since these packets are not sent again.
    pub(super) fn fail_requests(&mut self, error: &Error) {
        for packet_id in self.in_flight.requests() {
            let is_subscribe = matches!(self.in_flight.state(packet_id), State::AwaitingSuback(_));
            let Some(id) = self.in_flight.remove(packet_id) else { continue };
            let result = Err(error.clone());
            self.events.push_back(if is_subscribe {
                Event::Subscribed { id, result }
            } else {
                Event::Unsubscribed { id, result }
            });
        }
    }

    fn request(&mut self, packet_id: PacketId, state: State, packet: &Packet<'_>) -> Result<OperationId, RequestError> {
        let len = packet.encoded_len_from_client().map_err(RequestError::Invalid)?;
        self.terms.check_size(len)?;
        if !self.outbound.has_room(len, self.options.outbound_limit) {
            return Err(RequestError::WouldBlock);
        }
        packet.encode_from_client(self.outbound.appender(len)).map_err(RequestError::Invalid)?;
        let operation = self.next_operation();
        self.in_flight.insert(packet_id, state, operation, |_| {});
        Ok(operation)
    }

    fn answer(
        &mut self,
        packet: &Packet<'_>,
        packet_id: PacketId,
        properties: &AckProperties<'_>,
        reason_codes: &List<'_, ReasonCode>,
    ) -> Result<(OperationId, SubscribeReason), ProtocolError> {
        self.check_problem_information(packet, properties.reason_string, &properties.user_properties)?;
        let unknown = ProtocolError::UnknownPacketId(packet.packet_type());
        let filters = match (packet, self.in_flight.state(packet_id)) {
            (Packet::Suback(_), State::AwaitingSuback(filters)) => filters,
            (Packet::Unsuback(_), State::AwaitingUnsuback(filters)) => filters,
            _ => return Err(unknown),
        };
        if reason_codes.iter().count() != filters {
            return Err(ProtocolError::ReasonCodeCount);
        }
        let operation = self.in_flight.remove(packet_id).ok_or(unknown)?;
        let reason = SubscribeReason {
            reason_codes: reason_codes.iter().collect(),
            reason_string: properties.reason_string.map(Into::into),
            user_properties: error::owned(&properties.user_properties),
        };
        Ok((operation, reason))
    }
}
