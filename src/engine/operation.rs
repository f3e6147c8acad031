//! What users ask for: one type for each thing, that says what it needs, submits itself, and knows what comes of it.

use core::time::Duration;

use super::calls::{CallId, Goal, Outcome, Resource, State};
use super::connection::Step;
use super::event::Event;
use super::listeners::ListenerId;
use super::responders::ResponderId;
use super::{Clock, Engine};
use crate::codec::{Disconnect, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties};
use crate::error::{CallError, Error, Reason, SubscribeReason};
use crate::message::Message;
use crate::respond::{Reply, Request};
#[cfg(doc)]
use crate::session::Session;

/// Something to ask an engine for: see [`Engine::poll_call`]. What comes of it is `Output`.
///
/// The operations of this module are all there are.
pub trait Operation: Finish {}

impl<O: Finish> Operation for O {}

mod sealed {
    use super::{CallId, Clock, Engine, Error, Outcome, Plan, Submitted};
    use crate::error::CallError;

    /// How an operation is done. Nobody outside can name it, and so add one.
    pub trait Submit {
        /// What it takes and how long it may take.
        fn plan(&mut self, engine: &Engine) -> Plan;

        /// Does it, or as much of it as is possible now.
        ///
        /// # Errors
        /// [`CallError::WouldBlock`] and [`CallError::NotConnected`] for what has to wait.
        fn submit(
            &mut self,
            engine: &mut Engine,
            call: &mut Option<CallId>,
            clock: Clock<'_>,
        ) -> Result<Submitted, CallError>;
    }

    /// What comes of it.
    pub trait Finish: Submit {
        /// As a type.
        type Output;

        /// What has come of it.
        fn output(&mut self, outcome: Outcome) -> Result<Self::Output, Error>;
    }
}

pub(super) use sealed::{Finish, Submit};

/// What an operation takes.
pub struct Plan {
    /// It waits in the queue of the first of these that there is none of. What is about the connection itself needs nothing.
    pub(super) needs: &'static [Resource],
    pub(super) timeout: Duration,
}

/// What has become of an operation.
pub enum Submitted {
    Done(Outcome),
    /// It goes on as this.
    As(State),
    /// It is done when bytes have left.
    Flush(Goal),
}

impl Outcome {
    /// Why it failed. What it was not asked for is a failure too.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) | Self::Published(Err(error)) | Self::Subscribed(Err(error)) => error,
            Self::Replied(Err(error)) => error,
            other => {
                debug_assert!(false, "an outcome of another kind of call: {other:?}");
                Error::ConnectionClosed
            }
        }
    }
}

/// Publishes a message: done when it is sent, at QoS 0, or when the broker has it.
#[derive(Debug)]
pub struct Publishing<'a>(pub &'a Publish<'a>);

/// Has a message sent, and is done when there was room for it. Nothing tells how a message at QoS 1 or 2 went.
#[derive(Debug)]
pub struct Enqueueing<'a>(pub &'a Publish<'a>);

/// Waits until everything is sent that waits to be.
#[derive(Debug)]
pub struct Flushing;

/// Subscribes.
#[derive(Debug)]
pub struct Subscribing<'a> {
    /// To what.
    pub subscriptions: &'a [Subscription<'a>],
    /// A Subscription Identifier, User Properties.
    pub properties: SubscribeProperties<'a>,
}

/// Subscribes to what a [listener](Engine::open_listener) listens to.
#[derive(Debug)]
pub struct Listening<'a> {
    /// Who listens.
    pub listener: ListenerId,
    /// To what.
    pub subscription: Subscription<'a>,
}

/// Unsubscribes.
#[derive(Debug)]
pub struct Unsubscribing<'a> {
    /// From these Topic Filters.
    pub filters: &'a [&'a str],
    /// User Properties.
    pub properties: UnsubscribeProperties<'a>,
}

/// Publishes a request: done when the reply is there. See [`Session::request`] for what is sent.
#[derive(Debug)]
pub struct Requesting<'a> {
    /// The request.
    pub request: &'a Publish<'a>,
    /// How long to wait for room and for the reply, together.
    pub timeout: Duration,
    /// A random number that is used once, and that nobody can guess.
    pub nonce: u64,
}

/// Sends a reply and acknowledges its request: done when there was room for it.
#[derive(Debug)]
pub struct Replying<'a> {
    /// Who has taken the request.
    pub responder: ResponderId,
    /// The request.
    pub request: &'a Request,
    /// The reply.
    pub reply: &'a Reply,
}

/// Authenticates again over this connection (section 4.12.1). A connection that is made meanwhile does as well: it begins
/// with that.
#[derive(Debug)]
pub struct Authenticating;

/// How the broker goes on, where the user authenticates [step by step](Engine::authenticate_by_hand).
#[derive(Debug)]
pub struct NextStep;

/// Connects again, to the broker at the same URL or the first of the fallbacks that takes the connection. A connection that
/// is still there is closed first. Comes to whether the broker had the session.
#[derive(Debug)]
pub struct Connecting;

/// Waits until the connection that is being made is there. Comes to whether the broker had the session.
#[derive(Debug)]
pub struct Connected;

/// Disconnects: what waits is sent, then this, and the connection is closed. Comes to nothing when there is none.
#[derive(Debug)]
pub struct Disconnecting<'a>(pub &'a Disconnect<'a>);

/// The next thing that happened to the connection.
#[derive(Debug)]
pub struct NextEvent {
    /// How long to wait for it: [`Error::Timeout`] then.
    pub timeout: Duration,
}

/// The needs of a message at this QoS.
pub(super) const fn needs_of(qos: QoS) -> &'static [Resource] {
    match qos {
        QoS::AtMostOnce => &[Resource::Outbound],
        QoS::AtLeastOnce | QoS::ExactlyOnce => &[Resource::Quota, Resource::Outbound],
    }
}

impl Submit for Publishing<'_> {
    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: needs_of(self.0.qos), timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        Ok(match engine.session.publish(self.0)? {
            Some(operation) => Submitted::As(State::Sent(operation)),
            None => Submitted::Flush(engine.flush_goal()),
        })
    }
}

impl Finish for Publishing<'_> {
    type Output = Reason;

    fn output(&mut self, outcome: Outcome) -> Result<Reason, Error> {
        match outcome {
            Outcome::Published(result) => result,
            Outcome::Done => Ok(ReasonCode::Success.into()),
            other => Err(other.into_error()),
        }
    }
}

impl Submit for Enqueueing<'_> {
    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: needs_of(self.0.qos), timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        engine.session.publish(self.0)?;
        Ok(Submitted::Done(Outcome::Done))
    }
}

impl Finish for Enqueueing<'_> {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for Flushing {
    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        Ok(Submitted::Flush(engine.flush_goal()))
    }
}

impl Finish for Flushing {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for Subscribing<'_> {
    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        let operation = engine.session.subscribe(self.subscriptions, self.properties)?;
        engine.ask_for_own(operation, self.subscriptions, self.properties.subscription_identifier);
        Ok(Submitted::As(State::Sent(operation)))
    }
}

impl Finish for Subscribing<'_> {
    type Output = SubscribeReason;

    fn output(&mut self, outcome: Outcome) -> Result<SubscribeReason, Error> {
        subscribed(outcome)
    }
}

impl Submit for Listening<'_> {
    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        let operation = self.subscribe(engine)?;
        engine.listeners.ask_for(self.listener);
        Ok(Submitted::As(State::Sent(operation)))
    }
}

impl Finish for Listening<'_> {
    type Output = SubscribeReason;

    fn output(&mut self, outcome: Outcome) -> Result<SubscribeReason, Error> {
        subscribed(outcome)
    }
}

impl Submit for Unsubscribing<'_> {
    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        let operation = engine.session.unsubscribe(self.filters, self.properties)?;
        engine.forget_own(self.filters);
        Ok(Submitted::As(State::Sent(operation)))
    }
}

impl Finish for Unsubscribing<'_> {
    type Output = SubscribeReason;

    fn output(&mut self, outcome: Outcome) -> Result<SubscribeReason, Error> {
        subscribed(outcome)
    }
}

impl Submit for Requesting<'_> {
    fn plan(&mut self, _: &Engine) -> Plan {
        let needs: &[Resource] = match self.request.qos {
            QoS::AtMostOnce => &[Resource::Requests, Resource::Outbound],
            QoS::AtLeastOnce | QoS::ExactlyOnce => &[Resource::Requests, Resource::Quota, Resource::Outbound],
        };
        Plan { needs, timeout: self.timeout }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        call: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        let now = clock();
        // Its time runs while there is no room for it, too.
        let waiting = call.and_then(|id| engine.calls.get(id)).map(|entry| entry.deadline);
        let timeout = waiting.map_or(self.timeout, |deadline| deadline.saturating_duration_since(now));
        Ok(Submitted::As(State::Sent(engine.session.request(self.request, timeout, self.nonce, now)?)))
    }
}

impl Finish for Requesting<'_> {
    type Output = Message;

    fn output(&mut self, outcome: Outcome) -> Result<Message, Error> {
        match outcome {
            Outcome::Replied(result) => result.map(|message| *message),
            other => Err(other.into_error()),
        }
    }
}

impl Submit for Replying<'_> {
    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: needs_of(self.request.message().qos), timeout: engine.response_timeout }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        _: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        engine.reply(self.responder, self.request, self.reply, clock())?;
        Ok(Submitted::Done(Outcome::Done))
    }
}

impl Finish for Replying<'_> {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for Authenticating {
    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Authentication], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        engine.start_authenticating_again()
    }
}

impl Finish for Authenticating {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for NextStep {
    fn plan(&mut self, engine: &Engine) -> Plan {
        // Before there is a connection the session keeps the time.
        let timeout = if engine.is_connected() { engine.response_timeout } else { Duration::MAX };
        Plan { needs: &[Resource::Step], timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        engine.take_step().map(|step| Submitted::Done(Outcome::Step(step))).ok_or(CallError::WouldBlock)
    }
}

impl Finish for NextStep {
    type Output = Step;

    fn output(&mut self, outcome: Outcome) -> Result<Step, Error> {
        match outcome {
            Outcome::Step(step) => Ok(step),
            other => Err(other.into_error()),
        }
    }
}

impl Submit for Connecting {
    fn plan(&mut self, _: &Engine) -> Plan {
        Plan { needs: &[], timeout: Duration::MAX }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        _: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        Ok(match engine.connect_by_hand(clock()) {
            Ok(()) => Submitted::As(State::Connecting),
            Err(error) => Submitted::Done(Outcome::Failed(error)),
        })
    }
}

impl Finish for Connecting {
    type Output = bool;

    fn output(&mut self, outcome: Outcome) -> Result<bool, Error> {
        connected(outcome)
    }
}

impl Submit for Connected {
    fn plan(&mut self, _: &Engine) -> Plan {
        Plan { needs: &[], timeout: Duration::MAX }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        Ok(match engine.connection_so_far() {
            Some(outcome) => Submitted::Done(outcome),
            None => Submitted::As(State::Connecting),
        })
    }
}

impl Finish for Connected {
    type Output = bool;

    fn output(&mut self, outcome: Outcome) -> Result<bool, Error> {
        connected(outcome)
    }
}

impl Submit for Disconnecting<'_> {
    fn plan(&mut self, _: &Engine) -> Plan {
        Plan { needs: &[], timeout: Duration::MAX }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        _: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        let is_over = engine.disconnect(self.0, clock())?;
        Ok(if is_over { Submitted::Done(Outcome::Done) } else { Submitted::As(State::Disconnecting) })
    }
}

impl Finish for Disconnecting<'_> {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for NextEvent {
    fn plan(&mut self, _: &Engine) -> Plan {
        Plan { needs: &[Resource::Event], timeout: self.timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        engine.events.pop().map(|event| Submitted::Done(Outcome::Event(event))).ok_or(CallError::WouldBlock)
    }
}

impl Finish for NextEvent {
    type Output = Event;

    fn output(&mut self, outcome: Outcome) -> Result<Event, Error> {
        match outcome {
            Outcome::Event(event) => Ok(event),
            other => Err(other.into_error()),
        }
    }
}

fn done(outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(other.into_error()),
    }
}

fn subscribed(outcome: Outcome) -> Result<SubscribeReason, Error> {
    match outcome {
        Outcome::Subscribed(result) => result,
        other => Err(other.into_error()),
    }
}

fn connected(outcome: Outcome) -> Result<bool, Error> {
    match outcome {
        Outcome::Connected { session_present } => Ok(session_present),
        other => Err(other.into_error()),
    }
}
