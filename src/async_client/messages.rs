//! Messages as they come, to one who listens.

use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;

use super::Handle;
use super::requests::Requests;
use super::state::State;
use crate::error::Error;
use crate::message::Message;
use crate::respond::Responder;
use crate::session::Delivery;

/// The messages of a subscription, or all of them: see [`AsyncClient::listen`](super::AsyncClient::listen) and
/// [`AsyncClient::messages`](super::AsyncClient::messages).
///
/// As a [`Stream`] it ends after the error that ended the connection, if none is made again.
pub struct Messages {
    handle: Arc<Handle>,
    id: u64,
    is_over: bool,
}

impl Messages {
    pub(super) const fn new(handle: Arc<Handle>, id: u64) -> Self {
        Self { handle, id, is_over: false }
    }

    /// Waits for the next message. At QoS 1 and 2 it is acknowledged by that.
    ///
    /// # Errors
    /// What ended the connection, if none is made again, behind the last message.
    pub async fn receive(&mut self) -> Result<Message, Error> {
        match self.try_receive() {
            Some(message) => Ok(message),
            None => poll_fn(|context| self.poll_message(context)).await,
        }
    }

    /// As [`Messages::receive`], but the message is acknowledged by
    /// [`AsyncClient::acknowledge`](super::AsyncClient::acknowledge), once the work that it asks for is done, say. There is
    /// no [`Delivery`] where there is nothing to acknowledge.
    ///
    /// # Errors
    /// As [`Messages::receive`].
    pub async fn receive_unacknowledged(&mut self) -> Result<(Message, Option<Delivery>), Error> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// Takes the next message if it is there.
    pub fn try_receive(&mut self) -> Option<Message> {
        let mut state = self.handle.shared.lock();
        let (message, delivery) = take(&mut state, self.id, None)?;
        delivery.map(|delivery| state.acknowledge(delivery));
        Some(message)
    }

    /// Takes the messages for requests, to be answered.
    #[must_use]
    pub fn into_requests(self, responder: Responder) -> Requests {
        Requests::new(self, responder)
    }

    /// How many messages were dropped since nobody took them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.handle.shared.lock().inboxes.dropped(self.id)
    }

    pub(super) const fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub(super) fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Result<(Message, Option<Delivery>), Error>> {
        poll_take(&mut self.handle.shared.lock(), self.id, context)
    }

    /// As [`Messages::poll_receive`], and acknowledges it.
    fn poll_message(&self, context: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        let mut state = self.handle.shared.lock();
        poll_take(&mut state, self.id, context).map_ok(|(message, delivery)| {
            delivery.map(|delivery| state.acknowledge(delivery));
            message
        })
    }
}

fn poll_take(
    state: &mut State,
    id: u64,
    context: &mut Context<'_>,
) -> Poll<Result<(Message, Option<Delivery>), Error>> {
    if let Some(taken) = take(state, id, None) {
        return Poll::Ready(Ok(taken));
    }
    // It may have come, and not have been handed out yet.
    state.distribute();
    if let Some(taken) = take(state, id, Some(context)) {
        return Poll::Ready(Ok(taken));
    }
    state.require_open()?;
    Poll::Pending
}

fn take(state: &mut State, id: u64, context: Option<&Context<'_>>) -> Option<(Message, Option<Delivery>)> {
    let (message, delivery, is_free) = state.inboxes.pop(id, context.map(Context::waker))?;
    state.taken();
    if is_free {
        // There may be more, that nobody took in.
        state.wake_driver();
    }
    Some((message, delivery))
}

impl Stream for Messages {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        self.poll_message(context).map(|received| {
            self.is_over = received.is_err();
            Some(received)
        })
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        let mut state = self.handle.shared.lock();
        let (filter, settled) = state.inboxes.close(self.id);
        for delivery in settled {
            state.session.acknowledge(delivery);
        }
        if let Some(filter) = filter {
            // If there is no room for that, what comes is dropped unheard.
            let _ = state.session.unsubscribe(&[&filter], Default::default());
        }
        state.wake_driver();
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}
