//! The task that drives the engine of an async client: woken by its socket, by a call that has put something into the
//! engine, or by the clock, and by nothing else.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use tokio::task::JoinHandle;

use super::runtime::{Connection, Sleep, connect, now, sleep_until};
use super::shared::{Shared, State};
use crate::engine::{Action, Authenticated, Authentication};
use crate::error::Error;
use crate::time::Instant;
use crate::transport::{Layers, Transferred, Transport};

/// How often bytes may move before other tasks have their turn.
const ROUNDS: usize = 32;

/// As far ahead as the clock is asked to look.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) struct Driver {
    shared: Arc<Shared>,
    layers: Layers,
    connection: Option<Connection>,
    /// The attempt to connect that is under way.
    attempt: Option<(u64, Connecting)>,
    /// The authenticator, at work.
    authentication: Option<JoinHandle<Authenticated>>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// When the sleep ends.
    sleeps_until: Option<Instant>,
    /// Whom to wake: kept, so that it takes no allocation.
    woken: Vec<Waker>,
    /// The store, while nothing is being written to it.
    #[cfg(feature = "store")]
    pub(super) store: Option<crate::engine::OpenStore>,
    #[cfg(feature = "store")]
    pub(super) write: Option<super::store::Write>,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send>>;

impl Driver {
    pub(super) const fn new(shared: Arc<Shared>, layers: Layers) -> Self {
        Self {
            shared,
            layers,
            connection: None,
            attempt: None,
            authentication: None,
            sleep: None,
            sleeps_until: None,
            woken: Vec::new(),
            #[cfg(feature = "store")]
            store: None,
            #[cfg(feature = "store")]
            write: None,
        }
    }

    /// One turn; whether there is more to do at once.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // What these do takes its time, and nobody waits for it.
        let connected = self.attempt.as_mut().and_then(|(number, attempt)| match attempt.as_mut().poll(context) {
            Poll::Ready(connected) => Some((*number, connected)),
            Poll::Pending => None,
        });
        let authenticated = self.authentication.as_mut().and_then(|work| match Pin::new(work).poll(context) {
            Poll::Ready(said) => Some(said),
            Poll::Pending => None,
        });
        #[cfg(feature = "store")]
        let written = self.write.as_mut().and_then(|write| match Pin::new(write).poll(context) {
            Poll::Ready(written) => Some(written),
            Poll::Pending => None,
        });
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let now = now();
        let mut goes_on = connected.is_some() || authenticated.is_some();
        #[cfg(feature = "store")]
        if let Some(written) = written {
            goes_on = true;
            self.saved(&mut state.engine, written);
        }
        if let Some(given) = state.given.take()
            && let Some(mut before) = self.connection.replace(given)
        {
            before.close();
        }
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
        if let Some(said) = authenticated {
            self.authentication = None;
            match said {
                Ok(said) => state.engine.authenticated(said, now),
                Err(_) => state.engine.authenticator_lost(now),
            }
        }
        goes_on |= self.carry_out(&mut state, now);
        #[cfg(feature = "store")]
        {
            goes_on |= self.save(&mut state.engine);
        }
        goes_on |= self.move_bytes(&mut state, context, now);
        // Whatever has come of that.
        goes_on |= state.engine.has_action();
        #[cfg(feature = "store")]
        {
            goes_on |= state.engine.needs_store();
        }
        let deadline = state.engine.deadline();
        state.engine.take_woken(&mut self.woken);
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
                        connection.close();
                    }
                }
                Action::Authenticate(question) => self.authentication = Some(answer(question)),
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
        let moved = if turn.outgoing.is_empty() && turn.incoming.is_empty() {
            Ok(Transferred::default())
        } else {
            connection.set_waker(context.waker());
            connection.transfer(turn.outgoing, turn.incoming, Some(now))
        };
        let is_empty = matches!(&moved, Ok(moved) if *moved == Transferred::default());
        let has_moved = !is_empty || connection.is_behind();
        engine.turned(moved, now);
        let has_new_bytes = is_quiet && engine.has_more_to_write();
        has_moved || is_late || has_new_bytes || engine.has_more_to_read()
    }

    /// Whether that point in time has come; has the task woken then.
    fn sleep_until(&mut self, deadline: Option<Instant>, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let remaining = deadline.saturating_duration_since(now());
        if remaining.is_zero() {
            return Poll::Ready(());
        }
        let at = tokio::time::Instant::now() + remaining.min(FAR);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if self.sleeps_until != Some(deadline) {
            sleep.as_mut().reset(at);
            self.sleeps_until = Some(deadline);
        }
        let slept = sleep.as_mut().poll(context);
        if slept.is_ready() {
            self.sleeps_until = None;
        }
        slept
    }
}

/// For as long as there is anyone who has the client.
impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            if self.shared.lock().is_abandoned {
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

/// However the driver ends, with its runtime or by a panic: calls that wait for it fail. If nobody is left, it is as if
/// the process had ended, and the broker publishes the Will Message.
impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close();
        }
        #[cfg(feature = "store")]
        {
            let shared = Arc::clone(&self.shared);
            self.save_last(&mut shared.lock().engine);
        }
        self.shared.with(|engine| engine.stop(Error::Stopped));
    }
}

/// Has the authenticator answer where it keeps no task from its turn.
fn answer(question: Authentication) -> JoinHandle<Authenticated> {
    if cfg!(target_family = "wasm") {
        tokio::spawn(async { question.run() })
    } else {
        tokio::task::spawn_blocking(|| question.run())
    }
}
