//! Enhanced authentication: challenge and answer before CONNACK, and again whenever the client likes (section 4.12).
//!
//! ```text
//!            connect, authenticate_again                AUTH 0x18
//!   Idle ───────────────────────────────► BrokersTurn ────────────► UsersTurn
//!    ▲                                     │        ▲                   │
//!    └─────────────────────────────────────┘        └───────────────────┘
//!         CONNACK, AUTH 0x00 (done)                   answer_challenge
//! ```

use alloc::borrow::ToOwned;
use alloc::string::String;

use super::Status;
use super::event::{Challenge, Event};
use super::machine::Machine;
use crate::codec::{Auth, AuthProperties, Connack, Disconnect, Packet, PacketType, ReasonCode};
use crate::error::{CallError, Error, ProtocolError};
use crate::message::owned;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nobody authenticates.
    #[default]
    Idle,
    Broker,
    User,
}

impl Machine {
    /// CONNECT was sent.
    pub(super) fn start_authentication(&mut self) {
        self.turn = if self.options.authentication_method.is_some() { Turn::Broker } else { Turn::Idle };
    }

    /// CONNACK came, with Success.
    pub(super) fn end_authentication(&mut self, connack: &Connack<'_>) -> Result<(), ProtocolError> {
        self.check_method(connack.properties.authentication_method)?;
        if self.turn == Turn::User {
            return Err(ProtocolError::UnexpectedPacket(PacketType::Connack));
        }
        self.turn = Turn::Idle;
        Ok(())
    }

    pub(super) fn auth(&mut self, auth: &Auth<'_>) -> Result<(), Error> {
        let properties = &auth.properties;
        self.check_method(properties.authentication_method)?;
        self.check_problem_information(&Packet::Auth(*auth), properties.reason_string, &properties.user_properties)?;
        let challenge = || Challenge {
            data: properties.authentication_data.map(ToOwned::to_owned),
            reason_string: properties.reason_string.map(ToOwned::to_owned),
            user_properties: owned(&properties.user_properties),
        };
        match (auth.reason_code, self.turn, self.status) {
            (ReasonCode::ContinueAuthentication, Turn::Broker, _) => {
                self.turn = Turn::User;
                self.events.push_back(Event::Challenged(challenge()));
                Ok(())
            }
            // Before CONNACK, that is what tells of success.
            (ReasonCode::Success, Turn::Broker, Status::Connected) => {
                self.turn = Turn::Idle;
                self.events.push_back(Event::Authenticated(challenge()));
                Ok(())
            }
            _ => Err(ProtocolError::UnexpectedPacket(PacketType::Auth).into()),
        }
    }

    pub(super) fn answer_challenge(&mut self, data: &[u8]) -> Result<(), CallError> {
        self.send_auth(Turn::User, ReasonCode::ContinueAuthentication, Some(data))
    }

    pub(super) fn authenticate_again(&mut self, data: Option<&[u8]>) -> Result<(), CallError> {
        self.require_connected()?;
        self.send_auth(Turn::Idle, ReasonCode::ReAuthenticate, data)
    }

    /// The user has no answer, or does not trust the broker: the connection ends `[MQTT-4.12.1-2]`.
    pub(super) fn fail_authentication(&mut self, why: String) {
        if self.status == Status::Connected || self.awaits_trust {
            self.send(&Packet::Disconnect(Disconnect::new(ReasonCode::UnspecifiedError)));
        }
        self.fail(Error::Authentication(why));
    }

    fn send_auth(&mut self, turn: Turn, reason_code: ReasonCode, data: Option<&[u8]>) -> Result<(), CallError> {
        if !self.status.is_open() {
            return Err(CallError::NotConnected);
        }
        let method = self.options.authentication_method.as_deref();
        if method.is_none() || self.turn != turn {
            return Err(CallError::NothingToAuthenticate);
        }
        let properties =
            AuthProperties { authentication_method: method, authentication_data: data, ..Default::default() };
        let packet = Packet::Auth(Auth { reason_code, properties });
        let len = packet.encoded_len_from_client().map_err(CallError::Invalid)?;
        if self.status == Status::Connected {
            self.terms.check_size(len)?;
        }
        packet.encode_from_client(self.outbound.appender(len));
        self.turn = Turn::Broker;
        Ok(())
    }

    /// Fails unless the broker names the method of CONNECT, or none if CONNECT had none `[MQTT-4.12.0-5]`
    /// `[MQTT-4.12.0-6]`.
    fn check_method(&self, method: Option<&str>) -> Result<(), ProtocolError> {
        let is_ours = method == self.options.authentication_method.as_deref();
        if is_ours { Ok(()) } else { Err(ProtocolError::AuthenticationMethod) }
    }
}
