//! Messages on their way from the broker: what may come, what was delivered before, and how QoS 2 ends (sections 4.3
//! and 4.9).

use alloc::sync::Arc;

use super::machine::Machine;
use crate::codec::{Ack, Packet, PacketId, PacketType, Publish, QoS, ReasonCode};
use crate::error::{Error, ProtocolError};

impl Machine {
    /// The Topic Name of a message that has nothing but an alias for it. Learns what an alias stands for.
    pub(super) fn resolve_alias(&mut self, publish: &Publish<'_>) -> Result<Option<Arc<str>>, ProtocolError> {
        match publish.properties.topic_alias {
            None => Ok(None),
            Some(alias) => self.inbound_aliases.resolve(alias, publish.topic, self.options.topic_alias_maximum),
        }
    }

    /// Takes a message in; `false` if it was delivered before.
    #[inline]
    pub(super) fn take_in(&mut self, publish: &Publish<'_>) -> Result<bool, Error> {
        // Resolved before, where any may come.
        if let Some(alias) = publish.properties.topic_alias
            && alias > self.options.topic_alias_maximum
        {
            return Err(ProtocolError::TopicAliasInvalid(alias).into());
        }
        match publish.packet_id {
            Some(id) => self.take_in_once(id, publish.qos),
            None => Ok(true),
        }
    }

    fn take_in_once(&mut self, id: PacketId, qos: QoS) -> Result<bool, Error> {
        if qos == QoS::ExactlyOnce && self.received.contains(id) {
            self.send(&Packet::Pubrec(Ack::success(id)));
            self.received.answer(id);
            return Ok(false);
        }
        if self.unacknowledged >= self.options.receive_maximum {
            return Err(ProtocolError::ReceiveMaximumExceeded.into());
        }
        self.unacknowledged += 1;
        if qos == QoS::ExactlyOnce {
            self.received.insert(id);
        }
        Ok(true)
    }

    pub(super) fn pubrel(&mut self, ack: &Ack<'_>) -> Result<(), Error> {
        let properties = &ack.properties;
        self.check_problem_information(&Packet::Pubrel(*ack), properties.reason_string, &properties.user_properties)?;
        let reason_code = match self.received.remove(ack.packet_id) {
            Some(true) => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                ReasonCode::Success
            }
            // The broker cannot know that the message has come.
            Some(false) => return Err(ProtocolError::UnexpectedPacket(PacketType::Pubrel).into()),
            None => ReasonCode::PacketIdentifierNotFound,
        };
        self.send(&Packet::Pubcomp(Ack { reason_code, ..Ack::success(ack.packet_id) }));
        Ok(())
    }
}
