//! The engine, driven by decisions: users that call, cancel and take what they like, a network and a broker that behave
//! mostly, and time. Two sources decide: the bytes of an input, and a generator with a fixed seed.
//!
//! Where messages go to listeners, a call is polled when it was woken and never else, and the driver sleeps until there is
//! something to do, as in an async program; where they are taken one by one, everything is polled after each turn, as in a
//! blocking one. Whenever all is at rest the invariants of [`World::look`] hold, and in the end everything behaves, every
//! call ends, and nothing is kept.
//!
//! ```text
//! input = options  move*                                 see `World::new` and `World::make_move`
//! move  = number  argument*                              one byte each; those that are not there are zeros
//! ```

/// Says what happens, to find out why something fails.
macro_rules! say {
    ($world:expr, $($what:tt)*) => {
        if $world.is_loud {
            eprintln!("{:?} {}", $world.now.saturating_duration_since(start()), format_args!($($what)*));
        }
    };
}

mod broker;
mod calls;
mod checks;
mod decisions;
mod moves;
mod network;
#[path = "../../support/calls.rs"]
mod support;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;
use std::time::Duration;

use broker::{Broker, Reaction};
use calls::{Asked, Sleeper, Submitting};
use decisions::Decisions;
use mqtt_wasi::engine::{Action, Authentication, CallId, Engine, Held, ListenerId, ResponderId};
use mqtt_wasi::session::Delivery;
use mqtt_wasi::{Authenticator, Error, Instant, Options, Reconnect, Request, TransportError, TransportErrorKind};
use network::Network;

/// The Authentication Method of the clients that have one.
const METHOD: &str = "m";

/// What is listened to: these, and everything.
const LISTENED: [&str; 4] = ["a", "a/b", "a/#", "$share/g/a"];

/// As many calls, listeners and other things are under way at the most.
const MOST_CALLS: usize = 24;
const MOST_LISTENERS: usize = 6;
const MOST_HELD: usize = 16;
const MOST_REQUESTS: usize = 1000;

/// Far more rounds than anything takes.
const MOST_ROUNDS: usize = 5_000;

/// What may wait to be sent beside what the outbound limit bounds: see the session's target.
const MOST_WAITING: usize = 300_000;

/// As many events wait at the most.
const MOST_EVENTS: usize = 1024;

/// The last bytes of a connection have so long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long calls wait for answers behind messages that nobody takes.
const STUCK: Duration = Duration::from_secs(1);

const EVER: Duration = Duration::MAX;

/// Does what the input says, and then comes to rest.
pub(crate) fn check(data: &[u8]) -> Tally {
    live(Decisions::of_bytes(data))
}

/// Does what comes of a seed, for so many moves, and then comes to rest.
pub(crate) fn walk(seed: u64, moves: usize) -> Tally {
    live(Decisions::of_seed(seed, moves))
}

fn live(decisions: Decisions<'_>) -> Tally {
    // Calls borrow what they reply to.
    let requests: Vec<OnceCell<Request>> = (0..MOST_REQUESTS).map(|_| OnceCell::new()).collect();
    let mut world = World::new(decisions, &requests);
    while world.decisions.goes_on() {
        world.make_move();
        world.settle();
        world.look();
    }
    let tally = world.tally;
    world.come_to_rest();
    tally
}

/// Any time but zero, which would hide that it is not set.
fn start() -> Instant {
    Instant::ZERO + Duration::from_secs(1_000_000)
}

/// An authenticator that fails where it is told to.
#[derive(Clone)]
struct Moody(Arc<AtomicU8>);

impl Moody {
    fn say(&self, at: u8) -> Result<Vec<u8>, String> {
        if self.0.load(Ordering::Relaxed) == at { Err("not today".into()) } else { Ok(b"said".to_vec()) }
    }
}

impl Authenticator for Moody {
    fn method(&self) -> &str {
        METHOD
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.say(1).map(Some)
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        self.say(2)
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        self.say(3).map(drop)
    }
}

/// An attempt to connect that is under way.
struct Attempt {
    number: u64,
    until: Instant,
    /// What comes of it at once, if anything does.
    fate: Option<bool>,
}

/// Somebody who listens.
struct Listener {
    id: ListenerId,
    sleeper: Sleeper,
    /// Taken out of the inbox with one before them.
    more: Held,
    /// Whether it has found nothing.
    waits: bool,
    /// Whether it knows that no more will come for now.
    knows_end: bool,
}

/// What came of a walk before everything behaved.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Connections that were made, and attempts.
    pub(crate) connected: usize,
    pub(crate) dialed: usize,
    /// Calls that came to something, and those that failed.
    pub(crate) done: usize,
    pub(crate) failed: usize,
    /// Messages that were taken, and requests among them.
    pub(crate) taken: usize,
    pub(crate) requests: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.connected += other.connected;
        self.dialed += other.dialed;
        self.done += other.done;
        self.failed += other.failed;
        self.taken += other.taken;
        self.requests += other.requests;
    }
}

struct World<'a> {
    engine: Engine,
    tally: Tally,
    broker: Broker,
    network: Network,
    decisions: Decisions<'a>,
    now: Instant,
    is_loud: bool,

    /// Whether connections last mostly.
    is_mild: bool,
    /// Whether messages go to listeners.
    has_listeners: bool,
    /// Whether the client makes its transports itself.
    has_url: bool,
    /// Whether the user authenticates step by step.
    is_by_hand: bool,
    outbound_limit: usize,
    response_timeout: Duration,

    attempt: Option<Attempt>,
    last_attempt: u64,
    /// What the authenticator is asked, while it takes its time.
    authentication: Option<Authentication>,
    takes_its_time: bool,
    mood: Arc<AtomicU8>,
    is_lost: bool,

    driver_is_awake: bool,
    driver_is_away: bool,
    /// When the driver wakes by itself.
    wakes_at: Option<Instant>,
    users_are_away: bool,
    woken: Vec<Waker>,

    calls: Vec<Asked<'a>>,
    last_id: Option<CallId>,
    submitting: Vec<Submitting>,
    submitted: Vec<(CallId, Arc<()>, Option<Instant>)>,
    /// Those whose replies nobody asks for, until they are dropped.
    unasked: Vec<(Arc<()>, Option<Instant>)>,
    /// When those end that nobody wants any more.
    orphans: Vec<Option<Instant>>,
    nonce: u64,
    listeners: Vec<Listener>,
    responders: Vec<ResponderId>,
    /// Those that were taken: by which responder, and where.
    to_answer: Vec<(ResponderId, usize)>,
    requests: &'a [OnceCell<Request>],
    used_requests: usize,
    held: VecDeque<Delivery>,
    /// When bytes moved last, either way, and how many had then.
    last_moved: Instant,
    moved: [u64; 4],
    /// Since when calls wait while no more is read.
    paused_since: Option<Instant>,
    /// What the call failed with that was over last, if it failed.
    last_error: Option<Error>,
}

impl<'a> World<'a> {
    fn new(mut decisions: Decisions<'a>, requests: &'a [OnceCell<Request>]) -> Self {
        let flags = decisions.byte();
        let is_set = |bit: u8| flags >> bit & 1 != 0;
        let has_listeners = is_set(0);
        let has_authenticator = is_set(1) && is_set(2);
        let is_by_hand = !has_authenticator && decisions.once_in(8);
        let has_url = !decisions.once_in(8);
        let outbound_limit = decisions.pick(&[1 << 20, 0, 50, 300, 2000]);
        let response_timeout = Duration::from_secs(decisions.pick(&[30, 1, 5]));
        let receive_maximum = decisions.pick(&[u16::MAX, 1, 3, 10]);
        let policy = Reconnect {
            first_delay: Duration::from_millis(decisions.pick(&[1000, 10])),
            longest_delay: Duration::from_secs(decisions.pick(&[60, 2])),
            attempts: decisions.pick(&[None, Some(3), None]),
            redirects: decisions.pick(&[3, 0, 1]),
            ..Reconnect::default()
        };
        let mood = Arc::new(AtomicU8::new(0));
        let mut options = Options::new()
            .client_id("c")
            .response_topic("replies")
            .keep_alive(decisions.pick(&[0, 10, 60]))
            .clean_start(!is_set(3))
            .adopt_session(is_set(3))
            .session_expiry_interval(decisions.pick(&[0, 3600]))
            .restore_subscriptions(!decisions.once_in(4))
            .receive_maximum(receive_maximum)
            .in_flight_limit(decisions.pick(&[1024, 1, 2, 4]))
            .pending_request_limit(decisions.pick(&[4096, 1, 2]))
            .outbound_limit(outbound_limit)
            .outbound_topic_aliases(decisions.pick(&[0, 1]))
            .backlog_limit(decisions.pick(&[4 << 20, 0, 100, 1000]))
            .maximum_packet_size(1000)
            .connect_timeout(Duration::from_secs(decisions.pick(&[10, 1])))
            .response_timeout(response_timeout);
        if is_set(4) || is_set(5) {
            options = options.reconnect(policy);
        }
        if decisions.once_in(3) {
            options = options.fallback("mqtt://b");
        }
        if has_authenticator {
            options = options.authenticator(Moody(Arc::clone(&mood)));
        } else if is_by_hand {
            options = options.authentication(METHOD, Some(b"said".to_vec()));
        }
        let mut engine = Engine::new(has_url.then_some("mqtt://a"), options, 7).expect("good options");
        if has_listeners {
            engine.deliver_to_listeners();
        }
        if is_by_hand {
            engine.authenticate_by_hand();
        }
        Self {
            engine,
            tally: Tally::default(),
            broker: Broker::new(has_authenticator || is_by_hand, receive_maximum),
            network: Network::default(),
            decisions,
            now: start(),
            is_loud: std::env::var_os("WALK_ALOUD").is_some(),
            is_mild: is_set(6) || is_set(7),
            has_listeners,
            has_url,
            is_by_hand,
            outbound_limit,
            response_timeout,
            attempt: None,
            last_attempt: 0,
            authentication: None,
            takes_its_time: false,
            mood,
            is_lost: false,
            driver_is_awake: true,
            driver_is_away: false,
            wakes_at: None,
            users_are_away: false,
            woken: Vec::new(),
            calls: Vec::new(),
            last_id: None,
            submitting: Vec::new(),
            submitted: Vec::new(),
            unasked: Vec::new(),
            orphans: Vec::new(),
            nonce: 0,
            listeners: Vec::new(),
            responders: Vec::new(),
            to_answer: Vec::new(),
            requests,
            used_requests: 0,
            held: VecDeque::new(),
            last_moved: start(),
            moved: [0; 4],
            paused_since: None,
            last_error: None,
        }
    }

    fn advance_to_deadline(&mut self) {
        let attempt = self.attempt.as_ref().map(|attempt| attempt.until);
        let next = [self.engine.deadline(), attempt].into_iter().flatten().min();
        // The largest point in time never comes.
        if let Some(next) = next.filter(|next| *next < Instant::MAX) {
            self.advance(next);
        }
    }

    fn let_time_pass(&mut self) {
        let milliseconds = self.decisions.pick(&[1, 10, 500, 1_000, 3_000, 20_000, 100_000]);
        let end = self.now + Duration::from_millis(milliseconds);
        // Whoever is there is called in time.
        while !self.driver_is_away
            && let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline < end)
        {
            self.advance(deadline);
            self.settle();
            self.look();
        }
        self.advance(end);
    }

    fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
        say!(self, "time");
        self.driver_is_awake |= self.wakes_at.is_some_and(|wakes_at| self.now >= wakes_at);
        self.driver_is_awake |= self.attempt.as_ref().is_some_and(|attempt| self.now >= attempt.until);
    }

    /// Lets the driver and the users do what they have to do, until all is at rest.
    fn settle(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let goes_on = if self.has_listeners { self.round_of_tasks() } else { self.round_of_one() };
            if !goes_on {
                return;
            }
        }
        self.is_loud = true;
        for _ in 0..4 {
            let (deadline, outgoing) = (self.engine.deadline(), self.engine.outgoing());
            say!(self, "another round, to {deadline:?}, with {outgoing} bytes, over {:?}", self.network);
            if self.has_listeners {
                self.round_of_tasks()
            } else {
                self.round_of_one()
            };
        }
        panic!("it comes to rest");
    }

    /// As in an async program: the driver and each user are tasks; whether anybody is awake.
    fn round_of_tasks(&mut self) -> bool {
        let mut goes_on = false;
        if self.driver_is_awake && !self.driver_is_away {
            goes_on = true;
            self.driver_is_awake = self.drive();
            self.wake();
            self.wakes_at = self.engine.deadline();
            self.driver_is_awake |= self.wakes_at.is_some_and(|wakes_at| self.now >= wakes_at);
        }
        if !self.users_are_away {
            goes_on |= self.poll_woken();
        }
        goes_on
    }

    fn poll_woken(&mut self) -> bool {
        let mut goes_on = false;
        let mut place = 0;
        while let Some(call) = self.calls.get(place) {
            let is_woken = call.sleeper.is_woken();
            goes_on |= is_woken;
            if !is_woken || !self.poll(place) {
                place += 1;
            }
        }
        for place in 0..self.listeners.len() {
            let listener = &self.listeners[place];
            if listener.waits && listener.sleeper.is_woken() {
                goes_on = true;
                let most = self.decisions.below(3) + 1;
                self.take_from(place, most);
            }
        }
        goes_on
    }

    /// As in a blocking program: whoever waits moves bytes, and polls; whether anything came of it.
    fn round_of_one(&mut self) -> bool {
        let before = self.engine.outgoing();
        let mut goes_on = false;
        if !self.driver_is_away {
            goes_on |= self.drive();
        }
        if !self.users_are_away {
            let mut place = 0;
            while place < self.calls.len() {
                if self.poll(place) {
                    goes_on = true;
                } else {
                    place += 1;
                }
            }
            goes_on |= self.poll_submissions();
        }
        goes_on |= !self.driver_is_away && (self.engine.has_action() || self.engine.has_more_to_read());
        goes_on || self.engine.outgoing() != before
    }

    /// One turn of the driver; whether there is more to do at once.
    fn drive(&mut self) -> bool {
        let mut goes_on = self.attempt_ends();
        goes_on |= self.carry_out();
        goes_on |= self.turn();
        self.note_moved();
        goes_on || self.engine.has_action()
    }

    fn attempt_ends(&mut self) -> bool {
        let Some(attempt) = &self.attempt else { return false };
        let is_good = match attempt.fate {
            Some(is_good) => is_good,
            None if self.now >= attempt.until => false,
            None => return false,
        };
        let number = attempt.number;
        self.attempt = None;
        say!(self, "attempt {number} comes to an end: {is_good}");
        if is_good {
            self.network.connect();
            self.broker.accept();
            self.engine.connected(number, self.now);
        } else {
            self.engine.connect_failed(number, unreachable(), self.now);
        }
        true
    }

    fn carry_out(&mut self) -> bool {
        let mut has_done = false;
        for _ in 0..MOST_ROUNDS {
            let Some(action) = self.engine.poll_action(self.now) else { return has_done };
            say!(self, "{action:?}");
            has_done = true;
            match action {
                Action::Connect { attempt, until, .. } => {
                    assert!(!self.network.is_up, "the last transport is closed before there is another");
                    let fate = match self.decisions.below(8) {
                        0..5 => Some(true),
                        5 => Some(false),
                        _ => None,
                    };
                    self.attempt = Some(Attempt { number: attempt, until, fate });
                    self.last_attempt = attempt;
                    self.tally.dialed += 1;
                }
                Action::Close => {
                    self.attempt = None;
                    self.network.close();
                }
                Action::Authenticate(question) => {
                    assert!(self.authentication.is_none(), "there is one authenticator");
                    if self.takes_its_time {
                        self.authentication = Some(question);
                    } else {
                        self.engine.authenticated(question.run(), self.now);
                    }
                }
                other => panic!("what is {other:?}?"),
            }
        }
        panic!("there is an end to what is to be done");
    }

    /// Moves bytes, or does what is due; whether anything came of it.
    fn turn(&mut self) -> bool {
        if !self.engine.has_transport() {
            let is_due = self.engine.deadline().is_some_and(|deadline| self.now >= deadline);
            if is_due {
                self.engine.handle_timeout(self.now);
            }
            return is_due;
        }
        assert!(self.network.is_up, "the engine has a transport that is there");
        let turn = self.engine.turn(self.now);
        let is_quiet = turn.outgoing.is_empty();
        let moved = self.network.transfer(turn, self.now, &mut self.decisions);
        let goes_on = moved.has_moved() || moved.is_late;
        if moved.has_moved() {
            say!(self, "{:?}", moved.result);
        }
        self.engine.turned(moved.result, self.now);
        let has_new_bytes = is_quiet && self.engine.has_more_to_write();
        let reaction = self.broker.gets(&moved.sent, &mut self.decisions);
        let heard = match reaction {
            Reaction::Answer(answer) => self.network.arrives(&answer),
            Reaction::Close(answer) => {
                self.network.arrives(&answer);
                self.network.ends(0)
            }
        };
        goes_on
            || has_new_bytes
            || (heard && !moved.sent.is_empty())
            || self.network.has_something()
            || self.engine.has_more_to_read()
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What holds whenever all is at rest
}

fn unreachable() -> Error {
    Error::Transport(TransportError { kind: TransportErrorKind::Unreachable, message: String::new() })
}
