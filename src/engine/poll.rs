//! Polling calls, and everything that ends them: answers, deadlines, ends of connections.

use core::task::{Poll, Waker};

use super::calls::{CallId, Goal, Outcome, Resource, State, Waiter};
use super::connection::Phase;
use super::event::Event;
use super::observe::Span;
use super::operation::{Operation, Plan, Submit, Submitted};
use super::timers::Timer;
use super::{Clock, Engine, replace_waker};
use crate::error::{CallError, Error, SubscribeReason};
use crate::message::Message;
use crate::session::{self, OperationId};
use crate::time::Instant;

/// An operation, and how far it is. A call that is dropped before it is over has to be [cancelled](Engine::cancel)
/// first: otherwise the engine keeps its outcome.
///
#[doc = memory_example!()]
/// use std::task::Poll;
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::engine::{Call, Connecting, Engine, Publishing};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
/// let mut call = Call::new(Publishing(&message));
/// let answer = loop {
///     match engine.poll_call(&mut call, None, &mut || network.now()) {
///         Poll::Ready(answer) => break answer,
///         Poll::Pending => network.turn(&mut engine),
///     }
/// };
/// assert!(answer.is_ok());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Call<O> {
    operation: O,
    progress: Progress,
}

/// Where a call stands that an engine is polled for.
#[derive(Debug, Default)]
struct Progress {
    id: Option<CallId>,
    /// What it has still to wait for, where nobody need be woken for it, and until when.
    goal: Option<(Goal, Instant)>,
    span: Span,
}

impl<O> Call<O> {
    /// Nothing is done until the call is [polled](Engine::poll_call).
    ///
    /// ```
    /// use mqtt_wasi::engine::{Call, Connecting};
    ///
    /// let call = Call::new(Connecting);
    /// assert_eq!(call.id(), None);
    /// ```
    pub const fn new(operation: O) -> Self {
        Self { operation, progress: Progress { id: None, goal: None, span: Span::new() } }
    }

    /// The number of the call, once the engine has something of it.
    ///
    /// ```
    /// use mqtt_wasi::engine::{Call, Connecting, Engine};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let mut call = Call::new(Connecting);
    /// assert_eq!(call.id(), None);
    /// let _ = engine.poll_call(&mut call, None, &mut || Instant::ZERO);
    /// assert!(call.id().is_some());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn id(&self) -> Option<CallId> {
        self.progress.id
    }
}

/// A call, whatever it is about: what polls it is there once.
pub(crate) struct AnyCall<'a> {
    operation: &'a mut dyn Submit,
    progress: &'a mut Progress,
}

impl<O: Operation> Call<O> {
    pub(crate) fn as_any(&mut self) -> AnyCall<'_> {
        AnyCall { operation: &mut self.operation, progress: &mut self.progress }
    }

    /// What the outcome comes to, once it is over.
    pub(crate) fn output(&mut self, outcome: Outcome) -> Result<O::Output, Error> {
        let result = self.operation.output(outcome);
        self.progress.span.over(&result, O::failure);
        result
    }
}

impl Engine {
    /// Does as much of a call as can be done now. Returns the outcome if the call is over. Otherwise poll it again:
    /// after each turn, or, with a `waker`, when [`Engine::take_woken`] returns that.
    ///
    /// The time of the call begins when it is polled first. An outcome that was there in time is returned, however late
    /// the call is polled again.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, Publishing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
    /// let mut call = Call::new(Publishing(&message));
    /// while engine.poll_call(&mut call, None, &mut || network.now()).is_pending() {
    ///     network.turn(&mut engine);
    /// }
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn poll_call<O: Operation>(
        &mut self,
        call: &mut Call<O>,
        waker: Option<&Waker>,
        clock: Clock<'_>,
    ) -> Poll<Result<O::Output, Error>> {
        self.poll_any(&mut call.as_any(), waker, clock).map(|outcome| call.output(outcome))
    }

    /// As [`Engine::poll_call`].
    pub(crate) fn poll_any(
        &mut self,
        call: &mut AnyCall<'_>,
        waker: Option<&Waker>,
        clock: Clock<'_>,
    ) -> Poll<Outcome> {
        let AnyCall { operation, progress: call } = call;
        call.span.begin(self, *operation);
        if let Some(id) = call.id {
            if !self.delivers() && !self.is_done(id) {
                self.now = clock();
                self.pump();
            }
            if let Some(outcome) = self.calls.take_outcome(id, &mut self.timers) {
                call.id = None;
                return Poll::Ready(outcome);
            }
        }
        let is_submitted = call.goal.is_some() || !call.id.is_none_or(|id| self.is_turn_of(id));
        if !is_submitted && let Some(outcome) = self.submit(*operation, call, clock) {
            // Unless it was set meanwhile. What was submitted of a batch before comes to what it comes to.
            match (call.id, outcome) {
                (None, outcome) => {
                    self.admit();
                    return Poll::Ready(outcome);
                }
                (Some(id), Outcome::Failed(error)) => self.fail_call(id, error),
                (Some(id), outcome) => self.complete(id, outcome),
            }
            self.admit();
        }
        let id = match (call.id, call.goal) {
            (Some(id), _) => id,
            (None, Some((goal, _))) if self.has_reached(goal) => return Poll::Ready(Outcome::Done),
            (None, Some(_)) if let Phase::Idle(error) = &self.phase => {
                return Poll::Ready(Outcome::Failed(error.clone()));
            }
            // The next turn sends it, in most cases.
            (None, Some((_, deadline))) if waker.is_none() && !is_submitted => {
                self.timers.set_sooner(Timer::Flush, deadline);
                return Poll::Pending;
            }
            (None, Some((_, deadline))) if deadline <= self.now && is_submitted => {
                return Poll::Ready(Outcome::Failed(self.timed_out()));
            }
            (None, Some((goal, deadline))) => {
                let id = self.open_call(deadline, State::Batch);
                self.calls.flush(id, self.place_of(goal));
                *call.id.insert(id)
            }
            (None, None) => return Poll::Pending,
        };
        if let Some(entry) = self.calls.get_mut(id) {
            replace_waker(&mut entry.waker, waker, &mut self.discarded);
        }
        self.fail_if_behind(id);
        match self.calls.take_outcome(id, &mut self.timers) {
            Some(outcome) => {
                call.id = None;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }

    /// Gives a call up. What was sent stays sent. The reply to a request is dropped when it comes. Returns the waker of
    /// the call: to drop it may run code of its owner, so do that where nobody waits for the engine.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, Publishing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
    /// let mut call = Call::new(Publishing(&message));
    /// let _ = engine.poll_call(&mut call, None, &mut || network.now());
    /// if let Some(id) = call.id() {
    ///     drop(engine.cancel(id, network.now()));
    /// }
    /// assert_eq!(engine.kept(), 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn cancel(&mut self, id: CallId, now: Instant) -> Option<Waker> {
        self.now = now;
        let mut entry = self.calls.remove(id, &mut self.timers);
        if let Some(entry) = &entry
            && let State::Sent(operation) = entry.state
        {
            self.calls.submitted.remove(operation.number());
            self.session.cancel_request(operation);
            #[cfg(feature = "stream")]
            self.abandon_payload(operation);
        }
        self.admit();
        entry.as_mut().and_then(|entry| entry.waker.take())
    }

    /// Polls the call of a request until it is in the outbound buffer. Returns its number, for [`Engine::poll_reply`].
    /// Once `owner` is dropped, the outcome is dropped when it comes.
    ///
    #[doc = memory_example!()]
    /// use std::sync::Arc;
    /// use std::task::Poll;
    /// use std::time::Duration;
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, Requesting};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let request = Publish::new("calculator/add", "1 2");
    /// let mut call = Call::new(Requesting { request: &request, timeout: Duration::from_secs(5), nonce: 0x7f3c_11d0 });
    /// let owner = Arc::new(());
    /// let id = loop {
    ///     match engine.poll_submitted(&mut call, &owner, &mut || network.now()) {
    ///         Poll::Ready(id) => break id?,
    ///         Poll::Pending => network.turn(&mut engine),
    ///     }
    /// };
    /// assert!(engine.poll_reply(id, &mut || network.now()).is_pending());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn poll_submitted<O: Operation>(
        &mut self,
        call: &mut Call<O>,
        owner: &alloc::sync::Arc<()>,
        clock: Clock<'_>,
    ) -> Poll<Result<CallId, Error>> {
        self.calls.drop_disowned(&mut self.timers);
        if let Poll::Ready(result) = self.poll_call(call, None, clock) {
            // Nothing comes of it, since it was submitted or failed just now.
            return Poll::Ready(Err(result.err().unwrap_or(Error::ConnectionClosed)));
        }
        match call.progress.id.and_then(|id| Some((id, self.calls.get_mut(id)?))) {
            Some((id, entry)) if !matches!(entry.state, State::Waiting(..)) => {
                entry.owner = Some(alloc::sync::Arc::downgrade(owner));
                call.progress.id = None;
                Poll::Ready(Ok(id))
            }
            _ => Poll::Pending,
        }
    }

    /// The outcome of a request that was submitted before. It is returned once; after that this fails with
    /// [`Error::Timeout`].
    ///
    #[doc = memory_example!()]
    /// use std::sync::Arc;
    /// use std::task::Poll;
    /// use std::time::Duration;
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, Requesting};
    /// use mqtt_wasi::{Error, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let mut call = Call::new(Requesting { request: &request, timeout: Duration::from_secs(5), nonce: 0x7f3c_11d0 });
    /// let owner = Arc::new(());
    /// let id = loop {
    ///     match engine.poll_submitted(&mut call, &owner, &mut || network.now()) {
    ///         Poll::Ready(id) => break id?,
    ///         Poll::Pending => network.turn(&mut engine),
    ///     }
    /// };
    /// let reply = loop {
    ///     match engine.poll_reply(id, &mut || network.now()) {
    ///         Poll::Ready(reply) => break reply,
    ///         Poll::Pending => network.turn(&mut engine),
    ///     }
    /// };
    /// assert_eq!(reply, Err(Error::NoResponder));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn poll_reply(&mut self, id: CallId, clock: Clock<'_>) -> Poll<Result<Message, Error>> {
        if !self.is_done(id) {
            self.now = clock();
            self.pump();
            let is_sent = matches!(self.calls.get(id).map(|entry| &entry.state), Some(State::Sent(_)));
            if is_sent && self.is_behind() && !self.has_others() {
                // The request goes on, and its reply may be asked for again.
                return Poll::Ready(Err(Error::AnswerBehindMessages));
            }
            self.fail_if_behind(id);
        }
        if self.calls.get(id).is_none() {
            // It was asked for before.
            return Poll::Ready(Err(Error::Timeout));
        }
        match self.calls.take_outcome(id, &mut self.timers) {
            Some(Outcome::Replied(result)) => Poll::Ready(result.map(|message| *message)),
            Some(other) => Poll::Ready(Err(other.into_error())),
            None => Poll::Pending,
        }
    }

    pub(super) fn open_call(&mut self, deadline: Instant, state: State) -> CallId {
        self.calls.open(deadline, state, &mut self.timers)
    }

    /// Submits a call; what came of it, if that is known at once. Has it wait for what it needs otherwise.
    fn submit(&mut self, operation: &mut dyn Submit, call: &mut Progress, clock: Clock<'_>) -> Option<Outcome> {
        let Plan { needs, timeout } = operation.plan(self);
        self.owes_turn |= timeout.is_zero() && call.id.is_none();
        let mut lacks = self.lacks_before(needs, call.id);
        for is_last in [false, true] {
            if let Some(error) = self.refuses(needs) {
                return Some(Outcome::Failed(error));
            }
            if lacks.is_none() {
                match operation.submit(self, &mut call.id, clock) {
                    Ok(Submitted::Done(outcome)) => return Some(outcome),
                    #[cfg(feature = "store")]
                    Ok(Submitted::Stored) => {
                        let id = self.entry_for(&mut call.id, timeout, clock);
                        self.calls.wait_for_store(id, self.next_round());
                        self.admit();
                        return None;
                    }
                    Ok(Submitted::As(state)) => {
                        let id = self.entry_for(&mut call.id, timeout, clock);
                        self.submitted_as(id, state);
                        self.admit();
                        return None;
                    }
                    Ok(Submitted::Flush(goal)) => {
                        let deadline = match call.id {
                            Some(id) => {
                                self.calls.flush(id, self.place_of(goal));
                                self.admit();
                                Instant::MAX
                            }
                            None => clock() + timeout,
                        };
                        call.goal = Some((goal, deadline));
                        return None;
                    }
                    Err(CallError::WouldBlock | CallError::NotConnected) if !needs.is_empty() => {}
                    Err(error) => return Some(Outcome::Failed(error.into())),
                }
            }
            if is_last || self.delivers() {
                break;
            }
            // What has come may make room, and be all that comes.
            self.now = clock();
            self.pump();
            lacks = self.lacks_before(needs, call.id);
        }
        self.now = clock();
        // What comes next of a batch may take something else.
        let needs = operation.plan(self).needs;
        let resource = lacks.unwrap_or_else(|| self.lacking(needs));
        if self.is_stuck && self.is_behind() && resource.of_session().is_some() {
            return Some(Outcome::Failed(CallError::ReceiveFirst.into()));
        }
        let id = self.entry_for(&mut call.id, timeout, clock);
        let entry = self.calls.get_mut(id)?;
        if lacks.is_none() {
            entry.tried_at = self.session.progress();
        }
        if !matches!(&entry.state, State::Waiting(queue, _) if *queue == resource) {
            self.calls.wait_for(id, resource);
            self.admit();
        }
        None
    }

    fn entry_for(&mut self, id: &mut Option<CallId>, timeout: core::time::Duration, clock: Clock<'_>) -> CallId {
        match *id {
            Some(id) => id,
            None => {
                self.now = clock();
                *id.insert(self.open_call(self.now + timeout, State::Batch))
            }
        }
    }

    fn submitted_as(&mut self, id: CallId, state: State) {
        if let State::Sent(operation) = state {
            self.calls.submitted.push(operation.number(), Waiter { call: id, place: 0 });
        }
        self.calls.leave(id);
        if let Some(entry) = self.calls.get_mut(id)
            && !matches!(entry.state, State::Done(_))
        {
            entry.state = state;
        }
    }

    /// Why nothing like this can be done, if so.
    fn refuses(&self, needs: &[Resource]) -> Option<Error> {
        let Phase::Idle(error) = &self.phase else { return None };
        let is_there = match needs.first() {
            None => true,
            Some(Resource::Event) => !self.events.is_empty(),
            Some(Resource::Step) => self.step.is_some(),
            Some(_) => false,
        };
        if is_there { None } else { Some(error.clone()) }
    }

    /// What there is none of for this call, or others have come for before.
    fn lacks_before(&self, needs: &[Resource], call: Option<CallId>) -> Option<Resource> {
        let &first = needs.first()?;
        let is_next = match self.calls.first(first) {
            None => true,
            Some(next) => Some(next) == call,
        };
        // One that has had its turn in one queue may wait in the next.
        let had_its_turn = call.is_some_and(|id| self.is_turn_of(id));
        let is_open = first.of_session().is_none() || matches!(self.phase, Phase::Open);
        #[cfg(feature = "store")]
        let is_open = is_open || (first == Resource::Quota && self.session.has_store());
        if (is_next || had_its_turn) && is_open { None } else { Some(first) }
    }

    /// What it is of these that there is none of, where there was no room.
    fn lacking(&self, needs: &[Resource]) -> Resource {
        let is_lacking = |resource: &&Resource| resource.of_session().is_some_and(|what| !self.session.has(what));
        needs.iter().find(is_lacking).or(needs.last()).copied().unwrap_or(Resource::Outbound)
    }

    /// Whether a call is the first to get what it waits for.
    fn is_turn_of(&self, id: CallId) -> bool {
        match self.calls.get(id).map(|entry| &entry.state) {
            Some(State::Waiting(resource, _)) => self.calls.first(*resource) == Some(id),
            _ => false,
        }
    }

    pub(crate) fn is_done(&self, id: CallId) -> bool {
        matches!(self.calls.get(id).map(|entry| &entry.state), Some(State::Done(_)) | None)
    }

    /// Whether that was sent, also if its connection is over now. What is put in before the next one is made does not
    /// belong to it.
    const fn has_reached(&self, goal: Goal) -> bool {
        let is_sent = if self.is_made { self.session.has_sent(goal.place) } else { goal.place <= self.reached };
        goal.connection == self.connections && is_sent
    }

    /// Where that is in the stream of this connection: what one connection did not send the next does, if it can.
    const fn place_of(&self, goal: Goal) -> u64 {
        if goal.connection == self.connections { goal.place } else { self.session.outbound_end() }
    }

    /// The bytes of a call have left.
    pub(super) fn flushed(&mut self, id: CallId) {
        let Some(entry) = self.calls.get_mut(id) else { return };
        match &mut entry.batch {
            None => self.complete(id, Outcome::Done),
            Some(batch) => {
                batch.sent();
                let is_done = batch.is_done();
                entry.state = State::Batch;
                entry.deadline = self.now + self.response_timeout;
                if is_done {
                    self.finish_batch(id);
                }
            }
        }
    }

    pub(super) fn complete(&mut self, id: CallId, outcome: Outcome) {
        self.calls.complete(id, outcome, &mut self.woken);
    }

    /// Sets the outcome of all calls that stand there.
    pub(super) fn complete_all(&mut self, stands_there: fn(&State) -> bool, outcome: &dyn Fn() -> Outcome) {
        for id in self.calls.pending() {
            if self.calls.get(id).is_some_and(|entry| stands_there(&entry.state)) {
                self.complete(id, outcome());
            }
        }
    }

    /// Ends a call that nothing will come of any more.
    pub(super) fn fail_call(&mut self, id: CallId, error: Error) {
        let Some(entry) = self.calls.get_mut(id) else { return };
        if let State::Sent(operation) = entry.state {
            self.calls.submitted.remove(operation.number());
            self.session.cancel_request(operation);
            #[cfg(feature = "stream")]
            {
                self.complete(id, Outcome::Failed(error));
                return self.abandon_payload(operation);
            }
        } else if let Some(mut batch) = entry.batch.take() {
            batch.fail(error, |goal| self.has_reached(goal));
            self.calls.leave(id);
            return self.complete(id, Outcome::Batch(batch));
        }
        self.complete(id, Outcome::Failed(error));
    }

    /// Ends the calls whose time is up.
    pub(super) fn expire_calls(&mut self) {
        while let Some(id) = self.timers.take_due_call(self.now) {
            let id = CallId(id);
            #[cfg(feature = "stream")]
            if self.has_more_time(id) {
                self.give_more_time(id);
            }
            let Some(entry) = self.calls.get(id) else { continue };
            if entry.deadline > self.now {
                // It was given more.
                self.timers.start_call(id.0, entry.deadline);
            } else {
                match entry.state {
                    State::Done(_) => {}
                    // Events come without a connection, too.
                    State::Waiting(Resource::Event, _) => self.fail_call(id, Error::Timeout),
                    _ => self.fail_call(id, self.timed_out()),
                }
            }
        }
    }

    /// What a call fails with whose time is up: with why there is no connection, if there is none.
    fn timed_out(&self) -> Error {
        let cause = self.cause.as_ref().filter(|_| !matches!(self.phase, Phase::Open));
        cause.map_or(Error::Timeout, |cause| Error::NoConnectionInTime(cause.clone().into()))
    }

    /// Ends a call whose answer is behind messages that nobody takes except the one who waits for it.
    fn fail_if_behind(&mut self, id: CallId) {
        if self.is_behind() && (!self.has_others() || self.is_stuck) {
            self.fail_call_behind_messages(id);
        }
    }

    pub(super) fn fail_calls_behind_messages(&mut self) {
        for id in self.calls.pending() {
            self.fail_call_behind_messages(id);
        }
    }

    fn fail_call_behind_messages(&mut self, id: CallId) {
        match self.calls.get(id).map(|entry| &entry.state) {
            Some(State::Waiting(resource, _)) if resource.of_session().is_some() => {
                self.fail_call(id, CallError::ReceiveFirst.into());
            }
            Some(State::Sent(_) | State::Batch | State::Authenticating) => {
                self.fail_call(id, Error::AnswerBehindMessages);
            }
            _ => {}
        }
    }

    /// Lets those in who have waited longest for what there is some of: they are woken, one of each queue.
    pub(super) fn admit(&mut self) {
        if let Some(hooks) = self.delivery {
            (hooks.keep_house)(self);
        }
        if self.calls.has_waiting() {
            self.admit_waiting();
        }
        self.watch_for_stuck();
        #[cfg(feature = "stream")]
        self.wake_reader();
    }

    /// Kept out of the way of calls that need not wait, while nobody does.
    #[inline(never)]
    fn admit_waiting(&mut self) {
        for resource in Resource::ALL {
            let Some(id) = self.calls.first(resource) else { continue };
            let progress = self.session.progress();
            if self.is_available(resource)
                && let Some(entry) = self.calls.get_mut(id)
                // There is room, but too little for this one, until something has moved.
                && (resource != Resource::Outbound || entry.tried_at != progress)
            {
                self.woken.extend(entry.waker.take());
            } else if resource == Resource::Event
                && let Phase::Idle(error) = &self.phase
            {
                let error = error.clone();
                while let Some(id) = self.calls.first(resource) {
                    self.fail_call(id, error.clone());
                }
            }
        }
    }

    fn is_available(&self, resource: Resource) -> bool {
        match (resource, resource.of_session()) {
            #[cfg(feature = "store")]
            (Resource::Quota, Some(what)) if self.session.has_store() => self.session.has(what),
            (_, Some(what)) => matches!(self.phase, Phase::Open) && self.session.has(what),
            (Resource::Authentication, _) => self.may_authenticate(),
            (Resource::Step, _) => self.step.is_some(),
            _ => !self.events.is_empty(),
        }
    }

    /// Takes what has happened in the session, and messages for those who listen.
    pub(super) fn pump(&mut self) {
        while let Some(event) = match self.delivery {
            Some(hooks) => (hooks.next_event)(self),
            None => self.session.poll_event(),
        } {
            let is_connected = matches!(event, session::Event::Connected { .. });
            self.handle_event(event);
            if is_connected && !self.delivers() {
                // What comes behind CONNACK is for the calls that come behind the one that connects.
                break;
            }
        }
        self.flush_responders();
    }

    /// As [`Engine::pump`], where the connection is given up: what it came to is no news.
    pub(super) fn pump_quietly(&mut self) {
        self.expects_end = true;
        self.pump();
        self.expects_end = false;
    }

    fn handle_event(&mut self, event: session::Event) {
        match event {
            session::Event::Published { id, result } => {
                let Some(waiter) = self.calls.submitted.remove(id.number()) else { return };
                if self.calls.get(waiter.call).is_some_and(|entry| entry.batch.is_some()) {
                    self.note_in_batch(waiter, result.map(|reason| reason.reason_code));
                } else {
                    self.complete(waiter.call, Outcome::Published(result));
                }
            }
            session::Event::Subscribed { id, result } | session::Event::Unsubscribed { id, result } => {
                self.subscribed(id, result);
            }
            session::Event::Replied { id, result } => {
                if let Some(waiter) = self.calls.submitted.remove(id.number()) {
                    let result = if matches!(result, Err(Error::Timeout)) { Err(self.timed_out()) } else { result };
                    self.complete(waiter.call, Outcome::Replied(result));
                }
            }
            session::Event::Connected { .. }
            | session::Event::Disconnected(_)
            | session::Event::Challenged(_)
            | session::Event::Authenticated(_)
                if self.expects_end => {}
            session::Event::Connected { .. } => self.session_connected(),
            session::Event::Disconnected(error) => self.session_disconnected(error),
            session::Event::Challenged(challenge) => self.challenged(challenge),
            session::Event::Authenticated(said) => self.authenticated_again(said),
            session::Event::SubscriptionRestored { filter, qos } => {
                self.note(Event::SubscriptionRestored { filter, qos });
            }
            session::Event::SubscriptionLost { filter, reason_code } => {
                self.note(Event::SubscriptionLost { filter, reason_code });
            }
            session::Event::MessageDropped(error) => self.note(Event::MessageDropped(error)),
            session::Event::MessageGivenUp { topic, attempts } => self.note(Event::MessageGivenUp { topic, attempts }),
            session::Event::MessageRefused { topic, error, times, is_skipped } => {
                self.note(Event::MessageRefused { topic, error, times, is_skipped });
            }
        }
    }

    /// The broker has answered SUBSCRIBE or UNSUBSCRIBE, or never will over this connection: over the next one it is
    /// asked again, for as long as the call has time.
    fn subscribed(&mut self, id: OperationId, result: Result<SubscribeReason, Error>) {
        let is_over = matches!(self.phase, Phase::Idle(_));
        if let Some(hooks) = self.delivery {
            (hooks.answered)(self, id, &result);
        }
        let Some(Waiter { call, .. }) = self.calls.submitted.remove(id.number()) else { return };
        if result.is_err() && !is_over {
            self.calls.wait_for(call, Resource::Outbound);
        } else {
            self.complete(call, Outcome::Subscribed(result));
        }
    }

    pub(super) fn note(&mut self, event: Event) {
        self.observed.note(&event);
        self.events.push(event);
        self.admit();
    }
}
