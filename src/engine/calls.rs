//! Calls: what users ask for, each with a deadline of its own and an outcome that is set once. Those that cannot be
//! done yet wait for what they need, first come first served.
//!
//! ```text
//!            ┌──────────── no room ───────────┐
//!            ▼                                │
//!   new ► Waiting ── its turn, and room ► submitted ──► Sent, Flushing, … ── answer, deadline, end ──► Done
//! ```

use alloc::boxed::Box;
use alloc::sync::Weak;
use alloc::vec::Vec;
use core::task::Waker;

use super::batch::Batch;
use super::connection::Step;
use super::event::Event;
use super::timers::Timers;
use crate::error::{Error, Reason, SubscribeReason};
use crate::message::Message;
use crate::ordered::Ordered;
use crate::session::{OperationId, Shortage};
use crate::time::Instant;

/// The number of a call. One engine never uses a number twice.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::engine::{Call, CallId, Connecting, Engine, Publishing};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
/// let mut call = Call::new(Publishing(&message));
/// let _ = engine.poll_call(&mut call, None, &mut || network.now());
/// let id: Option<CallId> = call.id();
/// assert!(id.is_some());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// What calls wait for, each in a queue of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A place among the messages in flight, at QoS 1 and 2 (section 4.9).
    Quota,
    /// Room in the outbound buffer.
    Outbound,
    /// A place among the requests that wait for their replies, and the subscription to the Response Topic.
    Requests,
    /// That nothing else authenticates.
    Authentication,
    /// An event to tell.
    Event,
    /// The next step of the broker in authenticating.
    Step,
    /// The connection for a message that is streamed, and a place among the messages in flight.
    #[cfg(feature = "stream")]
    Stream,
}

impl Resource {
    #[cfg(not(feature = "stream"))]
    pub(super) const ALL: [Self; 6] =
        [Self::Quota, Self::Outbound, Self::Requests, Self::Authentication, Self::Event, Self::Step];
    #[cfg(feature = "stream")]
    pub(super) const ALL: [Self; 7] =
        [Self::Quota, Self::Outbound, Self::Requests, Self::Authentication, Self::Event, Self::Step, Self::Stream];

    /// What the session calls it, if it is the session's to have.
    pub(super) const fn of_session(self) -> Option<Shortage> {
        match self {
            Self::Quota => Some(Shortage::Quota),
            Self::Outbound => Some(Shortage::Outbound),
            Self::Requests => Some(Shortage::Requests),
            #[cfg(feature = "stream")]
            Self::Stream => Some(Shortage::Stream),
            Self::Authentication | Self::Event | Self::Step => None,
        }
    }
}

/// Where a call stands.
#[derive(Debug)]
pub enum State {
    /// It waits for this, with this place in the queue.
    Waiting(Resource, u64),
    /// The session has it.
    Sent(OperationId),
    /// All of its messages are submitted, and some are in flight.
    Batch,
    /// It waits for bytes to leave, with this place among those who do.
    Flushing(u64),
    /// It waits until its message is in the store, with this place among those who do.
    #[cfg(feature = "store")]
    Storing(u64),
    Connecting,
    Disconnecting,
    Authenticating,
    Done(Outcome),
}

/// How a call went.
#[derive(Debug)]
pub enum Outcome {
    Done,
    Published(Result<Reason, Error>),
    Batch(Box<Batch>),
    Subscribed(Result<SubscribeReason, Error>),
    Replied(Result<Box<Message>, Error>),
    Connected { session_present: bool },
    Event(Event),
    Step(Step),
    Failed(Error),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) deadline: Instant,
    pub(super) state: State,
    pub(super) waker: Option<Waker>,
    /// What several messages have come to, if the call is about several.
    pub(super) batch: Option<Box<Batch>>,
    /// Who wants the outcome, if that is not who polls: nobody once it is dropped.
    pub(super) owner: Option<Weak<()>>,
    /// How far the [session](crate::session::Session::progress) was when it was tried last, without success.
    pub(super) tried_at: u64,
}

impl Entry {
    /// Whether nobody wants the outcome any more.
    pub(super) fn is_disowned(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.strong_count() == 0)
    }
}

/// A call that waits for something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) call: CallId,
    /// Which message of a batch it waits for the answer to, or up to which place in the stream bytes have to leave.
    pub(super) place: u64,
}

/// Where a flush is at its end.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// Counts connections.
    pub(super) connection: u64,
    /// In the stream of that connection.
    pub(super) place: u64,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    last: u64,
    entries: Ordered<Entry>,
    /// Whom the answer to an operation of the session is for: by the number of the operation.
    pub(super) submitted: Ordered<Waiter>,
    /// By a number that each one draws who comes.
    queues: [Ordered<Waiter>; Resource::ALL.len()],
    /// How many are in those queues.
    waiting: usize,
    /// The same of those who wait for bytes to leave, in the order of their places in the stream.
    flushing: Ordered<Waiter>,
    /// The same of those who wait for the store, in the order of what is written.
    #[cfg(feature = "store")]
    storing: Ordered<Waiter>,
    last_ticket: u64,
    /// How many are not done.
    pending: usize,
}

impl Calls {
    pub(super) fn open(&mut self, deadline: Instant, state: State, timers: &mut Timers) -> CallId {
        self.last += 1;
        let id = self.last;
        timers.start_call(id, deadline);
        self.pending += 1;
        self.entries.push(id, Entry { deadline, state, waker: None, batch: None, owner: None, tried_at: 0 });
        CallId(id)
    }

    pub(super) fn get(&self, id: CallId) -> Option<&Entry> {
        self.entries.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: CallId) -> Option<&mut Entry> {
        self.entries.get_mut(id.0)
    }

    /// All that are not done.
    pub(super) fn pending(&self) -> Vec<CallId> {
        let is_pending = |(_, entry): &(u64, &Entry)| !matches!(entry.state, State::Done(_));
        self.entries.iter().filter(is_pending).map(|(id, _)| CallId(id)).collect()
    }

    pub(super) const fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Whether any wait for the broker: for what has happened others wait too, who have no answer to come.
    pub(super) const fn await_broker(&self) -> bool {
        self.pending > self.queues[Resource::Event as usize].len()
    }

    /// How many there are whose outcome nobody has taken.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Has a call wait for this, behind those who do.
    pub(super) fn wait_for(&mut self, id: CallId, resource: Resource) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.leave(id);
        if let Some(entry) = self.entries.get_mut(id.0) {
            entry.state = State::Waiting(resource, ticket);
            self.queues[resource as usize].push(ticket, Waiter { call: id, place: 0 });
            self.waiting += 1;
        }
    }

    /// Has a call wait until everything before this place in the stream was sent.
    pub(super) fn flush(&mut self, id: CallId, place: u64) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.leave(id);
        if let Some(entry) = self.entries.get_mut(id.0) {
            entry.state = State::Flushing(ticket);
            self.flushing.push(ticket, Waiter { call: id, place });
        }
    }

    /// Has a call wait until these changes are in the store.
    #[cfg(feature = "store")]
    pub(super) fn wait_for_store(&mut self, id: CallId, round: u64) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.leave(id);
        if let Some(entry) = self.entries.get_mut(id.0) {
            entry.state = State::Storing(ticket);
            self.storing.push(ticket, Waiter { call: id, place: round });
        }
    }

    #[cfg(feature = "store")]
    pub(super) fn is_storing(&self, id: CallId) -> bool {
        matches!(self.get(id).map(|entry| &entry.state), Some(State::Storing(_)))
    }

    /// The next whose changes are in the store, as far as these.
    #[cfg(feature = "store")]
    pub(super) fn next_stored(&mut self, round: u64) -> Option<CallId> {
        let (ticket, &Waiter { call, .. }) = self.storing.first().filter(|(_, waiter)| waiter.place <= round)?;
        self.storing.remove(ticket);
        Some(call)
    }

    /// The next whose bytes have left, as far as this place.
    pub(super) fn next_flushed(&mut self, has_sent: impl Fn(u64) -> bool) -> Option<CallId> {
        let (ticket, &Waiter { call, .. }) = self.flushing.first().filter(|(_, waiter)| has_sent(waiter.place))?;
        self.flushing.remove(ticket);
        Some(call)
    }

    /// There is a new connection: what the last one did not send stands before this place in its stream.
    pub(super) fn flush_anew(&mut self, place: u64) {
        self.flushing.iter_mut().for_each(|(_, waiter)| waiter.place = place);
    }

    /// Takes a call out of the queue that it is in.
    pub(super) fn leave(&mut self, id: CallId) {
        match self.entries.get(id.0).map(|entry| &entry.state) {
            Some(State::Waiting(resource, ticket)) => {
                self.queues[*resource as usize].remove(*ticket).map(|_| self.waiting -= 1)
            }
            Some(State::Flushing(ticket)) => self.flushing.remove(*ticket).map(drop),
            #[cfg(feature = "store")]
            Some(State::Storing(ticket)) => self.storing.remove(*ticket).map(drop),
            _ => None,
        };
    }

    /// Whether any wait for something that there was none of.
    pub(super) const fn has_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Who is next to get some of this.
    pub(super) fn first(&self, resource: Resource) -> Option<CallId> {
        self.queues[resource as usize].first().map(|(_, waiter)| waiter.call)
    }

    /// Sets the outcome of a call, unless it has one.
    pub(super) fn complete(&mut self, id: CallId, outcome: Outcome, woken: &mut Vec<Waker>) {
        self.leave(id);
        let Some(entry) = self.entries.get_mut(id.0) else { return };
        if matches!(entry.state, State::Done(_)) {
            return;
        }
        self.pending -= 1;
        entry.state = State::Done(outcome);
        woken.extend(entry.waker.take());
        if entry.is_disowned() {
            self.entries.remove(id.0);
        }
    }

    /// Drops the outcomes that nobody wants any more.
    pub(super) fn drop_disowned(&mut self, timers: &mut Timers) {
        let is_over = |(_, entry): &(u64, &Entry)| matches!(entry.state, State::Done(_)) && entry.is_disowned();
        while self.entries.len() > self.pending {
            let Some(id) = self.entries.iter().find(is_over).map(|(id, _)| id) else { return };
            self.remove(CallId(id), timers);
        }
    }

    /// Takes the outcome of a call, if it has one, and forgets it then.
    pub(super) fn take_outcome(&mut self, id: CallId, timers: &mut Timers) -> Option<Outcome> {
        if !matches!(self.entries.get(id.0)?.state, State::Done(_)) {
            return None;
        }
        match self.remove(id, timers)?.state {
            State::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Forgets a call.
    pub(super) fn remove(&mut self, id: CallId, timers: &mut Timers) -> Option<Entry> {
        self.leave(id);
        let entry = self.entries.remove(id.0)?;
        self.pending -= usize::from(!matches!(entry.state, State::Done(_)));
        timers.forget_calls(self.entries.len(), |call| self.entries.contains(call));
        Some(entry)
    }
}
