//! Requests as they come, to be answered by any task.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use futures_core::Stream;

use super::Handle;
use super::messages::AsyncMessages;
use super::runtime::now;
use crate::engine::{Engine, Replying, ResponderId, Taken};
use crate::error::{CallError, Error};
use crate::message::Message;
use crate::respond::{Reply, Request, Responder, ResponderStats};

/// Requests as they come: see [`AsyncClient::requests`](super::AsyncClient::requests).
#[derive(Debug)]
pub struct AsyncRequests {
    messages: AsyncMessages,
    responder: Arc<Owned>,
    is_over: bool,
}

/// A responder of the engine, for as long as anyone has it.
#[derive(Debug)]
struct Owned {
    handle: Arc<Handle>,
    id: ResponderId,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.handle.shared.with(|engine| engine.close_responder(self.id));
    }
}

/// A request to answer, once and by anyone.
///
/// One that is dropped without an answer is answered with an error, so that its requester need not wait.
pub struct IncomingRequest {
    responder: Arc<Owned>,
    request: Option<Request>,
}

impl AsyncRequests {
    pub(super) fn new(messages: AsyncMessages, responder: Responder) -> Self {
        let handle = Arc::clone(messages.handle());
        let id = handle.shared.with(|engine| engine.open_responder(responder));
        Self { messages, responder: Arc::new(Owned { handle, id }), is_over: false }
    }

    /// Waits for the next request. One that came before is answered as it was then, and not handed out again.
    ///
    /// # Errors
    /// What ended the connection, if none is made again.
    pub async fn receive(&mut self) -> Result<IncomingRequest, Error> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> ResponderStats {
        self.responder.handle.shared.lock().engine.responder_stats(self.responder.id)
    }

    fn poll_receive(&mut self, context: &Context<'_>) -> Poll<Result<IncomingRequest, Error>> {
        loop {
            let id = self.responder.id;
            let accept = |engine: &mut Engine, (message, delivery): Taken| engine.accept(id, message, delivery, now());
            match self.messages.poll_take(context, accept)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {}
                Poll::Ready(Some(request)) => {
                    let responder = Arc::clone(&self.responder);
                    return Poll::Ready(Ok(IncomingRequest { responder, request: Some(request) }));
                }
            }
        }
    }
}

impl Stream for AsyncRequests {
    type Item = Result<IncomingRequest, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        self.poll_receive(context).map(|received| {
            self.is_over = received.is_err();
            Some(received)
        })
    }
}

impl IncomingRequest {
    /// What was asked.
    #[must_use]
    pub fn message(&self) -> &Message {
        self.request.as_ref().expect("it is there until it is answered").message()
    }

    /// Whether anyone waits for a reply.
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        self.request.as_ref().is_some_and(Request::wants_reply)
    }

    /// How long the requester still waits; `None` if it did not say.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.request.as_ref().and_then(|request| request.remaining(now()))
    }

    /// Sends a reply, at the request's QoS if the broker takes it, and acknowledges the request. Returns once there is room
    /// for it. Nothing is sent if nobody waits for it any more.
    ///
    /// # Errors
    /// As [`AsyncClient::enqueue`](super::AsyncClient::enqueue). After [`Error::Call`] the request is done with and
    /// acknowledged, without a reply.
    pub async fn reply(self, reply: impl Into<Reply>) -> Result<(), Error> {
        self.answer(&reply.into()).await
    }

    /// Tells the requester that the request failed, and why: [`Error::RequestFailed`].
    ///
    /// # Errors
    /// As [`IncomingRequest::reply`].
    pub async fn fail(self, why: impl fmt::Display) -> Result<(), Error> {
        self.answer(&Reply::failed(why.to_string())).await
    }

    async fn answer(mut self, reply: &Reply) -> Result<(), Error> {
        let Some(request) = &self.request else { return Ok(()) };
        let replying = Replying { responder: self.responder.id, request, reply };
        let replied = self.responder.handle.shared.run(replying).await;
        let is_done = match &replied {
            Ok(()) => true,
            Err(Error::Call(error)) => !matches!(error, CallError::ReceiveFirst | CallError::NotConnected),
            Err(_) => false,
        };
        if is_done {
            // Until here it would be answered with an error if it were dropped.
            self.request = None;
        }
        replied
    }
}

impl Drop for IncomingRequest {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else { return };
        let Owned { handle, id } = &*self.responder;
        // When there is no room, it is as if the responder had died.
        handle.shared.with(|engine| engine.fail_request(*id, &request, "the responder gave no answer", now()));
    }
}

impl fmt::Debug for IncomingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingRequest").field("request", &self.request).finish_non_exhaustive()
    }
}
