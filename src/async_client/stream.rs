//! Messages whose payload is read from a source while it is sent.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::AsyncClient;
use super::runtime::now;
use super::shared::Running;
use crate::codec::{Publish, ReasonCode};
use crate::engine::PublishingStream;
#[cfg(doc)]
use crate::engine::{Options, Reconnect};
#[cfg(doc)]
use crate::error::CallError;
use crate::error::{Error, Reason, StreamError};

/// As much is read from a source at once.
const CHUNK: usize = 32 * 1024;

impl AsyncClient {
    /// Publishes a message whose payload is read from `source` while it is sent, so that it is never in memory as a
    /// whole: first the payload that `message` has, which may be empty, then exactly `payload_len` bytes of the source.
    /// What the source has behind them stays there. The client holds at most 96 KiB of it. A packet has at most
    /// 268,435,460 bytes, or as many as the broker's Maximum Packet Size says.
    ///
    /// Returns once all of it is sent at QoS 0, and once the broker has it at QoS 1 and 2, with what
    /// [`AsyncClient::publish`] returns. Waits for its turn: one message at a time is streamed. It takes as long as it
    /// takes, as long as the source and the network move: see the errors.
    ///
    /// MQTT cannot interrupt a packet. While the payload is sent, everything else that the client has to send waits,
    /// PINGREQ too; messages are received meanwhile. Brokers count the bytes of the payload for the Keep Alive, as far
    /// as is known. A client that is disconnected meanwhile gives the payload five seconds. A future that is dropped
    /// when part of the message was sent ends the connection, without a DISCONNECT, so that the broker publishes the
    /// Will Message.
    ///
    /// The message is never sent again, not in a snapshot, and not in a store. That it is UTF-8 is not checked,
    /// whatever its Payload Format Indicator says.
    ///
    /// # Errors
    /// As [`AsyncClient::publish`], and [`Error::Stream`] with:
    /// [`StreamError::SourceUnreadable`] when the source fails or ends before anything was sent;
    /// [`StreamError::SourceFailed`] and [`StreamError::SourceTooShort`] when it does so later, which ends the
    /// connection; [`StreamError::SourceStalled`] when it gives nothing for as long as the Keep Alive allows, which
    /// ends the connection; [`StreamError::Cut`] when the connection ends before the broker has acknowledged the
    /// message, also where the client connects again by itself. [`Error::Timeout`] when the network takes nothing for
    /// [`Options::response_timeout`], which ends the connection too, or when the broker does not acknowledge the
    /// message in that time.
    ///
    #[doc = async_example!()]
    /// use mqtt_wasi::{AsyncClient, Options, Publish, QoS, ReasonCode};
    ///
    /// let client = AsyncClient::connect(&url, Options::new()).await?;
    /// let firmware = vec![0x55; 300_000];
    /// let mut source = firmware.as_slice(); // or a file, a pipe, a socket
    /// let message = Publish::new("devices/7/firmware", "").qos(QoS::AtLeastOnce);
    /// assert_eq!(client.publish_stream(&message, 300_000, &mut source).await?, ReasonCode::NoMatchingSubscribers);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "stream")))]
    pub async fn publish_stream(
        &self,
        message: &Publish<'_>,
        payload_len: u64,
        source: impl AsyncRead,
    ) -> Result<ReasonCode, Error> {
        self.handle.shared.with(|engine| engine.check_streamed(message, payload_len))?;
        let mut streaming = Streaming {
            call: self.handle.shared.run(PublishingStream { message, payload_len }),
            has_begun: false,
            unread: payload_len,
            read: Vec::new(),
            given: 0,
        };
        let mut source = pin!(source);
        let reason = poll_fn(|context| streaming.poll(source.as_mut(), context)).await?;
        Ok(reason.reason_code)
    }
}

/// A message on its way from a source to the engine.
struct Streaming<'a> {
    call: Running<'a, PublishingStream<'a>>,
    /// Whether the engine knows of it: not before there is something of the payload, since a source that has nothing is
    /// no reason to end a connection.
    has_begun: bool,
    /// How much the source has still to give.
    unread: u64,
    /// What was read last, and how much of that the engine has.
    read: Vec<u8>,
    given: usize,
}

impl Streaming<'_> {
    fn poll(&mut self, mut source: Pin<&mut impl AsyncRead>, context: &mut Context<'_>) -> Poll<Result<Reason, Error>> {
        loop {
            if self.has_begun
                && let Poll::Ready(result) = Pin::new(&mut self.call).poll(context)
            {
                return Poll::Ready(result);
            }
            let is_read = self.given < self.read.len() || self.unread == 0;
            if is_read && self.has_begun && self.give() == 0 {
                // Until there is room, or the call is over.
                return Poll::Pending;
            }
            if is_read {
                self.has_begun = true;
            } else if let Err(error) = ready!(self.read_more(source.as_mut(), context)) {
                if !self.has_begun {
                    return Poll::Ready(Err(Error::Stream(error.before_anything_was_sent())));
                }
                self.fail(error);
            }
        }
    }

    /// Gives what was read to the engine, as much as there is room for; returns how much that is.
    fn give(&mut self) -> usize {
        let Some(id) = self.call.id() else { return 0 };
        let read = &self.read[self.given..];
        let len = self.call.shared.with(|engine| engine.put_payload(id, read, now()));
        self.given += len;
        len
    }

    fn fail(&self, error: StreamError) {
        if let Some(id) = self.call.id() {
            self.call.shared.with(|engine| engine.fail_payload(id, error, now()));
        }
    }

    /// Reads some of what is missing.
    fn read_more(
        &mut self,
        source: Pin<&mut impl AsyncRead>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let most = usize::try_from(self.unread).map_or(CHUNK, |unread| unread.min(CHUNK));
        self.read.resize(most, 0);
        let mut place = ReadBuf::new(&mut self.read);
        let result = source.poll_read(context, &mut place);
        let len = place.filled().len();
        self.read.truncate(len);
        self.given = 0;
        ready!(result).map_err(|error| StreamError::SourceFailed(error.to_string()))?;
        if len == 0 {
            return Poll::Ready(Err(StreamError::SourceTooShort { missing: self.unread }));
        }
        self.unread -= len as u64;
        Poll::Ready(Ok(()))
    }
}

impl StreamError {
    /// The same of a source that has given nothing yet.
    fn before_anything_was_sent(self) -> Self {
        match self {
            Self::SourceFailed(why) => Self::SourceUnreadable(why),
            Self::SourceTooShort { missing } => {
                Self::SourceUnreadable(alloc::format!("it has none of the {missing} bytes that it should have"))
            }
            other => other,
        }
    }
}
