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

/// Requests as they come: see [`AsyncClient::requests`](super::AsyncClient::requests). This is also a [`Stream`].
///
#[doc = async_example!()]
/// use std::time::Duration;
/// use mqtt_wasi::{AsyncClient, AsyncRequests, Options, Publish, QoS, Subscription};
///
/// let client = AsyncClient::connect(&url, Options::new()).await?;
/// let mut requests: AsyncRequests = client.requests(Subscription::new("greet", QoS::AtLeastOnce)).await?;
/// let answering = async {
///     let request = requests.receive().await?;
///     request.reply("Hello").await
/// };
/// let request = Publish::new("greet", "Ada").qos(QoS::AtLeastOnce);
/// let (reply, ()) = tokio::try_join!(client.request(&request, Duration::from_secs(5)), answering)?;
/// assert_eq!(reply.payload, b"Hello");
/// # Ok(())
/// # }
/// ```
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

/// A request to answer, once and by any task. If it is dropped without an answer, the requester is told that the
/// request failed.
///
#[doc = async_example!()]
/// use std::time::Duration;
/// use mqtt_wasi::{AsyncClient, Error, IncomingRequest, Options, Publish, QoS, Subscription};
///
/// let client = AsyncClient::connect(&url, Options::new()).await?;
/// let mut requests = client.requests(Subscription::new("greet", QoS::AtLeastOnce)).await?;
/// let answering = async {
///     let request: IncomingRequest = requests.receive().await?;
///     drop(request);
///     Ok(())
/// };
/// let request = Publish::new("greet", "Ada").qos(QoS::AtLeastOnce);
/// let failed = tokio::try_join!(client.request(&request, Duration::from_secs(5)), answering).unwrap_err();
/// assert!(matches!(failed, Error::RequestFailed(failure) if failure.text == "the responder gave no answer"));
/// # Ok(())
/// # }
/// ```
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

    /// Returns the next request. Waits for it for as long as it takes. A request that comes again gets the reply that
    /// it had, and is not returned again, as long as the responder keeps that reply.
    ///
    /// # Errors
    /// What ended the connection, unless the client connects again by itself.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut requests = client.requests(Subscription::new("jobs", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce)).await?;
    /// let request = requests.receive().await?;
    /// assert_eq!(request.message().payload, b"print 3 labels");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn receive(&mut self) -> Result<IncomingRequest, Error> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// Counters of these requests.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let requests = client.requests(Subscription::new("jobs", QoS::AtLeastOnce)).await?;
    /// let stats = requests.stats();
    /// assert_eq!((stats.replied, stats.duplicates), (0, 0));
    /// # Ok(())
    /// # }
    /// ```
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
    /// The message of the request.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut requests = client.requests(Subscription::new("jobs/#", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("jobs/print", "3 labels").qos(QoS::AtLeastOnce)).await?;
    /// let request = requests.receive().await?;
    /// assert_eq!(request.message().topic, "jobs/print");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn message(&self) -> &Message {
        self.request.as_ref().expect("it is there until it is answered").message()
    }

    /// Whether the requester waits for a reply: the message has a Response Topic.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut requests = client.requests(Subscription::new("jobs", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce)).await?;
    /// assert!(!requests.receive().await?.wants_reply());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        self.request.as_ref().is_some_and(Request::wants_reply)
    }

    /// How long the requester still waits, by the Message Expiry Interval of the request: see
    /// [`Request::remaining`](crate::Request::remaining). `None`: not known.
    ///
    #[doc = async_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Options, Publish, PublishProperties, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut requests = client.requests(Subscription::new("jobs", QoS::AtLeastOnce)).await?;
    /// let properties = PublishProperties { message_expiry_interval: Some(60), ..PublishProperties::default() };
    /// client.publish(&Publish::new("jobs", "print 3 labels").properties(properties)).await?;
    /// let remaining = requests.receive().await?.remaining().expect("it has an interval");
    /// assert!(remaining <= Duration::from_secs(60));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.request.as_ref().and_then(|request| request.remaining(now()))
    }

    /// Sends a reply, and acknowledges the request. The QoS of the reply is that of the request, or the highest that
    /// the broker accepts. Sends nothing if the requester no longer waits, or wants no reply. Returns once there is
    /// room for the reply; takes at most [`Options::response_timeout`](crate::Options::response_timeout).
    ///
    /// # Errors
    /// As [`AsyncClient::enqueue`](super::AsyncClient::enqueue). After [`CallError::ReceiveFirst`],
    /// [`CallError::NotConnected`] and errors other than [`Error::Call`], the requester is told that the request
    /// failed, if that can be sent. After any other [`Error::Call`] the request is over and acknowledged, without a
    /// reply.
    ///
    #[doc = async_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Reply, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut requests = client.requests(Subscription::new("greet", QoS::AtLeastOnce)).await?;
    /// let answering = async {
    ///     let request = requests.receive().await?;
    ///     request.reply(Reply::new("Hello").content_type("text/plain")).await
    /// };
    /// let request = Publish::new("greet", "Ada").qos(QoS::AtLeastOnce);
    /// let (reply, ()) = tokio::try_join!(client.request(&request, Duration::from_secs(5)), answering)?;
    /// assert_eq!(reply.content_type.as_deref(), Some("text/plain"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reply(self, reply: impl Into<Reply>) -> Result<(), Error> {
        self.answer(&reply.into()).await
    }

    /// Tells the requester that its request failed, and why: it gets [`Error::RequestFailed`]. Otherwise as
    /// [`IncomingRequest::reply`].
    ///
    /// # Errors
    /// As [`IncomingRequest::reply`].
    ///
    #[doc = async_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{AsyncClient, Error, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut requests = client.requests(Subscription::new("jobs", QoS::AtLeastOnce)).await?;
    /// let answering = async {
    ///     let request = requests.receive().await?;
    ///     request.fail("no paper").await
    /// };
    /// let request = Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce);
    /// let failed = tokio::try_join!(client.request(&request, Duration::from_secs(5)), answering).unwrap_err();
    /// assert!(matches!(failed, Error::RequestFailed(failure) if failure.text == "no paper"));
    /// # Ok(())
    /// # }
    /// ```
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
