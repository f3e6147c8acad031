//! A call of any kind, what it comes to, and who waits for it.

#![allow(dead_code, reason = "not every test looks at everything")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

use mqtt_wasi::codec::ReasonCode;
use mqtt_wasi::engine::{Call, CallId, Engine, Operation, Step};
use mqtt_wasi::{Error, Event, Instant, Message, Reason, SubscribeReason};

/// What a call has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    Done,
    Published(ReasonCode),
    Batch(Vec<Result<ReasonCode, Error>>),
    Subscribed(Vec<ReasonCode>),
    Connected { session_present: bool },
    Replied(Message),
    Event(Event),
    Step(Step),
}

impl From<()> for Came {
    fn from((): ()) -> Self {
        Self::Done
    }
}

impl From<Reason> for Came {
    fn from(reason: Reason) -> Self {
        Self::Published(reason.reason_code)
    }
}

impl From<Vec<Result<ReasonCode, Error>>> for Came {
    fn from(results: Vec<Result<ReasonCode, Error>>) -> Self {
        Self::Batch(results)
    }
}

impl From<SubscribeReason> for Came {
    fn from(reason: SubscribeReason) -> Self {
        Self::Subscribed(reason.reason_codes)
    }
}

impl From<bool> for Came {
    fn from(session_present: bool) -> Self {
        Self::Connected { session_present }
    }
}

impl From<Message> for Came {
    fn from(reply: Message) -> Self {
        Self::Replied(reply)
    }
}

impl From<Event> for Came {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

impl From<Step> for Came {
    fn from(step: Step) -> Self {
        Self::Step(step)
    }
}

/// A call of any kind.
pub(crate) trait Running {
    fn poll(&mut self, engine: &mut Engine, waker: Option<&Waker>, now: Instant) -> Poll<Result<Came, Error>>;
    fn id(&self) -> Option<CallId>;
}

impl<O: Operation> Running for Call<O>
where
    O::Output: Into<Came>,
{
    fn poll(&mut self, engine: &mut Engine, waker: Option<&Waker>, now: Instant) -> Poll<Result<Came, Error>> {
        engine.poll_call(self, waker, &mut || now).map(|result| result.map(Into::into))
    }

    fn id(&self) -> Option<CallId> {
        Self::id(self)
    }
}

/// Counts how often it is woken.
#[derive(Debug, Default)]
pub(crate) struct Bell(AtomicUsize);

impl Bell {
    pub(crate) fn rings(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
