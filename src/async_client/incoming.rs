//! Messages whose payload is read while it comes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use tokio::io::{AsyncRead, ReadBuf};

use super::runtime::now;
use super::{AsyncClient, Handle};
use crate::codec::Subscription;
#[cfg(doc)]
use crate::engine::Options;
use crate::engine::{Held, ListenerId, Listening, Overflow, PayloadId};
use crate::error::Error;
#[cfg(doc)]
use crate::error::StreamError;
use crate::message::Message;
use crate::session::Delivery;

impl AsyncClient {
    /// As [`AsyncClient::listen`], for messages of any size: the payload of those that are larger than
    /// [`Options::stream_above`] is read while it comes, and is never in memory as a whole. Set
    /// [`Options::maximum_packet_size`] to the largest packet that may come.
    ///
    /// A message that other listeners of this client get too comes as a whole, for this one as well.
    ///
    /// # Errors
    /// As [`AsyncClient::listen`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    /// use tokio::io::AsyncReadExt;
    ///
    /// let options = Options::new().maximum_packet_size(268_435_460).stream_above(100_000);
    /// let client = AsyncClient::connect(&url, options).await?;
    /// let mut files = client.listen_streamed(Subscription::new("files/+", QoS::AtLeastOnce)).await?;
    /// client.enqueue(&Publish::new("files/7", &[0x55; 300_000]).qos(QoS::AtLeastOnce)).await?;
    ///
    /// let mut file = files.receive().await?;
    /// assert_eq!((file.message.topic.as_str(), file.payload.total()), ("files/7", 300_000));
    /// let mut space = [0; 4096];
    /// let mut came = 0;
    /// while let len @ 1.. = file.payload.read(&mut space).await? {
    ///     came += len; // or write it to a file
    /// }
    /// assert_eq!(came, 300_000);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn listen_streamed(&self, subscription: Subscription<'_>) -> Result<AsyncStreamedMessages, Error> {
        let listener = self.handle.shared.with(|engine| {
            let listener = engine.open_listener(Some(subscription.filter), Overflow::default(), now());
            engine.stream_payloads(listener);
            listener
        });
        // Dropped when it fails.
        let messages = AsyncStreamedMessages { handle: Arc::clone(&self.handle), listener, more: Held::default() };
        self.run(Listening { listener, subscription }).await?.granted()?;
        Ok(messages)
    }
}

/// The messages of a listener, whose payloads are read while they come: see [`AsyncClient::listen_streamed`].
///
#[doc = async_example!()]
/// use mqtt_wasi::{AsyncClient, AsyncStreamedMessages, Options, Publish, QoS, Subscription};
///
/// let client = AsyncClient::connect(&url, Options::new().stream_above(100_000)).await?;
/// let mut files: AsyncStreamedMessages =
///     client.listen_streamed(Subscription::new("files/+", QoS::AtMostOnce)).await?;
/// client.publish(&Publish::new("files/7", "small")).await?;
/// assert_eq!(files.receive().await?.payload.total(), 5);
/// # Ok(())
/// # }
/// ```
pub struct AsyncStreamedMessages {
    handle: Arc<Handle>,
    listener: ListenerId,
    /// Small ones that were taken with one before.
    more: Held,
}

/// A message, and what its payload is read from.
///
#[doc = async_example!()]
/// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, StreamedMessage, Subscription};
/// use tokio::io::AsyncReadExt;
///
/// let client = AsyncClient::connect(&url, Options::new().stream_above(100_000)).await?;
/// let mut files = client.listen_streamed(Subscription::new("files/+", QoS::AtMostOnce)).await?;
/// client.publish(&Publish::new("files/7", "small")).await?;
/// let StreamedMessage { message, mut payload, .. } = files.receive().await?;
/// let mut text = String::new();
/// payload.read_to_string(&mut text).await?;
/// assert_eq!((message.topic.as_str(), text.as_str()), ("files/7", "small"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct StreamedMessage {
    /// The message, without its payload.
    pub message: Message,
    /// Its payload.
    pub payload: AsyncPayload,
}

/// The payload of a message, to be read while it comes.
///
/// The client reads at most 64 KiB ahead, so the broker waits for the one who reads. **What is behind the payload
/// waits too**: other messages, acknowledgements and PINGRESP. Keep Alive continues meanwhile, and a connection is not
/// given up for a PINGRESP that was not read. Calls that wait for an answer for more than a second fail with
/// [`Error::AnswerBehindMessages`] while nobody reads.
///
/// Once all of it was read, the message is acknowledged, unless it was
/// [received](AsyncStreamedMessages::receive_unacknowledged) to be acknowledged by hand. If this is dropped before, the
/// rest is skipped as it comes, and then the message is acknowledged likewise.
///
/// If the connection ends before, reading fails with an error of the kind [`io::ErrorKind::ConnectionAborted`], which
/// has [`Error::Stream`] with [`StreamError::PayloadLost`] in it. At QoS 1 and 2 the broker sends the message again, if
/// it keeps the session.
///
#[doc = async_example!()]
/// use mqtt_wasi::{AsyncClient, AsyncPayload, Options, Publish, QoS, Subscription};
/// use tokio::io::AsyncReadExt;
///
/// /// Reads until a line ends.
/// async fn first_line(payload: &mut AsyncPayload) -> std::io::Result<String> {
///     let mut line = String::new();
///     while payload.left() > 0 {
///         match payload.read_u8().await? {
///             b'\n' => break,
///             byte => line.push(byte.into()),
///         }
///     }
///     Ok(line)
/// }
///
/// let client = AsyncClient::connect(&url, Options::new().stream_above(100_000)).await?;
/// let mut files = client.listen_streamed(Subscription::new("files/+", QoS::AtMostOnce)).await?;
/// client.publish(&Publish::new("files/7", "one\ntwo\n")).await?;
/// assert_eq!(first_line(&mut files.receive().await?.payload).await?, "one");
/// # Ok(())
/// # }
/// ```
pub struct AsyncPayload {
    kind: Kind,
    total: u64,
    left: u64,
}

enum Kind {
    Whole(Vec<u8>),
    Streamed(Arc<Handle>, PayloadId),
}

impl AsyncStreamedMessages {
    /// Waits for the next message. It is acknowledged once all of its payload was read, or the payload is dropped.
    /// Messages that are not streamed are acknowledged at once.
    ///
    /// # Errors
    /// What ended the connection, unless the client connects again by itself.
    ///
    /// # Cancel safety
    /// A future that is dropped before it returns a message has taken none.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new().stream_above(100_000)).await?;
    /// let mut files = client.listen_streamed(Subscription::new("files/+", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("files/7", "small").qos(QoS::AtLeastOnce)).await?;
    /// assert_eq!(files.receive().await?.message.topic, "files/7");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn receive(&mut self) -> Result<StreamedMessage, Error> {
        poll_fn(|context| self.poll_take(context, false)).await.map(|(message, _)| message)
    }

    /// Waits for the next message, which is acknowledged by hand: with [`AsyncClient::acknowledge`] and what is
    /// returned with it, though not before all of its payload was read or it was dropped. `None` at QoS 0.
    ///
    /// # Errors
    /// As [`AsyncStreamedMessages::receive`].
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new().stream_above(100_000)).await?;
    /// let mut files = client.listen_streamed(Subscription::new("files/+", QoS::AtLeastOnce)).await?;
    /// client.publish(&Publish::new("files/7", "small").qos(QoS::AtLeastOnce)).await?;
    /// let (file, delivery) = files.receive_unacknowledged().await?;
    /// assert_eq!(file.message.topic, "files/7");
    /// assert!(client.acknowledge(delivery.expect("a QoS 1 message")));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn receive_unacknowledged(&mut self) -> Result<(StreamedMessage, Option<Delivery>), Error> {
        poll_fn(|context| self.poll_take(context, true)).await
    }

    fn poll_take(
        &mut self,
        context: &Context<'_>,
        by_hand: bool,
    ) -> Poll<Result<(StreamedMessage, Option<Delivery>), Error>> {
        let Self { handle, listener, more } = self;
        let taken = handle.shared.with(|engine| {
            match engine.take_streamed(*listener, more, by_hand, Some(context.waker()), &mut now) {
                Some(taken) => Poll::Ready(Ok(taken)),
                None => engine.require_open().map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
            }
        });
        taken.map_ok(|(mut message, delivery, payload)| {
            let (kind, total) = match payload {
                Some(payload) => (Kind::Streamed(Arc::clone(handle), payload), payload.total()),
                None => {
                    let payload = core::mem::take(&mut message.payload);
                    let len = payload.len() as u64;
                    (Kind::Whole(payload), len)
                }
            };
            (StreamedMessage { message, payload: AsyncPayload { kind, total, left: total } }, delivery)
        })
    }
}

impl AsyncPayload {
    /// How many bytes the payload has.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    ///
    /// let client = AsyncClient::connect(&url, Options::new().stream_above(100_000)).await?;
    /// let mut files = client.listen_streamed(Subscription::new("files/+", QoS::AtMostOnce)).await?;
    /// client.publish(&Publish::new("files/7", "small")).await?;
    /// assert_eq!(files.receive().await?.payload.total(), 5);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// How many of them were not read yet.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
    /// use tokio::io::AsyncReadExt;
    ///
    /// let client = AsyncClient::connect(&url, Options::new().stream_above(100_000)).await?;
    /// let mut files = client.listen_streamed(Subscription::new("files/+", QoS::AtMostOnce)).await?;
    /// client.publish(&Publish::new("files/7", "small")).await?;
    /// let mut payload = files.receive().await?.payload;
    /// payload.read_u8().await?;
    /// assert_eq!(payload.left(), 4);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }
}

impl AsyncRead for AsyncPayload {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, place: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { kind, total, left } = &mut *self;
        if *left == 0 || place.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let len = match kind {
            Kind::Whole(payload) => {
                let rest = &payload[usize::try_from(*total - *left).unwrap_or(usize::MAX)..];
                let len = rest.len().min(place.remaining());
                place.put_slice(&rest[..len]);
                len
            }
            Kind::Streamed(handle, payload) => {
                let space = place.initialize_unfilled();
                let waker = Some(context.waker());
                let polled = handle.shared.with(|engine| engine.poll_payload(*payload, space, waker, &mut now));
                let len = match core::task::ready!(polled) {
                    Ok(len) => len,
                    Err(error) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, error))),
                };
                place.advance(len);
                len
            }
        };
        *left -= len as u64;
        Poll::Ready(Ok(()))
    }
}

impl Drop for AsyncPayload {
    fn drop(&mut self) {
        if let Kind::Streamed(handle, payload) = &self.kind
            && self.left > 0
        {
            handle.shared.with(|engine| engine.skip_payload(*payload, &mut now));
        }
    }
}

impl Drop for AsyncStreamedMessages {
    fn drop(&mut self) {
        self.handle.shared.with(|engine| engine.close_listener(self.listener, now()));
    }
}

impl fmt::Debug for AsyncStreamedMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncStreamedMessages").finish_non_exhaustive()
    }
}

impl fmt::Debug for AsyncPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncPayload").field("total", &self.total).field("left", &self.left).finish_non_exhaustive()
    }
}
