//! Messages on their way from the broker: what may come, what was delivered before, and how QoS 2 ends (sections 4.3
//! and 4.9).

use alloc::string::String;
use alloc::sync::Arc;

use super::event::Event;
use super::machine::Machine;
use crate::codec::{Ack, Packet, PacketId, PacketType, Publish, QoS, ReasonCode};
use crate::error::{Error, ProtocolError};

/// As many kinds of refusals are told apart. A broker that finds more of them is told of less often.
const MOST_REFUSALS: usize = 16;

/// What was wrong with a message that was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    error: Error,
    topic: Option<String>,
    /// How many were refused for this: over this connection, or over as many as ended for it in a row.
    pub(super) times: u32,
}

impl Refusal {
    /// Whether a message was refused for this.
    pub(super) fn is_for(&self, error: &Error) -> bool {
        match (&self.error, error) {
            (Error::Malformed(known), Error::Malformed(error)) => known == error,
            (Error::Protocol(known), Error::Protocol(error)) => known == error,
            _ => false,
        }
    }
}

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

    pub(super) fn take_in_once(&mut self, id: PacketId, qos: QoS) -> Result<bool, Error> {
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

    /// Takes in a message that is refused; `false` if it was delivered before, and is acknowledged again.
    pub(super) fn take_in_refused(&mut self, id: PacketId, qos: QoS) -> Result<bool, Error> {
        let is_new = self.take_in_once(id, qos)?;
        if is_new {
            // With its refusal it is over: the identifier may be used for another message.
            self.received.remove(id);
        }
        Ok(is_new)
    }

    /// Tells that a message is refused.
    pub(super) fn note_refusal(&mut self, topic: Option<String>, error: Error, is_skipped: bool) {
        let is_known = |known: &Refusal| known.is_for(&error) && known.topic == topic;
        let times = match self.refusals.iter_mut().find(|known| is_known(known)) {
            Some(known) => &mut known.times,
            None => {
                let is_full = self.refusals.len() == MOST_REFUSALS;
                let times = self.refusals.pop_if(|_| is_full).map_or(0, |last| last.times);
                self.refusals.push(Refusal { error: error.clone(), topic: topic.clone(), times });
                let last = self.refusals.len() - 1;
                &mut self.refusals[last].times
            }
        };
        *times = times.saturating_add(1);
        let times = *times;
        self.stats.skipped += u64::from(is_skipped);
        // The end of the connection tells of the first.
        if times.is_power_of_two() && (is_skipped || times > 1) {
            self.events.push_back(Event::MessageRefused { topic, error, times, is_skipped });
        }
    }

    /// The connection has ended for this reason: only messages that are refused for it again are so in a row.
    pub(super) fn forget_refusals(&mut self, error: &Error) {
        self.refusals.retain(|refusal| refusal.is_for(error));
    }

    /// Ends the connection because of a message, or because of how many there are.
    #[cold]
    pub(super) fn fail_message(&mut self, topic: Option<&str>, error: Error) {
        if !matches!(error, Error::Protocol(ProtocolError::ReceiveMaximumExceeded)) {
            self.note_refusal(topic.map(Into::into), error.clone(), false);
        }
        self.fail(error);
    }

    pub(super) fn pubrel(&mut self, ack: &Ack<'_>) -> Result<(), Error> {
        let properties = &ack.properties;
        self.check_problem_information(&Packet::Pubrel(*ack), properties.reason_string, &properties.user_properties)?;
        let reason_code = match self.received.remove(ack.packet_id) {
            Some(true) => {
                #[cfg(feature = "store")]
                self.journal.released(ack.packet_id);
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
