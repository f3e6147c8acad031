//! Requests and replies over the blocking client.

use alloc::string::ToString;
use alloc::sync::Arc;
#[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
use alloc::vec::Vec;
use core::fmt;
use core::task::Poll;
use core::time::Duration;

use super::Client;
use crate::codec::{Publish, Subscription};
use crate::engine::{Call, CallId, Replying, Requesting};
use crate::error::Error;
use crate::message::Message;
use crate::respond::{Reply, Request, Responder, ResponderStats};
use crate::transport::Transport;
#[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
use crate::{message::borrowed, trace::TraceContext};

/// A request that waits for its reply: what [`Client::wait_for_reply`] takes. When it is dropped, the reply is too.
#[derive(Debug)]
pub struct PendingReply {
    pub(crate) id: CallId,
    /// Tells the engine that there is someone who has it.
    _owner: Arc<()>,
}

/// Where there is randomness to be had.
#[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
impl<T: Transport> Client<T> {
    /// Publishes a request and waits for the reply, no longer than `timeout`. See
    /// [`Session::request`](crate::session::Session::request) for what is sent.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no reply came in time; [`Error::NoResponder`] when the broker says that nobody serves such
    /// requests; [`Error::RequestFailed`] when the responder says that it failed;
    /// [`CallError::RepliesRefused`](crate::CallError::RepliesRefused); and as [`Client::publish`].
    pub fn request(&mut self, request: &Publish<'_>, timeout: Duration) -> Result<Message, Error> {
        let nonce = crate::random::nonce()?;
        self.run(Requesting { request, timeout, nonce })
    }

    /// As [`Client::request`], with a trace context, which takes the place of any that is in its User Properties.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn request_traced(
        &mut self,
        request: &Publish<'_>,
        timeout: Duration,
        context: &TraceContext,
    ) -> Result<Message, Error> {
        let user_properties = context.added_to(&request.properties.user_properties);
        self.request(&request.with_user_properties(&borrowed(&user_properties)), timeout)
    }

    /// Serializes a request to JSON, and reads the reply as JSON.
    ///
    /// # Errors
    /// [`Error::Json`] when either is not possible, and as [`Client::request`].
    #[cfg(feature = "json")]
    pub fn request_json<R: serde::de::DeserializeOwned>(
        &mut self,
        topic: &str,
        request: &(impl serde::Serialize + ?Sized),
        timeout: Duration,
    ) -> Result<R, Error> {
        let payload = crate::json::to_json(request)?;
        let properties = crate::json::json_properties();
        let publish = Publish::new(topic, &payload).qos(crate::codec::QoS::AtLeastOnce).properties(properties);
        self.request(&publish, timeout)?.json()
    }

    /// Publishes requests one behind the other and waits for all of their replies, no longer than `timeout` for each.
    /// Returns for each how it went, in order: as [`Client::request`] would have.
    pub fn request_all<'a>(
        &mut self,
        requests: impl IntoIterator<Item = Publish<'a>>,
        timeout: Duration,
    ) -> Vec<Result<Message, Error>> {
        let pending: Vec<_> = requests.into_iter().map(|request| self.start_request(&request, timeout)).collect();
        pending.into_iter().map(|pending| self.wait_for_reply(pending?)).collect()
    }

    /// Puts a request into the outbound buffer, to leave with the next call that sends or waits. Any number of requests
    /// may wait for their replies at the same time. Waits for room if there is none, and before the first request for the
    /// broker to take the subscription to the Response Topic.
    ///
    /// # Errors
    /// [`CallError::RepliesRefused`](crate::CallError::RepliesRefused), [`Error::Timeout`] when there is no room within
    /// `timeout`, and as [`Client::enqueue`].
    pub fn start_request(&mut self, request: &Publish<'_>, timeout: Duration) -> Result<PendingReply, Error> {
        let nonce = crate::random::nonce()?;
        self.start_request_with(request, timeout, nonce)
    }
}

impl<T: Transport> Client<T> {
    /// As `Client::start_request`, where there is no randomness to be had: with a random number that is used once.
    ///
    /// # Errors
    /// As `Client::start_request`.
    pub fn start_request_with(
        &mut self,
        request: &Publish<'_>,
        timeout: Duration,
        nonce: u64,
    ) -> Result<PendingReply, Error> {
        let mut call = Call::new(Requesting { request, timeout, nonce });
        let owner = Arc::new(());
        loop {
            let network = &self.network;
            if let Poll::Ready(id) = self.engine.poll_submitted(&mut call, &owner, &mut || network.now()) {
                return Ok(PendingReply { id: id?, _owner: owner });
            }
            self.turn(None);
        }
    }

    /// Waits for the reply to a request, for as long as that has time.
    ///
    /// # Errors
    /// As `Client::request`.
    pub fn wait_for_reply(&mut self, pending: PendingReply) -> Result<Message, Error> {
        loop {
            if let Some(reply) = self.poll_reply(&pending, Duration::MAX)? {
                return Ok(reply);
            }
        }
    }

    /// Waits for the reply to a request, no longer than `timeout`; zero looks whether it has come. `None` when it has not.
    ///
    /// # Errors
    /// As `Client::request`, when the request has ended. [`Error::AnswerBehindMessages`] does not end it: ask again.
    pub fn poll_reply(&mut self, pending: &PendingReply, timeout: Duration) -> Result<Option<Message>, Error> {
        let until = self.network.now() + timeout;
        let mut is_late = false;
        loop {
            let network = &self.network;
            match self.engine.poll_reply(pending.id, &mut || network.now()) {
                Poll::Ready(reply) => return reply.map(Some),
                Poll::Pending if is_late => return Ok(None),
                Poll::Pending => {}
            }
            self.turn(Some(until));
            is_late = self.network.now() >= until;
        }
    }

    /// Gives a request up: its reply is dropped when it comes. To drop it does so too, but for that the request counts as
    /// one that waits until then.
    pub fn give_up(&mut self, pending: &PendingReply) {
        self.engine.cancel(pending.id, self.network.now());
    }

    /// Sets the responder of [`Client::next_request`] and [`Client::serve`], in place of [`Responder::new`]: how many replies
    /// to requests that come twice it keeps, and for how long ([`Responder::keep`]). To be called before the first request
    /// is taken: what the responder before it knows is forgotten.
    pub fn set_responder(&mut self, responder: Responder) {
        if let Some(before) = self.responder.take() {
            self.engine.close_responder(before);
        }
        self.responder = Some(self.engine.open_responder(responder));
    }

    /// Takes the next message for a request, waiting for it no longer than `timeout`. One that came before is answered as
    /// it was then, and not handed out again. A message without a Response Topic is a request that wants no reply.
    ///
    /// It is acknowledged by [`Client::reply`], and the messages that come after it not before.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn next_request(&mut self, timeout: Duration) -> Result<Option<Request>, Error> {
        let responder = self.responder();
        self.take_within(timeout, |engine, now| engine.next_request(responder, now))
    }

    /// Sends a reply, at the request's QoS if the broker takes it, and acknowledges the request. Nothing is sent if nobody
    /// waits for it any more.
    ///
    /// # Errors
    /// As [`Client::enqueue`]. After [`CallError::ReceiveFirst`](crate::CallError::ReceiveFirst) and
    /// [`CallError::NotConnected`](crate::CallError::NotConnected) it can be tried again; after any other [`Error::Call`] the
    /// request is done with and acknowledged, without a reply.
    pub fn reply(&mut self, request: &Request, reply: &Reply) -> Result<(), Error> {
        self.enqueue_reply(request, reply)?;
        self.flush()
    }

    pub(crate) fn enqueue_reply(&mut self, request: &Request, reply: &Reply) -> Result<(), Error> {
        let responder = self.responder();
        self.run(Replying { responder, request, reply })
    }

    /// Lets a request go without a reply, and without acknowledging it: the broker may send it again over the next
    /// connection.
    pub fn give_up_request(&mut self, request: &Request) {
        let responder = self.responder();
        self.engine.give_up(responder, request);
    }

    /// What was done so far about requests that were taken.
    #[must_use]
    pub fn responder_stats(&self) -> ResponderStats {
        self.responder.map(|responder| self.engine.responder_stats(responder)).unwrap_or_default()
    }

    /// Subscribes, and answers requests with what `handler` makes of them, one by one, until the connection ends and none is
    /// made again. An error of the handler goes to the requester, as [`Error::RequestFailed`].
    ///
    /// A reply that cannot be sent, as one that is larger than the broker takes, ends nothing: it is counted
    /// ([`ResponderStats::failed`]) and told ([`Event::ReplyDropped`](crate::Event::ReplyDropped)), and its request
    /// acknowledged.
    ///
    /// # Errors
    /// As [`Client::subscribe`], and what ended the connection.
    pub fn serve<R: Into<Reply>, E: fmt::Display>(
        &mut self,
        subscription: Subscription<'_>,
        mut handler: impl FnMut(&Message) -> Result<R, E>,
    ) -> Result<core::convert::Infallible, Error> {
        self.subscribe(&[subscription])?;
        loop {
            let Some(request) = self.next_request(Duration::MAX)? else { continue };
            let reply = match handler(request.message()) {
                Ok(reply) => reply.into(),
                Err(error) => Reply::failed(error.to_string()),
            };
            if self.reply(&request, &reply).is_err() {
                // That the connection is over for good is told by waiting for the next.
                self.give_up_request(&request);
            }
        }
    }
}
