//! From CONNECT to CONNACK: a new connection, and what becomes of the session (sections 3.1 and 3.2).

use alloc::borrow::ToOwned;

use super::Status;
use super::event::Event;
use super::machine::Machine;
use super::terms::{SMALLEST_MAXIMUM_PACKET_SIZE, Terms};
use crate::codec::{Connack, Packet, ReasonCode};
use crate::error::{CallError, Error, ProtocolError, Reason};
use crate::time::Instant;

impl Machine {
    /// Puts CONNECT into the outbound stream.
    pub(super) fn connect(&mut self, now: Instant) -> Result<(), CallError> {
        self.outbound.clear();
        self.inbound_aliases.clear();
        self.outbound_aliases.clear();
        if core::mem::take(&mut self.starts_clean) {
            (self.has_session, self.options.clean_start) = (false, true);
        }
        let client_id = self.assigned_client_id.as_deref().unwrap_or(&self.options.client_id);
        let clean_start = self.options.clean_start && !self.has_session;
        let outbound = &mut self.outbound;
        self.options
            .with_connect(client_id, clean_start, |connect| outbound.push(&Packet::Connect(*connect)))
            .map_err(CallError::InvalidOptions)?;
        self.status = Status::Connecting;
        self.packets_before = self.stats.packets_received;
        self.listens = true;
        self.connect_deadline = Some(now + self.options.connect_timeout);
        self.unacknowledged = 0;
        self.start_authentication();
        Ok(())
    }

    pub(super) fn connack(&mut self, connack: &Connack<'_>) -> Result<(), Error> {
        let properties = &connack.properties;
        if connack.reason_code != ReasonCode::Success {
            let reason = Reason::new(
                connack.reason_code,
                properties.reason_string,
                properties.server_reference,
                &properties.user_properties,
            );
            self.closed(Error::ConnectionRefused(reason.into()));
            return Ok(());
        }
        self.end_authentication(connack)?;
        if properties.assigned_client_identifier == Some("") {
            return Err(ProtocolError::EmptyClientIdentifier.into());
        }
        if connack.session_present && !self.has_session {
            // The broker kept what this side has no state for `[MQTT-3.2.2-2]` `[MQTT-3.2.2-4]`.
            if self.options.clean_start {
                return Err(ProtocolError::UnexpectedSession.into());
            }
            if !self.options.adopt_session {
                return Err(ProtocolError::UnknownSession.into());
            }
        }
        if let Some(maximum) = properties.maximum_packet_size.filter(|&most| most < SMALLEST_MAXIMUM_PACKET_SIZE) {
            // Not even DISCONNECT with a reason may be sent `[MQTT-3.2.2-15]`.
            let size = SMALLEST_MAXIMUM_PACKET_SIZE as usize;
            self.closed(CallError::PacketTooLarge { size, maximum }.into());
            return Ok(());
        }
        (self.awaits_trust, self.listens) = (self.checks_brokers, !self.checks_brokers);
        self.events.push_back(Event::Connected { session_present: connack.session_present });
        if !self.awaits_trust {
            self.accept(connack);
        }
        Ok(())
    }

    /// The broker is to be trusted.
    pub(super) fn accept(&mut self, connack: &Connack<'_>) {
        (self.awaits_trust, self.listens) = (false, true);
        let properties = &connack.properties;
        self.terms = Terms::new(connack);
        self.response_information = properties.response_information.map(ToOwned::to_owned);
        // One that is assigned to a client with a Client Identifier of its own is ignored: the session is under its own
        // (section 3.2.2.3.7).
        if let Some(assigned) = properties.assigned_client_identifier
            && self.client_id().is_empty()
        {
            self.assigned_client_id = Some(assigned.to_owned());
        }
        for id in self.held.undelivered() {
            // The broker sends it again, and the user gets it again.
            self.received.remove(id);
        }
        self.held.clear();
        if !connack.session_present {
            #[cfg(feature = "store")]
            self.forget_delivered();
            self.received.clear();
        }
        self.status = Status::Connected;
        self.stats.reconnects += u64::from(core::mem::replace(&mut self.was_connected, true));
        #[cfg(feature = "store")]
        self.note_session();
        self.has_session = true;
        self.connect_deadline = None;
        self.keep_alive.start(properties.server_keep_alive.unwrap_or(self.options.keep_alive));
        self.stream_start = self.outbound.end();
        self.start_again(connack.session_present);
    }
}
