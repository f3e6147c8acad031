//! What all tasks of an async client share: the engine, and who drives it.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::PoisonError;

use alloc::vec::Vec;

use super::runtime::{Connection, Mutex, MutexGuard, now};
use crate::engine::{Call, Engine, Operation};
use crate::error::Error;
use crate::time::Instant;

pub(super) struct Shared(Mutex<State>);

pub(super) struct State {
    pub(super) engine: Engine,
    /// The driver, while it sleeps.
    pub(super) driver: Option<Waker>,
    /// When it wakes by itself.
    pub(super) wakes_at: Option<Instant>,
    /// A connection that the user has made, for the driver.
    pub(super) given: Option<Connection>,
    /// Whether nobody has the client any more.
    pub(super) is_abandoned: bool,
}

impl Shared {
    pub(super) const fn new(engine: Engine) -> Self {
        Self(Mutex::new(State { engine, driver: None, wakes_at: None, given: None, is_abandoned: false }))
    }

    /// Nothing that a panic could leave half done would be worse than to stop.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the engine. Tasks that have something to do because of it are woken once the lock is free.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Engine) -> R) -> R {
        let mut woken = Vec::new();
        let mut state = self.lock();
        let result = work(&mut state.engine);
        state.engine.take_woken(&mut woken);
        let driver = state.driver_to_wake();
        let discarded = state.engine.take_discarded();
        drop(state);
        drop(discarded);
        woken.into_iter().chain(driver).for_each(Waker::wake);
        result
    }

    /// Continues over a connection that the user has made.
    pub(super) fn attach(&self, connection: Connection) {
        let mut state = self.lock();
        state.given = Some(connection);
        state.engine.attach(now());
        let driver = state.driver.take();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Does something, however long that takes.
    pub(super) const fn run<O: Operation>(&self, operation: O) -> Running<'_, O> {
        Running { shared: self, call: Call::new(operation) }
    }

    /// Nobody has the client any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.is_abandoned = true;
        let driver = state.driver.take();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// The driver, if it sleeps and has something to do, or has to wake earlier.
    fn driver_to_wake(&mut self) -> Option<Waker> {
        self.driver.as_ref()?;
        let is_earlier = || match (self.engine.deadline(), self.wakes_at) {
            (Some(deadline), Some(wakes_at)) => deadline < wakes_at,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        if self.engine.needs_turn() || is_earlier() { self.driver.take() } else { None }
    }
}

/// A call on its way. When it is dropped, what can be taken back is.
pub(super) struct Running<'a, O> {
    pub(super) shared: &'a Shared,
    call: Call<O>,
}

#[cfg(feature = "stream")]
impl<O> Running<'_, O> {
    /// The number of the call, once the engine has something of it.
    pub(super) const fn id(&self) -> Option<crate::engine::CallId> {
        self.call.id()
    }
}

impl<O: Operation + Unpin> Future for Running<'_, O> {
    type Output = Result<O::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, call } = &mut *self;
        shared.with(|engine| engine.poll_call(call, Some(context.waker()), &mut now))
    }
}

impl<O> Drop for Running<'_, O> {
    fn drop(&mut self) {
        if let Some(id) = self.call.id() {
            drop(self.shared.with(|engine| engine.cancel(id, now())));
        }
    }
}
