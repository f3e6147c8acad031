//! Everything between a session and its user, except moving bytes and waiting: which broker to connect to and when,
//! authentication, calls with their deadlines and outcomes, listeners, events. It has no clock, no socket, no thread
//! and no randomness of its own. `no_std`.
//!
//! # In scope
//! What all forms of the client do alike. The blocking client, the async client and the component are faces over the
//! engine: they move bytes, wait, and translate types.
//!
//! # Out of scope
//! The protocol itself: that is the [session](crate::session)'s. The network, the clock, and work that may take long:
//! an engine tells its driver what is to be done, and never calls code of its user.
//!
//! # The rule
//! The driver of an engine does this again and again, after each call and whenever there is something to do:
//!
//! - Carry out what [`Engine::poll_action`] returns, until it returns `None`.
//! - With a store (feature `store`): write what `Engine::take_changes` returns, and tell `Engine::stored` how that
//!   went.
//! - Where there is a transport, move what [`Engine::turn`] returns, wait for that until [`Turn::until`], and tell what
//!   moved with [`Engine::turned`]. Where there is none, wait until [`Engine::deadline`], and call
//!   [`Engine::handle_timeout`].
//! - Wake the wakers that [`Engine::take_woken`] returns. If others share the engine, drop what
//!   [`Engine::take_discarded`] returns, while holding nothing that they need.
//!
//! In between, users poll each of their calls until it is over: [`Engine::poll_call`]. Messages are taken one by one
//! with [`Engine::receive`], or go to [listeners](Engine::deliver_to_listeners).
//!
//! # An example
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
#[cfg(feature = "stream")]
mod incoming;
mod listeners;
mod observe;
mod operation;
mod options;
mod poll;
mod prepare;
mod responders;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "stream")]
mod stream;
mod timers;
mod topics;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;

pub use authenticate::{Authenticated, Authentication};
pub use batch::PublishingAll;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
pub(crate) use batch::in_order;
pub(crate) use batch::write_size;
use brokers::Brokers;
pub use calls::CallId;
use calls::Calls;
pub(crate) use calls::Outcome;
use connection::Phase;
pub use connection::{Step, Turn};
pub use event::Event;
use event::Events;
pub use held::{Held, Taken};
use housekeeping::Housekeeping;
#[cfg(feature = "stream")]
pub use incoming::{PayloadId, TakenStreamed};
use listeners::{Hooks, Listeners};
pub use listeners::{ListenerId, Overflow};
pub use operation::{
    Authenticating, Connected, Connecting, Disconnecting, Enqueueing, Flushing, Listening, NextEvent, NextStep,
    Operation, Publishing, Replying, Requesting, Subscribing, Unsubscribing,
};
pub use options::{ConnectChanges, Options, Reconnect, Retries};
pub(crate) use poll::AnyCall;
pub use poll::Call;
pub use prepare::ConnectAttempt;
pub use responders::ResponderId;
#[cfg(feature = "store")]
pub use store::OpenStore;
#[cfg(feature = "stream")]
pub use stream::PublishingStream;
use timers::Timers;

use crate::codec::{Connack, Publish, ReasonCode};
use crate::error::{CallError, Error, TransportError};
use crate::fifo::Fifo;
use crate::respond::Responder;
use crate::session::{Delivery, InFlightMessage, Session, Stats, Status};
use crate::time::{Instant, soonest};
#[cfg(any(feature = "tls", feature = "host-tls"))]
use crate::transport::TlsOptions;
use crate::url::BrokerUrl;

/// How long an acknowledgement waits for something to leave with, while messages are at hand to be received.
const KEEP_UP: Duration = Duration::from_millis(10);

/// How many wakers may wait to be dropped.
const MOST_DISCARDED: usize = 64;

/// Tells what time it is, where that is needed.
///
/// ```
/// use mqtt_wasi::Instant;
/// use mqtt_wasi::engine::Clock;
///
/// let now = Instant::ZERO;
/// let mut tell = || now;
/// let clock: Clock<'_> = &mut tell;
/// assert_eq!(clock(), now);
/// ```
pub type Clock<'a> = &'a mut dyn FnMut() -> Instant;

/// Something that the driver has to do for the engine.
///
/// ```
/// use mqtt_wasi::engine::{Action, Call, Connecting, Engine};
/// use mqtt_wasi::{Instant, Options};
///
/// let now = Instant::ZERO;
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// let mut connecting = Call::new(Connecting);
/// assert!(engine.poll_call(&mut connecting, None, &mut || now).is_pending());
/// let Some(Action::Connect { url, .. }) = engine.poll_action(now) else { panic!() };
/// assert_eq!((url.host.as_str(), url.port), ("broker.local", 1883));
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Connect a transport to the broker at `url`, TLS included, by `until`. Then call [`Engine::connected`] or
    /// [`Engine::connect_failed`] with `attempt`. This attempt takes the place of any other that is under way.
    Connect {
        /// The number of the attempt.
        attempt: u64,
        /// The broker.
        url: BrokerUrl,
        /// When the attempt has failed.
        until: Instant,
    },
    /// Close the transport, such that what was sent arrives. If it is not connected yet, give up the attempt.
    Close,
    /// [Run](Authentication::run) this, where it may take its time, and hand the result to [`Engine::authenticated`].
    /// It asks the authenticator, or what the user has set to be [asked before each
    /// attempt](crate::Options::before_connect).
    Authenticate(Authentication),
}

/// Everything between a session and its user, except moving bytes and waiting: see the [module](self).
///
/// In the examples below, `network.run(&mut engine, operation)` is the loop of the module's example: it drives the
/// engine with a broker in memory until the operation is over. `network.turn(&mut engine)` is one round of it.
///
#[doc = memory_example!()]
/// use mqtt_wasi::engine::{Connecting, Engine, Publishing};
/// use mqtt_wasi::{Options, Publish, QoS, ReasonCode};
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
/// let answer = network.run(&mut engine, Publishing(&message))?;
/// assert_eq!(answer.reason_code, ReasonCode::NoMatchingSubscribers);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub struct Engine {
    session: Session,
    /// The time that was told last.
    now: Instant,
    actions: Fifo<Action>,
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
    /// How many attempts in a row have failed, and how many of them alike.
    failed_attempts: u32,
    failures: Vec<((&'static str, Option<ReasonCode>), u32)>,
    /// How many attempts have failed at all.
    attempts_failed: u64,
    /// Why the last connection ended or the last attempt failed, while there is no connection.
    cause: Option<Error>,
    /// What the user is asked before each attempt, and what is to be asked now.
    before_connect: Option<prepare::BeforeConnect>,
    preparation: Option<Authentication>,
    /// The options for TLS that the next attempt begins to use.
    #[cfg(any(feature = "tls", feature = "host-tls"))]
    tls: Option<TlsOptions>,
    /// The same for WebSocket.
    #[cfg(feature = "ws")]
    websocket_headers: Option<Vec<(String, String)>>,
    seed: u64,

    /// What `tracing` is told of the connection.
    observed: observe::Connection,

    calls: Calls,
    events: Events,
    /// Whether several calls are under way at once, and one may take the messages that another waits behind.
    has_calls_at_once: bool,
    /// Whether broker's answers were behind messages for so long that calls which wait for them fail.
    is_stuck: bool,
    /// Whether nothing was to be read at the last turn.
    was_paused: bool,
    /// Whether the next turn sends what there is, before what is due is done: for a call that may not wait.
    owes_turn: bool,
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
    /// The message whose payload is streamed to a listener.
    #[cfg(feature = "stream")]
    incoming: Option<incoming::Incoming>,
    housekeeping: Housekeeping,
    responders: Vec<(u64, Responder)>,
    last_responder: u64,

    /// For the driver to take.
    #[cfg(feature = "store")]
    store: Option<OpenStore>,
    #[cfg(feature = "store")]
    gate: store::Gate,
}

impl Engine {
    /// An engine for the broker at a URL, and those of the [fallbacks](Options::fallback). Without a URL: for
    /// transports that the user [attaches](Engine::attach). Nothing happens until the user asks it to
    /// [connect](Connecting).
    ///
    /// `seed` is a random number. It spreads attempts to connect, and keeps no secret.
    ///
    /// # Errors
    /// [`Error::Url`]; [`CallError::InvalidOptions`]; with a store that cannot be used, `Error::Store`.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Error, Options};
    ///
    /// let engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert!(!engine.is_connected());
    /// assert!(matches!(Engine::new(Some("http://broker.local"), Options::new(), 0), Err(Error::Url(_))));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(url: Option<&str>, options: Options, seed: u64) -> Result<Self, Error> {
        options.validate().map_err(CallError::InvalidOptions)?;
        #[cfg(feature = "store")]
        let (options, store) = {
            let mut options = options;
            let store = options.open_store()?;
            (options, store)
        };
        let brokers = url.map(|url| Brokers::new(url, &options.fallbacks)).transpose()?;
        let authentication = authenticate::State::new(options.authenticator.as_deref());
        let mut engine = Self {
            now: Instant::ZERO,
            actions: Fifo::new(),
            woken: Vec::new(),
            discarded: Vec::new(),
            timers: Timers::default(),
            phase: Phase::Idle(CallError::NotConnected.into()),
            brokers,
            policy: options.reconnect.clone(),
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
            failures: Vec::new(),
            attempts_failed: 0,
            cause: None,
            before_connect: options.before_connect.clone(),
            preparation: None,
            #[cfg(any(feature = "tls", feature = "host-tls"))]
            tls: None,
            #[cfg(feature = "ws")]
            websocket_headers: None,
            seed,
            observed: observe::Connection::none(),
            calls: Calls::default(),
            events: Events::default(),
            has_calls_at_once: false,
            is_stuck: false,
            was_paused: false,
            owes_turn: false,
            expects_end: false,
            has_stopped: false,
            authentication,
            authenticates_by_hand: false,
            step: None,
            delivery: None,
            listeners: Listeners::default(),
            #[cfg(feature = "stream")]
            incoming: None,
            housekeeping: Housekeeping::default(),
            responders: Vec::new(),
            last_responder: 0,
            #[cfg(feature = "store")]
            store,
            #[cfg(feature = "store")]
            gate: store::Gate::default(),
            session: Session::new(options),
        };
        if engine.has_authenticator() {
            engine.session.check_brokers();
        }
        Ok(engine)
    }

    /// From now on messages go to [listeners](Engine::open_listener), and are not taken with [`Engine::receive`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Held, Listening, Overflow, Publishing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.deliver_to_listeners();
    /// network.run(&mut engine, Connecting)?;
    /// let listener = engine.open_listener(Some("sensors/+"), Overflow::default(), network.now());
    /// let subscription = Subscription::new("sensors/+", QoS::AtMostOnce);
    /// network.run(&mut engine, Listening { listener, subscription })?.granted()?;
    /// network.run(&mut engine, Publishing(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)))?;
    /// let taken = engine.take_message(listener, &mut Held::default(), None, &mut || network.now());
    /// assert_eq!(taken.expect("a message").0.topic, "sensors/kitchen");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub const fn deliver_to_listeners(&mut self) {
        self.delivery = Some(&listeners::HOOKS);
    }

    /// Whether messages go to listeners.
    const fn delivers(&self) -> bool {
        self.delivery.is_some()
    }

    /// From now on several calls may be under way at once, and messages are taken one by one beside them. A call whose
    /// answer is behind messages that nobody takes then fails after a second, in which somebody may take them, and not
    /// at once.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Publishing, Subscribing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.allow_calls_at_once();
    /// network.run(&mut engine, Connecting)?;
    /// let subscriptions = &[Subscription::new("sensors/+", QoS::AtMostOnce)];
    /// network.run(&mut engine, Subscribing { subscriptions, properties: Default::default() })?;
    /// network.run(&mut engine, Publishing(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)))?;
    /// assert_eq!(engine.receive().expect("a message").topic, "sensors/kitchen");
    /// engine.took_messages(network.now());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub const fn allow_calls_at_once(&mut self) {
        self.has_calls_at_once = true;
    }

    /// Whether those who wait for answers behind messages wait for others to take them.
    const fn has_others(&self) -> bool {
        self.delivers() || self.has_calls_at_once
    }

    /// From now on the user authenticates step by step, with [`NextStep`] and [`Engine::answer_challenge`].
    /// [`Connecting`] is then done once CONNECT was put into the outbound buffer, and the engine does not connect again
    /// by itself.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine, NextStep, Step};
    /// use mqtt_wasi::Options;
    ///
    /// let options = Options::new().authentication("CHALLENGE", None);
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), options, 0)?;
    /// engine.authenticate_by_hand();
    /// network.run(&mut engine, Connecting)?;
    /// let Step::Challenge(challenge) = network.run(&mut engine, NextStep)? else { panic!() };
    /// assert_eq!(challenge.data.as_deref(), Some(&b"who are you?"[..]));
    /// engine.answer_challenge(b"thermometer-7", network.now())?;
    /// assert!(matches!(network.run(&mut engine, NextStep)?, Step::Authenticated(_)));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub const fn authenticate_by_hand(&mut self) {
        self.authenticates_by_hand = true;
    }

    /// Changes what the next connection is made with, and those after it. The connection that is there stays as it is.
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`] when CONNECT has no valid bytes for it, and nothing is changed.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{ConnectChanges, Options, WillMessage};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let will = Some(WillMessage::new("status/thermometer-7", "offline"));
    /// engine.update(ConnectChanges { will: Some(will), ..ConnectChanges::default() })?;
    /// let invalid = Some(WillMessage::new("status/#", "offline"));
    /// assert!(engine.update(ConnectChanges { will: Some(invalid), ..ConnectChanges::default() }).is_err());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn update(&mut self, changes: ConnectChanges) -> Result<(), CallError> {
        let (has_user_name, has_password) = (changes.user_name.is_some(), changes.password.is_some());
        let clean_start = changes.clean_start;
        #[cfg(any(feature = "tls", feature = "host-tls"))]
        let tls = changes.tls.clone();
        #[cfg(feature = "ws")]
        let websocket_headers = changes.websocket_headers.clone();
        self.session.change_connect(|options| changes.apply(options))?;
        #[cfg(any(feature = "tls", feature = "host-tls"))]
        if tls.is_some() {
            self.tls = tls;
        }
        #[cfg(feature = "ws")]
        if websocket_headers.is_some() {
            self.websocket_headers = websocket_headers;
        }
        self.has_user_name |= has_user_name;
        self.has_password |= has_password;
        if let Some(clean_start) = clean_start {
            self.session.set_clean_start(clean_start);
        }
        Ok(())
    }

    /// The options for TLS that a [changed](Engine::update) attempt begins to use, once. The driver asks at each
    /// [`Action::Connect`].
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{ConnectChanges, Options, TlsOptions};
    ///
    /// let mut engine = Engine::new(Some("mqtts://localhost"), Options::new(), 0)?;
    /// let tls = Some(TlsOptions::new().alpn(["mqtt"]));
    /// engine.update(ConnectChanges { tls, ..ConnectChanges::default() })?;
    /// assert!(engine.take_tls().is_some());
    /// assert!(engine.take_tls().is_none());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[cfg(any(feature = "tls", feature = "host-tls"))]
    pub const fn take_tls(&mut self) -> Option<TlsOptions> {
        self.tls.take()
    }

    /// The headers for WebSocket that a [changed](Engine::update) attempt begins to use, once. The driver asks at each
    /// [`Action::Connect`].
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{ConnectChanges, Options};
    ///
    /// let mut engine = Engine::new(Some("ws://localhost"), Options::new(), 0)?;
    /// let websocket_headers = Some(vec![("Authorization".into(), "Bearer a-token".into())]);
    /// engine.update(ConnectChanges { websocket_headers, ..ConnectChanges::default() })?;
    /// assert!(engine.take_websocket_headers().is_some());
    /// assert!(engine.take_websocket_headers().is_none());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[cfg(feature = "ws")]
    pub const fn take_websocket_headers(&mut self) -> Option<Vec<(String, String)>> {
        self.websocket_headers.take()
    }

    /// Whether [`Engine::poll_action`] has something.
    ///
    /// ```
    /// use mqtt_wasi::engine::{Call, Connecting, Engine};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert!(!engine.has_action());
    /// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || Instant::ZERO);
    /// assert!(engine.has_action());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn has_action(&self) -> bool {
        !self.actions.is_empty() || self.has_question() || self.has_preparation()
    }

    /// The next thing that the driver has to do. `None`: nothing.
    ///
    /// ```
    /// use mqtt_wasi::engine::{Action, Call, Connecting, Engine};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let now = Instant::ZERO;
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert!(engine.poll_action(now).is_none());
    /// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || now);
    /// assert!(matches!(engine.poll_action(now), Some(Action::Connect { .. })));
    /// assert!(engine.poll_action(now).is_none());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.now = now;
        self.actions.pop_front().or_else(|| self.poll_authentication().map(Action::Authenticate))
    }

    /// When [`Engine::handle_timeout`] has something to do. `None`: never, as things are.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().keep_alive(30), 0)?;
    /// assert_eq!(engine.deadline(), None);
    /// network.run(&mut engine, Connecting)?;
    /// let left = engine.deadline().expect("a ping is due some time").saturating_duration_since(network.now());
    /// assert!(left <= Duration::from_secs(30));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        soonest(self.session.deadline(), self.timers.next())
    }

    /// Whether the driver has something to do at once.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// assert!(!engine.needs_turn());
    /// engine.try_publish(&Publish::new("sensors/kitchen", "21.5"))?;
    /// assert!(engine.needs_turn());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn needs_turn(&self) -> bool {
        #[cfg(feature = "store")]
        if self.session.needs_store() {
            return true;
        }
        self.has_action() || self.has_more_to_write() || self.has_more_to_read()
    }

    /// Whether messages that are taken one by one should make way for a turn: something is due, or has waited to be
    /// sent for 10 milliseconds.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// engine.try_publish(&Publish::new("sensors/kitchen", "21.5"))?;
    /// assert!(!engine.is_overdue(network.now()));
    /// assert!(engine.is_overdue(network.now() + Duration::from_millis(10)));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
            || (self.has_outgoing() && now >= self.last_moved + KEEP_UP)
    }

    /// Moves the wakers of those who have to poll again to the end of `woken`.
    ///
    #[doc = memory_example!()]
    /// use std::task::Waker;
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::engine::{Call, Connecting, Engine, Publishing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.deliver_to_listeners();
    /// network.run(&mut engine, Connecting)?;
    /// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
    /// let mut call = Call::new(Publishing(&message));
    /// let waker = Waker::noop(); // in an async runtime: that of the task
    /// assert!(engine.poll_call(&mut call, Some(waker), &mut || network.now()).is_pending());
    ///
    /// let mut woken = Vec::new();
    /// while woken.is_empty() {
    ///     network.turn(&mut engine);
    ///     engine.take_woken(&mut woken);
    /// }
    /// woken.into_iter().for_each(Waker::wake);
    /// assert!(engine.poll_call(&mut call, None, &mut || network.now()).is_ready());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn take_woken(&mut self, woken: &mut Vec<Waker>) {
        if !self.woken.is_empty() {
            // Each keeps its room.
            core::mem::swap(&mut self.woken, woken);
            woken.append(&mut self.woken);
        }
    }

    /// Wakers that others have replaced. To drop one may run code of its owner, so drop them where nobody waits for the
    /// engine.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// drop(engine.take_discarded()); // after the lock of a shared engine is free
    /// assert!(engine.take_discarded().is_empty());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn take_discarded(&mut self) -> Vec<Waker> {
        core::mem::take(&mut self.discarded)
    }

    /// Ends every call, and each that is made later, with this error: the driver is gone and does not come back.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine, Publishing};
    /// use mqtt_wasi::{Error, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// engine.stop(Error::Stopped);
    /// let message = Publish::new("sensors/kitchen", "21.5");
    /// assert_eq!(network.run(&mut engine, Publishing(&message)), Err(Error::Stopped));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn stop(&mut self, error: Error) {
        self.brokers = None;
        self.has_stopped = true;
        self.abandon(Error::ConnectionClosed);
        self.stay_disconnected(error);
    }

    /// The session.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::Options;
    ///
    /// let engine = Engine::new(Some("mqtt://broker.local"), Options::new().client_id("thermometer-7"), 0)?;
    /// assert_eq!(engine.session().client_id(), "thermometer-7");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Whether there is a connection.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert!(!engine.is_connected());
    /// network.run(&mut engine, Connecting)?;
    /// assert!(engine.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Open) && matches!(self.session.status(), Status::Connected)
    }

    /// Whether there is a transport to move bytes over.
    ///
    /// ```
    /// use mqtt_wasi::engine::{Action, Call, Connecting, Engine};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let now = Instant::ZERO;
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || now);
    /// let Some(Action::Connect { attempt, .. }) = engine.poll_action(now) else { panic!() };
    /// assert!(engine.is_dialing() && !engine.has_transport());
    /// engine.connected(attempt, now);
    /// assert!(engine.has_transport());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn has_transport(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Greeting | Phase::Checking | Phase::Open | Phase::Closing(_))
    }

    /// Whether bytes move over the transport: the authenticator is not being waited for.
    const fn moves_bytes(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Open | Phase::Closing(_))
    }

    /// Whether the last bytes of a connection are being sent.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Disconnect, ReasonCode};
    /// use mqtt_wasi::engine::{Call, Connecting, Disconnecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
    /// let _ = engine.poll_call(&mut Call::new(Disconnecting(&disconnect)), None, &mut || network.now());
    /// assert!(engine.is_closing());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    /// Whether a transport is being connected.
    ///
    /// ```
    /// use mqtt_wasi::engine::{Call, Connecting, Engine};
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// let _ = engine.poll_call(&mut Call::new(Connecting), None, &mut || Instant::ZERO);
    /// assert!(engine.is_dialing());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn is_dialing(&self) -> bool {
        matches!(self.phase, Phase::Dialing)
    }

    /// Fails if there is no connection and the engine makes none by itself.
    ///
    /// # Errors
    /// What ended the connection. [`CallError::NotConnected`] if the user did, or if there was none.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{CallError, Error, Options};
    ///
    /// let engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert_eq!(engine.require_open(), Err(Error::Call(CallError::NotConnected)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn require_open(&self) -> Result<(), Error> {
        match &self.phase {
            Phase::Idle(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// The next message, borrowed from the receive buffer: see [`Session::receive`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Publishing, Subscribing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let subscriptions = &[Subscription::new("sensors/+", QoS::AtMostOnce)];
    /// network.run(&mut engine, Subscribing { subscriptions, properties: Default::default() })?;
    /// network.run(&mut engine, Publishing(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)))?;
    /// assert_eq!(engine.receive().expect("a message").payload, b"21.5");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn receive(&mut self) -> Option<Publish<'_>> {
        let message = self.session.receive()?;
        self.observed.received(&message);
        Some(message)
    }

    /// As [`Engine::receive`], but the message is acknowledged by [`Engine::acknowledge`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Publishing, Subscribing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let subscriptions = &[Subscription::new("jobs", QoS::AtLeastOnce)];
    /// network.run(&mut engine, Subscribing { subscriptions, properties: Default::default() })?;
    /// network.run(&mut engine, Publishing(&Publish::new("jobs", "print").qos(QoS::AtLeastOnce)))?;
    /// let (_, delivery) = engine.receive_unacknowledged().expect("a message");
    /// let delivery = delivery.expect("a QoS 1 message");
    /// assert!(engine.acknowledge(delivery));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn receive_unacknowledged(&mut self) -> Option<(Publish<'_>, Option<Delivery>)> {
        let (message, delivery) = self.session.receive_unacknowledged()?;
        self.observed.received(&message);
        Some((message, delivery))
    }

    /// Whether [`Engine::receive`] has a message.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// assert!(!engine.has_message());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn has_message(&mut self) -> bool {
        self.session.has_message()
    }

    /// Puts a message into the outbound buffer, if there is room at once and nobody waits for it.
    ///
    /// # Errors
    /// [`CallError::WouldBlock`] when there is no room; [`CallError::NotConnected`] while there is no connection; and
    /// as [`Session::publish`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert!(engine.try_publish(&Publish::new("sensors/kitchen", "21.5")).is_err(), "not connected");
    /// network.run(&mut engine, Connecting)?;
    /// engine.try_publish(&Publish::new("sensors/kitchen", "21.5"))?;
    /// assert!(engine.has_outgoing());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn try_publish(&mut self, publish: &Publish<'_>) -> Result<(), Error> {
        let mut span = observe::Span::new();
        span.begin(self, &Enqueueing(publish));
        let result = self.publish_at_once(publish);
        span.over(&result, |()| None);
        result
    }

    /// Puts a message in that nothing stands in the way of: what [`Enqueueing`] comes to then, without a call. Whether
    /// it did; nothing has happened if not.
    pub(crate) fn enqueue_at_once(&mut self, publish: &Publish<'_>) -> bool {
        // Who stores messages waits until they are.
        #[cfg(feature = "store")]
        if self.session.has_store() {
            return false;
        }
        // Who listens is told of a call.
        !observe::has_listeners() && self.publish_at_once(publish).is_ok()
    }

    fn publish_at_once(&mut self, publish: &Publish<'_>) -> Result<(), Error> {
        #[cfg(feature = "store")]
        if self.accepts(publish) {
            self.session.publish(publish)?;
            return Ok(());
        }
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

    /// Whether something waits to be sent, and may be sent now.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// engine.try_publish(&Publish::new("sensors/kitchen", "21.5"))?;
    /// assert!(engine.has_more_to_write());
    /// network.turn(&mut engine);
    /// assert!(!engine.has_more_to_write());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn has_more_to_write(&self) -> bool {
        #[cfg(feature = "store")]
        if self.may_send() == 0 {
            return false;
        }
        self.moves_bytes() && !self.session.transmit().is_empty()
    }

    /// Whether there is room again for more from the broker, after there was none at the last turn.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// assert!(!engine.has_more_to_read(), "there was room all the time");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn has_more_to_read(&self) -> bool {
        self.was_paused && self.has_transport() && !self.session.is_paused() && !self.holds_back()
    }

    /// Acknowledges a message: see [`Session::acknowledge`]. A message that several listeners got is acknowledged when
    /// all of them have; until then returns `false`.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Publishing, Subscribing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// let subscriptions = &[Subscription::new("jobs", QoS::AtLeastOnce)];
    /// network.run(&mut engine, Subscribing { subscriptions, properties: Default::default() })?;
    /// network.run(&mut engine, Publishing(&Publish::new("jobs", "print").qos(QoS::AtLeastOnce)))?;
    /// let delivery = engine.receive_unacknowledged().and_then(|(_, delivery)| delivery).expect("a QoS 1 message");
    /// assert!(engine.acknowledge(delivery));
    /// assert!(!engine.acknowledge(delivery), "it was done before");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn acknowledge(&mut self, delivery: Delivery) -> bool {
        let Self { session, listeners, delivery: hooks, .. } = self;
        acknowledge(session, listeners, *hooks, delivery)
    }

    /// Takes in what has happened, where messages are taken one by one.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// network.cut();
    /// network.turn(&mut engine);
    /// engine.catch_up(network.now());
    /// assert!(engine.require_open().is_err(), "the connection is lost");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn catch_up(&mut self, now: Instant) {
        self.now = now;
        self.pump();
        self.admit();
    }

    /// As [`Engine::catch_up`], when messages were taken beside [other calls](Engine::allow_calls_at_once): those whose
    /// answers are behind more of them have another second.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS, Subscription};
    /// use mqtt_wasi::engine::{Connecting, Engine, Publishing, Subscribing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// engine.allow_calls_at_once();
    /// network.run(&mut engine, Connecting)?;
    /// let subscriptions = &[Subscription::new("jobs", QoS::AtMostOnce)];
    /// network.run(&mut engine, Subscribing { subscriptions, properties: Default::default() })?;
    /// network.run(&mut engine, Publishing(&Publish::new("jobs", "print").qos(QoS::AtLeastOnce)))?;
    /// while engine.receive().is_some() {}
    /// engine.took_messages(network.now());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn took_messages(&mut self, now: Instant) {
        self.restart_stuck(&mut || now);
        self.catch_up(now);
    }

    /// The next event, if there is one.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine, Event};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// network.cut();
    /// network.turn(&mut engine);
    /// assert!(matches!(engine.take_event(network.now()), Some(Event::Disconnected(_))));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn take_event(&mut self, now: Instant) -> Option<Event> {
        self.now = now;
        self.pump();
        self.events.pop()
    }

    /// Whether something waits to be sent.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// assert!(!engine.has_outgoing());
    /// engine.try_publish(&Publish::new("sensors/kitchen", "21.5"))?;
    /// assert!(engine.has_outgoing());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        !self.session.transmit().is_empty()
    }

    /// How many bytes wait to be sent.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// engine.try_publish(&Publish::new("a/b", "hi"))?;
    /// assert_eq!(engine.outgoing(), 10);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn outgoing(&self) -> usize {
        self.session.waiting()
    }

    /// The response timeout: [`Options::response_timeout`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::Options;
    ///
    /// let engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert_eq!(engine.response_timeout(), Duration::from_secs(30));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub const fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Counters over all connections.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// assert_eq!(engine.stats().packets_received, 1, "CONNACK");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let last_failure = self.cause.as_ref().map(Error::name);
        Stats { failed_attempts: self.attempts_failed, last_failure, ..self.session.stats() }
    }

    /// Why the last connection ended, or the last attempt to make one failed. `None` while there is a connection, and
    /// after the user has ended it.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::{Error, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// assert_eq!(engine.last_failure(), None);
    /// network.cut();
    /// network.turn(&mut engine);
    /// engine.catch_up(network.now());
    /// assert_eq!(engine.last_failure(), Some(&Error::ConnectionClosed));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub const fn last_failure(&self) -> Option<&Error> {
        self.cause.as_ref()
    }

    /// The QoS 1 and 2 messages that are in flight: see [`Session::messages_in_flight`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// assert!(engine.messages_in_flight().is_empty());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn messages_in_flight(&self) -> Vec<InFlightMessage> {
        self.session.messages_in_flight()
    }

    /// Gives up a message that is in flight: see [`Session::give_up_message`]. Its call fails with [`Error::GivenUp`].
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::{Publish, QoS};
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// engine.try_publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// let id = engine.messages_in_flight()[0].id;
    /// assert!(engine.give_up_message(id, network.now()));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn give_up_message(&mut self, id: u64, now: Instant) -> bool {
        self.now = now;
        let is_given_up = self.session.give_up_message(id);
        self.pump();
        self.admit();
        is_given_up
    }

    /// The CONNACK of this connection, or of the last one. `None` before the first.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert_eq!(engine.connack(), None);
    /// network.run(&mut engine, Connecting)?;
    /// assert!(!engine.connack().expect("the broker answered").session_present);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn connack(&self) -> Option<Connack<'_>> {
        self.session.connack()
    }

    /// The Client Identifier: the one of the options, or the one that the broker assigned.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::engine::{Connecting, Engine};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// assert!(engine.client_id().starts_with("assigned-"));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn client_id(&self) -> String {
        self.session.client_id().into()
    }

    /// How many things are kept for users: calls whose outcome nobody has taken, listeners, and what is asked of the
    /// broker for them. For tests that nothing grows.
    ///
    #[doc = memory_example!()]
    /// use mqtt_wasi::codec::Publish;
    /// use mqtt_wasi::engine::{Connecting, Engine, Publishing};
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// network.run(&mut engine, Connecting)?;
    /// network.run(&mut engine, Publishing(&Publish::new("sensors/kitchen", "21.5")))?;
    /// assert_eq!(engine.kept(), 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn kept(&self) -> usize {
        self.calls.len() + self.listeners.len() + self.housekeeping.len()
    }
}

/// Has the one who polls be woken, if there is one, and no longer the one who did before.
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
