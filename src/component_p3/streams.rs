//! Messages whose payload is streamed: the exported interface `streams`.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use wit_bindgen_p3::rt::async_support::{StreamReader, StreamResult, StreamWriter};

use super::export::ExportedClient;
use super::shared::{Running, Shared};
use crate::codec::Subscription;
use crate::component::convert::{Said, failure, millis, wrong_call};
use crate::component::export::Component;
use crate::engine::{Held, ListenerId, Listening, Overflow, PayloadId, PublishingStream};
use crate::error::{Error, Reason, StreamError};
use crate::message::Message;
use crate::session::Delivery;
use crate::transport::{now, sleep_until, spawn};
use crate::wit::exports::mqtt_wasi::client::{mqtt as wit, streams};
use crate::wit::{wit_future, wit_stream};

/// As much is read from a stream at once.
const CHUNK: usize = 32 * 1024;

/// As much is written to a stream at once.
const PIECE: usize = 64 * 1024;

impl streams::Guest for Component {
    type StreamedMessages = ExportedMessages;

    async fn publish_stream(
        client: streams::ClientBorrow<'_>,
        message: wit::Publication,
        payload: StreamReader<u8>,
        payload_bytes: u64,
    ) -> Result<wit::PublishAnswer, wit::Failure> {
        let said = Said::from(&message);
        let user_properties = said.user_properties();
        let message = &said.lend(&user_properties)?;
        let shared = client.get::<ExportedClient>().shared();
        shared.with(|engine| engine.check_streamed(message, payload_bytes)).map_err(Error::Call)?;
        let mut source = Source { stream: payload, unread: payload_bytes };
        // The engine knows of it when there is something of the payload: a stream that has nothing is no reason to end a
        // connection.
        let read = match payload_bytes {
            0 => Vec::new(),
            missing => source.read().await.ok_or_else(|| nothing(missing))?,
        };
        let call = shared.run(PublishingStream { message, payload_len: payload_bytes });
        let Reason { reason_code, reason_string, user_properties, .. } =
            Publishing { shared, call, read, given: 0, reading: None, source: source.unfinished() }.await?;
        Ok(wit::PublishAnswer { code: reason_code as u8, reason_string, user_properties })
    }

    async fn listen(
        client: streams::ClientBorrow<'_>,
        subscription: wit::Subscription,
    ) -> Result<streams::StreamedMessages, wit::Failure> {
        let client = client.get::<ExportedClient>();
        if !client.streams() {
            let message = "the client was made without set-stream-above";
            return Err(wrong_call("invalid-argument", message));
        }
        let subscription: Subscription<'_> = (&subscription).try_into()?;
        let listener = client.shared().with(|engine| {
            let listener = engine.open_listener(Some(subscription.filter), Overflow::default(), now());
            engine.stream_payloads(listener);
            listener
        });
        // Dropped when it fails.
        let messages = ExportedMessages {
            shared: client.share(),
            listener,
            by_hand: client.acknowledges_by_hand(),
            more: RefCell::default(),
            waiting: RefCell::default(),
        };
        client.run(Listening { listener, subscription }).await?.granted()?;
        Ok(streams::StreamedMessages::new(messages))
    }
}

/// A stream that ends before it has given anything.
fn nothing(missing: u64) -> Error {
    let why = alloc::format!("it has none of the {missing} bytes that it should have");
    Error::Stream(StreamError::SourceUnreadable(why))
}

/// Where a payload comes from.
struct Source {
    stream: StreamReader<u8>,
    /// How much it has still to give.
    unread: u64,
}

impl Source {
    /// Itself, unless it has given everything: then the stream is dropped.
    fn unfinished(self) -> Option<Self> {
        (self.unread > 0).then_some(self)
    }

    /// Reads some of what is missing. `None`: the stream has ended.
    async fn read(&mut self) -> Option<Vec<u8>> {
        let most = usize::try_from(self.unread).map_or(CHUNK, |unread| unread.min(CHUNK));
        let (result, mut read) = self.stream.read(Vec::with_capacity(most)).await;
        let StreamResult::Complete(_) = result else { return None };
        // There may have been room for more.
        read.truncate(most);
        self.unread -= read.len() as u64;
        Some(read)
    }
}

type Reading = Pin<Box<dyn Future<Output = (Source, Option<Vec<u8>>)>>>;

/// A message on its way from a stream to the engine.
struct Publishing<'a> {
    shared: &'a Shared,
    call: Running<'a, PublishingStream<'a>>,
    /// What was read last, and how much of that the engine has.
    read: Vec<u8>,
    given: usize,
    /// What is being read. The stream is there, or in `source` when nothing is; or nowhere, once it has given
    /// everything.
    reading: Option<Reading>,
    source: Option<Source>,
}

impl Future for Publishing<'_> {
    type Output = Result<Reason, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, call, read, given, reading, source } = &mut *self;
        loop {
            if let Poll::Ready(result) = Pin::new(&mut *call).poll(context) {
                return Poll::Ready(result);
            }
            if *given < read.len() {
                let len =
                    call.id().map_or(0, |id| shared.with(|engine| engine.put_payload(id, &read[*given..], now())));
                *given += len;
                if len == 0 {
                    // Until there is room, or the call is over.
                    return Poll::Pending;
                }
                continue;
            }
            if let Some(mut source) = source.take() {
                *reading = Some(Box::pin(async move {
                    let read = source.read().await;
                    (source, read)
                }));
            }
            let Some(under_way) = reading else { return Poll::Pending };
            let Poll::Ready((from, more)) = under_way.as_mut().poll(context) else { return Poll::Pending };
            *reading = None;
            match more {
                Some(more) => (*read, *given, *source) = (more, 0, from.unfinished()),
                None => {
                    let error = StreamError::SourceTooShort { missing: from.unread };
                    if let Some(id) = call.id() {
                        shared.with(|engine| engine.fail_payload(id, error, now()));
                    }
                }
            }
        }
    }
}

/// The messages of a listener.
pub(crate) struct ExportedMessages {
    shared: Rc<Shared>,
    listener: ListenerId,
    by_hand: bool,
    /// What was taken out of the engine and not yet returned.
    more: RefCell<Held>,
    /// Calls that wait: the engine knows of one of them.
    waiting: RefCell<Vec<Waker>>,
}

impl ExportedMessages {
    fn take(
        &self,
        context: &Context<'_>,
    ) -> Poll<Result<Option<(Message, Option<Delivery>, Option<PayloadId>)>, Error>> {
        let taken = self.shared.with(|engine| {
            let waker = Some(context.waker());
            // By hand in any case: nobody has read it before it left its stream.
            match engine.take_streamed(self.listener, &mut self.more.borrow_mut(), true, waker, &mut now) {
                Some(taken) => Poll::Ready(Ok(Some(taken))),
                None => engine.require_open().map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
            }
        });
        if taken.is_pending() {
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
        }
        taken
    }
}

impl Drop for ExportedMessages {
    fn drop(&mut self) {
        self.shared.with(|engine| engine.close_listener(self.listener, now()));
    }
}

/// A call that waits for a message. However it ends, the others look themselves.
struct Waiting<'a>(&'a ExportedMessages);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waiting = self.0.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl streams::GuestStreamedMessages for ExportedMessages {
    async fn next(&self, timeout_ms: Option<u32>) -> Result<Option<streams::StreamedMessage>, wit::Failure> {
        let mut sleep = pin!(async {
            match timeout_ms {
                Some(timeout_ms) => sleep_until(now() + millis(timeout_ms)).await,
                None => pending().await,
            }
        });
        let waiting = Waiting(self);
        let taken = poll_fn(|context| {
            // What has come until then is looked for once more.
            let is_late = sleep.as_mut().poll(context).is_ready();
            match self.take(context) {
                Poll::Pending if is_late => Poll::Ready(Ok(None)),
                taken => taken,
            }
        });
        let taken = taken.await;
        drop(waiting);
        Ok(taken?.map(|(message, delivery, payload)| self.streamed(message, delivery, payload)))
    }
}

impl ExportedMessages {
    fn streamed(
        &self,
        mut message: Message,
        delivery: Option<Delivery>,
        payload: Option<PayloadId>,
    ) -> streams::StreamedMessage {
        let whole = core::mem::take(&mut message.payload);
        let payload_bytes = payload.map_or(whole.len() as u64, |payload| payload.total());
        let (mut writer, reader) = wit_stream::new();
        let (ended, end) = wit_future::new(|| {
            let message = "the component ended before the payload did".to_string();
            Err(failure(wit::FailureKind::ConnectionOver, "stream-lost", message))
        });
        let shared = Rc::clone(&self.shared);
        let owed = delivery.filter(|_| !self.by_hand);
        spawn(async move {
            let written = match payload {
                Some(payload) => {
                    Payload { shared: Rc::clone(&shared), payload, left: payload_bytes }.write(&mut writer).await
                }
                None => {
                    // To write nothing would wait for somebody who reads it.
                    if !whole.is_empty() {
                        drop(writer.write_all(whole).await);
                    }
                    Ok(())
                }
            };
            drop(writer);
            // What is lost is sent again.
            if let Some(delivery) = owed.filter(|_| written.is_ok()) {
                shared.with(|engine| engine.acknowledge(delivery));
            }
            // Nobody may want to know.
            drop(ended.write(written.map_err(Into::into)).await);
        });
        let mut said = wit::Message::from(&message);
        said.delivery = delivery.filter(|_| self.by_hand).map(Delivery::number);
        streams::StreamedMessage { message: said, payload_bytes, payload: reader, end }
    }
}

/// A payload on its way from the engine to a stream.
struct Payload {
    shared: Rc<Shared>,
    payload: PayloadId,
    left: u64,
}

impl Payload {
    async fn write(mut self, writer: &mut StreamWriter<u8>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        while self.left > 0 {
            bytes.resize(PIECE, 0);
            let took = poll_fn(|context| {
                let waker = Some(context.waker());
                self.shared.with(|engine| engine.poll_payload(self.payload, &mut bytes, waker, &mut now))
            });
            let len = took.await?;
            bytes.truncate(len);
            self.left -= len as u64;
            bytes = writer.write_all(bytes).await;
            if !bytes.is_empty() {
                // Nobody reads it any more.
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if self.left > 0 {
            self.shared.with(|engine| engine.skip_payload(self.payload, &mut now));
        }
    }
}
