//! What drives the engine of a blocking client: its turns, and calls that wait for them.

use core::task::Poll;
use core::time::Duration;

use super::Client;
use crate::engine::{Action, Call, Engine, Operation};
use crate::error::Error;
use crate::time::{Instant, soonest};
use crate::transport::{Connector, Transferred, Transport};

/// How often bytes may move after the time of a call is over, so that a broker cannot keep a caller by talking.
pub(super) const LATE_ROUNDS: u32 = 16;

/// Where bytes move, and how that is made.
pub(crate) struct Network<T> {
    /// The last one, even if it is closed: its clock continues.
    pub(super) transport: Option<T>,
    /// `None` where the caller makes the transports.
    pub(super) connector: Option<DynConnector<T>>,
    /// What makes the transports from the next attempt on.
    next_connector: Option<DynConnector<T>>,
    /// Which attempt is under way.
    attempt: u64,
}

type DynConnector<T> = alloc::boxed::Box<dyn Connector<Transport = T> + Send>;

impl<T: Transport> Network<T> {
    pub(super) const fn new(transport: Option<T>, connector: Option<DynConnector<T>>) -> Self {
        Self { transport, connector, next_connector: None, attempt: 0 }
    }

    pub(crate) fn now(&self) -> Instant {
        match (&self.transport, &self.connector) {
            (Some(transport), _) => transport.now(),
            (None, Some(connector)) => connector.now(),
            (None, None) => Instant::ZERO,
        }
    }

    /// Has another one make the transports, from the next attempt on.
    #[cfg(all(feature = "component", feature = "tls", target_arch = "wasm32"))]
    pub(crate) fn connect_by(&mut self, connector: impl Connector<Transport = T> + Send + 'static) {
        self.next_connector = Some(alloc::boxed::Box::new(connector));
    }

    fn close(&mut self) {
        self.connector.iter_mut().for_each(|connector| connector.cancel());
        self.transport.iter_mut().for_each(Transport::close);
    }
}

/// Tells the engine of an authenticator that panics, whose caller may live on.
struct Asking<'a>(&'a mut Engine, Instant);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.authenticator_lost(self.1);
    }
}

impl<T: Transport> Client<T> {
    /// Does something, however many turns that takes.
    pub(crate) fn run<O: Operation>(&mut self, operation: O) -> Result<O::Output, Error> {
        let mut call = Call::new(operation);
        loop {
            let Self { engine, network, .. } = self;
            if let Poll::Ready(result) = engine.poll_call(&mut call, None, &mut || network.now()) {
                self.wind_up();
                return result;
            }
            self.turn(None);
        }
    }

    /// Carries out what the engine wants, and moves bytes once, or continues to connect. Waits for that until `until`
    /// or what the engine has to do. Returns whether anything came of it.
    pub(super) fn turn(&mut self, until: Option<Instant>) -> bool {
        if self.carry_out() {
            // Something may have come of that already.
            return true;
        }
        let Self { engine, network, .. } = self;
        let now = network.now();
        if engine.is_dialing()
            && let Some(connector) = &mut network.connector
        {
            let until = soonest(until, engine.deadline());
            let advanced = connector.advance(until);
            let now = connector.now();
            let has_advanced = advanced.is_some();
            match advanced {
                Some(Ok(transport)) => {
                    network.transport = Some(transport);
                    engine.connected(network.attempt, now);
                }
                Some(Err(error)) => engine.connect_failed(network.attempt, error, now),
                None => engine.handle_timeout(now),
            }
            return has_advanced;
        }
        if engine.has_transport()
            && let Some(transport) = &mut network.transport
        {
            let turn = engine.turn(now);
            let until = soonest(until, turn.until);
            let moved = transport.transfer(turn.outgoing, turn.incoming, until);
            let has_moved = moved.as_ref().is_ok_and(|moved| *moved != Transferred::default()) || moved.is_err();
            engine.turned(moved, transport.now());
            return has_moved;
        }
        if let Some(until) = soonest(until, engine.deadline()) {
            network.connector.iter_mut().filter(|_| now < until).for_each(|connector| connector.wait(until));
            engine.handle_timeout(network.now());
        }
        false
    }

    /// Ends what has failed, as far as that is possible without waiting: the last bytes of a connection leave, and it
    /// is closed, though no other call may come.
    fn wind_up(&mut self) {
        while self.engine.is_closing() && self.turn(Some(self.network.now())) {}
        self.carry_out();
    }

    /// Does what the engine wants done; whether there was anything.
    fn carry_out(&mut self) -> bool {
        let Self { engine, network, .. } = self;
        let has_something = engine.has_action();
        while engine.has_action() {
            let now = network.now();
            match engine.poll_action(now) {
                Some(Action::Connect { attempt, url, until }) => {
                    network.attempt = attempt;
                    if let Some(next) = network.next_connector.take() {
                        network.connector = Some(next);
                    }
                    if let Some(connector) = &mut network.connector {
                        #[cfg(feature = "tls")]
                        if let Some(Err(error)) = engine.take_tls().map(|tls| connector.use_tls(tls)) {
                            engine.connect_failed(attempt, error, now);
                            continue;
                        }
                        connector.start(url, until);
                    }
                }
                Some(Action::Close) => network.close(),
                Some(Action::Authenticate(question)) => {
                    let asking = Asking(engine, now);
                    let said = question.run();
                    core::mem::forget(asking);
                    engine.authenticated(said, now);
                }
                None => {}
            }
        }
        has_something
    }

    /// Takes something with `take`, as soon as there is something to take, waiting for that no longer than `timeout`.
    pub(crate) fn take_within<R>(
        &mut self,
        timeout: Duration,
        mut take: impl FnMut(&mut Engine, Instant) -> Option<R>,
    ) -> Result<Option<R>, Error> {
        let start = self.network.now();
        let until = start + timeout;
        if self.engine.is_overdue(start) {
            self.turn(Some(start));
            // What was due is done once it is known what has come; then it is said.
            if self.engine.has_outgoing() {
                self.turn(Some(start));
            }
        }
        let (mut now, mut late_rounds) = (start, 0);
        loop {
            if let Some(taken) = take(&mut self.engine, now) {
                return Ok(Some(taken));
            }
            self.engine.catch_up(now);
            if let Err(error) = self.engine.require_open() {
                self.wind_up();
                return Err(error);
            }
            let is_late = now >= until;
            late_rounds += u32::from(is_late);
            let has_moved = self.turn(Some(until));
            if is_late && (!has_moved || late_rounds >= LATE_ROUNDS) {
                return Ok(None);
            }
            now = self.network.now();
        }
    }
}
