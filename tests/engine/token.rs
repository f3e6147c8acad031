//! An authenticator that fails where the story wants it to.

use std::sync::{Arc, Mutex};

use mqtt_wasi::codec::ConnackProperties;
use mqtt_wasi::codec::{Auth, AuthProperties, Packet, ReasonCode};
use mqtt_wasi::{Authenticator, Options};

use crate::scenario::options;

pub(crate) const METHOD: &str = "TOKEN";

/// What an authenticator is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Start,
    Challenge,
    Finish,
}

/// Fails at one question, or at none. Its clones do the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Token(Arc<Mutex<Option<Question>>>);

impl Token {
    pub(crate) fn fails_at(&self, question: Question) {
        *self.0.lock().expect("nobody panics with it") = Some(question);
    }

    pub(crate) fn fails_no_more(&self) {
        *self.0.lock().expect("nobody panics with it") = None;
    }

    fn says(&self, question: Question, what: &[u8]) -> Result<Vec<u8>, String> {
        let fails = *self.0.lock().expect("nobody panics with it") == Some(question);
        if fails { Err(format!("{question:?} is too much")) } else { Ok(what.to_vec()) }
    }
}

impl Authenticator for Token {
    fn method(&self) -> &str {
        METHOD
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.says(Question::Start, b"token").map(Some)
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        self.says(Question::Challenge, challenge)
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        self.says(Question::Finish, b"").map(drop)
    }
}

/// The usual options, with this authenticator.
pub(crate) fn options_with(token: &Token) -> Options {
    options().authenticator(token.clone())
}

/// What CONNACK has for whoever authenticates.
pub(crate) fn terms() -> ConnackProperties<'static> {
    ConnackProperties { authentication_method: Some(METHOD), ..ConnackProperties::default() }
}

/// AUTH with this Authentication Data.
pub(crate) fn auth(reason_code: ReasonCode, data: &str) -> Packet<'_> {
    let properties = AuthProperties {
        authentication_method: Some(METHOD),
        authentication_data: (!data.is_empty()).then_some(data.as_bytes()),
        ..AuthProperties::default()
    };
    Packet::Auth(Auth { reason_code, properties })
}
