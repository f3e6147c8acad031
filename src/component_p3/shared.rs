//! What all calls of a client share: the engine, and who drives it.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use crate::engine::{Call, CallId, Engine, Operation};
use crate::error::Error;
use crate::time::Instant;
use crate::transport::{Closing, now, sleep_until};

/// The engine is never borrowed while a call waits.
pub(super) struct Shared(RefCell<State>);

pub(super) struct State {
    pub(super) engine: Engine,
    /// The driver, while it sleeps.
    pub(super) driver: Option<Waker>,
    /// When it wakes by itself.
    pub(super) wakes_at: Option<Instant>,
    /// The end of the connection that was closed last.
    pub(super) closing: Option<Closing>,
    /// Those who wait for a message, by numbers.
    receivers: Vec<(u64, Waker)>,
    last_receiver: u64,
    /// Whether nobody has the client any more.
    pub(super) is_abandoned: bool,
}

/// The client, as its callers have it. When it is dropped, the driver ends.
pub(super) struct Handle(pub(super) Rc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.0.0.borrow_mut();
        state.is_abandoned = true;
        let driver = state.driver.take();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
    }
}

impl Shared {
    pub(super) fn new(engine: Engine) -> Self {
        Self(RefCell::new(State {
            engine,
            driver: None,
            wakes_at: None,
            closing: None,
            receivers: Vec::new(),
            last_receiver: 0,
            is_abandoned: false,
        }))
    }

    pub(super) const fn state(&self) -> &RefCell<State> {
        &self.0
    }

    /// Looks at the engine.
    pub(super) fn look<R>(&self, look: impl FnOnce(&Engine) -> R) -> R {
        look(&self.0.borrow().engine)
    }

    /// Does something with the engine. Tasks that have something to do because of it are woken afterwards.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Engine) -> R) -> R {
        let mut woken = Vec::new();
        let mut state = self.0.borrow_mut();
        let result = work(&mut state.engine);
        state.take_woken(&mut woken);
        woken.extend(state.driver_to_wake());
        let discarded = state.engine.take_discarded();
        drop(state);
        drop(discarded);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Does something, however long that takes.
    pub(super) const fn run<O: Operation>(&self, operation: O) -> Running<'_, O> {
        Running { shared: self, call: Call::new(operation) }
    }

    /// Waits until what was sent has left, if the connection is being closed.
    pub(super) async fn closed(&self) {
        let closing = self.0.borrow_mut().closing.take();
        if let Some(closing) = closing {
            closing.await;
        }
    }

    /// Waits until `take` finds something among what was received, or the connection is over for good, for at most
    /// `timeout`. `None`: for as long as it takes.
    pub(super) async fn receive<R>(
        &self,
        timeout: Option<Duration>,
        mut take: impl FnMut(&mut Engine) -> Option<R>,
    ) -> Result<Option<R>, Error> {
        let mut sleep = pin!(async {
            match timeout {
                Some(timeout) => sleep_until(now() + timeout).await,
                None => pending().await,
            }
        });
        let waiting = Waiting::new(self);
        let received = poll_fn(|context| {
            // What has come until then is looked for once more.
            let is_late = sleep.as_mut().poll(context).is_ready();
            let taken = self.with(|engine| {
                if let Some(taken) = take(engine) {
                    // Answers that were behind it.
                    engine.took_messages(now());
                    return Poll::Ready(Ok(Some(taken)));
                }
                match engine.require_open() {
                    Err(error) => Poll::Ready(Err(error)),
                    Ok(()) if is_late => Poll::Ready(Ok(None)),
                    Ok(()) => Poll::Pending,
                }
            });
            if taken.is_pending() {
                waiting.wake(context.waker());
            }
            taken
        });
        received.await
    }
}

impl State {
    /// Moves the wakers of those who have to poll again to the end of `woken`.
    pub(super) fn take_woken(&mut self, woken: &mut Vec<Waker>) {
        self.engine.take_woken(woken);
        if !self.receivers.is_empty() && (self.engine.has_message() || self.engine.require_open().is_err()) {
            woken.extend(self.receivers.drain(..).map(|(_, waker)| waker));
        }
    }

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

/// One who waits for a message, until it is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    number: u64,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        let mut state = shared.0.borrow_mut();
        state.last_receiver += 1;
        Self { shared, number: state.last_receiver }
    }

    /// Has this woken when there may be a message.
    fn wake(&self, waker: &Waker) {
        let receivers = &mut self.shared.0.borrow_mut().receivers;
        match receivers.iter_mut().find(|(number, _)| *number == self.number) {
            Some((_, known)) => known.clone_from(waker),
            None => receivers.push((self.number, waker.clone())),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.0.borrow_mut().receivers.retain(|(number, _)| *number != self.number);
    }
}

/// A call on its way. When it is dropped, what can be taken back is.
pub(super) struct Running<'a, O> {
    shared: &'a Shared,
    call: Call<O>,
}

impl<O> Running<'_, O> {
    /// Which call it is, once the engine knows of it.
    pub(super) const fn id(&self) -> Option<CallId> {
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
