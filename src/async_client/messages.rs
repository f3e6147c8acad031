//! Messages as they come, to one who listens.

use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;

use super::Handle;
use super::requests::AsyncRequests;
use super::runtime::now;
use crate::engine::{Engine, Held, ListenerId, Taken};
use crate::error::Error;
use crate::message::Message;
use crate::respond::Responder;
use crate::session::Delivery;

/// The messages of a subscription, or all of them: see [`AsyncClient::listen`](super::AsyncClient::listen) and
/// [`AsyncClient::messages`](super::AsyncClient::messages).
///
/// As a [`Stream`] it ends after the error that ended the connection, if none is made again.
pub struct AsyncMessages {
    handle: Arc<Handle>,
    listener: ListenerId,
    /// Taken out of the inbox with one before them.
    more: Held,
    is_over: bool,
}

impl AsyncMessages {
    pub(super) fn new(handle: Arc<Handle>, listener: ListenerId) -> Self {
        Self { handle, listener, more: Held::default(), is_over: false }
    }

    /// Waits for the next message. At QoS 1 and 2 it is acknowledged by that.
    ///
    /// # Errors
    /// What ended the connection, if none is made again, behind the last message.
    pub fn receive(&mut self) -> impl Future<Output = Result<Message, Error>> {
        poll_fn(|context| self.poll_message(context))
    }

    /// As [`AsyncMessages::receive`], but the message is acknowledged by
    /// [`AsyncClient::acknowledge`](super::AsyncClient::acknowledge), once the work that it asks for is done, say. There is
    /// no [`Delivery`] where there is nothing to acknowledge.
    ///
    /// # Errors
    /// As [`AsyncMessages::receive`].
    pub async fn receive_unacknowledged(&mut self) -> Result<(Message, Option<Delivery>), Error> {
        poll_fn(|context| self.poll_take(context, |_, taken| taken)).await
    }

    /// Takes the next message if it is there.
    pub fn try_receive(&mut self) -> Option<Message> {
        if let Some((message, _)) = self.more.pop() {
            return Some(message);
        }
        let Self { handle, listener, more, .. } = self;
        handle.shared.with(|engine| {
            engine.take_message(*listener, more, None, &mut now).map(|taken| acknowledged(engine, taken))
        })
    }

    /// Takes the messages for requests, to be answered.
    #[must_use]
    pub fn into_requests(self, responder: Responder) -> AsyncRequests {
        AsyncRequests::new(self, responder)
    }

    /// How many messages were dropped since nobody took them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.handle.shared.lock().engine.dropped(self.listener)
    }

    pub(super) const fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// The next message, as `finish` has it.
    pub(super) fn poll_take<R>(
        &mut self,
        context: &Context<'_>,
        finish: impl FnOnce(&mut Engine, Taken) -> R,
    ) -> Poll<Result<R, Error>> {
        let Self { handle, listener, more, .. } = self;
        handle.shared.with(|engine| {
            let taken = match more.pop() {
                Some(taken) => Some(taken),
                None => engine.take_message(*listener, more, Some(context.waker()), &mut now),
            };
            match taken {
                Some(taken) => Poll::Ready(Ok(finish(engine, taken))),
                None => engine.require_open().map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
            }
        })
    }

    #[inline]
    fn poll_message(&mut self, context: &Context<'_>) -> Poll<Result<Message, Error>> {
        match self.more.pop() {
            Some((message, _)) => Poll::Ready(Ok(message)),
            None => self.poll_take(context, acknowledged),
        }
    }
}

/// Acknowledges a message that was taken.
fn acknowledged(engine: &mut Engine, (message, delivery): Taken) -> Message {
    delivery.map(|delivery| engine.acknowledge(delivery));
    message
}

impl Stream for AsyncMessages {
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

impl Drop for AsyncMessages {
    fn drop(&mut self) {
        self.handle.shared.with(|engine| engine.close_listener(self.listener, now()));
    }
}

impl fmt::Debug for AsyncMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncMessages").finish_non_exhaustive()
    }
}
