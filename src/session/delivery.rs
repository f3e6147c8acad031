//! Messages on their way from the broker: what may come, what was delivered before, and how QoS 2 ends (sections 4.3 and
//! 4.9).

use alloc::sync::Arc;

use super::machine::Machine;
use crate::codec::{Ack, Packet, Publish, QoS, ReasonCode};
use crate::error::{Error, ProtocolError};

/// A message that may come.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Whether it was not delivered before.
    pub(super) is_new: bool,
    /// Its Topic Name, where it has nothing but an alias for it.
    pub(super) topic: Option<Arc<str>>,
}

impl Machine {
    /// Takes a message in.
    pub(super) fn admit(&mut self, publish: &Publish<'_>) -> Result<Admitted, Error> {
        let topic = self.inbound_aliases.resolve(publish, self.options.topic_alias_maximum)?;
        let Some(id) = publish.packet_id else { return Ok(Admitted { is_new: true, topic }) };
        if publish.qos == QoS::ExactlyOnce && self.received.contains(id) {
            self.send(&Packet::Pubrec(Ack::success(id)));
            return Ok(Admitted { is_new: false, topic });
        }
        if self.unacknowledged >= self.options.receive_maximum {
            return Err(ProtocolError::ReceiveMaximumExceeded.into());
        }
        self.unacknowledged += 1;
        if publish.qos == QoS::ExactlyOnce {
            self.received.insert(id);
        }
        Ok(Admitted { is_new: true, topic })
    }

    pub(super) fn pubrel(&mut self, ack: &Ack<'_>) -> Result<(), Error> {
        let properties = &ack.properties;
        self.check_problem_information(&Packet::Pubrel(*ack), properties.reason_string, &properties.user_properties)?;
        let reason_code = if self.received.remove(ack.packet_id) {
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        self.send(&Packet::Pubcomp(Ack { reason_code, ..Ack::success(ack.packet_id) }));
        Ok(())
    }
}
