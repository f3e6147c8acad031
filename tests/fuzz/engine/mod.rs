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

mod broker;
mod calls;
mod decisions;
mod network;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use broker::{Broker, Reaction};
use calls::{
    Asked, Came, DISCONNECTS, FILTERS, Kind, MESSAGES, REPLIES, RunningCall, SUBSCRIPTIONS, Sleeper, Submitting, VALID,
};
use decisions::Decisions;
use mqtt_wasi::codec::{SubscribeProperties, UnsubscribeProperties};
use mqtt_wasi::engine::{
    Action, Authenticating, Authentication, Call, CallId, Connected, Connecting, Disconnecting, Engine, Enqueueing,
    Flushing, Held, ListenerId, Listening, NextEvent, NextStep, Operation, Publishing, PublishingAll, Replying,
    Requesting, ResponderId, Step, Subscribing, Unsubscribing,
};
use mqtt_wasi::session::Delivery;
use mqtt_wasi::{
    Authenticator, CallError, ConnectChanges, Error, Instant, Message, Options, Overflow, Reconnect, Request,
    Responder, TransportError, TransportErrorKind,
};
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

/// Says what happens, to find out why something fails.
macro_rules! say {
    ($world:expr, $($what:tt)*) => {
        if $world.is_loud {
            eprintln!("{:?} {}", $world.now.saturating_duration_since(start()), format_args!($($what)*));
        }
    };
}

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

    fn make_move(&mut self) {
        let number = self.decisions.below(128);
        say!(self, "move {number}");
        match number {
            0..8 => self.advance_to_deadline(),
            8..11 => self.let_time_pass(),
            11..29 => self.make_call(),
            29..31 => self.cancel(),
            31..34 => self.poll_any(),
            34..44 => self.take_message(),
            44..48 => self.acknowledge(),
            48..52 => self.answer_request(),
            52..55 => self.open_or_close_listener(),
            55 => self.open_or_close_responder(),
            56..60 => self.submit(),
            60..62 => drop(self.with(|engine, now| engine.take_event(now))),
            62 => self.with(Engine::catch_up),
            63..66 => {
                let message = self.decisions.pick(&MESSAGES);
                let is_connected = self.engine.is_connected();
                let published = self.with(|engine, _| engine.try_publish(&message));
                assert!(is_connected || published.is_err(), "there is no connection to publish over");
            }
            66..82 => self.broker_sends(Broker::message),
            82..88 => self.broker_sends(Broker::late_answer),
            88..93 => self.broker_sends(Broker::reply),
            93 if self.does_harm() => self.broker_sends(|broker, decisions| broker.nonsense(decisions)),
            94 if self.does_harm() => self.broker_sends(|_, decisions| {
                let len = decisions.below(20);
                (0..len).map(|_| decisions.byte()).collect()
            }),
            95..97 if self.does_harm() => {
                self.broker_sends(|broker, decisions| broker.disconnect(decisions));
                let how = self.decisions.below(3);
                self.end_network(how);
            }
            97..100 => self.dialing_comes_to_something(),
            100..103 => self.authenticator_answers(),
            103 => self.authenticator_changes(),
            104 => self.network.takes_nothing = true,
            105 => self.network.gives_nothing = true,
            106..110 => self.network_flows(),
            110 => self.driver_is_away = true,
            111 => self.users_are_away = true,
            112..116 => self.all_return(),
            116..118 => self.step_by_hand(),
            118..121 => {
                if !self.engine.is_connected() || self.does_harm() {
                    self.connect();
                }
            }
            _ => {
                self.network_flows();
                self.all_return();
            }
        }
    }

    /// Whether what ends connections happens: where everything is mild, once in a while.
    fn does_harm(&mut self) -> bool {
        !self.is_mild || self.decisions.once_in(8)
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What users do

    /// Uses the engine, as whoever shares it with a driver does.
    fn with<R>(&mut self, work: impl FnOnce(&mut Engine, Instant) -> R) -> R {
        let result = work(&mut self.engine, self.now);
        self.wake();
        let is_earlier = match (self.engine.deadline(), self.wakes_at) {
            (Some(deadline), Some(wakes_at)) => deadline < wakes_at,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        self.driver_is_awake |= self.engine.needs_turn() || is_earlier;
        self.note_moved();
        result
    }

    /// Wakes whom the engine has woken.
    fn wake(&mut self) {
        self.engine.take_woken(&mut self.woken);
        self.woken.drain(..).for_each(Waker::wake);
    }

    fn note_moved(&mut self) {
        let stats = self.engine.stats();
        let moved = [stats.bytes_received, stats.bytes_sent, stats.packets_received, stats.packets_sent];
        if moved != self.moved {
            (self.moved, self.last_moved) = (moved, self.now);
        }
    }

    fn ask<O: Operation + 'a>(&mut self, name: &'static str, kind: Kind, timeout: Duration, operation: O)
    where
        O::Output: Into<Came>,
    {
        say!(self, "ask {name}");
        self.calls.push(Asked {
            name,
            running: Box::new(RunningCall(Call::new(operation))),
            kind,
            sleeper: Sleeper::new(),
            was_polled: false,
            id: None,
            start: self.now,
            timeout: (timeout < EVER).then_some(timeout),
        });
        self.poll(self.calls.len() - 1);
    }

    fn make_call(&mut self) {
        if self.calls.len() >= MOST_CALLS {
            return self.poll_any();
        }
        if self.engine.require_open().is_err() && !self.decisions.once_in(4) {
            // Everything else fails.
            return self.connect();
        }
        let timeout = self.response_timeout;
        match self.decisions.below(32) {
            0..7 => {
                let message = self.message();
                self.ask("publish", Kind::Usual, timeout, Publishing(message));
            }
            7..10 => {
                let message = self.message();
                self.ask("enqueue", Kind::Usual, timeout, Enqueueing(message));
            }
            10 => self.ask("flush", Kind::Usual, timeout, Flushing),
            11..14 => {
                let place = self.decisions.below(SUBSCRIPTIONS.len());
                let subscriptions = &SUBSCRIPTIONS[place..SUBSCRIPTIONS.len().min(place + 2)];
                let subscription_identifier = self.decisions.pick(&[None, Some(7)]);
                let properties = SubscribeProperties { subscription_identifier, ..SubscribeProperties::default() };
                self.ask("subscribe", Kind::Usual, timeout, Subscribing { subscriptions, properties });
            }
            14..16 => {
                let place = self.decisions.below(FILTERS.len());
                let filters = &FILTERS[place..=place];
                let properties = UnsubscribeProperties::default();
                self.ask("unsubscribe", Kind::Usual, timeout, Unsubscribing { filters, properties });
            }
            16..20 => {
                let request = self.message();
                let timeout = self.decisions.pick(&[Duration::from_secs(5), Duration::ZERO, EVER]);
                self.nonce += 1;
                self.ask("request", Kind::Requesting, timeout, Requesting { request, timeout, nonce: self.nonce });
            }
            20..23 => {
                let len = self.decisions.below(8);
                // What is not valid would not have to wait for what those before it wait for.
                let messages: Vec<_> = (0..len).map(|_| MESSAGES[self.decisions.below(VALID)]).collect();
                self.ask("publish all", Kind::Batch { messages: len }, timeout, PublishingAll::new(messages));
            }
            23..25 => {
                let timeout = self.decisions.pick(&[Duration::from_secs(3), Duration::ZERO, EVER]);
                self.ask("next event", Kind::Event, timeout, NextEvent { timeout });
            }
            25 => self.ask("authenticate", Kind::Usual, timeout, Authenticating),
            26 => {
                let timeout = if self.engine.is_connected() { timeout } else { EVER };
                self.ask("next step", Kind::Step, timeout, NextStep);
            }
            27 => self.ask("wait for connection", Kind::Connected, EVER, Connected),
            28 if self.does_harm() => {
                let disconnect = &DISCONNECTS[self.decisions.below(DISCONNECTS.len())];
                self.ask("disconnect", Kind::Disconnecting, EVER, Disconnecting(disconnect));
            }
            29 if self.does_harm() => self.connect(),
            _ => {
                if let Some(place) = self.some_listener() {
                    let listener = self.listeners[place].id;
                    let subscription = self.decisions.pick(&SUBSCRIPTIONS);
                    self.ask("listen", Kind::Usual, timeout, Listening { listener, subscription });
                }
            }
        }
    }

    fn message(&mut self) -> &'static mqtt_wasi::codec::Publish<'static> {
        &MESSAGES[self.decisions.below(MESSAGES.len())]
    }

    fn connect(&mut self) {
        if self.calls.len() >= MOST_CALLS {
            return;
        }
        if self.has_url {
            return self.ask("connect", Kind::Connecting, EVER, Connecting);
        }
        // The user closes what there is and comes with another one.
        say!(self, "attach");
        self.network.connect();
        self.broker.accept();
        self.with(Engine::attach);
        self.ask("wait for connection", Kind::Connected, EVER, Connected);
    }

    fn cancel(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let place = self.decisions.below(self.calls.len());
        self.cancel_this(place);
    }

    fn cancel_this(&mut self, place: usize) {
        let call = self.calls.swap_remove(place);
        say!(self, "cancel {}", call.name);
        if let Some(id) = call.running.id() {
            self.with(|engine, now| engine.cancel(id, now));
        }
        if let Kind::Replying(number) = call.kind {
            self.give_up(number);
        }
    }

    /// Polls a call, be it that it was not woken.
    fn poll_any(&mut self) {
        if !self.calls.is_empty() {
            let place = self.decisions.below(self.calls.len());
            self.poll(place);
        }
    }

    /// Polls a call; whether it is over.
    fn poll(&mut self, place: usize) -> bool {
        let now = self.now;
        if self.engine.session().is_paused() {
            self.paused_since.get_or_insert(now);
        }
        let over_before = self.engine.require_open().err();
        let call = &mut self.calls[place];
        let is_first = !std::mem::replace(&mut call.was_polled, true);
        call.sleeper.sleep_again();
        let waker = self.has_listeners.then_some(&call.sleeper.waker);
        let polled = call.running.poll(&mut self.engine, waker, now);
        let id = call.running.id();
        if let Some(id) = id {
            assert!(call.id.is_none_or(|known| known == id), "a call is the same as long as it goes on");
            if call.id.is_none() {
                assert!(self.last_id.is_none_or(|last| id > last), "no identifier is used twice");
                self.last_id = Some(id);
            }
        }
        call.id = id;
        self.with(|_, _| ());
        let call = &self.calls[place];
        let Poll::Ready(result) = polled else {
            say!(self, "{} waits", call.name);
            // What has happened is told first, to those who asked first.
            let may_wait = matches!(call.kind, Kind::Connecting | Kind::Event | Kind::Step);
            if let Some(error) = over_before.filter(|_| is_first && !may_wait) {
                panic!("{} waits, though the connection is over: {error}", call.name);
            }
            return false;
        };
        say!(self, "{} is over: {result:?}", call.name);
        self.last_error = result.as_ref().err().cloned();
        self.tally.done += usize::from(result.is_ok());
        self.tally.failed += usize::from(result.is_err());
        self.tally.connected += usize::from(matches!(result, Ok(Came::Connected)));
        assert_eq!(id, None, "a call that is over is forgotten");
        if is_first {
            self.check_first(call, over_before, &result);
        }
        if let Err(Error::AnswerBehindMessages | Error::Call(CallError::ReceiveFirst)) = &result
            && self.has_listeners
            && call.start == now
        {
            let has_waited = self.paused_since.is_some_and(|since| now >= since + STUCK);
            assert!(has_waited, "those who listen have a second to take messages before {} fails", call.name);
        }
        if let (Kind::Batch { messages }, Ok(Came::Batch(results))) = (call.kind, &result) {
            assert_eq!(messages, *results, "each message has come to something");
        }
        let call = self.calls.swap_remove(place);
        if let (Kind::Replying(number), Err(_)) = (call.kind, &result) {
            self.give_up(number);
        }
        if let Ok(Came::Step(Step::Challenge(_))) = result {
            drop(self.with(|engine, now| engine.answer_challenge(b"said", now)));
        }
        true
    }

    /// What a call that is over at once says is what the engine says.
    fn check_first(&self, call: &Asked<'_>, over_before: Option<Error>, result: &Result<Came, Error>) {
        match (call.kind, over_before) {
            (Kind::Usual | Kind::Requesting | Kind::Connected | Kind::Replying(_), Some(over)) => {
                assert_eq!(result.as_ref().err(), Some(&over), "{} says why it is over", call.name);
            }
            (Kind::Disconnecting, Some(_)) => assert!(result.is_ok(), "there is nothing to disconnect: {result:?}"),
            (Kind::Connected, None) if result.is_ok() => {
                assert!(self.is_by_hand || self.engine.is_connected(), "the connection is there");
            }
            _ => {}
        }
    }

    fn submit(&mut self) {
        // Blocking clients alone do.
        if self.has_listeners {
            return;
        }
        if self.unasked.len() > MOST_HELD || self.decisions.once_in(8) {
            // It may have ended already, and then it waits for somebody who never comes.
            self.orphans.extend(self.unasked.pop().map(|(_, deadline)| deadline));
            return;
        }
        if self.submitted.len() + self.submitting.len() >= MOST_CALLS || self.decisions.once_in(3) {
            if !self.submitted.is_empty() {
                let (id, owner, deadline) = self.submitted.swap_remove(self.decisions.below(self.submitted.len()));
                if self.decisions.once_in(2) {
                    self.with(|engine, now| engine.cancel(id, now));
                } else {
                    self.orphans.push(deadline);
                }
                drop(owner);
            }
            return;
        }
        let request = self.message();
        let timeout = self.decisions.pick(&[Duration::from_secs(5), Duration::ZERO, EVER]);
        self.nonce += 1;
        let call = Call::new(Requesting { request, timeout, nonce: self.nonce });
        let deadline = (timeout < EVER).then(|| self.now + timeout);
        self.submitting.push(Submitting { call, owner: Arc::new(()), deadline });
        self.poll_submissions();
    }

    /// Polls requests that are submitted, and those that were; whether any is over.
    fn poll_submissions(&mut self) -> bool {
        let mut goes_on = false;
        let mut place = 0;
        while let Some(submitting) = self.submitting.get_mut(place) {
            let now = self.now;
            self.orphans.retain(|deadline| deadline.is_none_or(|deadline| deadline > now));
            match self.engine.poll_submitted(&mut submitting.call, &submitting.owner, &mut || now) {
                Poll::Pending => place += 1,
                Poll::Ready(result) => {
                    goes_on = true;
                    let Submitting { owner, deadline, .. } = self.submitting.swap_remove(place);
                    match result {
                        Ok(_) if self.decisions.once_in(3) => self.unasked.push((owner, deadline)),
                        Ok(id) => self.submitted.push((id, owner, deadline)),
                        Err(_) => {}
                    }
                }
            }
        }
        let mut place = 0;
        while let Some((id, _, _)) = self.submitted.get(place) {
            let (id, now) = (*id, self.now);
            match self.engine.poll_reply(id, &mut || now) {
                // The latter does not end it: who receives may ask again.
                Poll::Pending | Poll::Ready(Err(Error::AnswerBehindMessages)) => place += 1,
                Poll::Ready(_) => {
                    goes_on = true;
                    self.submitted.swap_remove(place);
                    let again = self.engine.poll_reply(id, &mut || now);
                    assert_eq!(again, Poll::Ready(Err(Error::Timeout)), "what came of a request is told once");
                }
            }
        }
        self.with(|_, _| ());
        goes_on
    }

    fn take_message(&mut self) {
        if self.has_listeners {
            if let Some(place) = self.some_listener() {
                self.take_from(place, 1);
            }
            return;
        }
        match self.decisions.below(8) {
            0..3 => {
                let is_taken = self.with(|engine, _| engine.receive().is_some());
                self.tally.taken += usize::from(is_taken);
            }
            3..5 => {
                let delivery =
                    self.with(|engine, _| engine.receive_unacknowledged().and_then(|(_, delivery)| delivery));
                self.held.extend(delivery);
            }
            5 => drop(self.with(|engine, _| engine.has_message())),
            _ => {
                if let Some(&responder) = self.responders.first() {
                    let request = self.with(|engine, now| engine.next_request(responder, now));
                    self.has_request(responder, request);
                }
            }
        }
        while self.held.len() > MOST_HELD {
            self.acknowledge();
        }
    }

    fn some_listener(&mut self) -> Option<usize> {
        (!self.listeners.is_empty()).then(|| self.decisions.below(self.listeners.len()))
    }

    /// Takes up to so many messages of a listener; whether there was any.
    fn take_from(&mut self, place: usize, most: usize) -> bool {
        let mut has_any = false;
        for _ in 0..most {
            let listener = &mut self.listeners[place];
            listener.sleeper.sleep_again();
            let taken = match listener.more.pop() {
                Some(taken) => Some(taken),
                None => self.engine.take_message(
                    listener.id,
                    &mut listener.more,
                    Some(&listener.sleeper.waker),
                    &mut || self.now,
                ),
            };
            listener.waits = taken.is_none();
            listener.knows_end = taken.is_none() && self.engine.require_open().is_err();
            let is_over = taken.is_none();
            self.tally.taken += usize::from(!is_over);
            if let Some(taken) = taken {
                has_any = true;
                self.has_taken(taken);
            }
            self.with(|_, _| ());
            if is_over {
                break;
            }
        }
        has_any
    }

    fn has_taken(&mut self, (message, delivery): (Message, Option<Delivery>)) {
        match (self.decisions.below(4), self.responders.first()) {
            (2 | 3, Some(&responder)) => {
                let request = self.with(|engine, now| engine.accept(responder, message, delivery, now));
                self.has_request(responder, request);
            }
            (1, _) => self.held.extend(delivery),
            _ => drop(delivery.map(|delivery| self.with(|engine, _| engine.acknowledge(delivery)))),
        }
        while self.held.len() > MOST_HELD {
            self.acknowledge();
        }
    }

    fn has_request(&mut self, responder: ResponderId, request: Option<Request>) {
        let Some(request) = request else { return };
        self.tally.requests += 1;
        if self.used_requests == self.requests.len() {
            return self.with(|engine, now| engine.fail_request(responder, &request, "tired", now));
        }
        let number = self.used_requests;
        self.used_requests += 1;
        self.requests[number].set(request).expect("it is used once");
        self.to_answer.push((responder, number));
        if self.to_answer.len() > MOST_HELD {
            self.answer_request();
        }
    }

    fn request(&self, number: usize) -> &'a Request {
        self.requests[number].get().expect("it was taken")
    }

    fn answer_request(&mut self) {
        if self.to_answer.is_empty() {
            return;
        }
        let (responder, number) = self.to_answer.swap_remove(self.decisions.below(self.to_answer.len()));
        let request = self.request(number);
        match self.decisions.below(8) {
            0..6 if self.calls.len() < MOST_CALLS => {
                let reply = &REPLIES[self.decisions.below(REPLIES.len())];
                let replying = Replying { responder, request, reply };
                self.ask("reply", Kind::Replying(number), self.response_timeout, replying);
            }
            6 => self.with(|engine, now| engine.fail_request(responder, request, "tired", now)),
            _ => self.with(|engine, _| engine.give_up(responder, request)),
        }
    }

    fn give_up(&mut self, number: usize) {
        let request = self.request(number);
        for responder in self.responders.clone() {
            self.with(|engine, now| engine.fail_request(responder, request, "gone", now));
        }
    }

    fn acknowledge(&mut self) {
        let place = if self.decisions.once_in(4) { self.held.len().saturating_sub(1) } else { 0 };
        if let Some(delivery) = self.held.remove(place) {
            self.with(|engine, _| engine.acknowledge(delivery));
        }
    }

    fn open_or_close_listener(&mut self) {
        if !self.has_listeners {
            return;
        }
        if self.listeners.len() >= MOST_LISTENERS || (!self.listeners.is_empty() && self.decisions.once_in(3)) {
            let place = self.decisions.below(self.listeners.len());
            say!(self, "close listener {place}");
            self.close_listener(place);
            return;
        }
        let filter = LISTENED.get(self.decisions.below(LISTENED.len() + 1)).copied();
        let capacity = self.decisions.pick(&[1, 2, 20]);
        let overflow = match self.decisions.below(4) {
            0..2 => Overflow::Wait(capacity),
            2 => Overflow::DropOldest(capacity),
            _ => Overflow::DropNewest(capacity),
        };
        say!(self, "open listener of {filter:?}, {overflow:?}");
        let id = self.with(|engine, now| engine.open_listener(filter, overflow, now));
        self.listeners.push(Listener {
            id,
            sleeper: Sleeper::new(),
            more: Held::default(),
            waits: false,
            knows_end: false,
        });
        if let Some(filter) = filter
            && self.calls.len() < MOST_CALLS
            && !self.decisions.once_in(8)
        {
            let subscription = *SUBSCRIPTIONS.iter().find(|other| other.filter == filter).expect("one of them");
            self.ask("listen", Kind::Usual, self.response_timeout, Listening { listener: id, subscription });
        }
    }

    fn close_listener(&mut self, place: usize) {
        let listener = self.listeners.swap_remove(place);
        self.with(|engine, now| engine.close_listener(listener.id, now));
    }

    fn open_or_close_responder(&mut self) {
        if self.responders.len() < 2 {
            let responder = match self.decisions.below(3) {
                0 => Responder::new(),
                most => Responder::new().keep(most - 1, 1000, Duration::from_secs(10)),
            };
            let id = self.with(|engine, _| engine.open_responder(responder));
            self.responders.push(id);
        } else {
            let id = self.responders.remove(0);
            self.with(|engine, _| engine.close_responder(id));
        }
    }

    fn step_by_hand(&mut self) {
        if !self.is_by_hand {
            return;
        }
        match self.decisions.below(3) {
            0 => drop(self.with(|engine, now| engine.answer_challenge(b"said", now))),
            1 => drop(self.with(|engine, now| engine.authenticate_again(b"said", now))),
            _ => self.with(|engine, _| {
                let authentication_data = Some(b"said".to_vec());
                engine.update(ConnectChanges { authentication_data, ..ConnectChanges::default() }).unwrap();
            }),
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the network, the broker and the authenticator do

    fn broker_sends(&mut self, what: impl FnOnce(&mut Broker, &mut Decisions<'_>) -> Vec<u8>) {
        if self.network.is_up && self.broker.is_connected() {
            let bytes = what(&mut self.broker, &mut self.decisions);
            say!(self, "the broker sends {bytes:02x?}");
            self.driver_is_awake |= self.network.arrives(&bytes);
        }
    }

    fn end_network(&mut self, how: usize) {
        say!(self, "the network ends: {how}");
        if self.network.is_up {
            self.driver_is_awake |= self.network.ends(how);
        }
    }

    fn network_flows(&mut self) {
        self.driver_is_awake |= self.network.flows();
    }

    fn dialing_comes_to_something(&mut self) {
        let is_good = !self.decisions.once_in(3);
        match &mut self.attempt {
            Some(attempt) => {
                attempt.fate.get_or_insert(is_good);
                self.driver_is_awake = true;
            }
            // One that was given up before.
            None => {
                let (attempt, now) = (self.last_attempt, self.now);
                if is_good {
                    self.engine.connected(attempt, now);
                } else {
                    self.engine.connect_failed(attempt, unreachable(), now);
                }
                self.driver_is_awake = true;
            }
        }
    }

    fn authenticator_answers(&mut self) {
        if let Some(question) = self.authentication.take() {
            say!(self, "the authenticator answers");
            self.engine.authenticated(question.run(), self.now);
            self.driver_is_awake = true;
        }
    }

    fn authenticator_changes(&mut self) {
        let mood = self.decisions.pick(&[0, 0, 0, 1, 2, 3]);
        self.mood.store(mood, Ordering::Relaxed);
        self.takes_its_time = self.decisions.once_in(2);
        // Not much happens any more behind that.
        if self.decisions.once_in(100) && self.authentication.take().is_some() {
            say!(self, "the authenticator is lost");
            self.is_lost = true;
            self.engine.authenticator_lost(self.now);
            self.driver_is_awake = true;
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Time, and the driver

    fn all_return(&mut self) {
        if self.users_are_away {
            // Answers are looked at now.
            self.last_moved = self.now;
        }
        (self.driver_is_away, self.users_are_away) = (false, false);
        self.driver_is_awake = true;
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

    fn look(&mut self) {
        if !self.engine.session().is_paused() {
            self.paused_since = None;
        } else if !self.calls.is_empty() {
            self.paused_since.get_or_insert(self.now);
        }
        self.check_bounds();
        if self.driver_is_away {
            return;
        }
        let (engine, now) = (&self.engine, self.now);
        assert!(engine.deadline().is_none_or(|deadline| deadline > now), "what was due is done");
        assert_eq!(engine.has_transport(), self.network.is_up, "engine and network agree on the transport");
        assert_eq!(engine.is_dialing(), self.attempt.is_some(), "engine and network agree on the attempt");
        assert!(!engine.is_connected() || engine.require_open().is_ok(), "a connection is not over");
        if self.users_are_away {
            return;
        }
        self.check_calls();
        if self.has_listeners {
            self.check_that_nobody_sleeps_in_vain();
        }
    }

    fn check_bounds(&mut self) {
        let waiting = self.engine.session().transmit().len();
        assert!(waiting <= self.outbound_limit + MOST_WAITING, "{waiting} bytes wait");
        let calls = self.calls.iter().filter(|call| call.running.id().is_some()).count();
        let submitting = self.submitting.iter().filter(|submitting| submitting.call.id().is_some()).count();
        let expected =
            calls + submitting + self.submitted.len() + self.unasked.len() + self.orphans.len() + self.listeners.len();
        // What was asked of the broker is forgotten when it answers.
        let asked = LISTENED.len() + self.broker.asked() + waiting / 6;
        let kept = self.engine.kept();
        assert!(kept <= expected + asked, "{kept} things are kept, for {expected} users and {asked} packets");
    }

    fn check_calls(&self) {
        let now = self.now;
        for call in &self.calls {
            let Asked { name, start, .. } = call;
            match call.kind {
                Kind::Connecting | Kind::Connected => {
                    assert!(self.engine.require_open().is_ok(), "{name} waits for a connection that nobody makes");
                    assert!(!self.engine.is_connected(), "{name} waits for what is there");
                }
                Kind::Disconnecting => {
                    assert!(self.engine.is_closing(), "{name} waits for nothing");
                    assert!(now < *start + CLOSE_TIMEOUT, "{name} ends");
                }
                _ => {}
            }
            let start = if matches!(call.kind, Kind::Batch { .. }) { (*start).max(self.last_moved) } else { *start };
            if let Some(timeout) = call.timeout {
                let since = now.saturating_duration_since(start);
                assert!(since < timeout, "{name} is over in time: {since:?} of {timeout:?}");
            }
        }
        for (place, (_, _, deadline)) in self.submitted.iter().enumerate() {
            assert!(deadline.is_none_or(|deadline| now < deadline), "request {place} is over in time");
        }
        for Submitting { deadline, .. } in &self.submitting {
            assert!(deadline.is_none_or(|deadline| now < deadline), "a request is submitted in time");
        }
    }

    /// Whether the broker takes some messages only.
    fn has_narrow_terms(&self) -> bool {
        let connack = self.engine.connack().unwrap_or_default();
        connack.properties.maximum_qos.is_some() || connack.properties.maximum_packet_size.is_some()
    }

    /// Whoever was not woken has nothing to do: if it polls all the same, nothing comes of that.
    fn check_that_nobody_sleeps_in_vain(&mut self) {
        assert!(!self.driver_is_awake, "all sleep");
        assert!(!self.engine.has_action(), "the driver sleeps, and there is something to do");
        let is_reading = self.engine.has_transport() && {
            let turn = self.engine.turn(self.now);
            let (reads, writes) = (!turn.incoming.is_empty(), !turn.outgoing.is_empty());
            let is_there = reads && !self.network.gives_nothing && !self.network.unread.is_empty();
            // Replies that wait to be sent again may go when their requesters wait no longer, and nothing tells of that.
            is_there || (writes && !self.network.takes_nothing && self.responders.is_empty())
        };
        assert!(!is_reading, "the driver sleeps, and there is something to move");
        for place in 0..self.calls.len() {
            let Asked { name, kind, .. } = self.calls[place];
            // What a request waits for may pass by itself: then there is nobody to reply to any more.
            if matches!(kind, Kind::Replying(_)) {
                continue;
            }
            self.wake();
            if self.calls[place].sleeper.is_woken() {
                // One before it has found out that it waits for something else, and made way.
                self.poll(place);
                return self.settle();
            }
            let before = self.engine.outgoing();
            let is_over = self.poll(place);
            // What can never be sent may fail while it waits for something.
            let is_refused = matches!(self.last_error, Some(Error::Call(_)));
            // So may the messages of a batch that this broker does not take.
            let may_be_refused = matches!(kind, Kind::Batch { .. }) && self.has_narrow_terms();
            assert!(!is_over || is_refused || may_be_refused, "{name} sleeps, and is over: {:?}", self.last_error);
            if is_over {
                return self.settle();
            }
            // A request may subscribe to its Response Topic while it waits for something else, and what is asked for a listener
            // takes less room once that is closed.
            let has_sent = self.engine.outgoing() != before;
            assert!(
                !has_sent || matches!(kind, Kind::Requesting) || name == "listen" || may_be_refused,
                "{name} sleeps, and what it waits for is there"
            );
        }
        for listener in &mut self.listeners {
            if !listener.waits {
                continue;
            }
            let taken =
                self.engine
                    .take_message(listener.id, &mut listener.more, Some(&listener.sleeper.waker), &mut || self.now);
            assert!(taken.is_none(), "a listener sleeps, and there is a message: {taken:?}");
            let is_over = self.engine.require_open().is_err();
            assert!(!is_over || listener.knows_end, "a listener sleeps, and no more will come");
        }
        // The polls above may have the driver look once more.
        self.settle();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // The end

    /// Everything behaves from now on: every call ends, and a client that connects is as good as new.
    fn come_to_rest(&mut self) {
        say!(self, "calm");
        self.decisions.calm_down();
        self.mood.store(0, Ordering::Relaxed);
        self.takes_its_time = false;
        self.all_return();
        self.network_flows();
        self.authenticator_answers();
        if let Some(attempt) = &mut self.attempt {
            attempt.fate.get_or_insert(true);
        }
        self.rest_for(Duration::from_secs(120));
        for place in (0..self.calls.len()).rev() {
            // What nobody answers and what has all the time there is.
            self.cancel_this(place);
        }
        self.submitting
            .drain(..)
            .filter_map(|submitting| submitting.call.id())
            .for_each(|id| drop(self.engine.cancel(id, self.now)));
        self.orphans.extend(self.unasked.drain(..).map(|(_, deadline)| deadline));
        for (id, _, _) in std::mem::take(&mut self.submitted) {
            self.with(|engine, now| engine.cancel(id, now));
        }
        if !self.is_by_hand {
            self.connect();
            self.rest_for(Duration::from_secs(60));
            if self.is_lost {
                let over = self.engine.require_open();
                assert!(matches!(over, Err(Error::Authentication(_))), "no connection without it: {over:?}");
            } else {
                assert!(self.engine.is_connected(), "a broker that behaves is connected to");
                self.check_that_it_is_as_good_as_new();
            }
        }
        self.stop();
    }

    fn rest_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            self.take_all();
            self.look();
            let Some(next) = self.engine.deadline().filter(|next| *next <= end) else { break };
            self.advance(next);
        }
        self.advance(end);
        self.settle();
        self.look();
    }

    fn take_all(&mut self) {
        loop {
            let mut has_any = false;
            if self.has_listeners {
                for place in 0..self.listeners.len() {
                    has_any |= self.take_from(place, usize::MAX);
                }
            } else {
                while self.with(|engine, _| engine.receive().is_some()) {
                    has_any = true;
                }
            }
            while !self.held.is_empty() {
                self.acknowledge();
            }
            while !self.to_answer.is_empty() {
                self.answer_request();
            }
            self.settle();
            if !has_any {
                return;
            }
        }
    }

    fn check_that_it_is_as_good_as_new(&mut self) {
        let timeout = self.response_timeout;
        let calls = self.calls.len();
        assert_eq!(calls, 0, "{} is over", self.calls[0].name);
        for place in [0, 4, 8] {
            self.must_be_done("publish", timeout, Publishing(&MESSAGES[place]));
        }
        let subscribing =
            Subscribing { subscriptions: &SUBSCRIPTIONS[..1], properties: SubscribeProperties::default() };
        self.must_be_done("subscribe", timeout, subscribing);
        while let Some(listener) = self.listeners.len().checked_sub(1) {
            self.close_listener(listener);
        }
        self.rest_for(Duration::ZERO);
        // What nobody asked for goes when the next request comes.
        let owner = Arc::new(());
        let mut call = Call::new(Requesting { request: &MESSAGES[0], timeout, nonce: 0 });
        if let Poll::Ready(Ok(id)) = self.with(|engine, now| engine.poll_submitted(&mut call, &owner, &mut || now)) {
            self.engine.cancel(id, self.now);
        } else if let Some(id) = call.id() {
            self.engine.cancel(id, self.now);
        }
        let now = self.now;
        self.orphans.retain(|deadline| deadline.is_none_or(|deadline| deadline > now));
        let orphans = self.orphans.len();
        assert!(self.engine.kept() <= orphans, "{} things are kept, {orphans} of them by design", self.engine.kept());
    }

    fn must_be_done<O: Operation + 'a>(&mut self, name: &'static str, timeout: Duration, operation: O)
    where
        O::Output: Into<Came>,
    {
        let refused = self.engine.stats().refused;
        self.ask(name, Kind::Usual, timeout, operation);
        self.settle();
        self.take_all();
        assert!(self.calls.is_empty(), "{name} is done");
        assert_eq!(self.engine.stats().refused, refused, "{name} is done");
    }

    /// The driver is gone.
    fn stop(&mut self) {
        self.ask("next event", Kind::Event, EVER, NextEvent { timeout: EVER });
        self.ask("publish", Kind::Usual, self.response_timeout, Publishing(&MESSAGES[4]));
        self.ask("wait for connection", Kind::Connected, EVER, Connected);
        self.engine.stop(Error::Stopped);
        self.network.close();
        self.attempt = None;
        while self.engine.poll_action(self.now).is_some() {}
        self.driver_is_away = true;
        let mut events = 0;
        while self.with(|engine, now| engine.take_event(now)).is_some() {
            events += 1;
        }
        assert!(events <= MOST_EVENTS, "{events} events");
        self.wake();
        self.settle();
        if self.has_listeners {
            // Events may have been taken before the one who waits for them.
            self.with(Engine::catch_up);
            self.settle();
        }
        let left: Vec<_> = self.calls.iter().map(|call| call.name).collect();
        assert!(left.is_empty(), "all calls are over: {left:?}");
        assert_eq!(self.engine.require_open(), Err(Error::Stopped));
        self.ask("publish", Kind::Usual, self.response_timeout, Publishing(&MESSAGES[0]));
        self.ask("wait for connection", Kind::Connected, EVER, Connected);
        assert!(self.calls.is_empty(), "all that comes is over too");
        if self.has_url {
            let result = self.engine.poll_call(&mut Call::new(Connecting), None, &mut || start());
            assert_eq!(result, Poll::Ready(Err(Error::Stopped)), "no connection is made any more");
        }
    }
}

fn unreachable() -> Error {
    Error::Transport(TransportError { kind: TransportErrorKind::Unreachable, message: String::new() })
}
