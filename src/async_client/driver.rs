//! The task that moves the bytes of an async client: woken by its socket, by a call that has put something into the
//! session, or by the clock, and by nothing else.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::time::Sleep;

use super::state::{Command, Phase, Shared, State};
use crate::error::{Error, RequestError, TransportError, TransportErrorKind};
use crate::options::Options;
use crate::reconnect::{Brokers, Next, Reconnect, jitter};
use crate::session::Status;
use crate::time::Instant;
use crate::transport::{Layers, Stream, TokioTcp, Transferred, Transport, now};

/// How long the last bytes of a connection may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often bytes may move before other tasks have their turn.
const ROUNDS: usize = 32;

/// How often to look for why the broker closed a connection that cannot be written to any more.
const LAST_ROUNDS: usize = 16;

pub(super) struct Driver {
    shared: Arc<Shared>,
    layers: Layers,
    brokers: Brokers,
    policy: Option<Reconnect>,
    connect_timeout: Duration,
    /// Whether the options have a login, so that those of the URLs do not count.
    has_login: bool,
    stream: Option<Stream<TokioTcp>>,
    /// When the connection is closed though not everything has left.
    close_by: Option<Instant>,
    /// When to connect again.
    due: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// When the sleep ends.
    wakes_at: Option<Instant>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, url: &str, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            shared,
            layers: Layers::new(options)?,
            brokers: Brokers::new(url, &options.fallbacks)?,
            policy: options.reconnect,
            connect_timeout: options.connect_timeout,
            has_login: options.user_name.is_some() || options.password.is_some(),
            stream: None,
            close_by: None,
            due: None,
            sleep: None,
            wakes_at: None,
        })
    }

    /// Connects to the first broker that takes the connection.
    pub(super) async fn connect(&mut self) -> Result<bool, Error> {
        self.brokers.start();
        let redirects = self.policy.map_or(0, |policy| policy.redirects);
        loop {
            match self.establish().await {
                Err(error) if self.brokers.try_next(&error, redirects) => {}
                result => return result,
            }
        }
    }

    /// Keeps the client connected, for as long as there is anyone who has it.
    pub(super) async fn run(mut self) {
        loop {
            let since = now();
            self.drive(|_, is_over, _| is_over.then_some(())).await;
            let (lost, command) = {
                let mut state = self.shared.lock();
                (state.lost.take(), state.command.take())
            };
            let mut next = match (command, lost, self.policy) {
                (Some(Command::Stop), ..) => return self.stop(),
                (Some(Command::Reconnect), ..) => {
                    self.brokers.start();
                    Next::Now
                }
                (None, Some(error), Some(policy)) => {
                    if now().saturating_duration_since(since) >= policy.longest_delay {
                        self.brokers.lasted();
                    }
                    let next = self.brokers.lost(&error, &policy);
                    if next == Next::Never { self.rest(error) } else { next }
                }
                (_, lost, _) => self.rest(lost.unwrap_or(RequestError::NotConnected.into())),
            };
            loop {
                if next != Next::Never {
                    self.shared.lock().set_phase(Phase::Connecting);
                }
                match self.wait(next).await {
                    Some(Command::Stop) => return self.stop(),
                    Some(Command::Rest) => {
                        next = self.rest(RequestError::NotConnected.into());
                        continue;
                    }
                    Some(Command::Reconnect) | None => {}
                }
                let is_by_hand = next == Next::Never;
                let connected = if is_by_hand { self.connect().await } else { self.establish().await };
                let Err(error) = connected else { break };
                let policy = self.policy.filter(|_| !is_by_hand);
                next = policy.map_or(Next::Never, |policy| self.brokers.failed(&error, &policy));
                if next == Next::Never {
                    next = self.rest(error);
                }
            }
        }
    }

    /// Nobody is left who could be told anything.
    fn stop(mut self) {
        if let Some(stream) = &mut self.stream {
            stream.close();
        }
    }

    /// Does not connect by itself any more.
    fn rest(&self, error: Error) -> Next {
        let mut state = self.shared.lock();
        // It may have been told meanwhile to go on.
        if state.command != Some(Command::Reconnect) {
            state.end_operations(&error);
            state.set_phase(Phase::Resting(error));
        }
        Next::Never
    }

    /// Waits for when the next connection is due, or for a command.
    async fn wait(&mut self, next: Next) -> Option<Command> {
        self.due = match next {
            Next::Now => Some(now()),
            Next::Within(longest) => Some(now() + jitter(longest, getrandom::u64().unwrap_or_default())),
            Next::Never => None,
        };
        let due = self.due;
        let command = self
            .drive(|state, _, now| match state.command.take() {
                Some(command) => Some(Some(command)),
                None => due.is_some_and(|due| now >= due).then_some(None),
            })
            .await;
        self.due = None;
        command
    }

    /// Connects to the broker whose turn it is; whether it had the session.
    async fn establish(&mut self) -> Result<bool, Error> {
        let connected = self.try_to_establish().await;
        if connected.is_ok() {
            self.brokers.connected();
        } else {
            if let Some(mut stream) = self.stream.take() {
                stream.close();
            }
            let mut state = self.shared.lock();
            state.session.connection_closed(Error::ConnectionClosed);
            state.settle();
            state.lost = None;
        }
        connected
    }

    async fn try_to_establish(&mut self) -> Result<bool, Error> {
        let url = self.brokers.url().clone();
        let tcp = self.in_time(TokioTcp::connect(&url)).await?;
        let mut stream = self.layers.begin(&url, tcp)?;
        let handshake = poll_fn(|context| {
            stream.inner_mut().set_waker(context.waker());
            match stream.advance_handshake() {
                Ok(false) => Poll::Pending,
                Ok(true) => Poll::Ready(Ok(())),
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        self.in_time(handshake).await?;
        {
            let mut state = self.shared.lock();
            if !self.has_login {
                state.session.set_login(url.user_name, url.password);
            }
            let data = state.authenticator.as_mut().map(|authenticator| authenticator.start()).transpose();
            if let Some(data) = data.map_err(Error::Authentication)? {
                state.session.set_authentication_data(data);
            }
            state.session.connect(now())?;
            // The end of the last connection is no news to this one.
            state.settle();
            state.lost = None;
            state.set_phase(Phase::Connecting);
        }
        self.stream = Some(stream);
        self.drive(|state, is_over, _| match state.phase {
            // Though it may have ended since.
            Phase::Connected(session_present) => Some(Ok(session_present)),
            _ if is_over => Some(Err(state.lost.take().unwrap_or(Error::ConnectionClosed))),
            _ => None,
        })
        .await
    }

    /// Waits for a step of connecting, for as long as that may take, while the session goes on without a connection.
    async fn in_time<R>(&mut self, step: impl Future<Output = Result<R, TransportError>>) -> Result<R, TransportError> {
        let mut step = pin!(step);
        let mut sleep = pin!(tokio::time::sleep(self.connect_timeout));
        poll_fn(|context| {
            if let Poll::Ready(done) = step.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            if sleep.as_mut().poll(context).is_ready() {
                let message = "the connection could not be made in time".to_owned();
                return Poll::Ready(Err(TransportError { kind: TransportErrorKind::ConnectTimeout, message }));
            }
            self.poll(context, &mut |_, _, _| None)
        })
        .await
    }

    /// Moves bytes and tells everyone what comes of it until `done` says so; `done` is told whether there is no connection
    /// any more, and the time.
    async fn drive<R>(&mut self, mut done: impl FnMut(&mut State, bool, Instant) -> Option<R>) -> R {
        poll_fn(|context| self.poll(context, &mut done)).await
    }

    fn poll<R>(
        &mut self,
        context: &mut Context<'_>,
        done: &mut impl FnMut(&mut State, bool, Instant) -> Option<R>,
    ) -> Poll<R> {
        let shared = Arc::clone(&self.shared);
        for _ in 0..ROUNDS {
            let mut guard = shared.lock();
            let state = &mut *guard;
            state.set_driver(context.waker());
            let now = now();
            let has_moved = self.move_bytes(state, context, now);
            let was_paused = state.session.is_paused();
            state.settle();
            // More may be read now.
            let goes_on = has_moved || (was_paused && !state.session.is_paused());
            state.expire(now);
            if has_moved {
                state.room.wake_first();
                state.request_room.wake_first();
            }
            self.obey(state, now);
            let is_over = self.stream.is_none();
            if let Some(result) = done(state, is_over, now) {
                return Poll::Ready(result);
            }
            let deadline = [state.deadline(), self.due, self.close_by].into_iter().flatten().min();
            drop(guard);
            if !goes_on && self.sleep_until(deadline, context).is_pending() {
                return Poll::Pending;
            }
        }
        // Others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves what bytes can be moved now; whether there were any, or the connection has ended.
    fn move_bytes(&mut self, state: &mut State, context: &Context<'_>, now: Instant) -> bool {
        let is_late = state.session.deadline().is_some_and(|deadline| now >= deadline);
        let Some(stream) = &mut self.stream else {
            if is_late {
                state.session.handle_timeout(now);
            }
            return false;
        };
        stream.inner_mut().set_waker(context.waker());
        let mut has_moved = false;
        if is_late {
            // The answer that the session would miss may be there, unread.
            has_moved = transfer(stream, state, false, now);
            state.session.handle_timeout(now);
        }
        has_moved |= transfer(stream, state, true, now);
        let is_over = match state.session.status() {
            Status::Connecting | Status::Connected => false,
            Status::Disconnected => true,
            Status::Closing => {
                let close_by = *self.close_by.get_or_insert(now + CLOSE_TIMEOUT);
                let has_outgoing = stream.has_outgoing() || !state.session.transmit().is_empty();
                !has_outgoing || now >= close_by
            }
        };
        if is_over {
            stream.close();
            state.session.connection_closed(Error::ConnectionClosed);
            self.stream = None;
            self.close_by = None;
        }
        has_moved || is_over
    }

    /// Does what it was told to do while there is a connection.
    fn obey(&mut self, state: &mut State, now: Instant) {
        let Some(stream) = &mut self.stream else { return };
        match state.command {
            Some(Command::Stop) => {
                // As if the process had ended: the broker publishes the Will Message.
                stream.close();
                state.session.connection_closed(Error::ConnectionClosed);
                self.stream = None;
            }
            Some(Command::Reconnect | Command::Rest) if state.session.status() != Status::Closing => {
                let normal = crate::codec::Disconnect::new(crate::codec::ReasonCode::NORMAL_DISCONNECTION);
                if state.session.disconnect(&normal).is_err() {
                    state.session.connection_closed(Error::ConnectionClosed);
                }
                self.close_by = Some(now + CLOSE_TIMEOUT);
                state.wake_driver();
            }
            _ => {}
        }
    }

    /// Whether that point in time has come; has the task woken then.
    fn sleep_until(&mut self, deadline: Option<Instant>, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let remaining = deadline.saturating_duration_since(now());
        if remaining.is_zero() {
            return Poll::Ready(());
        }
        let at = tokio::time::Instant::now() + remaining;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if self.wakes_at != Some(deadline) {
            sleep.as_mut().reset(at);
            self.wakes_at = Some(deadline);
        }
        let slept = sleep.as_mut().poll(context);
        if slept.is_ready() {
            self.wakes_at = None;
        }
        slept
    }
}

/// Moves bytes once; whether any moved or the connection ended.
fn transfer(stream: &mut Stream<TokioTcp>, state: &mut State, sends: bool, now: Instant) -> bool {
    let (outgoing, incoming) = state.session.buffers();
    let outgoing = if sends { outgoing } else { &[] };
    if outgoing.is_empty() && incoming.is_empty() && !stream.has_outgoing() {
        return false;
    }
    match stream.transfer(outgoing, incoming, Some(now)) {
        Ok(moved) => {
            state.session.transmitted(moved.sent, now);
            state.session.received(moved.received, now);
            state.written += moved.sent as u64;
            if moved.sent > 0 {
                state.flushing.wake_all();
            }
            if moved.closed {
                state.session.connection_closed(Error::ConnectionClosed);
            }
            moved != Transferred::default()
        }
        Err(error) => {
            // Why the broker closed the connection may be there, unread.
            let mut rounds = 0..LAST_ROUNDS;
            while sends
                && rounds.next().is_some()
                && transfer(stream, state, false, now)
                && state.session.status() != Status::Disconnected
            {}
            state.session.connection_closed(error.into());
            true
        }
    }
}
