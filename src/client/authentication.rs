//! Enhanced authentication, with an [`Authenticator`](crate::Authenticator) that knows the answers (section 4.12).

#[cfg(all(feature = "component", target_arch = "wasm32"))]
use alloc::borrow::ToOwned;
use alloc::string::String;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
use alloc::vec::Vec;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
use core::time::Duration;

use super::{Client, Patience};
use crate::codec::{Disconnect, ReasonCode};
use crate::error::{Error, RequestError};
use crate::session::Event;
use crate::transport::Transport;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
use crate::{options::Options, session::Challenge, transport::Connector};

/// How the broker goes on while a caller authenticates step by step.
#[cfg(all(feature = "component", target_arch = "wasm32"))]
pub(crate) enum Step {
    /// It wants an answer to this.
    Challenge(Challenge),
    /// It has authenticated the client, with this as its last word.
    Authenticated(Challenge),
}

/// Step by step, for callers that cannot be called back.
#[cfg(all(feature = "component", target_arch = "wasm32"))]
impl<T: Transport> Client<T> {
    /// Connects as far as CONNECT; [`Client::next_step`] tells how it goes on.
    pub(crate) fn start_authenticating(
        connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        mut options: Options,
    ) -> Result<Self, Error> {
        // Without the caller's answers it cannot connect by itself.
        options.reconnect = None;
        let mut client = Self::dialed(connector, url, options, None)?;
        client.begin()?;
        Ok(client)
    }

    pub(crate) fn start_authenticating_again(&mut self, data: Option<Vec<u8>>) -> Result<(), Error> {
        if let Some(data) = data {
            self.session.set_authentication_data(data);
        }
        self.dial_by_hand()?;
        self.begin()
    }

    pub(crate) fn next_step(&mut self) -> Result<Step, Error> {
        let is_connected = self.is_connected();
        // Before there is a connection the session keeps the time.
        let mut patience = if is_connected { self.patience() } else { Patience::new(Duration::MAX) };
        let step = self.wait_for(&mut patience, |event| match event {
            Event::Challenged(challenge) => Some(Ok(Ok(Step::Challenge(challenge)))),
            Event::Authenticated(said) => Some(Ok(Ok(Step::Authenticated(said)))),
            Event::Connected { session_present } => Some(Ok(Err(session_present))),
            _ => None,
        })?;
        match step {
            Ok(step) => Ok(step),
            Err(session_present) => {
                self.connected(session_present)?;
                let data = self.session.connack().and_then(|connack| connack.properties.authentication_data);
                let data = data.map(ToOwned::to_owned);
                // `info` has the rest of CONNACK.
                Ok(Step::Authenticated(Challenge { data, reason_string: None, user_properties: Vec::new() }))
            }
        }
    }

    pub(crate) fn answer_challenge(&mut self, data: &[u8]) -> Result<(), Error> {
        self.require_open()?;
        Ok(self.session.answer_challenge(data)?)
    }

    pub(crate) fn ask_to_authenticate_again(&mut self, data: &[u8]) -> Result<(), Error> {
        self.require_open()?;
        Ok(self.session.authenticate_again(data)?)
    }
}

impl<T: Transport> Client<T> {
    /// Authenticates again over this connection (section 4.12.1), before a token of the last time expires, say.
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`RequestError::NothingToAuthenticate`] when the client was not
    /// [made with an authenticator](Client::connect_authenticated_over); [`Error::Timeout`], and what ends connections: a broker that
    /// refuses does.
    pub fn authenticate_again(&mut self) -> Result<(), Error> {
        let Some(authenticator) = &mut self.authenticator else {
            return Err(RequestError::NothingToAuthenticate.into());
        };
        let data = authenticator.start().map_err(Error::Authentication)?;
        let mut patience = self.patience();
        self.submit(&mut patience, |session| session.authenticate_again(&data))?;
        let said = self.authenticate(&mut patience, |event| match event {
            Event::Authenticated(said) => Some(said),
            _ => None,
        })?;
        self.authenticator.iter_mut().for_each(|authenticator| authenticator.hear(&said));
        self.finish_authentication(&said.data.unwrap_or_default())
    }

    /// Answers challenges until `pick` takes an event.
    pub(super) fn authenticate<R>(
        &mut self,
        patience: &mut Patience,
        mut pick: impl FnMut(Event) -> Option<R>,
    ) -> Result<R, Error> {
        loop {
            let step = self.wait_for(patience, |event| match event {
                Event::Challenged(challenge) => Some(Ok(Err(challenge))),
                event => pick(event).map(|done| Ok(Ok(done))),
            })?;
            let challenge = match step {
                Ok(done) => return Ok(done),
                Err(challenge) => challenge,
            };
            let answer = match &mut self.authenticator {
                Some(authenticator) => {
                    authenticator.hear(&challenge);
                    authenticator.answer(&challenge.data.unwrap_or_default())
                }
                None => Err("the broker has a challenge, and this client no authenticator".into()),
            };
            match answer {
                Ok(answer) => self.session.answer_challenge(&answer)?,
                Err(why) => return Err(self.fail_authentication(why)),
            }
        }
    }

    /// Lets the authenticator check the broker.
    pub(super) fn finish_authentication(&mut self, data: &[u8]) -> Result<(), Error> {
        let checked = self.authenticator.as_mut().map_or(Ok(()), |authenticator| authenticator.finish(data));
        checked.map_err(|why| self.fail_authentication(why))
    }

    /// Ends the connection to a broker that cannot be authenticated to, or is not to be trusted.
    fn fail_authentication(&mut self, why: String) -> Error {
        // That it ends is told with the reason at hand.
        let _ = self.disconnect_with(&Disconnect::new(ReasonCode::UnspecifiedError));
        self.close();
        self.discard_events();
        self.ended = None;
        Error::Authentication(why)
    }
}
