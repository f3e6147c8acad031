//! Messages that are published one behind the other, as many in flight as there may be, as one call.

use alloc::vec::Vec;
use core::iter::Peekable;

use super::calls::{CallId, Goal, Outcome, State, Waiter};
#[cfg(feature = "tracing")]
use super::observe::Described;
use super::operation::{Finish, Plan, Submit, Submitted, needs_of};
use super::{Clock, Engine};
use crate::codec::{Publish, ReasonCode};
use crate::error::{CallError, Error};

/// As many bytes as make a write worthwhile while more comes with so large a payload. Natively several large messages
/// leave in one: for each write the peer may have to be woken, which takes longer than a copy.
pub(crate) fn write_size(payload_len: usize) -> usize {
    const LEAST: usize = 64 * 1024;
    const MOST: usize = 512 * 1024;
    if cfg!(target_family = "wasm") { LEAST } else { payload_len.saturating_mul(8).clamp(LEAST, MOST) }
}

/// What messages have come to.
#[derive(Debug, Default)]
pub struct Batch {
    /// Of each, in order; `None` while it is in flight.
    results: Vec<Option<Result<ReasonCode, Error>>>,
    /// How many are in flight.
    in_flight: usize,
    /// The places of those at QoS 0 that may not have been sent yet, and when each is.
    unsent: Vec<(usize, Goal)>,
    /// Why nothing more came of those that were not submitted, and of those that are in flight.
    failure: Option<Error>,
}

impl Batch {
    /// Notes how a message went; whether that was the last.
    pub(super) fn note(&mut self, place: usize, result: Result<ReasonCode, Error>) -> bool {
        if self.results[place].is_none() {
            self.results[place] = Some(result);
            self.in_flight -= 1;
        }
        self.in_flight == 0
    }

    /// Everything that was submitted is sent.
    pub(super) fn sent(&mut self) {
        self.unsent.clear();
    }

    /// How many are on their way.
    const fn submitted(&self) -> usize {
        self.in_flight + self.unsent.len()
    }

    pub(super) const fn is_done(&self) -> bool {
        self.in_flight == 0
    }

    /// Nothing more will come of what is not done.
    pub(super) fn fail(&mut self, error: Error, has_reached: impl Fn(Goal) -> bool) {
        for (place, goal) in self.unsent.drain(..) {
            if !has_reached(goal) {
                self.results[place] = Some(Err(error.clone()));
            }
        }
        self.failure = Some(error);
    }
}

/// Publishes messages in order, with as many in flight as the broker and the options allow, and as many in one write.
/// The outcome is the result of each, in order: what [`Publishing`](super::Publishing) would come to.
///
/// The time for it begins anew with every answer, and whenever there is room for more. When the connection ends,
/// messages that were not sent fail with the reason.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::engine::{Connecting, Engine, PublishingAll};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let readings = ["21.5", "21.6", "21.7"];
/// let messages = readings.map(|reading| Publish::new("sensors/kitchen", reading).qos(QoS::AtLeastOnce));
/// let results = network.run(&mut engine, PublishingAll::new(messages))?;
/// assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub struct PublishingAll<I: Iterator>(Peekable<I>);

impl<'a, I: Iterator<Item = Publish<'a>>> PublishingAll<I> {
    /// Publishes these messages.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine, PublishingAll};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let batch = PublishingAll::new([Publish::new("a", "1"), Publish::new("b", "2")]);
    /// assert_eq!(network.run(&mut engine, batch)?.len(), 2);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn new(messages: impl IntoIterator<IntoIter = I>) -> Self {
        Self(messages.into_iter().peekable())
    }
}

impl<'a, I: Iterator<Item = Publish<'a>>> Submit for PublishingAll<I> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        let (least, most) = self.0.size_hint();
        Some(Described::batch(most.filter(|most| *most == least)))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        // A batch of nothing needs nothing.
        let needs = self.0.peek().map_or(&[][..], |next| needs_of(next.qos));
        Plan { needs, timeout: engine.response_timeout }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        call: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        let id = match *call {
            Some(id) => id,
            None => {
                engine.now = clock();
                *call.insert(engine.open_call(engine.now + engine.response_timeout, State::Batch))
            }
        };
        // It stands in a queue, where answers to those before it find it.
        let mut batch = engine.calls.get_mut(id).and_then(|entry| entry.batch.take()).unwrap_or_default();
        if engine.is_connected() && !engine.has_outgoing() {
            batch.sent();
        }
        let before = batch.submitted();
        let submitting = Submitting(engine, id);
        let submitted = self.submit_all(submitting.0, id, &mut batch);
        core::mem::forget(submitting);
        let (is_flushed, is_done) = (batch.unsent.is_empty(), batch.is_done());
        let has_room = batch.submitted() > before;
        if has_room {
            engine.now = clock();
        }
        if let Some(entry) = engine.calls.get_mut(id) {
            if has_room {
                // There was room for more of them: something has left.
                entry.deadline = engine.now + engine.response_timeout;
            }
            entry.batch = Some(batch);
        }
        submitted?;
        if !is_flushed {
            return Ok(Submitted::Flush(engine.flush_goal()));
        }
        if is_done {
            engine.finish_batch(id);
        }
        Ok(Submitted::As(State::Batch))
    }
}

/// What makes the messages is the user's. When it panics, nobody waits for the call any more.
struct Submitting<'a>(&'a mut Engine, CallId);

impl Drop for Submitting<'_> {
    fn drop(&mut self) {
        self.0.cancel(self.1, self.0.now);
    }
}

impl<'a, I: Iterator<Item = Publish<'a>>> Finish for PublishingAll<I> {
    type Output = Vec<Result<ReasonCode, Error>>;

    fn output(&mut self, outcome: Outcome) -> Result<Self::Output, Error> {
        let (known, failure) = match outcome {
            Outcome::Batch(batch) => (batch.results, batch.failure),
            other => (Vec::new(), Some(other.into_error())),
        };
        let failed = || Err(failure.clone().unwrap_or(Error::Timeout));
        let mut results = Vec::with_capacity(known.len());
        for result in known {
            results.push(result.unwrap_or_else(failed));
        }
        self.0.by_ref().for_each(|_| results.push(failed()));
        Ok(results)
    }

    fn failure(results: &Self::Output) -> Option<&Error> {
        results.iter().find_map(|result| result.as_ref().err())
    }
}

impl<'a, I: Iterator<Item = Publish<'a>>> PublishingAll<I> {
    fn submit_all(&mut self, engine: &mut Engine, id: CallId, batch: &mut Batch) -> Result<(), CallError> {
        while let Some(message) = self.0.peek() {
            if engine.session.transmit().len() >= write_size(message.payload.len()) {
                return Err(CallError::WouldBlock);
            }
            let place = batch.results.len();
            batch.results.push(match engine.session.publish(message) {
                Err(error @ (CallError::WouldBlock | CallError::NotConnected)) => return Err(error),
                Err(error) => Some(Err(error.into())),
                Ok(None) => {
                    batch.unsent.push((place, engine.flush_goal()));
                    Some(Ok(ReasonCode::Success))
                }
                Ok(Some(operation)) => {
                    let waiter = Waiter { call: id, place: place as u64 };
                    engine.calls.submitted.push(operation.number(), waiter);
                    batch.in_flight += 1;
                    None
                }
            });
            self.0.next();
        }
        Ok(())
    }
}

/// The result of each message of a batch, in order: of those that were published, and of those that were none, with
/// their places.
#[cfg(any(test, all(feature = "component", target_arch = "wasm32")))]
pub(crate) fn in_order<R>(
    published: impl IntoIterator<Item = R>,
    invalid: impl IntoIterator<Item = (u32, R)>,
) -> impl Iterator<Item = R> {
    let (mut published, mut invalid) = (published.into_iter(), invalid.into_iter().peekable());
    (0..).map_while(move |place| match invalid.next_if(|(invalid, _)| *invalid == place) {
        Some((_, invalid)) => Some(invalid),
        None => published.next(),
    })
}

impl Engine {
    /// The connection has ended: what left over it is known now, and by no later one.
    pub(super) fn note_what_left(&mut self) {
        let last = Goal { connection: self.connections, place: self.reached };
        for id in self.calls.pending() {
            if let Some(batch) = self.calls.get_mut(id).and_then(|entry| entry.batch.as_mut()) {
                batch.unsent.retain(|(_, goal)| goal.connection != last.connection || goal.place > last.place);
            }
        }
    }

    /// Ends the call that this batch is.
    pub(super) fn finish_batch(&mut self, id: CallId) {
        if let Some(batch) = self.calls.get_mut(id).and_then(|entry| entry.batch.take()) {
            self.complete(id, Outcome::Batch(batch));
        }
    }

    /// Notes how a message of a batch went.
    pub(super) fn note_in_batch(&mut self, Waiter { call: id, place }: Waiter, result: Result<ReasonCode, Error>) {
        let Some(entry) = self.calls.get_mut(id) else { return };
        let Some(batch) = &mut entry.batch else { return };
        // It was a place in memory before.
        let is_last = batch.note(place as usize, result);
        if is_last && matches!(entry.state, State::Batch) {
            self.finish_batch(id);
        } else {
            entry.deadline = self.now + self.response_timeout;
        }
    }

    /// Everything that was submitted so far is sent when this is.
    pub(super) const fn flush_goal(&self) -> Goal {
        Goal { connection: self.connections, place: self.session.outbound_end() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_messages() {
        for (published, invalid, expected) in [
            (Vec::from(["a", "b"]), Vec::new(), Vec::from(["a", "b"])),
            (
                Vec::from(["b", "e"]),
                Vec::from([(0, "-"), (2, "-"), (3, "-"), (5, "-")]),
                Vec::from(["-", "b", "-", "-", "e", "-"]),
            ),
            (Vec::new(), Vec::from([(0, "-"), (1, "-")]), Vec::from(["-", "-"])),
            (Vec::new(), Vec::new(), Vec::new()),
        ] {
            let results: Vec<_> = in_order(published, invalid).collect();
            assert_eq!(results, expected);
        }
    }
}
