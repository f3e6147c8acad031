//! The connection: which broker and when, how it begins, and how it ends.
//!
//! ```text
//!            connect_by_hand              connected             CONNECT        CONNACK          trusted
//!   Idle ───────────────────► Dialing ──────────────► Starting ───────► Greeting ─────► Checking ─────► Open
//!    ▲ ▲                       │    ▲ due               │                │                │              │
//!    │ └── given up ───────────┤    └─── Waiting ◄──────┴─ failed ───────┴────────────────┘              │
//!    │                         └── failed ──► ▲                                                          │
//!    └──────────────── disconnect ────────────┴───────────────── Closing ◄─── lost, disconnect, reconnect ┘
//! ```
//!
//! Where the user is [asked before each attempt](crate::Options::before_connect), there is Preparing before Dialing.

use core::fmt;
use core::time::Duration;

use super::calls::{Outcome, Resource, State};
use super::event::Event;
use super::timers::Timer;
use super::{Action, Clock, Engine};
use crate::codec::{Disconnect, ReasonCode};
use crate::engine::brokers::{Brokers, Next, jitter};
use crate::error::{CallError, Error, TransportError};
use crate::session::{self, Challenge, Status};
use crate::time::Instant;
use crate::transport::Transferred;

/// How long the last bytes of a connection may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look for why the broker closed a connection that cannot be written to any more.
const LAST_ROUNDS: u8 = 16;

/// How long calls wait for the broker's answer while it is behind messages that nobody takes.
const STUCK: Duration = Duration::from_secs(1);

/// Where the engine stands with its connection.
#[derive(Debug)]
pub(super) enum Phase {
    /// There is none, and none is made by itself; why.
    Idle(Error),
    /// The next attempt is due some time: [`Timer::Redial`].
    Waiting,
    /// The user is asked what to change before the next attempt.
    Preparing,
    /// The transport is being made.
    Dialing,
    /// The transport is there, and the authenticator says what CONNECT begins with.
    Starting,
    /// CONNECT was sent.
    Greeting,
    /// The broker took the connection, and the authenticator says whether it is to be trusted.
    Checking,
    /// There is a connection.
    Open,
    /// The last bytes are leaving.
    Closing(Ending),
}

/// Why a connection is closed.
#[derive(Debug)]
pub(super) enum Ending {
    /// It failed while it was made.
    Failed(Error),
    /// It failed once it was made.
    Lost(Error),
    /// The user wants none.
    Disconnected,
    /// The user wants another one.
    Reconnected,
}

/// The broker's next step while the user authenticates [step by step](Engine::authenticate_by_hand) (section 4.12).
///
#[doc = memory_example!()]
/// use mqtt_wasi::engine::{Connecting, Engine, NextStep, Step};
/// use mqtt_wasi::Options;
///
/// let options = Options::new().authentication("CHALLENGE", None);
/// let mut engine = Engine::new(Some("mqtt://broker.local"), options, 0)?;
/// engine.authenticate_by_hand();
/// network.run(&mut engine, Connecting)?;
/// match network.run(&mut engine, NextStep)? {
///     Step::Challenge(challenge) => assert_eq!(challenge.data.as_deref(), Some(&b"who are you?"[..])),
///     Step::Authenticated(_) => unreachable!("this broker asks first"),
/// }
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A challenge: answer it with [`Engine::answer_challenge`].
    Challenge(Challenge),
    /// The broker has authenticated the client. This is its last step.
    Authenticated(Challenge),
}

/// What to move over the transport: see [`Engine::turn`].
///
#[doc = memory_example!()]
/// use mqtt_wasi::engine::{Connecting, Engine, Turn};
/// use mqtt_wasi::transport::Transport;
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let Turn { outgoing, incoming, until } = engine.turn(network.now());
/// let moved = network.transfer(outgoing, incoming, until);
/// engine.turned(moved, network.now());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub struct Turn<'a> {
    /// What to send.
    pub outgoing: &'a [u8],
    /// Where to put what comes. Empty: read nothing.
    pub incoming: &'a mut [u8],
    /// How long to wait for bytes to move. `None`: for ever.
    pub until: Option<Instant>,
}

/// The bytes stay out of logs: CONNECT has the Password.
impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("outgoing", &self.outgoing.len())
            .field("incoming", &self.incoming.len())
            .field("until", &self.until)
            .finish()
    }
}

impl Engine {
    /// Notes that the transport of an [attempt](Action::Connect) is connected. Ignored if another attempt took its
    /// place.
    ///
    /// ```
    /// use mqtt_wasi::engine::{Action, Call, Connecting, Engine};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let now = Instant::ZERO;
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || now);
    /// let Some(Action::Connect { attempt, .. }) = engine.poll_action(now) else { panic!() };
    /// engine.connected(attempt, now);
    /// assert_eq!(engine.turn(now).outgoing[0], 0x10, "CONNECT");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn connected(&mut self, attempt: u64, now: Instant) {
        self.now = now;
        if attempt != self.attempt || !matches!(self.phase, Phase::Dialing) {
            // Nobody wants it any more.
            return;
        }
        if let Some(brokers) = &self.brokers {
            let url = brokers.url();
            let user_name = (!self.has_user_name).then(|| url.user_name.clone());
            self.session.set_login(user_name, (!self.has_password).then(|| url.password.clone()));
        }
        self.phase = Phase::Starting;
        if !self.ask_to_start() {
            self.start_session();
        }
    }

    /// Notes that an [attempt](Action::Connect) has failed. Ignored if another attempt took its place.
    ///
    /// ```
    /// use std::task::Poll;
    /// use mqtt_wasi::engine::{Action, Call, Connecting, Engine};
    /// use mqtt_wasi::{Error, Instant, Options, TransportError, TransportErrorKind};
    ///
    /// let now = Instant::ZERO;
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let mut connecting = Call::new(Connecting);
    /// let _ = engine.poll_call(&mut connecting, None, &mut || now);
    /// let Some(Action::Connect { attempt, .. }) = engine.poll_action(now) else { panic!() };
    /// let error = TransportError { kind: TransportErrorKind::ConnectionRefused, message: String::new() };
    /// engine.connect_failed(attempt, error.clone().into(), now);
    /// let outcome = engine.poll_call(&mut connecting, None, &mut || now);
    /// assert_eq!(outcome, Poll::Ready(Err(Error::Transport(error))));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn connect_failed(&mut self, attempt: u64, error: Error, now: Instant) {
        self.now = now;
        if attempt == self.attempt && matches!(self.phase, Phase::Dialing) {
            self.attempt_failed(error);
        }
    }

    /// Continues over a transport that the user has connected. The user closes the one before it, if there is one. For
    /// engines without a URL.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connected, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(None, Options::new(), 0)?;
    /// engine.attach(network.now());
    /// assert_eq!(network.run(&mut engine, Connected), Ok(false), "the broker had no session");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn attach(&mut self, now: Instant) {
        self.now = now;
        self.abandon(Error::ConnectionClosed);
        // They are about the one before it.
        self.actions.clear();
        self.complete_all(|state| matches!(state, State::Disconnecting), &|| Outcome::Done);
        self.is_by_hand = true;
        self.attempt += 1;
        if !self.ask_before_connecting() {
            self.start_attempt();
        }
    }

    /// Sends CONNECT.
    pub(super) fn start_session(&mut self) {
        #[cfg(feature = "store")]
        self.session.owe_changes();
        if let Err(error) = self.session.connect(self.now) {
            self.fail_attempt(error.into());
            return;
        }
        #[cfg(feature = "store")]
        self.close_gate();
        // The end of the last connection is no news to this one.
        self.pump();
        self.failure = None;
        self.phase = Phase::Greeting;
        if self.authenticates_by_hand {
            self.complete_all(|state| matches!(state, State::Connecting), &|| Outcome::Connected {
                session_present: false,
            });
        }
    }

    /// What to move over the transport now. Tell what moved with [`Engine::turned`], also if nothing did, and also once
    /// [`Turn::until`] has passed.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::transport::Transferred;
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// engine.try_publish(&Publish::new("a/b", "hi"))?;
    /// let turn = engine.turn(network.now());
    /// assert_eq!(turn.outgoing, b"\x30\x08\x00\x03a/b\x00hi");
    /// let sent = turn.outgoing.len();
    /// engine.turned(Ok(Transferred { sent, ..Transferred::default() }), network.now());
    /// assert!(!engine.has_outgoing());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn turn(&mut self, now: Instant) -> Turn<'_> {
        self.now = now;
        #[cfg(feature = "store")]
        self.watch_store();
        let deadline = self.deadline();
        // First what a call asked for that may not wait for it.
        let is_due = !self.owes_turn && deadline.is_some_and(|deadline| now >= deadline);
        if !self.moves_bytes() {
            self.was_paused = false;
            return Turn { outgoing: &[], incoming: &mut [], until: deadline };
        }
        // What a deadline is about may be there, unread, as may be why the broker closed the connection.
        let only_reads = is_due || self.failure.is_some();
        let until = if only_reads { Some(now) } else { deadline };
        #[cfg(feature = "store")]
        let (most, until) = self.behind_gate(is_due, until);
        if self.holds_back() && !is_due {
            self.was_paused = true;
            let outgoing = if only_reads { &[] } else { self.session.transmit() };
            #[cfg(feature = "store")]
            let outgoing = &outgoing[..most.min(outgoing.len())];
            return Turn { outgoing, incoming: &mut [], until };
        }
        let (outgoing, incoming) = self.session.prepare_transfer();
        #[cfg(feature = "store")]
        let outgoing = &outgoing[..most.min(outgoing.len())];
        self.was_paused = incoming.is_empty();
        Turn { outgoing: if only_reads { &[] } else { outgoing }, incoming, until }
    }

    /// Tells what has moved, or how the transport failed. All that follows from it happens: calls end, events come,
    /// what is due is done.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine, Event};
    /// use mqtt_wasi::transport::Transferred;
    /// use mqtt_wasi::{Error, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// engine.turn(network.now());
    /// let closed = Transferred { closed: true, ..Transferred::default() };
    /// engine.turned(Ok(closed), network.now());
    /// assert_eq!(engine.take_event(network.now()), Some(Event::Disconnected(Error::ConnectionClosed)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn turned(&mut self, moved: Result<Transferred, TransportError>, now: Instant) {
        self.now = now;
        let mut has_left = self.session.has_left();
        match moved {
            _ if !self.moves_bytes() => {}
            Ok(moved) => {
                let is_quiet = moved == Transferred::default();
                if !is_quiet {
                    self.last_moved = now;
                }
                #[cfg(feature = "stream")]
                let streaming = self.session.streaming().filter(|_| moved.sent > 0);
                self.session.transmitted(moved.sent, now);
                #[cfg(feature = "stream")]
                if let Some(operation) = streaming {
                    self.streamed(operation);
                }
                // What the last connection did not send waits behind CONNACK.
                while self.is_made
                    && let Some(id) = self.calls.next_flushed(|place| self.session.has_sent(place))
                {
                    self.flushed(id);
                }
                has_left = self.session.has_left();
                if has_left {
                    self.timers.stop(Timer::Flush);
                }
                self.session.received(moved.received, now);
                if moved.closed {
                    let is_early = self.session.is_unanswered();
                    self.end_stream(if is_early { Error::ClosedBeforeConnack } else { Error::ConnectionClosed });
                } else if let Some((_, rounds)) = &mut self.failure {
                    *rounds = rounds.saturating_sub(1);
                    if is_quiet || *rounds == 0 {
                        self.end_stream(Error::ConnectionClosed);
                    }
                }
            }
            Err(error) if self.failure.is_none() => {
                // Why the broker closed the connection may be there, unread.
                self.failure = Some((error, LAST_ROUNDS));
            }
            Err(_) => self.end_stream(Error::ConnectionClosed),
        }
        self.after_bytes(has_left);
    }

    /// Nothing more comes: because of what failed first, if anything did.
    fn end_stream(&mut self, error: Error) {
        let error = self.failure.take().map_or(error, |(failure, _)| failure.into());
        self.session.connection_closed(error);
    }

    /// `has_left` says whether nothing more waited to be sent, also if the connection is over now.
    fn after_bytes(&mut self, has_left: bool) {
        if self.delivers() || !matches!(self.phase, Phase::Open) || self.session.status() != Status::Connected {
            self.pump();
        }
        self.close_if_left(has_left);
        let owed_turn = core::mem::take(&mut self.owes_turn);
        if !owed_turn && self.deadline().is_some_and(|deadline| self.now >= deadline) {
            self.handle_timeout(self.now);
        } else {
            self.admit();
        }
    }

    /// Closes the connection that is to be closed, once nothing more leaves over it.
    pub(super) fn close_if_left(&mut self, has_left: bool) {
        if let Phase::Closing(_) = self.phase {
            let is_cut = self.session.status() == Status::Disconnected;
            #[cfg(feature = "stream")]
            let has_left = has_left && !self.session.is_cut_within_message();
            #[cfg(feature = "stream")]
            let is_cut = is_cut || self.session.is_cut_within_message();
            if is_cut || self.session.has_left() {
                self.close_now(if is_cut && !has_left { Err(Error::ConnectionClosed) } else { Ok(()) });
            }
        }
    }

    /// Does what is due at `now`. Harmless at any time. Needed only where there is no transport: [`Engine::turned`]
    /// does it too, once what has come was read.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Action, Connecting, Engine};
    /// use mqtt_wasi::{Options, Reconnect};
    ///
    /// let options = Options::new().reconnect(Reconnect::default());
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), options, 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// network.cut();
    /// network.turn(&mut engine);
    /// let due = engine.deadline().expect("another attempt is due some time");
    /// engine.handle_timeout(due);
    /// let mut actions = std::iter::from_fn(|| engine.poll_action(due));
    /// assert!(actions.any(|action| matches!(action, Action::Connect { .. })));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.pump();
        self.session.handle_timeout_while(now, self.holds_back());
        self.pump();
        // Who waits for that is polled again, and says how long.
        self.timers.stop(Timer::Flush);
        if self.timers.take_due(Timer::Redial, now) {
            self.dial();
        }
        if self.timers.take_due(Timer::Authenticate, now) {
            self.fail_attempt(Error::ConnectTimeout);
        }
        if self.timers.take_due(Timer::Close, now) {
            self.close_now(Err(Error::Timeout));
        }
        if self.timers.take_due(Timer::Stuck, now) {
            self.is_stuck = true;
            // Where nobody has ever listened, nobody misses them.
            self.pump();
            if self.is_behind() {
                self.fail_calls_behind_messages();
            }
        }
        self.expire_calls();
        self.admit();
    }

    /// Connects to the first broker that takes the connection, instead of what there is.
    pub(super) fn connect_by_hand(&mut self, now: Instant) -> Result<(), Error> {
        self.now = now;
        if self.has_stopped {
            self.require_open()?;
        }
        if self.brokers.is_none() {
            return Err(CallError::NotConnected.into());
        }
        match &mut self.phase {
            Phase::Open => {
                let normal = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
                match self.session.disconnect(&normal) {
                    Ok(()) => self.start_closing(Ending::Reconnected),
                    Err(_) => self.redial_by_hand(),
                }
            }
            Phase::Closing(ending @ (Ending::Failed(_) | Ending::Lost(_))) => *ending = Ending::Reconnected,
            Phase::Closing(Ending::Reconnected) => {}
            Phase::Closing(ending @ Ending::Disconnected) => *ending = Ending::Reconnected,
            _ => self.redial_by_hand(),
        }
        Ok(())
    }

    /// Ends the connection, or the attempts to make one; whether it is over at once.
    pub(super) fn disconnect(&mut self, disconnect: &Disconnect<'_>, now: Instant) -> Result<bool, CallError> {
        self.now = now;
        match &self.phase {
            Phase::Idle(_) => return Ok(true),
            Phase::Open => self.session.disconnect(disconnect)?,
            Phase::Closing(_) => {}
            _ => {
                // There is nobody to say it to.
                self.abandon(CallError::NotConnected.into());
                self.cause = None;
                self.stay_disconnected(CallError::NotConnected.into());
                return Ok(true);
            }
        }
        self.start_closing(Ending::Disconnected);
        Ok(false)
    }

    /// How connecting went that is over.
    pub(super) fn connection_so_far(&self) -> Option<Outcome> {
        match &self.phase {
            Phase::Open if self.is_connected() => {
                let session_present = self.session.connack().is_some_and(|connack| connack.session_present);
                Some(Outcome::Connected { session_present })
            }
            Phase::Greeting if self.authenticates_by_hand => Some(Outcome::Connected { session_present: false }),
            Phase::Idle(error) => Some(Outcome::Failed(error.clone())),
            _ => None,
        }
    }

    fn redial_by_hand(&mut self) {
        self.abandon(Error::ConnectionClosed);
        self.is_by_hand = true;
        if let Some(brokers) = &mut self.brokers {
            brokers.start();
        }
        self.dial();
    }

    /// Connects to the broker whose turn it is.
    fn dial(&mut self) {
        if self.brokers.is_some() {
            self.attempt += 1;
            if !self.ask_before_connecting() {
                self.start_attempt();
            }
        }
    }

    /// Has a transport made, or continues with the one that the user has made.
    pub(super) fn start_attempt(&mut self) {
        self.phase = Phase::Dialing;
        self.observed.begin(self.brokers.as_ref().map(super::Brokers::url), self.attempt);
        let Some(brokers) = &self.brokers else { return self.connected(self.attempt, self.now) };
        let url = brokers.url().clone();
        let until = self.now + self.connect_timeout;
        self.actions.push_back(Action::Connect { attempt: self.attempt, url, until });
    }

    /// Lets go of the transport, or of the attempt to make one.
    pub(super) fn abandon(&mut self, error: Error) {
        self.timers.stop(Timer::Redial);
        self.timers.stop(Timer::Close);
        self.timers.stop(Timer::Flush);
        self.timers.stop(Timer::Authenticate);
        self.failure = None;
        self.forget_question();
        self.session.connection_closed(error);
        if core::mem::take(&mut self.is_made) {
            self.reached = self.session.outbound_end();
            self.note_what_left();
        }
        self.pump_quietly();
        if !matches!(self.phase, Phase::Idle(_) | Phase::Waiting) {
            self.actions.push_back(Action::Close);
        }
    }

    /// The attempt has failed after its transport was made: closes that.
    pub(super) fn fail_attempt(&mut self, error: Error) {
        self.abandon(Error::ConnectionClosed);
        self.attempt_failed(error);
    }

    fn attempt_failed(&mut self, error: Error) {
        self.attempts_failed += 1;
        self.cause = Some(error.clone());
        // Where the policy is about the first connection too, its call waits as all others do.
        let is_first = self.connections == 0 && !self.authenticates_by_hand;
        let covers_first = is_first && self.policy.as_ref().is_some_and(|policy| policy.first_connect.is_some());
        let next = match (&mut self.brokers, &self.policy) {
            // Who authenticates step by step cannot begin anew with another broker.
            (Some(_), _) if self.authenticates_by_hand && !matches!(self.phase, Phase::Dialing) => Next::Never,
            (Some(brokers), Some(policy))
                if !self.is_by_hand || covers_first || (self.connections > 0 && !self.authenticates_by_hand) =>
            {
                brokers.failed(&error, policy)
            }
            (Some(brokers), policy) if self.is_by_hand => match brokers.try_next(&error, policy.as_ref()) {
                true => Next::Now,
                false => Next::Never,
            },
            _ => Next::Never,
        };
        if self.is_by_hand && !covers_first && matches!(next, Next::Within(_)) {
            // Whoever asked for it is told, and the policy is at work again.
            self.is_by_hand = false;
            self.complete_all(|state| matches!(state, State::Connecting), &|| Outcome::Failed(error.clone()));
        }
        if next != Next::Never && (self.connections > 0 || covers_first) {
            self.note_failed_attempt(&error);
        }
        self.go_on(next, error);
    }

    /// A connection that was made has ended.
    fn lost(&mut self, error: Error) {
        let lasted = self.now.saturating_duration_since(self.since);
        let refusals = self.session.refusals_for(&error);
        let next = match (&mut self.brokers, &self.policy) {
            // The broker sends the same message again and again.
            (_, Some(policy)) if refusals >= policy.refusals.max(1) => Next::Never,
            (Some(brokers), Some(policy)) if !self.authenticates_by_hand => {
                if lasted >= policy.longest_delay {
                    brokers.lasted();
                }
                brokers.lost(&error, policy)
            }
            _ => Next::Never,
        };
        let times = self.brokers.as_ref().and_then(Brokers::closed_in_a_row);
        if let (Next::AtLeastHalf(_), Some(times)) = (next, times) {
            self.note(Event::RepeatedlyClosed { times });
        }
        self.is_by_hand = false;
        self.go_on(next, error);
    }

    /// Tells of an attempt to connect that has failed.
    #[inline(never)]
    fn note_failed_attempt(&mut self, error: &Error) {
        self.failed_attempts = self.failed_attempts.saturating_add(1);
        let failures = self.failed_attempts;
        // Several brokers may fail in different ways, and one of them in turn.
        let like = (error.name(), error.reason_code());
        let alike = match self.failures.iter_mut().find(|(known, _)| *known == like) {
            Some((_, alike)) => alike,
            None => {
                self.failures.push((like, 0));
                &mut self.failures.last_mut().expect("it was just put there").1
            }
        };
        *alike = alike.saturating_add(1);
        if alike.is_power_of_two() {
            self.note(Event::AttemptFailed { failures, error: error.clone() });
        }
    }

    fn go_on(&mut self, next: Next, error: Error) {
        self.observed.failed(&error);
        match next {
            Next::Now => self.dial(),
            Next::Within(longest) => {
                let delay = jitter(longest, self.random());
                self.redial_after(delay);
            }
            Next::AtLeastHalf(longest) => {
                let delay = longest / 2 + jitter(longest / 2, self.random());
                self.redial_after(delay);
            }
            Next::Never => self.stay_disconnected(error),
        }
    }

    fn redial_after(&mut self, delay: Duration) {
        self.phase = Phase::Waiting;
        self.timers.set(Timer::Redial, self.now + delay);
    }

    /// Makes no connection by itself any more: nothing will come of what waits for one.
    pub(super) fn stay_disconnected(&mut self, error: Error) {
        self.is_by_hand = false;
        self.observed.end();
        self.phase = Phase::Idle(error.clone());
        self.complete_all(|state| matches!(state, State::Disconnecting), &|| Outcome::Done);
        for id in self.calls.pending() {
            #[cfg(feature = "store")]
            if !self.has_stopped && self.calls.is_storing(id) {
                // It needs no connection.
                continue;
            }
            let waits_for_event =
                matches!(self.calls.get(id).map(|entry| &entry.state), Some(State::Waiting(Resource::Event, _)));
            // What has happened is told before that nothing more will.
            if !waits_for_event || self.events.is_empty() {
                self.fail_call(id, error.clone());
            }
        }
        // Messages that are left are told before the connection's end, and no more will come.
        self.pump_quietly();
        if let Some(hooks) = self.delivery {
            (hooks.wake_all)(&mut self.listeners, &mut self.woken);
        }
        self.admit();
    }

    fn start_closing(&mut self, ending: Ending) {
        self.phase = Phase::Closing(ending);
        // Whoever asks for it again gives the last bytes no more time.
        self.timers.set_sooner(Timer::Close, self.now + CLOSE_TIMEOUT);
    }

    /// The connection is closed, even if not everything has left.
    fn close_now(&mut self, left: Result<(), Error>) {
        let Phase::Closing(_) = self.phase else { return };
        let Phase::Closing(ending) = core::mem::replace(&mut self.phase, Phase::Dialing) else { return };
        self.abandon(Error::ConnectionClosed);
        let outcome = || left.clone().map_or_else(Outcome::Failed, |()| Outcome::Done);
        self.complete_all(|state| matches!(state, State::Disconnecting), &outcome);
        match ending {
            Ending::Failed(error) => self.attempt_failed(error),
            Ending::Lost(error) => self.lost(error),
            Ending::Disconnected => {
                self.cause = None;
                self.stay_disconnected(CallError::NotConnected.into());
            }
            Ending::Reconnected => {
                // What it waited for is closed.
                self.phase = Phase::Waiting;
                self.redial_by_hand();
            }
        }
    }

    /// The session has a connection: the authenticator has the last word on it.
    pub(super) fn session_connected(&mut self) {
        self.phase = Phase::Checking;
        if self.authenticates_by_hand {
            let data = self.session.connack().and_then(|connack| connack.properties.authentication_data);
            let data = data.map(Into::into);
            // What else CONNACK says is told by itself.
            let said = Challenge { data, reason_string: None, user_properties: alloc::vec::Vec::new() };
            self.step = Some(Step::Authenticated(said));
        } else if self.has_authenticator() {
            return self.ask_to_finish_connecting();
        }
        self.opened();
    }

    /// The connection is made.
    pub(super) fn opened(&mut self) {
        self.session.trust();
        let session_present = self.session.connack().is_some_and(|connack| connack.session_present);
        if let Some(hooks) = self.delivery {
            (hooks.connected)(self, session_present);
        }
        if let Some(brokers) = &mut self.brokers {
            brokers.connected();
        }
        self.timers.stop(Timer::Authenticate);
        self.phase = Phase::Open;
        self.is_made = true;
        self.connections += 1;
        self.failed_attempts = 0;
        self.failures.clear();
        self.cause = None;
        self.since = self.now;
        self.is_by_hand = false;
        self.observed.made(self.session.client_id(), session_present);
        if self.session.stats().reconnects > 0 {
            self.note(Event::Connected { session_present });
        }
        self.calls.flush_anew(self.session.outbound_end());
        self.authenticated_by_connecting();
        self.complete_all(|state| matches!(state, State::Connecting), &|| Outcome::Connected { session_present });
    }

    /// The session's connection has ended, except for the DISCONNECT that may still wait to be sent.
    pub(super) fn session_disconnected(&mut self, error: Error) {
        let was_made = matches!(self.phase, Phase::Open);
        if was_made {
            self.note(Event::Disconnected(error.clone()));
            self.fail_authenticating(&error);
        }
        if !matches!(self.phase, Phase::Open | Phase::Greeting | Phase::Checking) {
            return;
        }
        self.cause = Some(error.clone());
        let is_leaving = self.session.status() == session::Status::Closing && !self.session.has_left();
        self.forget_question();
        self.start_closing(if was_made { Ending::Lost(error) } else { Ending::Failed(error) });
        if !is_leaving {
            self.close_now(Ok(()));
        }
    }

    /// Whether the broker's answers are behind messages that nobody takes, and nothing else is to be done about it.
    pub(super) fn is_behind(&self) -> bool {
        let nobody_takes = !self.delivers() || self.listeners.is_full() || !self.listeners.were_opened();
        #[cfg(feature = "stream")]
        let nobody_takes = nobody_takes || self.session.payload_number().is_some();
        nobody_takes && self.session.is_paused() && self.session.has_left()
    }

    /// Gives those who take messages some time, if anyone waits for answers behind them.
    pub(super) fn watch_for_stuck(&mut self) {
        if !self.is_behind() {
            self.is_stuck = false;
            self.timers.stop(Timer::Stuck);
        } else if self.has_others()
            && !self.is_stuck
            && self.calls.await_broker()
            && self.timers.get(Timer::Stuck).is_none()
        {
            self.timers.set(Timer::Stuck, self.now + STUCK);
        }
    }

    /// Somebody takes messages: calls that wait for an answer behind them have another second.
    pub(super) fn restart_stuck(&mut self, clock: Clock<'_>) {
        if self.is_stuck || self.timers.get(Timer::Stuck).is_some() {
            self.now = clock();
            self.is_stuck = false;
            self.timers.set(Timer::Stuck, self.now + STUCK);
        }
    }

    /// A number to spread attempts with (splitmix64). It keeps no secret.
    const fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
