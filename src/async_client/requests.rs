//! Requests as they come, to be answered by any task.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_core::Stream;

use super::messages::Messages;
use super::operation::Submit;
use super::state::State;
use super::{Handle, now};
use crate::error::Error;
use crate::message::Message;
use crate::respond::{Reply, Request, Responder, ResponderStats};

/// Requests as they come: see [`AsyncClient::requests`](super::AsyncClient::requests).
#[derive(Debug)]
pub struct Requests {
    messages: Messages,
    responder: Arc<Mutex<Responder>>,
    is_over: bool,
}

/// A request to answer, once and by anyone.
///
/// One that is dropped without an answer is answered with an error, so that its requester need not wait.
pub struct IncomingRequest {
    handle: Arc<Handle>,
    responder: Arc<Mutex<Responder>>,
    request: Option<Request>,
}

fn lock(responder: &Mutex<Responder>) -> MutexGuard<'_, Responder> {
    responder.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Requests {
    pub(super) fn new(messages: Messages, responder: Responder) -> Self {
        Self { messages, responder: Arc::new(Mutex::new(responder)), is_over: false }
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
        lock(&self.responder).stats()
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<IncomingRequest, Error>> {
        loop {
            let Poll::Ready((message, delivery)) = self.messages.poll_receive(context)? else { return Poll::Pending };
            let handle = self.messages.handle();
            let mut state = handle.shared.lock();
            let mut responder = lock(&self.responder);
            let (request, now) = (responder.accept(&state.session, message, delivery, now()), now());
            responder.flush(&mut state.session, now);
            state.wake_driver();
            if let Some(request) = request {
                let (handle, responder) = (Arc::clone(handle), Arc::clone(&self.responder));
                return Poll::Ready(Ok(IncomingRequest { handle, responder, request: Some(request) }));
            }
        }
    }
}

impl Stream for Requests {
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
    /// As [`AsyncClient::enqueue`](super::AsyncClient::enqueue).
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

    async fn answer(mut self, answer: &Reply) -> Result<(), Error> {
        let Some(request) = &self.request else { return Ok(()) };
        let until = now() + self.handle.shared.lock().response_timeout;
        let responder = &self.responder;
        Submit::new(&self.handle.shared, false, until, |state: &mut State| {
            lock(responder).reply(&mut state.session, request, answer, now())
        })
        .await?;
        // Until here it would be answered with an error if it were dropped.
        self.request = None;
        Ok(())
    }
}

impl Drop for IncomingRequest {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else { return };
        let mut state = self.handle.shared.lock();
        let mut responder = lock(&self.responder);
        let failed = Reply::failed("the responder gave no answer");
        // When there is no room, it is as if the responder had died.
        if responder.reply(&mut state.session, &request, &failed, now()).is_err() {
            responder.give_up(&request);
        }
        state.wake_driver();
    }
}

impl fmt::Debug for IncomingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingRequest").field("request", &self.request).finish_non_exhaustive()
    }
}
