//! Requests and replies over the blocking client.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::{Client, Patience};
use crate::codec::Publish;
use crate::error::Error;
use crate::message::Message;
use crate::respond::{Reply, Request, Responder};
use crate::session::OperationId;
use crate::transport::Transport;
#[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
use crate::{options::borrowed, trace::TraceContext};

/// A request that waits for its reply: what [`Client::wait_for_reply`] takes. When it is dropped, the reply is too.
#[derive(Debug)]
pub struct PendingReply {
    id: OperationId,
    /// Tells the client that there is someone who has it.
    _token: Arc<()>,
}

/// A reply that someone waits for, and the reply once it came.
pub(super) struct Awaited {
    id: OperationId,
    token: Arc<()>,
    result: Option<Result<Message, Error>>,
}

/// Where there is randomness to be had.
#[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
impl<T: Transport> Client<T> {
    /// Publishes a request and waits for the reply, no longer than `timeout`. See
    /// [`Session::request`](crate::session::Session::request) for what is sent.
    ///
    /// # Errors
    /// [`Error::Timeout`] when no reply came in time; [`Error::NoResponder`] when the broker says that nobody serves such
    /// requests; [`Error::RequestFailed`] when the responder says that it failed; [`RequestError::RepliesRefused`](crate::RequestError::RepliesRefused); and
    /// as [`Client::publish`].
    pub fn request(&mut self, request: &Publish<'_>, timeout: Duration) -> Result<Message, Error> {
        let pending = self.start_request(request, timeout)?;
        self.wait_for_reply(pending)
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
        let payload = crate::message::to_json(request)?;
        let properties = crate::message::json_properties();
        let publish = Publish::new(topic, &payload).qos(crate::codec::QoS::AtLeastOnce).properties(properties);
        self.request(&publish, timeout)?.json()
    }

    /// Publishes requests one behind the other and waits for all of their replies, no longer than `timeout` for each.
    /// Returns for each how it went, in order: as [`Client::request`] would have.
    pub fn request_all<'a>(
        &mut self,
        requests: impl IntoIterator<Item = Publish<'a>>,
        timeout: Duration,
    ) -> alloc::vec::Vec<Result<Message, Error>> {
        let pending: alloc::vec::Vec<_> =
            requests.into_iter().map(|request| self.start_request(&request, timeout)).collect();
        pending.into_iter().map(|pending| self.wait_for_reply(pending?)).collect()
    }

    /// Puts a request into the outbound buffer, to leave with the next call that sends or waits. Any number of requests
    /// may wait for their replies at the same time. Waits for room if there is none, and before the first request for the
    /// broker to take the subscription to the Response Topic.
    ///
    /// # Errors
    /// [`RequestError::RepliesRefused`](crate::RequestError::RepliesRefused), [`Error::Timeout`] when there is no room within `timeout`, and as
    /// [`Client::enqueue`].
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
        // Its time runs while there is no room for it, too.
        let now = self.transport.now();
        let id = self.submit(&mut Patience::new(timeout), |session| session.request(request, timeout, nonce, now))?;
        let token = Arc::new(());
        self.replies.push(Awaited { id, token: Arc::clone(&token), result: None });
        Ok(PendingReply { id, _token: token })
    }

    /// Waits for the reply to a request, for as long as that has time.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn wait_for_reply(&mut self, pending: PendingReply) -> Result<Message, Error> {
        loop {
            match self.reply_within(&pending, None) {
                Ok(None) => {}
                Ok(Some(reply)) => return Ok(reply),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the reply to a request, no longer than `timeout`; zero looks whether it has come. `None` when it has not.
    ///
    /// # Errors
    /// As [`Client::request`], when the request has ended.
    pub fn poll_reply(&mut self, pending: &PendingReply, timeout: Duration) -> Result<Option<Message>, Error> {
        self.reply_within(pending, Some(timeout))
    }

    fn reply_within(&mut self, pending: &PendingReply, timeout: Option<Duration>) -> Result<Option<Message>, Error> {
        let until = timeout.map(|timeout| self.transport.now() + timeout);
        loop {
            self.discard_events();
            // It was asked for before, if it is not there.
            let place = self.awaited(pending.id).ok_or(Error::Timeout)?;
            if let Some(result) = self.replies[place].result.take() {
                self.replies.remove(place);
                return result.map(Some);
            }
            let advanced = self.require_open().and_then(|()| self.advance(until).map_err(Error::while_in_flight));
            if let Err(error) = advanced {
                self.cancel(pending.id);
                return Err(error);
            }
            if until.is_some_and(|until| self.transport.now() >= until) {
                self.discard_events();
                if self.awaited(pending.id).is_some_and(|place| self.replies[place].result.is_none()) {
                    return Ok(None);
                }
            }
        }
    }

    /// Gives a request up: its reply is dropped when it comes. To drop it does so too, but for that the request counts as
    /// one that waits until then.
    pub fn give_up(&mut self, pending: &PendingReply) {
        self.cancel(pending.id);
    }

    /// Waits for the next request, no longer than `timeout`; forever if that is `None`. One that came before is answered as
    /// it was then, and not handed out again. A message without a Response Topic is a request that wants no reply.
    ///
    /// It is acknowledged by [`Client::reply`], and the messages that come after it not before.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn next_request(
        &mut self,
        responder: &mut Responder,
        timeout: Option<Duration>,
    ) -> Result<Option<Request>, Error> {
        let until = timeout.map(|timeout| self.transport.now() + timeout);
        loop {
            responder.flush(&mut self.session, self.transport.now());
            let remaining = until.map(|until| until.saturating_duration_since(self.transport.now()));
            let Some((message, delivery)) = self.receive_unacknowledged(remaining)? else { return Ok(None) };
            let now = self.transport.now();
            if let Some(request) = responder.accept(&self.session, message, delivery, now) {
                return Ok(Some(request));
            }
        }
    }

    /// Sends a reply, at the request's QoS if the broker takes it, and acknowledges the request. Nothing is sent if nobody
    /// waits for it any more.
    ///
    /// # Errors
    /// As [`Client::enqueue`].
    pub fn reply(&mut self, responder: &mut Responder, request: &Request, reply: &Reply) -> Result<(), Error> {
        let now = self.transport.now();
        self.submit(&mut self.patience(), |session| responder.reply(session, request, reply, now))?;
        self.flush()
    }

    /// Answers requests with what `handler` makes of them, one by one, until the connection ends and none is made again.
    /// Subscribe to them before.
    ///
    /// An error of the handler goes to the requester, as [`Error::RequestFailed`].
    ///
    /// # Errors
    /// What ended the connection.
    pub fn serve<R: Into<Reply>, E: fmt::Display>(
        &mut self,
        responder: &mut Responder,
        mut handler: impl FnMut(&Message) -> Result<R, E>,
    ) -> Result<core::convert::Infallible, Error> {
        loop {
            if let Some(request) = self.next_request(responder, None)? {
                let reply = match handler(request.message()) {
                    Ok(reply) => reply.into(),
                    Err(error) => Reply::failed(error.to_string()),
                };
                self.reply(responder, &request, &reply)?;
            }
        }
    }

    /// Notes a reply for whoever waits for it.
    pub(super) fn replied(&mut self, id: OperationId, result: Result<Message, Error>) {
        if let Some(place) = self.awaited(id) {
            let awaited = &mut self.replies[place];
            awaited.result = Some(result);
            if Arc::strong_count(&awaited.token) == 1 {
                self.replies.remove(place);
            }
        }
    }

    fn cancel(&mut self, id: OperationId) {
        self.session.cancel_request(id);
        if let Some(place) = self.awaited(id) {
            self.replies.remove(place);
        }
    }

    /// Where the reply to a request is kept: they are in the order of the requests.
    fn awaited(&self, id: OperationId) -> Option<usize> {
        self.replies.binary_search_by(|awaited| awaited.id.cmp(&id)).ok()
    }
}
