//! What the user is asked before each attempt to connect. It is never called here: see [`Authentication`].

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::authenticate::{Authenticated, Authentication};
use super::connection::Phase;
use super::options::ConnectChanges;
use super::timers::Timer;
use super::{Engine, Options};
use crate::error::Error;
use crate::url::BrokerUrl;

/// An attempt to connect that is about to be made: see [`Options::before_connect`].
///
#[doc = memory_example!()]
/// use mqtt_wasi::{Client, ConnectAttempt, ConnectChanges, Options};
///
/// let options = Options::new().before_connect(|attempt: &ConnectAttempt| {
///     println!("connecting, after {} failures; the last: {:?}", attempt.failures, attempt.cause);
///     ConnectChanges::default()
/// });
/// let client = Client::connect_over(network, options)?;
/// # assert!(client.is_connected());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectAttempt {
    /// The broker. `None` for a client whose transports are made by the user.
    pub url: Option<BrokerUrl>,
    /// How many attempts have failed since the last connection.
    pub failures: u32,
    /// Why the last connection ended, or the last attempt failed. `None` at the first attempt, and after the user has
    /// ended the connection.
    pub cause: Option<Error>,
}

/// What the user has to say before each attempt, and what that takes.
#[derive(Clone)]
pub(super) struct BeforeConnect {
    callback: Arc<Callback>,
    /// What asking takes: linked into programs that have something to be asked.
    ask: fn(&mut Engine, Arc<Callback>),
}

type Callback = dyn Fn(&ConnectAttempt) -> ConnectChanges + Send + Sync;

impl Options {
    /// Has `callback` called before each attempt to connect, the first included. What it returns is changed for this
    /// attempt and those after it, for example a new token, or a Will Message with the next number. It may take its
    /// time, up to [`Options::connect_timeout`]. It must not call the client. Clones of the options share it. Default:
    /// none.
    ///
    /// If it panics, or returns what CONNECT cannot carry, the client does not connect again by itself.
    ///
    #[doc = memory_example!()]
    /// use std::sync::atomic::{AtomicU8, Ordering};
    /// use mqtt_wasi::{Client, ConnectChanges, Options, WillMessage};
    ///
    /// let sequence = AtomicU8::new(0);
    /// let options = Options::new().before_connect(move |_| {
    ///     let number = sequence.fetch_add(1, Ordering::Relaxed);
    ///     let will = WillMessage::new("spBv1.0/plant/NDEATH/node-7", [number]);
    ///     ConnectChanges { will: Some(Some(will)), ..ConnectChanges::default() }
    /// });
    /// let client = Client::connect_over(network, options)?;
    /// # assert!(client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn before_connect(
        mut self,
        callback: impl Fn(&ConnectAttempt) -> ConnectChanges + Send + Sync + 'static,
    ) -> Self {
        self.before_connect = Some(BeforeConnect { callback: Arc::new(callback), ask });
        self
    }
}

fn ask(engine: &mut Engine, callback: Arc<Callback>) {
    let url = engine.brokers.as_ref().map(|brokers| brokers.url().clone());
    let attempt = ConnectAttempt { url, failures: engine.failed_attempts, cause: engine.cause.clone() };
    let number = engine.attempt;
    engine.preparation = Some(Authentication::new(Box::new(move || {
        let changes = callback(&attempt);
        Authenticated::new(Box::new(move |engine| engine.prepared(changes, number)))
    })));
    engine.phase = Phase::Preparing;
    engine.timers.set(Timer::Authenticate, engine.now + engine.connect_timeout);
}

impl Engine {
    /// Asks the user before the attempt that is to be made; `false` if nobody is to be asked.
    pub(super) fn ask_before_connecting(&mut self) -> bool {
        let Some(BeforeConnect { callback, ask }) = self.before_connect.clone() else { return false };
        ask(self, callback);
        true
    }

    /// Whether the user is to be asked now: not while an authenticator is still at work for an attempt before.
    pub(super) const fn has_preparation(&self) -> bool {
        self.preparation.is_some() && self.authentication.is_idle()
    }

    /// The user has said what to change.
    fn prepared(&mut self, changes: ConnectChanges, number: u64) {
        if number != self.attempt || !matches!(self.phase, Phase::Preparing) {
            // Another attempt took its place.
            return;
        }
        self.timers.stop(Timer::Authenticate);
        match self.update(changes) {
            Ok(()) => self.start_attempt(),
            Err(error) => self.fail_attempt(error.into()),
        }
    }
}
