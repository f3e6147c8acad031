//! What drives the engine of a blocking client: its turns, and calls that wait for them.

use core::task::Poll;
use core::time::Duration;

use super::Client;
use crate::engine::{Action, AnyCall, Call, Engine, Operation, Outcome};
use crate::error::Error;
use crate::time::{Instant, soonest};
use crate::transport::{Connector, Transferred, Transport};

/// How often bytes may move after the time of a call is over, so that a broker cannot keep a caller by talking.
pub(super) const LATE_ROUNDS: u32 = 16;

/// So many messages are taken with one look at the clock, while they are taken within [`BRISK`]. Should each of the
/// next ones take its time after all, what is due then waits for no more than these.
const AT_A_LOOK: u8 = 4;
const BRISK: Duration = Duration::from_millis(1);

/// Where bytes move, and how that is made.
pub(crate) struct Network<T> {
    /// The last one, even if it is closed: its clock continues.
    pub(super) transport: Option<T>,
    /// `None` where the caller makes the transports.
    pub(super) connector: Option<DynConnector<T>>,
    /// Which attempt is under way.
    attempt: u64,
    #[cfg(feature = "store")]
    pub(super) store: Option<crate::engine::OpenStore>,
    /// What time it was at the end of the last turn of a call, and when the call looked at the clock last.
    known: Option<Instant>,
    looked: Option<Instant>,
    /// When a message was taken last with a look at the clock, and how many more may be taken without one.
    taken_at: Option<Instant>,
    may_take: u8,
}

type DynConnector<T> = alloc::boxed::Box<dyn Connector<Transport = T> + Send>;

impl<T: Transport> Network<T> {
    pub(super) const fn new(transport: Option<T>, connector: Option<DynConnector<T>>) -> Self {
        Self {
            transport,
            connector,
            attempt: 0,
            #[cfg(feature = "store")]
            store: None,
            known: None,
            looked: None,
            taken_at: None,
            may_take: 0,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        match (&self.transport, &self.connector) {
            (Some(transport), _) => transport.now(),
            (None, Some(connector)) => connector.now(),
            (None, None) => Instant::ZERO,
        }
    }

    /// Begins a call, which may be much later than the one before.
    const fn forget_time(&mut self) {
        (self.known, self.looked) = (None, None);
    }

    /// The time for a call. What the user has in it may take its own: so only the first look behind a turn is none.
    fn look(&mut self) -> Instant {
        let now = self.known.take().unwrap_or_else(|| self.now());
        *self.looked.insert(now)
    }

    /// The time, for somebody who takes messages.
    fn look_to_take(&mut self) -> Instant {
        let now = self.now();
        let before = self.taken_at.replace(now);
        let is_brisk = before.is_some_and(|before| now.saturating_duration_since(before) < BRISK);
        self.may_take = if is_brisk { AT_A_LOOK - 1 } else { 0 };
        now
    }

    fn close(&mut self) {
        self.connector.iter_mut().for_each(|connector| connector.cancel());
        self.transport.iter_mut().for_each(Transport::close);
    }
}

/// What came of a turn.
pub(super) struct Turned {
    /// Whether anything came of it.
    pub(super) has_moved: bool,
    /// What time it was at its end, where that is known.
    pub(super) now: Option<Instant>,
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
        let outcome = self.run_any(&mut call.as_any());
        call.output(outcome)
    }

    fn run_any(&mut self, call: &mut AnyCall<'_>) -> Outcome {
        self.network.forget_time();
        loop {
            let Self { engine, network, .. } = self;
            if let Poll::Ready(outcome) = engine.poll_any(call, None, &mut || network.look()) {
                self.wind_up();
                return outcome;
            }
            self.next_turn();
        }
    }

    /// Takes a turn of a call. A look at the clock before it serves it, and what it knows of the time at its end serves
    /// the first look behind it.
    fn next_turn(&mut self) {
        let now = self.network.looked.take();
        self.network.known = self.turn(None, now).now;
    }

    /// Carries out what the engine wants, and moves bytes once, or continues to connect. Waits for that until `until`
    /// or what the engine has to do. `now` is what time it is, if the caller has just looked.
    pub(super) fn turn(&mut self, until: Option<Instant>, now: Option<Instant>) -> Turned {
        if self.carry_out() {
            // Something may have come of that already.
            return Turned { has_moved: true, now: None };
        }
        #[cfg(feature = "store")]
        if self.save() {
            return Turned { has_moved: true, now: None };
        }
        let Self { engine, network, .. } = self;
        let now = now.unwrap_or_else(|| network.now());
        if engine.is_dialing()
            && let Some(connector) = &mut network.connector
        {
            let until = soonest(until, engine.deadline());
            let advanced = connector.advance(until);
            let now = connector.now();
            let has_moved = advanced.is_some();
            match advanced {
                Some(Ok(transport)) => {
                    network.transport = Some(transport);
                    engine.connected(network.attempt, now);
                }
                Some(Err(error)) => engine.connect_failed(network.attempt, error, now),
                None => engine.handle_timeout(now),
            }
            // The transport looks at the clock itself.
            return Turned { has_moved, now: None };
        }
        if engine.has_transport()
            && let Some(transport) = &mut network.transport
        {
            let turn = engine.turn(now);
            let until = soonest(until, turn.until);
            let moved = transport.transfer(turn.outgoing, turn.incoming, until);
            let has_moved = moved.as_ref().is_ok_and(|moved| *moved != Transferred::default()) || moved.is_err();
            let now = transport.now_after_transfer();
            engine.turned(moved, now);
            return Turned { has_moved, now: Some(now) };
        }
        if let Some(until) = soonest(until, engine.deadline()) {
            network.connector.iter_mut().filter(|_| now < until).for_each(|connector| connector.wait(until));
            engine.handle_timeout(network.now());
        }
        Turned { has_moved: false, now: None }
    }

    /// Writes to the store what has to be there before more is sent; whether there was anything.
    #[cfg(feature = "store")]
    fn save(&mut self) -> bool {
        let Self { engine, network, .. } = self;
        let Some(changes) = engine.take_changes(network.now()) else { return false };
        let result = network.store.as_mut().map_or(Ok(()), |store| store.write(&changes));
        engine.stored(changes, result, network.now());
        true
    }

    /// Ends what has failed, as far as that is possible without waiting: the last bytes of a connection leave, and it
    /// is closed, though no other call may come.
    fn wind_up(&mut self) {
        while self.engine.is_closing() {
            let now = self.network.now();
            if !self.turn(Some(now), Some(now)).has_moved {
                break;
            }
        }
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
                    if let Some(connector) = &mut network.connector {
                        #[cfg(any(feature = "tls", feature = "host-tls"))]
                        if let Some(Err(error)) = engine.take_tls().map(|tls| connector.use_tls(tls)) {
                            engine.connect_failed(attempt, error, now);
                            continue;
                        }
                        #[cfg(feature = "ws")]
                        let headers = engine.take_websocket_headers();
                        #[cfg(feature = "ws")]
                        if let Some(Err(error)) = headers.map(|headers| connector.use_websocket_headers(headers)) {
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

    /// Takes a message with `take`, as [`Client::take_within`]. A message that is there already may be all there is to
    /// do: a look at the clock takes a sixth of the time natively, and a third of it in a guest.
    pub(crate) fn receive_within<R>(
        &mut self,
        timeout: Duration,
        mut take: impl FnMut(&mut Engine) -> Option<R>,
    ) -> Result<Option<R>, Error> {
        if let Some(left) = self.network.may_take.checked_sub(1) {
            self.network.may_take = left;
            if let Some(taken) = take(&mut self.engine) {
                return Ok(Some(taken));
            }
        }
        self.take_within(timeout, |engine, _| take(engine))
    }

    /// Takes something with `take`, as soon as there is something to take, waiting for that no longer than `timeout`.
    pub(crate) fn take_within<R>(
        &mut self,
        timeout: Duration,
        mut take: impl FnMut(&mut Engine, Instant) -> Option<R>,
    ) -> Result<Option<R>, Error> {
        let mut taken = None;
        self.turn_until(timeout, &mut |engine, now| {
            taken = take(engine, now);
            taken.is_some()
        })?;
        Ok(taken)
    }

    /// Takes turns until it `is_done`, no longer than `timeout`. Behind a pointer, so that there is one copy of it.
    fn turn_until(
        &mut self,
        timeout: Duration,
        is_done: &mut dyn FnMut(&mut Engine, Instant) -> bool,
    ) -> Result<(), Error> {
        let start = self.network.look_to_take();
        let until = start + timeout;
        if self.engine.is_overdue(start) {
            self.turn(Some(start), Some(start));
            // What was due is done once it is known what has come; then it is said.
            if self.engine.has_outgoing() {
                self.turn(Some(start), None);
            }
        }
        let (mut now, mut late_rounds) = (start, 0);
        loop {
            if is_done(&mut self.engine, now) {
                return Ok(());
            }
            self.engine.catch_up(now);
            if let Err(error) = self.engine.require_open() {
                self.wind_up();
                return Err(error);
            }
            let is_late = now >= until;
            late_rounds += u32::from(is_late);
            let turned = self.turn(Some(until), Some(now));
            now = turned.now.unwrap_or_else(|| self.network.now());
            // A turn that waited until the end has looked once more then. What it left to be done is done first.
            let has_looked = !turned.has_moved && (is_late || now >= until && !self.engine.has_action());
            if has_looked || late_rounds >= LATE_ROUNDS {
                return Ok(());
            }
        }
    }
}

#[cfg(feature = "store")]
impl<T> Client<T> {
    /// Writes to the store all that has changed, where no more will come.
    pub(super) fn save_last(&mut self) {
        if let Some(store) = &mut self.network.store
            && let Some(changes) = self.engine.take_last_changes()
        {
            // What is missing in it is sent once more, and has no other consequence.
            let _ = store.write(&changes);
        }
    }
}
