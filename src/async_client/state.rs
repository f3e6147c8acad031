//! What all tasks of an async client share: the session, who waits for what, and what waits for whom.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::inbox::Inboxes;
use crate::authenticate::Authenticator;
use crate::codec::{Disconnect, ReasonCode};
use crate::error::{Error, Reason, RequestError};
use crate::message::Message;
use crate::session::{Challenge, Delivery, Event, OperationId, Session, Status, SubscribeReason};
use crate::time::Instant;

/// As many events wait for [`AsyncClient::next_event`](super::AsyncClient::next_event) at the most; then the oldest goes.
const MOST_EVENTS: usize = 1024;

/// How long calls wait for the broker's answer while it is behind messages that nobody takes.
const STUCK: Duration = Duration::from_secs(1);

pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) const fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    /// Nothing that a panic could leave half done would be worse than not going on.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct State {
    pub(super) session: Session,
    pub(super) authenticator: Option<Box<dyn Authenticator + Send>>,
    pub(super) phase: Phase,
    pub(super) inboxes: Inboxes,
    /// Who waits for room to publish, subscribe and so on.
    pub(super) room: Queue,
    /// Who waits for room for a request, or for the broker to send replies.
    pub(super) request_room: Queue,
    /// Who waits for bytes to be sent.
    pub(super) flushing: Queue,
    /// How many bytes were sent over all connections.
    pub(super) written: u64,
    /// Counts connections.
    pub(super) connection: u64,
    /// Whether the broker had the session when it took the last one.
    pub(super) session_present: bool,
    /// What happened to the connection, until the user asks.
    pub(super) events: VecDeque<Event>,
    /// Who waits for that, or for the connection to be made or to end.
    pub(super) watchers: Vec<Waker>,
    /// Why the connection ended.
    pub(super) lost: Option<Error>,
    /// Whether the client authenticates again, be it that nobody waits for that any more.
    is_authenticating: bool,
    pub(super) command: Option<Command>,
    pub(super) response_timeout: Duration,
    driver: Option<Waker>,
    operations: HashMap<Call, Operation>,
    /// When they are given up.
    timeouts: BTreeSet<(Instant, Call)>,
    is_made: bool,
    /// Since when no more is read, for nobody takes the messages.
    stuck_since: Option<Instant>,
    /// Whether that is so long that calls which wait for the broker fail.
    is_stuck: bool,
}

/// Where the client stands with its connection.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// A connection is made. Calls wait.
    Connecting,
    /// The broker took the connection; whether it had the session.
    Connected(bool),
    /// There is none, and none is made by itself.
    Resting(Error),
}

/// What the driver is to do, beside moving bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Close the connection and make a new one.
    Reconnect,
    /// Close the connection.
    Rest,
    /// Nobody is left.
    Stop,
}

/// A call that waits for the broker's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Call {
    /// To publish, to subscribe, to unsubscribe, or a request.
    Operation(OperationId),
    /// To authenticate again: there is one at a time.
    Authentication,
}

impl From<OperationId> for Call {
    fn from(id: OperationId) -> Self {
        Self::Operation(id)
    }
}

/// How a call went.
pub(super) enum Outcome {
    Published(Result<Reason, Error>),
    Subscribed(Result<SubscribeReason, Error>),
    Replied(Result<Box<Message>, Error>),
    /// The broker has authenticated the client again, and is to be trusted.
    Authenticated,
    /// Nobody waits for the broker any more.
    Failed(Error),
}

struct Operation {
    timeout: Option<Instant>,
    waker: Option<Waker>,
    outcome: Option<Outcome>,
}

/// Who waits for the same thing, first come first served.
#[derive(Default)]
pub(super) struct Queue {
    next: u64,
    waiting: BTreeMap<u64, (Instant, Waker)>,
    /// When each of them has waited long enough.
    deadlines: BTreeSet<(Instant, u64)>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether it is the turn of whoever has this ticket, or of someone new.
    pub(super) fn is_turn_of(&self, ticket: Option<u64>) -> bool {
        self.waiting.first_key_value().map(|(&first, _)| first).is_none_or(|first| Some(first) == ticket)
    }

    /// Waits, in the place of the ticket or as the last.
    pub(super) fn enter(&mut self, ticket: Option<u64>, until: Instant, waker: &Waker) -> u64 {
        let ticket = ticket.unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        self.waiting.insert(ticket, (until, waker.clone()));
        self.deadlines.insert((until, ticket));
        ticket
    }

    pub(super) fn leave(&mut self, ticket: u64) {
        if let Some((until, _)) = self.waiting.remove(&ticket) {
            self.deadlines.remove(&(until, ticket));
        }
    }

    pub(super) fn wake_first(&self) {
        if let Some((_, waker)) = self.waiting.values().next() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn wake_all(&self) {
        self.waiting.values().for_each(|(_, waker)| waker.wake_by_ref());
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Wakes those who have waited long enough; each leaves by itself.
    fn expire(&mut self, now: Instant) {
        while let Some((_, ticket)) = self.deadlines.first().filter(|(until, _)| now >= *until).copied() {
            self.deadlines.pop_first();
            if let Some((_, waker)) = self.waiting.get(&ticket) {
                waker.wake_by_ref();
            }
        }
    }
}

impl State {
    pub(super) fn new(
        session: Session,
        response_timeout: Duration,
        authenticator: Option<Box<dyn Authenticator + Send>>,
    ) -> Self {
        Self {
            session,
            authenticator,
            phase: Phase::Connecting,
            inboxes: Inboxes::default(),
            room: Queue::default(),
            request_room: Queue::default(),
            flushing: Queue::default(),
            written: 0,
            connection: 0,
            session_present: false,
            events: VecDeque::new(),
            watchers: Vec::new(),
            lost: None,
            is_authenticating: false,
            command: None,
            response_timeout,
            driver: None,
            operations: HashMap::new(),
            timeouts: BTreeSet::new(),
            is_made: false,
            stuck_since: None,
            is_stuck: false,
        }
    }

    /// Fails when there is no connection and none is made.
    pub(super) fn require_open(&self) -> Result<(), Error> {
        match &self.phase {
            Phase::Resting(error) => Err(error.clone()),
            Phase::Connecting | Phase::Connected(_) => Ok(()),
        }
    }

    pub(super) fn set_driver(&mut self, waker: &Waker) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    /// Has the driver look for what there is to do. It takes this as leave to sleep until the next time.
    pub(super) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    pub(super) fn set_phase(&mut self, phase: Phase) {
        if let Phase::Resting(_) = phase {
            // Nothing comes any more: everyone may know.
            self.room.wake_all();
            self.request_room.wake_all();
            self.flushing.wake_all();
            self.inboxes.wake_all();
        }
        self.phase = phase;
        self.wake_watchers();
    }

    pub(super) fn wake_watchers(&mut self) {
        self.watchers.drain(..).for_each(Waker::wake);
    }

    pub(super) fn command(&mut self, command: Command) {
        self.command = Some(command);
        self.wake_driver();
    }

    /// Someone waits for how this goes, until `timeout` unless the session keeps the time.
    pub(super) fn register(&mut self, call: impl Into<Call>, timeout: Option<Instant>) {
        let call = call.into();
        self.timeouts.extend(timeout.map(|timeout| (timeout, call)));
        self.operations.insert(call, Operation { timeout, waker: None, outcome: None });
    }

    /// How it went, or `None` and a wake-up later.
    pub(super) fn poll_outcome(&mut self, call: Call, waker: &Waker) -> Option<Outcome> {
        let operation = self.operations.get_mut(&call)?;
        if operation.outcome.is_none() {
            operation.waker = Some(waker.clone());
            return None;
        }
        self.forget(call)
    }

    /// Nobody waits for it any more.
    pub(super) fn forget(&mut self, call: Call) -> Option<Outcome> {
        let operation = self.operations.remove(&call)?;
        operation.timeout.map(|timeout| self.timeouts.remove(&(timeout, call)));
        operation.outcome
    }

    fn complete(&mut self, call: impl Into<Call>, outcome: Outcome) {
        if let Some(operation) = self.operations.get_mut(&call.into()) {
            operation.outcome = Some(outcome);
            operation.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Ends what nobody will answer any more, since no connection is made by itself: it stays in flight, for the next
    /// connection to be made by hand.
    pub(super) fn end_operations(&mut self, error: &Error) {
        for (call, operation) in &mut self.operations {
            if operation.outcome.is_none() {
                if let Call::Operation(id) = *call {
                    self.session.cancel_request(id);
                }
                operation.outcome = Some(Outcome::Failed(error.clone()));
                operation.waker.take().into_iter().for_each(Waker::wake);
            }
        }
    }

    /// When there is something to do though nothing comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timeouts = self.timeouts.first().map(|(timeout, _)| *timeout);
        let queues = [self.room.deadline(), self.request_room.deadline(), self.flushing.deadline()];
        let stuck = self.stuck_since.map(|since| since + STUCK).filter(|_| !self.is_stuck);
        queues.into_iter().chain([self.session.deadline(), timeouts, stuck]).flatten().min()
    }

    /// Ends what has waited long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(timeout, call)) = self.timeouts.first().filter(|(timeout, _)| now >= *timeout) {
            self.timeouts.remove(&(timeout, call));
            self.complete(call, Outcome::Failed(Error::Timeout));
        }
        self.room.expire(now);
        self.request_room.expire(now);
        self.flushing.expire(now);
        self.end_what_is_stuck(now);
    }

    /// Ends what waits for an answer of the broker that is behind messages, if nobody takes those: whoever should may be
    /// the one that waits.
    fn end_what_is_stuck(&mut self, now: Instant) {
        let is_behind = self.session.is_paused() && self.inboxes.is_full() && self.session.transmit().is_empty();
        if !is_behind || self.is_stuck || !self.has_waiting() {
            self.stuck_since = self.stuck_since.filter(|_| is_behind);
            return;
        }
        if now < *self.stuck_since.get_or_insert(now) + STUCK {
            return;
        }
        self.is_stuck = true;
        self.end_operations(&Error::AnswerBehindMessages);
        self.room.wake_all();
        self.request_room.wake_all();
    }

    /// Fails while the broker's answers are behind messages that nobody takes.
    pub(super) fn require_moving(&self) -> Result<(), Error> {
        if self.is_stuck { Err(RequestError::ReceiveFirst.into()) } else { Ok(()) }
    }

    /// Someone has taken a message.
    pub(super) fn taken(&mut self) {
        self.stuck_since = None;
        self.is_stuck = false;
    }

    /// Takes what happened, and hands it to whoever waits for it.
    pub(super) fn settle(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Published { id, result } => self.complete(id, Outcome::Published(result)),
                Event::Subscribed { id, result } | Event::Unsubscribed { id, result } => {
                    self.complete(id, Outcome::Subscribed(result));
                }
                Event::Replied { id, result } => self.complete(id, Outcome::Replied(result)),
                Event::Challenged(challenge) => self.answer(challenge),
                Event::Authenticated(said) => self.authenticated_again(&said),
                Event::Connected { session_present } => self.connected(session_present),
                Event::Disconnected(error) => {
                    if core::mem::take(&mut self.is_made) {
                        self.note(Event::Disconnected(error.clone()));
                    }
                    self.end_authentication(Outcome::Failed(error.clone()));
                    self.lost.get_or_insert(error);
                }
                event => self.note(event),
            }
        }
        self.distribute();
    }

    /// Hands messages to those who listen.
    pub(super) fn distribute(&mut self) {
        // Until somebody listens, what comes waits for that; and what an earlier connection left behind, for whether the
        // broker kept the session and sends it again, behind what is before it; unless it is in the way of everything else.
        let is_settled = self.session.status() == Status::Connected || matches!(self.phase, Phase::Resting(_));
        let may_go = is_settled && self.inboxes.were_opened();
        while !self.inboxes.is_full() && (may_go || self.session.is_paused()) {
            let Some((publish, delivery)) = self.session.receive_unacknowledged() else { return };
            self.inboxes.deliver(&publish, delivery);
            while let Some(delivery) = self.inboxes.next_settled() {
                self.session.acknowledge(delivery);
            }
        }
    }

    /// Whether anyone waits for the broker.
    fn has_waiting(&self) -> bool {
        self.operations.values().any(|operation| operation.outcome.is_none())
            || !self.room.is_empty()
            || !self.request_room.is_empty()
    }

    /// Someone has got a message.
    pub(super) fn acknowledge(&mut self, delivery: Delivery) -> bool {
        let is_last = self.inboxes.take_share(delivery);
        let is_held = is_last && self.session.acknowledge(delivery);
        if is_held {
            self.wake_driver();
        }
        is_held
    }

    fn connected(&mut self, session_present: bool) {
        // One that the client itself ended the last connection in the midst of.
        self.end_authentication(Outcome::Failed(Error::ConnectionClosed));
        if let Some(authenticator) = &mut self.authenticator {
            let connack = self.session.connack().unwrap_or_default();
            let data = connack.properties.authentication_data.unwrap_or_default();
            if let Err(why) = authenticator.finish(data) {
                self.fail_authentication(why);
                return;
            }
        }
        self.is_made = true;
        self.connection += 1;
        self.session_present = session_present;
        if session_present {
            self.inboxes.drop_what_comes_again();
        }
        if self.session.stats().reconnects > 0 {
            self.note(Event::Connected { session_present });
        }
        self.set_phase(Phase::Connected(session_present));
    }

    /// Begins to authenticate again over this connection; fails inside if the authenticator does. It is not told to begin
    /// while there is something that it has begun, over this connection or with CONNECT.
    pub(super) fn authenticate_again(&mut self, now: Instant) -> Result<Result<(), Error>, RequestError> {
        if !matches!(self.phase, Phase::Connected(_)) || self.session.status() != Status::Connected {
            return Err(RequestError::NotConnected);
        }
        let is_under_way = self.is_authenticating || self.operations.contains_key(&Call::Authentication);
        let Some(authenticator) = self.authenticator.as_mut().filter(|_| !is_under_way) else {
            return Err(RequestError::NothingToAuthenticate);
        };
        let data = match authenticator.start() {
            Ok(data) => data,
            Err(why) => return Ok(Err(Error::Authentication(why))),
        };
        self.session.authenticate_again(&data)?;
        self.is_authenticating = true;
        self.register(Call::Authentication, Some(now + self.response_timeout));
        Ok(Ok(()))
    }

    fn answer(&mut self, challenge: Challenge) {
        let answer = match &mut self.authenticator {
            Some(authenticator) => {
                authenticator.hear(&challenge);
                authenticator.answer(&challenge.data.unwrap_or_default())
            }
            None => Err("the broker has a challenge, and this client no authenticator".into()),
        };
        match answer.map(|answer| self.session.answer_challenge(&answer)) {
            // The broker may have gone: what comes of it is told otherwise.
            Ok(Ok(()) | Err(RequestError::NotConnected)) => {}
            Ok(Err(error)) => self.end_authentication(Outcome::Failed(error.into())),
            Err(why) => self.fail_authentication(why),
        }
    }

    fn authenticated_again(&mut self, said: &Challenge) {
        let Some(authenticator) = &mut self.authenticator else { return };
        authenticator.hear(said);
        match authenticator.finish(said.data.as_deref().unwrap_or_default()) {
            Ok(()) => self.end_authentication(Outcome::Authenticated),
            Err(why) => self.fail_authentication(why),
        }
    }

    /// The client does not authenticate again any more.
    fn end_authentication(&mut self, outcome: Outcome) {
        if core::mem::take(&mut self.is_authenticating) {
            self.complete(Call::Authentication, outcome);
        }
    }

    /// Ends the connection to a broker that cannot be authenticated to, or is not to be trusted.
    fn fail_authentication(&mut self, why: alloc::string::String) {
        let error = Error::Authentication(why);
        self.end_authentication(Outcome::Failed(error.clone()));
        self.lost = Some(error);
        // There is nothing else to be done about a broker that does not even take this.
        let _ = self.session.disconnect(&Disconnect::new(ReasonCode::UnspecifiedError));
        if self.session.status() == Status::Connecting {
            self.session.connection_closed(Error::ConnectionClosed);
        }
    }

    fn note(&mut self, event: Event) {
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.wake_watchers();
    }
}
