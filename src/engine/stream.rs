//! Messages whose payload is streamed to the broker: the call, and what its user gives bit by bit.

use super::calls::{CallId, Outcome, Resource, State};
#[cfg(feature = "tracing")]
use super::observe::{Described, Kind};
use super::operation::{Finish, Plan, Submit, Submitted};
use super::{Clock, Engine};
use crate::codec::Publish;
use crate::error::{CallError, Error, Reason, StreamError};
use crate::session::OperationId;
use crate::time::Instant;

/// As much room makes it worthwhile to wake who gives the payload.
const WORTH_WAKING: usize = 32 * 1024;

/// Publishes a message whose payload is given bit by bit, with [`Engine::put_payload`]: first what `message` has of it,
/// then `payload_len` bytes more. Done once all of it is sent at QoS 0, and once the broker has it at QoS 1 and 2. The
/// outcome is what the broker answered.
///
/// Nothing else is sent before all of the payload came. The message is never sent again: if the connection ends before
/// the broker has acknowledged it, the call fails with [`StreamError::Cut`].
///
#[doc = memory_example!()]
/// use std::task::Poll;
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::engine::{Call, Connecting, Engine, PublishingStream};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
///
/// let (firmware, mut given) = (vec![0x55; 300_000], 0);
/// let message = Publish::new("devices/7/firmware", "").qos(QoS::AtLeastOnce);
/// let mut call = Call::new(PublishingStream { message: &message, payload_len: 300_000 });
/// let answer = loop {
///     if let Poll::Ready(answer) = engine.poll_call(&mut call, None, &mut || network.now()) {
///         break answer;
///     }
///     if let Some(id) = call.id() {
///         given += engine.put_payload(id, &firmware[given..], network.now());
///     }
///     network.turn(&mut engine);
/// };
/// assert!(answer.is_ok());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct PublishingStream<'a> {
    /// The message, and the beginning of its payload if it has one.
    pub message: &'a Publish<'a>,
    /// How many bytes more the payload has. A packet has at most 268,435,460 bytes, or as many as the broker takes.
    pub payload_len: u64,
}

impl Submit for PublishingStream<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        let more = usize::try_from(self.payload_len).unwrap_or(usize::MAX);
        Some(Described::message(Kind::Publish, self.message).with_more(more))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Stream, Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        let operation = engine.session.publish_streamed(self.message, self.payload_len)?;
        Ok(Submitted::As(State::Sent(operation)))
    }
}

impl Finish for PublishingStream<'_> {
    type Output = Reason;

    fn output(&mut self, outcome: Outcome) -> Result<Reason, Error> {
        match outcome {
            Outcome::Published(result) => result,
            other => Err(other.into_error()),
        }
    }
}

impl Engine {
    /// How many bytes of the payload of a [streamed](PublishingStream) message there is room for now: at most 64 KiB,
    /// and at most as many as are missing. 0 while the call waits, and once all of it came. The waker of the call is
    /// woken when there is room again.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, PublishingStream};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let message = Publish::new("devices/7/firmware", "");
    /// let mut call = Call::new(PublishingStream { message: &message, payload_len: 10 });
    /// let _ = engine.poll_call(&mut call, None, &mut || network.now());
    /// let id = call.id().expect("it is under way");
    /// assert_eq!(engine.payload_room(id), 10);
    /// assert_eq!(engine.put_payload(id, b"hello", network.now()), 5);
    /// assert_eq!(engine.payload_room(id), 5);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn payload_room(&self, id: CallId) -> usize {
        self.streaming_operation(id).map_or(0, |_| self.session.payload_room())
    }

    /// Takes more of the payload of a [streamed](PublishingStream) message, as much as there is room for. Returns how
    /// much that is.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, PublishingStream};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let message = Publish::new("t", "");
    /// let mut call = Call::new(PublishingStream { message: &message, payload_len: 3 });
    /// let _ = engine.poll_call(&mut call, None, &mut || network.now());
    /// let id = call.id().expect("it is under way");
    /// assert_eq!(engine.put_payload(id, b"no more than three", network.now()), 3);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn put_payload(&mut self, id: CallId, bytes: &[u8], now: Instant) -> usize {
        self.now = now;
        if self.streaming_operation(id).is_none() {
            return 0;
        }
        let len = self.session.put_payload(bytes, now);
        if len > 0 {
            self.give_more_time(id);
        }
        len
    }

    /// Tells that no more of the payload of a [streamed](PublishingStream) message will come. If some is missing, the
    /// call fails for this reason, and the connection ends, without a DISCONNECT: there can be none within a packet.
    ///
    #[doc = memory_example!()]
    /// use std::task::Poll;
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, PublishingStream};
    /// use mqtt_wasi::{Error, Options, StreamError};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let message = Publish::new("devices/7/firmware", "");
    /// let mut call = Call::new(PublishingStream { message: &message, payload_len: 10 });
    /// let _ = engine.poll_call(&mut call, None, &mut || network.now());
    /// let id = call.id().expect("it is under way");
    /// engine.fail_payload(id, StreamError::SourceFailed("the disk is gone".into()), network.now());
    /// let outcome = engine.poll_call(&mut call, None, &mut || network.now());
    /// assert!(matches!(outcome, Poll::Ready(Err(Error::Stream(_)))));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fail_payload(&mut self, id: CallId, error: StreamError, now: Instant) {
        self.now = now;
        if self.streaming_operation(id).is_some() {
            self.session.fail_payload(error);
            self.after_cut();
        }
    }

    /// How many bytes of the payload of a [streamed](PublishingStream) message are still to come.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, PublishingStream};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let message = Publish::new("devices/7/firmware", "");
    /// let mut call = Call::new(PublishingStream { message: &message, payload_len: 1_000_000 });
    /// let _ = engine.poll_call(&mut call, None, &mut || network.now());
    /// assert_eq!(engine.missing_payload(call.id().expect("it is under way")), 1_000_000);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn missing_payload(&self, id: CallId) -> usize {
        self.streaming_operation(id).map_or(0, |operation| self.session.missing_payload(operation))
    }

    /// Fails for a message that cannot be [streamed](PublishingStream) to this broker, as far as can be told before its
    /// call is made, so that nothing of its source need be read. Without a connection all are taken.
    ///
    /// # Errors
    /// [`CallError::Invalid`] for a message that has no valid bytes; [`CallError::PacketTooLarge`],
    /// [`CallError::QosNotSupported`] and [`CallError::RetainNotSupported`] for what the broker does not accept.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let message = Publish::new("devices/7/firmware", "");
    /// assert!(engine.check_streamed(&message, 200_000_000).is_ok());
    /// assert!(engine.check_streamed(&message, 300_000_000).is_err(), "more than a packet has");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn check_streamed(&self, message: &Publish<'_>, payload_len: u64) -> Result<(), CallError> {
        self.session.check_streamed(message, payload_len)
    }

    /// Nobody gives the payload any more of a message that may be streamed.
    pub(super) fn abandon_payload(&mut self, operation: OperationId) {
        if self.session.abandon_payload(operation) {
            self.after_cut();
        }
    }

    /// Bytes have left while this was streamed: there is room for more, and more time.
    pub(super) fn streamed(&mut self, operation: OperationId) {
        let Some(id) = self.calls.submitted.get(operation.number()).map(|waiter| waiter.call) else { return };
        self.give_more_time(id);
        let (room, missing) = (self.session.payload_room(), self.session.missing_payload(operation));
        if room >= WORTH_WAKING.min(missing)
            && missing > 0
            && let Some(entry) = self.calls.get_mut(id)
        {
            self.woken.extend(entry.waker.take());
        }
    }

    /// Whether a call is given more time: its own is that of the network. It is not that of the source of a payload,
    /// which the Keep Alive limits, nor that of another message that is streamed before it.
    pub(super) fn has_more_time(&self, id: CallId) -> bool {
        match self.calls.get(id).map(|entry| &entry.state) {
            Some(State::Sent(operation)) => {
                self.session.streaming() == Some(*operation) && self.session.awaits_payload()
            }
            Some(State::Waiting(Resource::Stream, _)) => self.session.streaming().is_some(),
            _ => false,
        }
    }

    pub(super) fn give_more_time(&mut self, id: CallId) {
        let deadline = self.now + self.response_timeout;
        if let Some(entry) = self.calls.get_mut(id) {
            entry.deadline = deadline;
        }
    }

    /// Which message this call is streaming.
    fn streaming_operation(&self, id: CallId) -> Option<OperationId> {
        match self.calls.get(id).map(|entry| &entry.state) {
            Some(State::Sent(operation)) => {
                Some(*operation).filter(|operation| self.session.streaming() == Some(*operation))
            }
            _ => None,
        }
    }

    /// A message was cut short: what follows from that.
    fn after_cut(&mut self) {
        self.pump();
        self.close_if_left(true);
        self.admit();
    }
}
