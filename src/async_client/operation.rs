//! A call in two steps: there is room for it, and then it is done. Either can be dropped at any time.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::state::{Call, Outcome, Phase, Queue, Shared, State};
use crate::error::{Error, RequestError};
use crate::time::Instant;
use crate::transport::now;

/// Hands something to the session as soon as it has room, in the order of those who wait for that.
pub(super) struct Submit<'a, F> {
    shared: &'a Shared,
    submit: F,
    is_request: bool,
    until: Instant,
    /// The place among those who wait.
    ticket: Option<u64>,
}

impl<'a, F> Submit<'a, F> {
    pub(super) const fn new(shared: &'a Shared, is_request: bool, until: Instant, submit: F) -> Self {
        Self { shared, submit, is_request, until, ticket: None }
    }

    /// Gives the place to the next.
    fn leave(&mut self, state: &mut State) {
        let queue = queue(state, self.is_request);
        if let Some(ticket) = self.ticket.take() {
            queue.leave(ticket);
        }
        queue.wake_first();
    }
}

fn queue(state: &mut State, is_request: bool) -> &mut Queue {
    if is_request { &mut state.request_room } else { &mut state.room }
}

impl<R, F: FnMut(&mut State) -> Result<R, RequestError> + Unpin> Future for Submit<'_, F> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        let state = &mut *state;
        let mut result = state.require_open().and_then(|()| state.require_moving()).map(|()| None);
        if result.is_ok() && queue(state, this.is_request).is_turn_of(this.ticket) {
            result = match (this.submit)(state) {
                Ok(done) => Ok(Some(done)),
                Err(RequestError::WouldBlock | RequestError::NotConnected) => Ok(None),
                Err(error) => Err(error.into()),
            };
            // What it needs before it can be done may be under way.
            state.wake_driver();
        }
        if matches!(result, Ok(None)) && now() >= this.until {
            result = Err(Error::Timeout);
        }
        match result {
            Ok(None) => {
                let (ticket, until) = (this.ticket, this.until);
                this.ticket = Some(queue(state, this.is_request).enter(ticket, until, context.waker()));
                Poll::Pending
            }
            Ok(Some(done)) => {
                this.leave(state);
                Poll::Ready(Ok(done))
            }
            Err(error) => {
                this.leave(state);
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<F> Drop for Submit<'_, F> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let shared = self.shared;
            self.leave(&mut shared.lock());
        }
    }
}

/// Waits until the bytes are sent that wait to be when it begins.
pub(super) struct Flush<'a> {
    shared: &'a Shared,
    until: Instant,
    /// The connection, and how many bytes are to be sent in all over this and earlier ones.
    goal: Option<(u64, u64)>,
    ticket: Option<u64>,
}

impl<'a> Flush<'a> {
    pub(super) const fn new(shared: &'a Shared, until: Instant) -> Self {
        Self { shared, until, goal: None, ticket: None }
    }

    fn poll_sent(&mut self, state: &mut State) -> Poll<Result<(), Error>> {
        state.require_open()?;
        let goal = state.written + state.session.transmit().len() as u64;
        let (connection, bytes) = *self.goal.get_or_insert((state.connection, goal));
        if connection != state.connection {
            // What one connection did not send the next does, if it can.
            self.goal = Some((state.connection, goal));
        } else if state.written >= bytes && matches!(state.phase, Phase::Connected(_)) {
            return Poll::Ready(Ok(()));
        }
        if now() >= self.until { Poll::Ready(Err(Error::Timeout)) } else { Poll::Pending }
    }
}

impl Future for Flush<'_> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = self.shared;
        let mut state = shared.lock();
        let sent = self.poll_sent(&mut state);
        if sent.is_pending() {
            self.ticket = Some(state.flushing.enter(self.ticket, self.until, context.waker()));
            state.wake_driver();
        } else if let Some(ticket) = self.ticket.take() {
            state.flushing.leave(ticket);
        }
        sent
    }
}

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.lock().flushing.leave(ticket);
        }
    }
}

/// Waits for how something went that the session has. When it is dropped, nobody is told, and a request is given up.
pub(super) struct Completion<'a> {
    shared: &'a Shared,
    call: Call,
    is_request: bool,
    is_done: bool,
}

impl<'a> Completion<'a> {
    pub(super) const fn new(shared: &'a Shared, call: Call, is_request: bool) -> Self {
        Self { shared, call, is_request, is_done: false }
    }
}

impl Future for Completion<'_> {
    type Output = Result<Outcome, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.shared.lock().poll_outcome(self.call, context.waker()) {
            Some(outcome) => {
                self.is_done = true;
                Poll::Ready(Ok(outcome))
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Completion<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut state = self.shared.lock();
            state.forget(self.call);
            if let Call::Operation(id) = self.call
                && self.is_request
            {
                state.session.cancel_request(id);
            }
        }
    }
}
