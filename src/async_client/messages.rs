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

/// The messages of a listener: see [`AsyncClient::listen`](super::AsyncClient::listen) and
/// [`AsyncClient::messages`](super::AsyncClient::messages).
///
/// This is also a [`Stream`]. It ends after the error that ended the connection, unless the client connects again by
/// itself.
///
#[doc = async_example!()]
/// use mqtt_wasi::{AsyncClient, AsyncMessages, Options, Publish, QoS, Subscription};
///
/// let client = AsyncClient::connect(&url, Options::new()).await?;
/// let mut messages: AsyncMessages = client.listen(Subscription::new("sensors/+", QoS::AtMostOnce)).await?;
/// let listening = tokio::spawn(async move { messages.receive().await });
/// client.publish(&Publish::new("sensors/kitchen", "21.5")).await?;
/// assert_eq!(listening.await??.payload, b"21.5");
/// # Ok(())
/// # }
/// ```
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

    /// Returns the next message, in the order that the broker sent them. Waits for it for as long as it takes. QoS 1
    /// and 2 messages are acknowledged.
    ///
    /// # Errors
    /// What ended the connection, once the messages that came before are received, unless the client connects again by
    /// itself.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
    /// let message = messages.receive().await?;
    /// assert_eq!((message.topic.as_str(), message.qos), ("sensors/kitchen", QoS::AtLeastOnce));
    /// # Ok(())
    /// # }
    /// ```
    pub fn receive(&mut self) -> impl Future<Output = Result<Message, Error>> {
        poll_fn(|context| self.poll_message(context))
    }

    /// As [`AsyncMessages::receive`], but the message is acknowledged by
    /// [`AsyncClient::acknowledge`](super::AsyncClient::acknowledge), for example when the work for it is done. Until
    /// then it counts against [`Options::receive_maximum`](crate::Options::receive_maximum). There is no [`Delivery`]
    /// where there is nothing to acknowledge: at QoS 0, and for a QoS 1 message of an earlier connection.
    ///
    /// # Errors
    /// As [`AsyncMessages::receive`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let options = Options::new().client_id("worker").session_expiry_interval(3600);
    /// let client = AsyncClient::connect(&url, options).await?;
    /// let mut jobs = client.listen(Subscription::new("jobs", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce)).await?;
    /// let (job, delivery) = jobs.receive_unacknowledged().await?;
    /// assert_eq!(job.payload, b"print 3 labels");
    /// // The work is done.
    /// if let Some(delivery) = delivery {
    ///     client.acknowledge(delivery);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn receive_unacknowledged(&mut self) -> Result<(Message, Option<Delivery>), Error> {
        poll_fn(|context| self.poll_take(context, |_, taken| taken)).await
    }

    /// Takes the next message, if it is there. QoS 1 and 2 messages are acknowledged. Never waits.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtMostOnce)).await?;
    /// assert_eq!(messages.try_receive(), None);
    /// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
    /// assert!(messages.try_receive().is_some(), "it came before the answer to `publish`");
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_receive(&mut self) -> Option<Message> {
        if let Some((message, _)) = self.more.pop() {
            return Some(message);
        }
        let Self { handle, listener, more, .. } = self;
        handle.shared.with(|engine| {
            engine.take_message(*listener, more, None, &mut now).map(|taken| acknowledged(engine, taken))
        })
    }

    /// Takes the messages for requests, to be answered: see [`AsyncClient::requests`](super::AsyncClient::requests).
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Overflow, QoS, Responder, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let subscription = Subscription::new("jobs", QoS::AtLeastOnce);
    /// let messages = client.listen_with(subscription, Overflow::Wait(16)).await?;
    /// let requests = messages.into_requests(Responder::new());
    /// assert_eq!(requests.stats().replied, 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn into_requests(self, responder: Responder) -> AsyncRequests {
        AsyncRequests::new(self, responder)
    }

    /// How many messages were dropped because too many waited to be received: see [`Overflow`](crate::Overflow).
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Overflow, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let subscription = Subscription::new("sensors/+", QoS::AtLeastOnce);
    /// let messages = client.listen_with(subscription, Overflow::DropOldest(1)).await?;
    /// for reading in ["21.5", "21.6", "21.7"] {
    ///     client.publish(&Publish::new("sensors/kitchen", reading).qos(QoS::AtLeastOnce)).await?;
    /// }
    /// assert_eq!(messages.dropped(), 2);
    /// # Ok(())
    /// # }
    /// ```
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
