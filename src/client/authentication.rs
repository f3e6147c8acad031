//! Enhanced authentication, with an [`Authenticator`](crate::Authenticator) that knows the answers (section 4.12).

#[cfg(all(feature = "component", target_arch = "wasm32"))]
use alloc::borrow::ToOwned;
use alloc::string::ToString;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
use alloc::vec::Vec;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
use core::time::Duration;

use super::{Client, Patience};
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

    /// How the broker goes on, be it that this came in another call.
    pub(crate) fn next_step(&mut self) -> Result<Step, Error> {
        // Before there is a connection the session keeps the time.
        let mut patience = if self.is_connected() { self.patience() } else { Patience::new(Duration::MAX) };
        Ok(match self.wait_until(&mut patience, |client| client.step.take())? {
            Event::Challenged(challenge) => Step::Challenge(challenge),
            Event::Authenticated(said) => Step::Authenticated(said),
            _ => {
                let data = self.session.connack().and_then(|connack| connack.properties.authentication_data);
                let data = data.map(ToOwned::to_owned);
                // `info` has the rest of CONNACK.
                Step::Authenticated(Challenge { data, reason_string: None, user_properties: Vec::new() })
            }
        })
    }

    pub(crate) fn answer_challenge(&mut self, data: &[u8]) -> Result<(), Error> {
        self.require_open()?;
        Ok(self.session.answer_challenge(data)?)
    }

    pub(crate) fn ask_to_authenticate_again(&mut self, data: &[u8]) -> Result<(), Error> {
        self.discard_events();
        self.require_open()?;
        self.session.authenticate_again(data)?;
        // How the last time went is no matter any more, if the caller has not asked.
        self.step = None;
        Ok(())
    }
}

impl<T: Transport> Client<T> {
    /// Authenticates again over this connection (section 4.12.1), before a token of the last time expires, say. A connection
    /// that is made meanwhile, since this one was lost, does as well: it begins with that.
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`Error::Timeout`] when the broker has not authenticated the client in time, with the
    /// connection as it was: the broker may do so later, and is answered and checked in whatever call that comes; the next
    /// of these waits for that first. [`RequestError::NothingToAuthenticate`] when the client was not
    /// [made with an authenticator](Client::connect_authenticated_over); and what ends connections: a broker that refuses
    /// does.
    pub fn authenticate_again(&mut self) -> Result<(), Error> {
        let is_done = |client: &mut Self| (client.is_connected() && !client.session.is_authenticating()).then_some(());
        let mut patience = self.patience();
        if self.authenticator.is_some() {
            // It does not begin while there is something that it has begun, over this connection or with CONNECT.
            self.wait_until(&mut patience, is_done)?;
        }
        let Some(authenticator) = &mut self.authenticator else {
            return Err(RequestError::NothingToAuthenticate.into());
        };
        let data = authenticator.start().map_err(Error::Authentication)?;
        self.session.authenticate_again(&data)?;
        self.wait_until(&mut patience, is_done)
    }

    /// Waits until `look` sees it.
    fn wait_until<R>(
        &mut self,
        patience: &mut Patience,
        mut look: impl FnMut(&mut Self) -> Option<R>,
    ) -> Result<R, Error> {
        loop {
            self.discard_events();
            if let Some(seen) = look(self) {
                return Ok(seen);
            }
            self.require_open()?;
            patience.wait(self).map_err(Error::while_in_flight)?;
        }
    }

    /// Answers and checks the broker, or keeps what it says for a caller who does.
    pub(super) fn heed(&mut self, event: Event) {
        let Some(authenticator) = &mut self.authenticator else {
            self.step = Some(event);
            return;
        };
        let (Event::Challenged(said) | Event::Authenticated(said)) = &event else { return };
        authenticator.hear(said);
        let data = said.data.as_deref().unwrap_or_default();
        let heeded = if matches!(event, Event::Authenticated(_)) {
            authenticator.finish(data)
        } else {
            authenticator.answer(data).and_then(|answer| match self.session.answer_challenge(&answer) {
                // That the broker has gone is told otherwise.
                Ok(()) | Err(RequestError::NotConnected) => Ok(()),
                Err(error) => Err(error.to_string()),
            })
        };
        if let Err(why) = heeded {
            self.session.fail_authentication(why);
        }
    }
}
