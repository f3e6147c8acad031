//! The task that drives the engine of a client: woken by its connection, by a call that has put something into the
//! engine, or by the clock, and by nothing else.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::shared::{Shared, State};
use crate::engine::Action;
use crate::error::Error;
use crate::time::Instant;
use crate::transport::{Layers, Transferred, Transport, WasiConnection, connect, now, sleep_until};

/// How often bytes may move before other tasks have their turn.
const ROUNDS: usize = 32;

pub(super) struct Driver {
    shared: Rc<Shared>,
    layers: Layers,
    connection: Option<WasiConnection>,
    /// The attempt to connect that is under way.
    attempt: Option<(u64, Connecting)>,
    /// The sleep, and when it ends.
    sleep: Option<(Instant, Sleep)>,
    /// Whom to wake: kept, so that it takes no allocation.
    woken: Vec<Waker>,
}

type Connecting = Pin<Box<dyn Future<Output = Result<WasiConnection, Error>>>>;
type Sleep = Pin<Box<dyn Future<Output = ()>>>;

impl Driver {
    pub(super) const fn new(shared: Rc<Shared>, layers: Layers) -> Self {
        Self { shared, layers, connection: None, attempt: None, sleep: None, woken: Vec::new() }
    }

    /// One turn; whether there is more to do at once.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let connected = self.attempt.as_mut().and_then(|(number, attempt)| match attempt.as_mut().poll(context) {
            Poll::Ready(connected) => Some((*number, connected)),
            Poll::Pending => None,
        });
        let shared = Rc::clone(&self.shared);
        let mut state = shared.state().borrow_mut();
        let now = now();
        let mut goes_on = connected.is_some();
        if let Some((number, connected)) = connected {
            self.attempt = None;
            match connected {
                Ok(connection) => {
                    self.connection = Some(connection);
                    state.engine.connected(number, now);
                }
                Err(error) => state.engine.connect_failed(number, error, now),
            }
        }
        goes_on |= self.carry_out(&mut state, now);
        goes_on |= self.move_bytes(&mut state, context, now);
        // Whatever has come of that.
        goes_on |= state.engine.has_action();
        let deadline = state.engine.deadline();
        state.take_woken(&mut self.woken);
        if !state.driver.as_ref().is_some_and(|driver| driver.will_wake(context.waker())) {
            state.driver = Some(context.waker().clone());
        }
        state.wakes_at = deadline;
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        if goes_on { Poll::Ready(()) } else { self.sleep_until(deadline, context) }
    }

    /// Does what the engine wants done; whether there was anything.
    fn carry_out(&mut self, state: &mut State, now: Instant) -> bool {
        let mut has_done = false;
        while let Some(action) = state.engine.poll_action(now) {
            has_done = true;
            match action {
                Action::Connect { attempt, url, until } => {
                    #[cfg(feature = "tls")]
                    if let Some(Err(error)) = state.engine.take_tls().map(|tls| self.layers.use_tls(Some(tls))) {
                        state.engine.connect_failed(attempt, error, now);
                        continue;
                    }
                    #[cfg(feature = "ws")]
                    let headers = state.engine.take_websocket_headers();
                    #[cfg(feature = "ws")]
                    if let Some(Err(error)) = headers.map(|headers| self.layers.use_websocket_headers(headers)) {
                        state.engine.connect_failed(attempt, error, now);
                        continue;
                    }
                    self.attempt = Some((attempt, Box::pin(connect(self.layers.clone(), url, until))));
                }
                Action::Close => {
                    self.attempt = None;
                    if let Some(mut connection) = self.connection.take() {
                        state.closing = Some(connection.closing());
                        connection.close();
                    }
                }
                Action::Authenticate(question) => state.engine.authenticated(question.run(), now),
            }
        }
        has_done
    }

    /// Moves what bytes can be moved now, and does what is due; whether any moved.
    fn move_bytes(&mut self, state: &mut State, context: &Context<'_>, now: Instant) -> bool {
        let State { engine, .. } = state;
        let Some(connection) = self.connection.as_mut().filter(|_| engine.has_transport()) else {
            if engine.deadline().is_some_and(|deadline| now >= deadline) {
                engine.handle_timeout(now);
            }
            return false;
        };
        let turn = engine.turn(now);
        // Looks at what has come before it does what is due.
        let is_late = turn.until.is_some_and(|until| now >= until);
        let is_quiet = turn.outgoing.is_empty();
        connection.set_waker(context.waker());
        // Also with nothing to move: the host may still have to take what was sent.
        let moved = connection.transfer(turn.outgoing, turn.incoming, Some(now));
        let is_empty = matches!(&moved, Ok(moved) if *moved == Transferred::default());
        let has_moved = !is_empty || connection.is_behind();
        engine.turned(moved, now);
        // Answers that came. A client that is driven by its calls looks for them in each call.
        engine.catch_up(now);
        let has_new_bytes = is_quiet && engine.has_more_to_write();
        has_moved || is_late || has_new_bytes || engine.has_more_to_read()
    }

    /// Whether that point in time has come; has the task woken then, or earlier.
    fn sleep_until(&mut self, deadline: Option<Instant>, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        // Deadlines mostly move away. A sleep that ends too early costs less than to cancel it each time.
        if self.sleep.as_ref().is_none_or(|(until, _)| *until > deadline) {
            self.sleep = Some((deadline, Box::pin(sleep_until(deadline))));
        }
        let Some((_, sleep)) = &mut self.sleep else { return Poll::Pending };
        let slept = sleep.as_mut().poll(context);
        if slept.is_ready() {
            self.sleep = None;
        }
        slept
    }
}

/// For as long as there is anyone who has the client. Then the connection is cut, as if the process had ended, and the
/// broker publishes the Will Message.
impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            if self.shared.state().borrow().is_abandoned {
                return Poll::Ready(());
            }
            if self.turn(context).is_pending() {
                return Poll::Pending;
            }
        }
        // Others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// However the driver ends, calls that wait for it fail.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.with(|engine| engine.stop(Error::Stopped));
    }
}
