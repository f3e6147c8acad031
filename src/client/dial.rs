//! Connecting by itself: to one broker after the other, again and again, as the options say.

use alloc::boxed::Box;
use core::time::Duration;

use super::Client;
use crate::authenticate::Authenticator;
use crate::error::{Error, RequestError};
use crate::options::Options;
use crate::reconnect::{Brokers, Next, Reconnect, jitter};
use crate::session::Session;
use crate::time::Instant;
use crate::transport::{Connector, Transport};

/// What it takes to connect again.
pub(super) struct Dialer<T> {
    connector: Box<dyn Connector<Transport = T> + Send>,
    brokers: Brokers,
    policy: Option<Reconnect>,
    connect_timeout: Duration,
    /// Whether the options have a login, so that those of the URLs do not count.
    has_login: bool,
    /// When to connect again; `None` while there is a connection, or none is wanted.
    due: Option<Instant>,
    /// When the connection was made; `None` while there is none.
    since: Option<Instant>,
}

impl<T: Transport> Dialer<T> {
    fn new(
        connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: &Options,
    ) -> Result<Self, Error> {
        Ok(Self {
            connector: Box::new(connector),
            brokers: Brokers::new(url, &options.fallbacks)?,
            policy: options.reconnect,
            connect_timeout: options.connect_timeout,
            has_login: options.user_name.is_some() || options.password.is_some(),
            due: None,
            since: None,
        })
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Nothing is to be connected by itself any more.
    pub(super) const fn rest(&mut self) {
        (self.due, self.since) = (None, None);
    }

    pub(super) const fn connected(&mut self, now: Instant) {
        self.brokers.connected();
        (self.due, self.since) = (None, Some(now));
    }

    fn redirects(&self) -> u8 {
        self.policy.map_or(0, |policy| policy.redirects)
    }

    fn connect(&mut self) -> Result<T, Error> {
        self.connector.connect(self.brokers.url(), self.connect_timeout)
    }

    /// Connects to the first broker that is there, from the next one on.
    fn connect_to_any(&mut self) -> Result<T, Error> {
        loop {
            match self.connect() {
                Err(error) => {
                    if !self.brokers.try_next(&error, self.redirects()) {
                        return Err(error);
                    }
                }
                connected => return connected,
            }
        }
    }

    /// Notes what to do next; `false` if that is nothing.
    fn plan(&mut self, next: Next, now: Instant) -> bool {
        self.due = match next {
            Next::Now => Some(now),
            Next::Within(longest) => Some(now + jitter(longest, self.connector.random())),
            Next::Never => None,
        };
        self.due.is_some()
    }
}

impl<T: Transport> Client<T> {
    /// Connects to the broker at a URL, or the first of the [fallbacks](Options::fallback) that takes the connection,
    /// over transports that `connector` makes. Such a client can connect [again](Client::reconnect), and does so by itself
    /// if the [options](Options::reconnect) say so. A login in the URL counts unless the options have one.
    ///
    /// # Errors
    /// [`Error::Url`], [`RequestError::InvalidOptions`]; of the broker that was tried last, [`Error::Transport`],
    /// [`Error::ConnectionRefused`], [`Error::ConnectTimeout`], and what else ends connections.
    pub fn connect_with(
        connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: Options,
    ) -> Result<Self, Error> {
        Self::dial(connector, url, options, None)
    }

    /// As [`Client::connect_with`], with enhanced authentication.
    ///
    /// # Errors
    /// As [`Client::connect_with`]; [`Error::Authentication`].
    pub fn connect_authenticated_with(
        connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: Options,
        authenticator: impl Authenticator + Send + 'static,
    ) -> Result<Self, Error> {
        let options = options.authentication(authenticator.method(), None);
        Self::dial(connector, url, options, Some(Box::new(authenticator)))
    }

    fn dial(
        connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: Options,
        authenticator: Option<Box<dyn Authenticator + Send>>,
    ) -> Result<Self, Error> {
        let mut client = Self::dialed(connector, url, options, authenticator)?;
        client.start_with_any()?;
        Ok(client)
    }

    /// A client with a transport, over which nothing was sent yet.
    pub(crate) fn dialed(
        connector: impl Connector<Transport = T> + Send + 'static,
        url: &str,
        options: Options,
        authenticator: Option<Box<dyn Authenticator + Send>>,
    ) -> Result<Self, Error> {
        let mut dialer = Dialer::new(connector, url, &options)?;
        options.validate().map_err(RequestError::InvalidOptions)?;
        let transport = dialer.connect_to_any()?;
        let response_timeout = options.response_timeout;
        let mut client = Self::new(transport, Session::new(options), response_timeout, authenticator);
        client.dialer = Some(dialer);
        client.log_in();
        Ok(client)
    }

    /// Connects again, to the broker at the same URL or the first of the fallbacks that takes the connection; returns
    /// whether it still had the session. What was in flight is sent again either way. A connection that is still there is
    /// closed first.
    ///
    /// # Errors
    /// As [`Client::connect_with`]; [`RequestError::NotConnected`] for a client that was made over a transport: see
    /// [`Client::reconnect_over`]. The client can be connected again.
    pub fn reconnect(&mut self) -> Result<bool, Error> {
        self.dial_by_hand()?;
        self.start_with_any()
    }

    /// Closes the connection, and makes a transport for the next one.
    pub(super) fn dial_by_hand(&mut self) -> Result<(), Error> {
        // How the last connection ends is no matter any more.
        let _ = self.disconnect();
        let dialer = self.dialer.as_mut().ok_or(RequestError::NotConnected)?;
        dialer.brokers.start();
        self.transport = dialer.connect_to_any()?;
        self.log_in();
        Ok(())
    }

    /// Starts over the transport that is there, or that of another broker if the first does not take the connection.
    fn start_with_any(&mut self) -> Result<bool, Error> {
        loop {
            let error = match self.start() {
                Ok(session_present) => return Ok(session_present),
                Err(error) => error,
            };
            let Some(dialer) = &mut self.dialer else { return Err(error) };
            if !dialer.brokers.try_next(&error, dialer.redirects()) {
                return Err(error);
            }
            self.transport = dialer.connect_to_any()?;
            self.log_in();
        }
    }

    /// Has the next CONNECT log in as the URL of the broker says.
    fn log_in(&mut self) {
        if let Some(dialer) = self.dialer.as_ref().filter(|dialer| !dialer.has_login) {
            let url = dialer.brokers.url();
            self.session.set_login(url.user_name.clone(), url.password.clone());
        }
    }

    /// Whether there is no connection and one is to be made.
    pub(super) fn is_dialing(&self) -> bool {
        self.dialer.as_ref().is_some_and(|dialer| dialer.due.is_some())
    }

    /// The connection has ended: plans the next one, or notes why there is none.
    pub(super) fn plan_after_loss(&mut self, error: Error) {
        let now = self.transport.now();
        if let Some(dialer) = &mut self.dialer
            && let (Some(since), Some(policy)) = (dialer.since.take(), dialer.policy)
        {
            if now.saturating_duration_since(since) >= policy.longest_delay {
                dialer.brokers.lasted();
            }
            let next = dialer.brokers.lost(&error, &policy);
            if dialer.plan(next, now) {
                return;
            }
        }
        self.ended = Some(error);
    }

    /// Connects again once that is due, waiting no longer than `until`; returns whether it was.
    pub(super) fn dial_again(&mut self, until: Option<Instant>) -> bool {
        let Some((dialer, due)) = self.dialer.as_mut().and_then(|dialer| dialer.due.map(|due| (dialer, due))) else {
            return false;
        };
        let wake = until.map_or(due, |until| until.min(due));
        let wait = wake.saturating_duration_since(self.transport.now());
        if !wait.is_zero() {
            dialer.connector.wait(wait);
        }
        if wake < due {
            return false;
        }
        dialer.due = None;
        let started = match dialer.connect() {
            Ok(transport) => {
                self.transport = transport;
                self.log_in();
                self.start()
            }
            Err(error) => Err(error),
        };
        if let (Err(error), Some(dialer)) = (started, &mut self.dialer) {
            let policy = dialer.policy.unwrap_or_default();
            let next = dialer.brokers.failed(&error, &policy);
            if !dialer.plan(next, self.transport.now()) {
                self.ended = Some(error);
            }
        }
        true
    }
}
