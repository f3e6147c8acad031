//! Everything between a session and its user that is not bytes and waiting: which broker and when, authentication, calls
//! with their deadlines and outcomes, who listens, what is told. Without a clock, a socket, a thread or randomness of its
//! own.
//!
//! # In scope
//! What every form of the client does alike. The blocking client, the async client and the component are faces over it:
//! they move bytes, wait, and translate types.
//!
//! # Out of scope
//! The protocol itself, which is the [session](crate::session)'s. The network, the clock, and running what may take long:
//! an engine says what is to be done, and never calls code of its user's.
//!
//! # The rule
//! Whoever drives an engine does the following again and again, after each call and whenever there is something to do:
//!
//! 1. Carry out what [`Engine::poll_action`] says, until it says nothing.
//! 2. Where there is a transport: move what [`Engine::turn`] has, waiting for it until [`Turn::until`], and say what came
//!    of it with [`Engine::turned`]. Where there is none: wait until [`Engine::deadline`], and call
//!    [`Engine::handle_timeout`].
//! 3. Wake whoever [`Engine::take_woken`] has, and where others share the engine drop what [`Engine::take_discarded`] has,
//!    holding nothing that they need.
//!
//! Users poll calls in between, each until it is over: [`Engine::poll_call`]. Messages are taken one by one with
//! [`Engine::receive`], or handed to [listeners](Engine::deliver_to_listeners).
//!
//! ```
//! use core::task::Poll;
//! use core::time::Duration;
//! use mqtt_wasi::codec::{Ack, Connack, Packet, Publish, QoS};
//! use mqtt_wasi::engine::{Action, Call, Connecting, Engine, Publishing};
//! use mqtt_wasi::transport::Transferred;
//! use mqtt_wasi::{Instant, Options, ReasonCode};
//!
//! /// A network with a broker at its end, in a few lines.
//! fn answer(outgoing: &[u8], incoming: &mut [u8]) -> Transferred {
//!     let (mut read, mut answers) = (0, Vec::new());
//!     while let Ok(Some((packet, len))) = Packet::decode(&outgoing[read..]) {
//!         read += len;
//!         let answer = match packet {
//!             Packet::Connect(_) => Packet::Connack(Connack::default()),
//!             Packet::Publish(Publish { packet_id: Some(id), .. }) => Packet::Puback(Ack::success(id)),
//!             _ => continue,
//!         };
//!         answer.encode(&mut answers).unwrap();
//!     }
//!     incoming[..answers.len()].copy_from_slice(&answers);
//!     Transferred { sent: read, received: answers.len(), closed: false }
//! }
//!
//! let mut now = Instant::ZERO;
//! let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
//!
//! /// The loop: drives the engine until a call is over.
//! macro_rules! run {
//!     ($operation:expr) => {{
//!         let mut call = Call::new($operation);
//!         loop {
//!             if let Poll::Ready(result) = engine.poll_call(&mut call, None, &mut || now) {
//!                 break result;
//!             }
//!             while let Some(action) = engine.poll_action(now) {
//!                 match action {
//!                     Action::Connect { attempt, url, .. } => {
//!                         assert_eq!((url.host.as_str(), url.port), ("broker.local", 1883));
//!                         engine.connected(attempt, now);
//!                     }
//!                     Action::Authenticate(work) => engine.authenticated(work.run(), now),
//!                     Action::Close => {}
//!                     other => unimplemented!("{other:?}"),
//!                 }
//!             }
//!             let turn = engine.turn(now);
//!             let moved = answer(turn.outgoing, turn.incoming);
//!             now = now + Duration::from_millis(1);
//!             engine.turned(Ok(moved), now);
//!         }
//!     }};
//! }
//!
//! assert_eq!(run!(Connecting), Ok(false), "the broker had no session");
//! let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
//! assert_eq!(run!(Publishing(&message)).map(|reason| reason.reason_code), Ok(ReasonCode::Success));
//! # Ok::<(), mqtt_wasi::Error>(())
//! ```

mod authenticate;
mod batch;
mod brokers;
mod calls;
mod connection;
mod event;
mod held;
mod housekeeping;
mod listeners;
mod operation;
mod options;
mod poll;
mod responders;
mod timers;
mod topics;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;

pub use authenticate::{Authenticated, Authentication};
pub use batch::PublishingAll;
use brokers::Brokers;
pub use calls::CallId;
use calls::Calls;
use connection::Phase;
pub use connection::{Step, Turn};
pub use event::Event;
use event::Events;
pub use held::{Held, Taken};
use housekeeping::Housekeeping;
use listeners::{Hooks, Listeners};
pub use listeners::{ListenerId, Overflow};
pub use operation::{
    Authenticating, Connected, Connecting, Disconnecting, Enqueueing, Flushing, Listening, NextEvent, NextStep,
    Operation, Publishing, Replying, Requesting, Subscribing, Unsubscribing,
};
pub use options::{ConnectChanges, Options, Reconnect};
pub use poll::Call;
pub use responders::ResponderId;
use timers::Timers;

use crate::codec::{Connack, Publish};
use crate::error::{CallError, Error, TransportError};
use crate::respond::Responder;
use crate::session::{Delivery, Session, Stats, Status};
use crate::time::{Instant, soonest};
use crate::url::BrokerUrl;

/// How long an acknowledgement waits for something to leave with, while messages are at hand to be received.
const KEEP_UP: Duration = Duration::from_millis(10);

/// As many wakers wait to be dropped at the most.
const MOST_DISCARDED: usize = 64;

/// Tells what time it is, where that is needed.
pub type Clock<'a> = &'a mut dyn FnMut() -> Instant;

/// What is to be done that an engine cannot do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Connect a transport to the broker at `url`, TLS included, by `until` at the latest; then call [`Engine::connected`] or
    /// [`Engine::connect_failed`] with `attempt`. This attempt takes the place of any that is under way.
    Connect {
        /// Which attempt it is.
        attempt: u64,
        /// The broker.
        url: BrokerUrl,
        /// When the attempt has failed.
        until: Instant,
    },
    /// Close the transport, such that what was sent arrives; or give up the attempt to connect it.
    Close,
    /// [Run](Authentication::run) this, where it may take its time, and say what came of it: [`Engine::authenticated`].
    Authenticate(Authentication),
}

/// Everything between a session and its user that is not bytes and waiting.
pub struct Engine {
    session: Session,
    /// The time that was told last.
    now: Instant,
    actions: VecDeque<Action>,
    /// To be woken: they are to poll again.
    woken: Vec<Waker>,
    /// To be dropped: others poll in their place.
    discarded: Vec<Waker>,
    timers: Timers,

    phase: Phase,
    /// `None` where the user makes the transports.
    brokers: Option<Brokers>,
    policy: Option<Reconnect>,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// Whether the options have these, so that those of the URLs do not count.
    has_user_name: bool,
    has_password: bool,
    /// Whether the user has asked for the connection that is being made.
    is_by_hand: bool,
    /// Counts attempts to connect.
    attempt: u64,
    /// Counts connections that were made.
    connections: u64,
    /// When the connection was made.
    since: Instant,
    /// Whether the transport is that of a connection that was made.
    is_made: bool,
    /// How far the last one had sent when it ended, in its stream.
    reached: u64,
    /// When bytes moved last.
    last_moved: Instant,
    /// What the transport failed with, while what came before is still read: so often.
    failure: Option<(TransportError, u8)>,
    /// How many attempts in a row have failed, and the name of why the last one that was told of did.
    failed_attempts: u32,
    last_failure: &'static str,
    seed: u64,

    calls: Calls,
    events: Events,
    /// Whether broker's answers were behind messages for so long that calls which wait for them fail.
    is_stuck: bool,
    /// Whether nothing was to be read at the last turn.
    was_paused: bool,
    /// Whether the connection is given up, and what comes of it is no news.
    expects_end: bool,
    /// Whether the driver is gone.
    has_stopped: bool,

    authentication: authenticate::State,
    authenticates_by_hand: bool,
    step: Option<Step>,

    /// Where messages go to listeners: what that takes.
    delivery: Option<&'static Hooks>,
    listeners: Listeners,
    housekeeping: Housekeeping,
    responders: Vec<(u64, Responder)>,
    last_responder: u64,
}

impl Engine {
    /// An engine for the broker at this URL, and those of the [fallbacks](Options::fallback); without a URL, for transports
    /// that the user [attaches](Engine::attach). `seed` is a random number, which spreads attempts to connect and keeps
    /// no secret. Nothing happens until it is asked to [connect](Connecting).
    ///
    /// # Errors
    /// [`Error::Url`]; [`CallError::InvalidOptions`].
    pub fn new(url: Option<&str>, options: Options, seed: u64) -> Result<Self, Error> {
        options.validate().map_err(CallError::InvalidOptions)?;
        let brokers = url.map(|url| Brokers::new(url, &options.fallbacks)).transpose()?;
        let authentication = authenticate::State::new(options.authenticator.as_deref());
        let mut engine = Self {
            now: Instant::ZERO,
            actions: VecDeque::new(),
            woken: Vec::new(),
            discarded: Vec::new(),
            timers: Timers::default(),
            phase: Phase::Idle(CallError::NotConnected.into()),
            brokers,
            policy: options.reconnect,
            connect_timeout: options.session.connect_timeout,
            response_timeout: options.response_timeout,
            has_user_name: options.session.user_name.is_some(),
            has_password: options.session.password.is_some(),
            is_by_hand: false,
            attempt: 0,
            connections: 0,
            since: Instant::ZERO,
            is_made: false,
            reached: 0,
            last_moved: Instant::ZERO,
            failure: None,
            failed_attempts: 0,
            last_failure: "",
            seed,
            calls: Calls::default(),
            events: Events::default(),
            is_stuck: false,
            was_paused: false,
            expects_end: false,
            has_stopped: false,
            authentication,
            authenticates_by_hand: false,
            step: None,
            delivery: None,
            listeners: Listeners::default(),
            housekeeping: Housekeeping::default(),
            responders: Vec::new(),
            last_responder: 0,
            session: Session::new(options),
        };
        if engine.has_authenticator() {
            engine.session.check_brokers();
        }
        Ok(engine)
    }

    /// From now on messages go to [listeners](Engine::open_listener), and are not taken with [`Engine::receive`].
    pub const fn deliver_to_listeners(&mut self) {
        self.delivery = Some(&listeners::HOOKS);
    }

    /// Whether messages go to listeners.
    const fn delivers(&self) -> bool {
        self.delivery.is_some()
    }

    /// From now on the user authenticates step by step, with [`NextStep`] and [`Engine::answer_challenge`]: [`Connecting`]
    /// is done once CONNECT is on its way. There is no connecting by itself then.
    pub const fn authenticate_by_hand(&mut self) {
        self.authenticates_by_hand = true;
    }

    /// Changes what the next CONNECT says, and those after it. The connection that is there stays as it is.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`] when CONNECT has no valid bytes for it, and nothing is changed.
    pub fn update(&mut self, changes: ConnectChanges) -> Result<(), CallError> {
        let (has_user_name, has_password) = (changes.user_name.is_some(), changes.password.is_some());
        let clean_start = changes.clean_start;
        self.session.change_connect(|options| changes.apply(options))?;
        self.has_user_name |= has_user_name;
        self.has_password |= has_password;
        if let Some(clean_start) = clean_start {
            self.session.set_clean_start(clean_start);
        }
        Ok(())
    }

    /// Whether [`Engine::poll_action`] has something.
    #[must_use]
    pub fn has_action(&self) -> bool {
        !self.actions.is_empty() || self.has_question()
    }

    /// What is to be done.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.now = now;
        self.actions.pop_front().or_else(|| self.poll_authentication().map(Action::Authenticate))
    }

    /// When [`Engine::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        soonest(self.session.deadline(), self.timers.next())
    }

    /// Whether the engine's driver has something to do at once.
    #[must_use]
    pub fn needs_turn(&self) -> bool {
        self.has_action() || self.has_more_to_write() || self.has_more_to_read()
    }

    /// Whether messages that are taken one by one should make way for a turn: something is due, or has waited for a while.
    #[must_use]
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
            || (self.has_outgoing() && now >= self.last_moved + KEEP_UP)
    }

    /// Moves whoever has been waiting for what has happened to the end of `woken`: they are to poll again.
    pub fn take_woken(&mut self, woken: &mut Vec<Waker>) {
        if !self.woken.is_empty() {
            // Each keeps its room.
            core::mem::swap(&mut self.woken, woken);
            woken.append(&mut self.woken);
        }
    }

    /// Wakers that have made way for others. Dropping one may run code of its owner's, which is for where nobody waits for
    /// the engine.
    pub fn take_discarded(&mut self) -> Vec<Waker> {
        core::mem::take(&mut self.discarded)
    }

    /// The driver is gone, and will not come back: ends every call, and each that is made later, with this.
    pub fn stop(&mut self, error: Error) {
        self.brokers = None;
        self.has_stopped = true;
        self.abandon(Error::ConnectionClosed);
        self.stay_disconnected(error);
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Whether there is a connection.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Open) && matches!(self.session.status(), Status::Connected)
    }

    /// Whether there is a transport to move bytes over.
    #[must_use]
    pub const fn has_transport(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Greeting | Phase::Checking | Phase::Open | Phase::Closing(_))
    }

    /// Whether bytes move over the transport: the authenticator is not being waited for.
    const fn moves_bytes(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Open | Phase::Closing(_))
    }

    /// Whether the last bytes of a connection are leaving.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    /// Whether a transport is being made.
    #[must_use]
    pub const fn is_dialing(&self) -> bool {
        matches!(self.phase, Phase::Dialing)
    }

    /// Fails when there is no connection and none is made by itself, with why it ended.
    ///
    /// # Errors
    /// What ended the connection; [`CallError::NotConnected`] when the user did, or there was none.
    pub fn require_open(&self) -> Result<(), Error> {
        match &self.phase {
            Phase::Idle(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// The next message, borrowed from the receive buffer: see [`Session::receive`].
    pub fn receive(&mut self) -> Option<Publish<'_>> {
        self.session.receive()
    }

    /// As [`Engine::receive`], but it is acknowledged by [`Engine::acknowledge`].
    pub fn receive_unacknowledged(&mut self) -> Option<(Publish<'_>, Option<Delivery>)> {
        self.session.receive_unacknowledged()
    }

    /// Whether [`Engine::receive`] has a message.
    pub fn has_message(&mut self) -> bool {
        self.session.has_message()
    }

    /// Has a message sent if there is room for it at once, and nobody waits for that.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`] when there is none; [`CallError::NotConnected`] while there is no connection; and as
    /// [`Session::publish`].
    pub fn try_publish(&mut self, publish: &Publish<'_>) -> Result<(), Error> {
        self.require_open()?;
        if operation::needs_of(publish.qos).iter().any(|resource| self.calls.first(*resource).is_some()) {
            return Err(CallError::WouldBlock.into());
        }
        if !self.is_connected() {
            return Err(CallError::NotConnected.into());
        }
        self.session.publish(publish)?;
        Ok(())
    }

    /// Whether something waits to be sent, and may leave now.
    #[must_use]
    pub fn has_more_to_write(&self) -> bool {
        self.moves_bytes() && !self.session.transmit().is_empty()
    }

    /// Whether there is room again for more from the broker, where there was none at the last turn.
    #[must_use]
    pub fn has_more_to_read(&self) -> bool {
        self.was_paused && self.has_transport() && !self.session.is_paused() && !self.holds_back()
    }

    /// Acknowledges a message: see [`Session::acknowledge`].
    pub fn acknowledge(&mut self, delivery: Delivery) -> bool {
        let Self { session, listeners, delivery: hooks, .. } = self;
        acknowledge(session, listeners, *hooks, delivery)
    }

    /// Takes what has happened, where messages are taken one by one.
    pub fn catch_up(&mut self, now: Instant) {
        self.now = now;
        self.pump();
        self.admit();
    }

    /// The next event that is known.
    pub fn take_event(&mut self, now: Instant) -> Option<Event> {
        self.now = now;
        self.pump();
        self.events.pop()
    }

    /// Whether something waits to be sent.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        !self.session.transmit().is_empty()
    }

    /// How many bytes wait to be sent.
    #[must_use]
    pub fn outgoing(&self) -> usize {
        self.session.transmit().len()
    }

    /// How long calls wait for the broker: [`Options::response_timeout`].
    #[must_use]
    pub const fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// What the client has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.session.stats()
    }

    /// The CONNACK of this connection, or of the last; `None` before the first.
    #[must_use]
    pub fn connack(&self) -> Option<Connack<'_>> {
        self.session.connack()
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    #[must_use]
    pub fn client_id(&self) -> String {
        self.session.client_id().into()
    }

    /// How many things are kept for users who have not come for them: calls and listeners. For tests of what grows.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.calls.len() + self.listeners.len() + self.housekeeping.len()
    }
}

/// Has whoever polls be woken, if anybody, and whoever did before no more.
fn replace_waker(place: &mut Option<Waker>, waker: Option<&Waker>, discarded: &mut Vec<Waker>) {
    if let Some(waker) = waker
        && !place.as_ref().is_some_and(|known| known.will_wake(waker))
    {
        if discarded.len() >= MOST_DISCARDED {
            // Nobody comes for them.
            discarded.clear();
        }
        discarded.extend(place.replace(waker.clone()));
    }
}

/// Acknowledges a message, unless others who got it are not done with it.
fn acknowledge(
    session: &mut Session,
    listeners: &mut Listeners,
    hooks: Option<&'static Hooks>,
    delivery: Delivery,
) -> bool {
    let delivery = hooks.map_or(Some(delivery), |hooks| (hooks.take_share)(listeners, delivery));
    delivery.is_some_and(|delivery| session.acknowledge(delivery))
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("phase", &self.phase).field("session", &self.session).finish_non_exhaustive()
    }
}
