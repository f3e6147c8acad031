//! Messages whose payload is streamed from the broker: which of them, to whom, and what takes it.

use core::task::{Poll, Waker};

use super::listeners::ListenerId;
use super::{Clock, Engine, Held, Options, replace_waker};
use crate::error::{Error, StreamError};
use crate::message::Message;
use crate::session::Delivery;
use crate::time::Instant;

/// A message that a listener gets without its payload.
#[derive(Debug)]
pub(super) struct Incoming {
    listener: ListenerId,
    /// `None` once it was taken.
    message: Option<Message>,
    delivery: Option<Delivery>,
    number: u64,
    len: u64,
    waker: Option<Waker>,
}

/// What the payload of a message is taken by: see [`Engine::take_streamed`].
///
/// ```
/// use mqtt_wasi::engine::PayloadId;
///
/// fn is_same(one: PayloadId, other: PayloadId) -> bool {
///     one == other
/// }
/// # let _ = is_same;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadId {
    number: u64,
    len: u64,
}

impl PayloadId {
    /// How many bytes the payload has.
    ///
    /// ```
    /// use mqtt_wasi::engine::PayloadId;
    ///
    /// fn fits(payload: PayloadId, buffer: &[u8]) -> bool {
    ///     payload.total() <= buffer.len() as u64
    /// }
    /// # let _ = fits;
    /// ```
    #[must_use]
    pub const fn total(self) -> u64 {
        self.len
    }
}

/// A message whose payload may be streamed: the message, what acknowledges it by hand, and what its payload is taken
/// by. Without the last the message has its payload.
///
/// ```
/// use mqtt_wasi::engine::TakenStreamed;
///
/// fn len((message, _, payload): &TakenStreamed) -> u64 {
///     payload.map_or(message.payload.len() as u64, |payload| payload.total())
/// }
/// # let _ = len;
/// ```
pub type TakenStreamed = (Message, Option<Delivery>, Option<PayloadId>);

impl Options {
    /// Streams messages whose packets have more bytes than this, where the one who receives them wants that:
    /// `AsyncClient::listen_streamed`, [`Engine::stream_payloads`] and [`Session`](crate::session::Session). Their
    /// payload is read as it is taken, and never in memory as a whole. So
    /// [`Options::maximum_packet_size`] can be as large as packets get, which is 268,435,460 bytes. Default:
    /// [`u32::MAX`], none.
    ///
    /// The blocking client, listeners of other kinds and requests get all messages as a whole.
    ///
    #[doc = connect_example!()]
    /// use mqtt_wasi::Options;
    ///
    /// let sent = connect(Options::new().maximum_packet_size(268_435_460).stream_above(256 * 1024));
    /// assert_eq!(sent.properties.maximum_packet_size, Some(268_435_460));
    /// ```
    #[must_use]
    pub const fn stream_above(mut self, bytes: u32) -> Self {
        self.session.stream_above = bytes;
        self
    }

    /// For clients that receive messages as a whole.
    pub(crate) const fn without_streams(self) -> Self {
        self.stream_above(u32::MAX)
    }
}

impl Engine {
    /// From now on the listener gets messages that are [large](Options::stream_above) without their payload, which is
    /// taken with [`Engine::poll_payload`]. It takes all its messages with [`Engine::take_streamed`]. A message that
    /// others listen to, too, it gets as a whole, as they do.
    ///
    /// ```
    /// use mqtt_wasi::engine::{Engine, Overflow};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().stream_above(100_000), 0)?;
    /// engine.deliver_to_listeners();
    /// let listener = engine.open_listener(Some("firmware/+"), Overflow::default(), Instant::ZERO);
    /// engine.stream_payloads(listener);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn stream_payloads(&mut self, id: ListenerId) {
        self.listeners.stream(id);
    }

    /// The next message of a listener that [streams](Engine::stream_payloads) payloads, out of `more` or else of its
    /// inbox, as with [`Engine::take_message`]. If there is none, `waker` is woken when there is one. With `by_hand`,
    /// what is returned acknowledges the message, though not before all of its payload was taken or skipped;
    /// otherwise it is acknowledged then.
    ///
    #[doc = memory_example!()]
    /// use std::task::Poll;
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Enqueueing, Held, Listening, Overflow};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().stream_above(100_000), 0)?;
    /// engine.deliver_to_listeners();
    /// network.run(&mut engine, Connecting)?;
    /// let listener = engine.open_listener(Some("firmware"), Overflow::default(), network.now());
    /// engine.stream_payloads(listener);
    /// let subscription = Subscription::new("firmware", QoS::AtMostOnce);
    /// network.run(&mut engine, Listening { listener, subscription })?;
    /// network.run(&mut engine, Enqueueing(&Publish::new("firmware", &[0x55; 300_000])))?;
    ///
    /// let mut more = Held::default();
    /// let (message, _, payload) = loop {
    ///     network.turn(&mut engine);
    ///     if let Some(taken) = engine.take_streamed(listener, &mut more, false, None, &mut || network.now()) {
    ///         break taken;
    ///     }
    /// };
    /// let payload = payload.expect("it is streamed");
    /// assert_eq!((message.topic.as_str(), payload.total()), ("firmware", 300_000));
    /// let (mut came, mut space) = (0, [0; 4096]);
    /// while came < 300_000 {
    ///     match engine.poll_payload(payload, &mut space, None, &mut || network.now()) {
    ///         Poll::Ready(len) => came += len?,
    ///         Poll::Pending => network.turn(&mut engine),
    ///     }
    /// }
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn take_streamed(
        &mut self,
        id: ListenerId,
        more: &mut Held,
        by_hand: bool,
        waker: Option<&Waker>,
        clock: Clock<'_>,
    ) -> Option<TakenStreamed> {
        if let Some((message, delivery)) = more.pop().or_else(|| self.take_message(id, more, waker, clock)) {
            let delivery = delivery.filter(|delivery| {
                if !by_hand {
                    self.acknowledge(*delivery);
                }
                by_hand
            });
            return Some((message, delivery, None));
        }
        let incoming = self.incoming.as_mut().filter(|incoming| incoming.listener == id)?;
        if self.session.payload_number() != Some(incoming.number) {
            // Its connection is over, and so is the message, unless it is sent again.
            self.incoming.take_if(|incoming| incoming.message.is_some());
            return None;
        }
        let message = incoming.message.take()?;
        let payload = PayloadId { number: incoming.number, len: incoming.len };
        let delivery = incoming.delivery.take();
        if let Some(delivery) = delivery.filter(|_| !by_hand) {
            self.session.acknowledge_at_end(delivery);
        }
        Some((message, delivery.filter(|_| by_hand), Some(payload)))
    }

    /// Takes some of a payload into `space`, which is not empty, until [all](PayloadId::total) of it was taken. Returns
    /// how much. If nothing has come, `waker` is woken when something has.
    ///
    /// # Errors
    /// [`StreamError::PayloadLost`] when the connection was lost before all of it came.
    ///
    /// For an example see [`Engine::take_streamed`].
    ///
    /// ```
    /// use std::task::Poll;
    /// use mqtt_wasi::engine::{Engine, PayloadId};
    /// use mqtt_wasi::{Error, Instant};
    ///
    /// fn poll(engine: &mut Engine, payload: PayloadId, space: &mut [u8], now: Instant) -> Poll<Result<usize, Error>> {
    ///     engine.poll_payload(payload, space, None, &mut || now)
    /// }
    /// # let _ = poll;
    /// ```
    pub fn poll_payload(
        &mut self,
        payload: PayloadId,
        space: &mut [u8],
        waker: Option<&Waker>,
        clock: Clock<'_>,
    ) -> Poll<Result<usize, Error>> {
        if self.session.payload_number() != Some(payload.number) {
            return Poll::Ready(Err(Error::Stream(StreamError::PayloadLost)));
        }
        let came = self.session.payload();
        let len = came.len().min(space.len());
        if len == 0 {
            if let Some(incoming) = &mut self.incoming {
                replace_waker(&mut incoming.waker, waker, &mut self.discarded);
            }
            return Poll::Pending;
        }
        space[..len].copy_from_slice(&came[..len]);
        self.session.payload_taken(len);
        self.restart_stuck(clock);
        if self.session.payload_number().is_none() {
            self.end_payload(clock);
        }
        Poll::Ready(Ok(len))
    }

    /// Gives the rest of a payload up: it is skipped as it comes. The message is acknowledged then, unless that is done
    /// by hand.
    ///
    /// ```
    /// use mqtt_wasi::Instant;
    /// use mqtt_wasi::engine::{Engine, PayloadId};
    ///
    /// fn drop_it(engine: &mut Engine, payload: PayloadId, now: Instant) {
    ///     engine.skip_payload(payload, &mut || now);
    /// }
    /// # let _ = drop_it;
    /// ```
    pub fn skip_payload(&mut self, payload: PayloadId, clock: Clock<'_>) {
        if self.session.payload_number() == Some(payload.number) {
            self.session.skip_payload();
            self.end_payload(clock);
        }
    }

    /// What has come of the payload of a message that was [received](Engine::receive) and is streamed, and was not
    /// taken: see [`Session::payload`](crate::session::Session::payload).
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::Options;
    ///
    /// let engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert_eq!((engine.payload().len(), engine.payload_left()), (0, None));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.session.payload()
    }

    /// How many bytes of it are still to be taken: see
    /// [`Session::payload_left`](crate::session::Session::payload_left).
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Enqueueing, Subscribing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().stream_above(1000), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let subscriptions = &[Subscription::new("firmware", QoS::AtMostOnce)];
    /// network.run(&mut engine, Subscribing { subscriptions, properties: Default::default() })?;
    /// network.run(&mut engine, Enqueueing(&Publish::new("firmware", &[0x55; 5000])))?;
    /// while !engine.has_message() {
    ///     network.turn(&mut engine);
    /// }
    /// assert_eq!(engine.receive().expect("a message").topic, "firmware");
    /// assert_eq!(engine.payload_left(), Some(5000));
    /// while engine.payload_left().is_some() {
    ///     engine.payload_taken(engine.payload().len(), network.now());
    ///     network.turn(&mut engine);
    /// }
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn payload_left(&self) -> Option<u64> {
        self.session.payload_left()
    }

    /// Notes that the first `len` bytes of [`Engine::payload`] were taken: see
    /// [`Session::payload_taken`](crate::session::Session::payload_taken).
    ///
    /// # Panics
    /// If that is more than there was.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.payload_taken(engine.payload().len(), Instant::ZERO);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn payload_taken(&mut self, len: usize, now: Instant) {
        self.session.payload_taken(len);
        if len > 0 {
            self.restart_stuck(&mut || now);
        }
        if self.session.payload_left().is_none() {
            self.catch_up(now);
        }
    }

    /// What is behind a payload may come.
    fn end_payload(&mut self, clock: Clock<'_>) {
        self.incoming = None;
        self.now = clock();
        self.pump();
        self.admit();
    }

    /// Hands the message that is next to the listener that wants it streamed, if it is for that alone. Otherwise it
    /// comes as a whole: returns whether that may be there.
    pub(super) fn deliver_head(&mut self) -> bool {
        if !self.session.has_head() {
            return false;
        }
        let has_payload = self.session.head_has_payload();
        let listener = self.session.head().and_then(|head| self.listeners.streams_to(&head));
        if has_payload && self.listeners.found_nobody() {
            // It would be dropped when all of it is there.
            if let Some((publish, _)) = self.session.receive_head(false) {
                self.observed.received(&publish);
                self.session.skip_payload();
                self.listeners.note_unheard();
            }
            return true;
        }
        let Some(listener) = listener.filter(|_| has_payload) else {
            self.session.collect_head();
            return true;
        };
        let Some((publish, delivery)) = self.session.receive_head(true) else { return true };
        let message = self.listeners.streamed_message(&publish);
        self.observed.received(&publish);
        let (Some(len), Some(number)) = (self.session.payload_left(), self.session.payload_number()) else {
            return false;
        };
        self.incoming = Some(Incoming { listener, message: Some(message), delivery, number, len, waker: None });
        self.listeners.wake(listener, &mut self.woken);
        false
    }

    /// The listener is gone: nobody takes a message that waits for it.
    pub(super) fn drop_incoming_of(&mut self, id: ListenerId) {
        let is_waiting = |incoming: &mut Incoming| incoming.listener == id && incoming.message.is_some();
        if let Some(incoming) = self.incoming.take_if(is_waiting)
            && self.session.payload_number() == Some(incoming.number)
        {
            if let Some(delivery) = incoming.delivery {
                self.session.acknowledge_at_end(delivery);
            }
            self.session.skip_payload();
        }
    }

    /// Wakes who takes a payload, if there is more of it, or there will be none.
    pub(super) fn wake_reader(&mut self) {
        let Some(incoming) = &mut self.incoming else { return };
        if self.session.payload_number() != Some(incoming.number) || !self.session.payload().is_empty() {
            self.woken.extend(incoming.waker.take());
        }
    }
}
