//! A client: an engine, what drives it over the network by its own clock, and a user who publishes, subscribes, receives,
//! gives up, renews credentials, sleeps, and ends without notice.

mod user;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use mqtt_wasi::codec::{Disconnect, Publish, QoS, ReasonCode};
use mqtt_wasi::engine::{Action, Authentication, Engine, Held, ListenerId, Publishing};
use mqtt_wasi::session::{Delivery, Snapshot};
use mqtt_wasi::transport::Transferred;
use mqtt_wasi::{Authenticator, Error, Instant, Options, Reconnect, TransportError, TransportErrorKind};

use crate::arena::Arena;
use crate::broker::Broker;
use crate::calls::{Bell, Running};
use crate::clock::{Clock, Moment};
use crate::ledger::Key;
use crate::link::{LinkId, NEVER, Read};
use crate::world::{HOSTS, Surroundings};

/// The Authentication Method of the clients that have one.
pub(crate) const METHOD: &str = "TOKEN";

/// What is subscribed to; the last one is refused.
const FILTERS: [&str; 5] = ["t/#", "t/+/a/+", "t/0/#", "t/1/b/2", "refused/a"];

/// As many calls are under way at the most.
const MOST_CALLS: usize = 12;

/// Far more rounds than anything takes.
const MOST_ROUNDS: usize = 20_000;

/// What may wait to be sent beside what the outbound limit bounds: one packet, and four bytes for each message that the
/// broker has sent and that is acknowledged.
const MOST_WAITING: usize = 20_000;

/// As many subscriptions wait for an answer at the most, since links do not stall for ever.
const MOST_UNANSWERED: usize = 100;

/// The last bytes of a connection have so long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

static NORMAL: LazyLock<Disconnect<'static>> = LazyLock::new(|| Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));

/// What calls borrow.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) texts: &'a Arena<String>,
    pub(crate) messages: &'a Arena<Publish<'a>>,
}

impl<'a> Kept<'a> {
    pub(crate) fn texts() -> Arena<String> {
        Arena::new(50_000)
    }

    pub(crate) fn messages() -> Arena<Publish<'a>> {
        Arena::new(50_000)
    }
}

/// What is the same in each process of a client.
#[derive(Clone)]
struct Setup {
    options: Options,
    has_listeners: bool,
    acknowledges_by_hand: bool,
    has_authenticator: bool,
    gives_up: bool,
    inbox: usize,
    outbound_limit: usize,
    in_flight_limit: u16,
    response_timeout: Duration,
    connect_timeout: Duration,
}

/// Credentials, which whoever asks for them gets as they are now.
#[derive(Clone)]
struct Token(Arc<Mutex<Vec<u8>>>);

impl Token {
    fn get(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Authenticator for Token {
    fn method(&self) -> &str {
        METHOD
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.get()))
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        Ok(self.get())
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// Somebody who waits.
struct Sleeper {
    bell: Arc<Bell>,
    waker: Waker,
    heard: usize,
}

impl Sleeper {
    fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        // The first time nobody wakes it.
        Self { bell, waker, heard: usize::MAX }
    }

    /// Whether it was woken since the last time.
    fn wakes(&mut self) -> bool {
        let rings = self.bell.rings();
        std::mem::replace(&mut self.heard, rings) != rings
    }
}

/// What a call is about.
#[derive(Debug, Clone)]
enum What {
    Publish(Key),
    Enqueue(Key),
    Batch(Vec<Key>),
    Flush,
    Subscribe(&'static str),
    Unsubscribe(&'static str),
    Authenticate,
    Connect,
    Disconnect,
    Event(Duration),
}

struct Asked<'a> {
    what: What,
    running: Box<dyn Running + 'a>,
    sleeper: Sleeper,
    start: Instant,
}

/// An attempt to connect that is under way.
struct Attempt {
    number: u64,
    host: usize,
    until: Instant,
    /// When what comes of it, and whether that is a connection.
    comes: Moment,
    is_good: bool,
}

pub(crate) struct Client<'a> {
    id: usize,
    kept: Kept<'a>,
    setup: Setup,
    engine: Engine,
    clock: Clock,
    token: Token,
    token_expires: Moment,

    attempt: Option<Attempt>,
    last_attempt: u64,
    link: Option<LinkId>,
    /// Whether what comes is read.
    reads: bool,
    authentication: Option<(Moment, Authentication)>,
    woken: Vec<Waker>,
    /// Until when nothing of it runs; how fast its clock goes then, if that stands still.
    asleep: Option<(Moment, Option<u128>)>,
    /// When its time went wrong last.
    went_wrong: Instant,

    calls: Vec<Asked<'a>>,
    listener: Option<(ListenerId, Sleeper)>,
    more: Held,
    /// To be acknowledged; what is at QoS 2 counts only then.
    held: VecDeque<(Delivery, Option<Key>)>,
    acts_at: Moment,
    /// Until when its user takes no messages.
    busy_until: Option<Moment>,
    connects_at: Option<Moment>,
    /// Filters that the broker has granted and not lost; `false` where a call failed and either may be.
    subscribed: BTreeMap<&'static str, bool>,
    /// When bytes moved last, and how many had then.
    last_moved: Instant,
    moved: [u64; 4],
    is_calm: bool,
    disconnects: usize,
    disconnects_before: usize,
}

impl<'a> Client<'a> {
    pub(crate) fn new(id: usize, kept: Kept<'a>, s: &mut Surroundings) -> Self {
        let clock = Clock::new(s.now, s.random.pick(&[0, 50, -50, 20_000, -20_000]));
        let token = Token(Arc::new(Mutex::new(Vec::new())));
        let setup = Setup::new(id, &token, s);
        let engine = setup.engine(None, &token.get(), s);
        let now = clock.read(s.now);
        let mut client = Self {
            id,
            kept,
            setup,
            engine,
            clock,
            token,
            token_expires: Moment::ZERO,
            attempt: None,
            last_attempt: 0,
            link: None,
            reads: false,
            authentication: None,
            woken: Vec::new(),
            asleep: None,
            went_wrong: now,
            calls: Vec::new(),
            listener: None,
            more: Held::default(),
            held: VecDeque::new(),
            acts_at: s.now,
            busy_until: None,
            connects_at: Some(s.now),
            subscribed: BTreeMap::new(),
            last_moved: now,
            moved: [0; 4],
            is_calm: false,
            disconnects: 0,
            disconnects_before: 0,
        };
        client.renew_token(s);
        client.listen(s);
        client
    }

    fn say(&self, s: &Surroundings, what: impl FnOnce() -> String) {
        s.say(|| format!("{}  {} at {:?}", self.id, what(), self.now(s)));
    }

    fn now(&self, s: &Surroundings) -> Instant {
        self.clock.read(s.now)
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What happens to it

    /// When there is something to do.
    pub(crate) fn next(&self, s: &Surroundings) -> Moment {
        if let Some((until, _)) = self.asleep {
            return until;
        }
        let deadline = self.engine.deadline().and_then(|deadline| self.clock.when(deadline));
        let attempt = self.attempt.as_ref().map(|attempt| attempt.comes);
        let until = self.attempt.as_ref().and_then(|attempt| self.clock.when(attempt.until));
        let authentication = self.authentication.as_ref().map(|(at, _)| *at);
        let link = self.link.map(|link| s.network.peek(link));
        let arrives = link.filter(|_| self.reads).and_then(|link| link.down.next());
        let has_room = link.is_some_and(|link| link.up.room() > 0);
        let writes = (has_room && self.engine.has_more_to_write()).then_some(s.now);
        [deadline, attempt, until, authentication, arrives, writes, self.busy_until]
            .into_iter()
            .flatten()
            .fold(self.acts_at, Moment::min)
    }

    /// Does what there is to do.
    pub(crate) fn run(&mut self, s: &mut Surroundings) {
        if let Some((until, speed)) = self.asleep {
            if until > s.now {
                return;
            }
            self.asleep = None;
            if let Some(speed) = speed {
                self.clock.go(s.now, speed);
            }
            self.went_wrong = self.now(s);
            self.say(s, || "awake".into());
        }
        self.busy_until = self.busy_until.filter(|until| *until > s.now);
        if self.acts_at <= s.now {
            self.act(s);
            self.acts_at = s.now + s.random.mostly_short(30_000);
        }
        self.settle(s);
        self.check(s);
    }

    /// Its clock jumps, or its process or its machine stands still for a while.
    pub(crate) fn time_goes_wrong(&mut self, s: &mut Surroundings) {
        if self.asleep.is_some() {
            return;
        }
        let short = s.random.mostly_short(600_000);
        match s.random.below(4) {
            0 => {
                let by = s.random.mostly_short(7_200_000);
                self.say(s, || format!("its clock jumps {by:?} ahead"));
                self.clock.jump_ahead(s.now, by);
            }
            1 => {
                let by = s.random.mostly_short(5_000);
                self.say(s, || format!("its clock jumps {by:?} back"));
                self.clock.jump_back(s.now, by);
            }
            2 => {
                self.say(s, || format!("its process stands still for {short:?}"));
                self.asleep = Some((s.now + short, None));
            }
            _ => {
                self.say(s, || format!("its machine sleeps for {short:?}"));
                self.asleep = Some((s.now + short, Some(self.clock.stop(s.now))));
            }
        }
        self.went_wrong = self.now(s);
        if self.asleep.is_none() {
            self.settle(s);
            self.check(s);
        }
    }

    /// Its process ends; another one continues its session, if the one before has kept it.
    pub(crate) fn crash(&mut self, s: &mut Surroundings) {
        if self.asleep.is_some() {
            return;
        }
        s.ledger.tally.crashes += 1;
        let is_kept = !s.random.once_in(4);
        self.say(s, || format!("it ends, and its session is kept: {is_kept}"));
        for asked in std::mem::take(&mut self.calls) {
            self.ends(&asked.what);
        }
        if let Some(link) = self.link.take() {
            s.network.reset(link, s.now, s.random);
            s.network.client_closes(link, s.now);
        }
        let snapshot = is_kept.then(|| Snapshot::from_bytes(&self.engine.session().snapshot()).expect("a snapshot"));
        if !is_kept {
            s.ledger.forget(self.id);
            self.subscribed.clear();
        }
        self.engine = self.setup.engine(snapshot, &self.token.get(), s);
        (self.attempt, self.authentication, self.last_attempt) = (None, None, 0);
        (self.more, self.moved, self.reads) = (Held::default(), [0; 4], false);
        self.held.clear();
        self.listen(s);
        self.connects_at = Some(s.now + s.random.mostly_short(60_000));
        self.settle(s);
    }

    pub(crate) fn calm_down(&mut self, s: &mut Surroundings) {
        self.is_calm = true;
        if let Some((until, _)) = &mut self.asleep {
            *until = s.now;
        }
        self.busy_until = None;
        self.acts_at = s.now;
        if let Some((at, _)) = &mut self.authentication {
            *at = s.now;
        }
        self.renew_token(s);
    }

    /// From now on nothing must happen that does not have to.
    pub(crate) fn begin_rest(&mut self, s: &mut Surroundings) {
        self.disconnects_before = self.disconnects;
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (key, message) = self.message("a", qos, 20, s);
            self.ask(What::Publish(key), Publishing(message), s);
        }
        self.settle(s);
    }

    /// Everything has come to rest.
    pub(crate) fn check_rest(&mut self, broker: &Broker, s: &mut Surroundings) {
        let id = self.id;
        assert!(self.engine.is_connected(), "client {id} is connected: {:?}", self.engine.require_open());
        assert_eq!(self.disconnects, self.disconnects_before, "client {id} stays connected");
        let left: Vec<_> = self.calls.iter().map(|call| call.what.clone()).collect();
        assert!(left.is_empty(), "all calls of client {id} are over: {left:?}");
        assert_eq!((self.engine.session().in_flight(), self.engine.outgoing()), (0, 0), "client {id} is at rest");
        assert_eq!(broker.undelivered(id), 0, "client {id} has all that the broker has for it");
        assert_eq!(self.engine.kept(), usize::from(self.listener.is_some()), "client {id} keeps nothing");
        for (filter, _) in self.subscribed.iter().filter(|(_, is_known)| **is_known) {
            assert!(broker.has_subscription(id, filter), "client {id} is subscribed to {filter}");
        }
        self.say(s, || format!("rests: {:?}", self.engine.stats()));
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What its user does

    /// Does the engine's rule until nothing comes of it.
    fn settle(&mut self, s: &mut Surroundings) {
        for _ in 0..MOST_ROUNDS {
            let before = self.engine.outgoing();
            if self.is_calm {
                self.acknowledge(s);
            }
            let mut goes_on = self.attempt_ends(s);
            goes_on |= self.carry_out(s);
            goes_on |= self.turn(s);
            self.engine.take_woken(&mut self.woken);
            goes_on |= !self.woken.is_empty();
            self.woken.drain(..).for_each(Waker::wake);
            goes_on |= self.poll_calls(s);
            goes_on |= self.take_messages(s);
            let has_events = !self.calls.iter().any(|call| matches!(call.what, What::Event(_)));
            while has_events && let Some(event) = self.engine.take_event(self.now(s)) {
                goes_on = true;
                self.note(&event, s);
            }
            if !goes_on && !self.engine.has_action() && self.engine.outgoing() == before {
                return;
            }
        }
        panic!("client {} does not come to rest: {:?}", self.id, self.engine);
    }

    fn attempt_ends(&mut self, s: &mut Surroundings) -> bool {
        let now = self.now(s);
        let mut has_any = false;
        if let Some((_, question)) = self.authentication.take_if(|(at, _)| *at <= s.now) {
            self.engine.authenticated(question.run(), now);
            has_any = true;
        }
        let Some(attempt) = self.attempt.take_if(|attempt| attempt.comes <= s.now || attempt.until <= now) else {
            return has_any;
        };
        let is_good = attempt.is_good && attempt.comes <= s.now;
        self.say(s, || format!("attempt {} comes to an end: {is_good}", attempt.number));
        if is_good {
            let link = s.network.connect(self.id, attempt.host, s.random);
            self.say(s, || format!("has link {link} to host {}", attempt.host));
            self.link = Some(link);
            self.reads = true;
            self.engine.connected(attempt.number, now);
        } else {
            let kind = match attempt.until <= now {
                true => TransportErrorKind::ConnectTimeout,
                false => TransportErrorKind::ConnectionRefused,
            };
            let error = TransportError { kind, message: String::new() };
            self.engine.connect_failed(attempt.number, error.into(), now);
        }
        true
    }

    fn carry_out(&mut self, s: &mut Surroundings) -> bool {
        let mut has_any = false;
        while let Some(action) = self.engine.poll_action(self.now(s)) {
            has_any = true;
            match action {
                Action::Connect { attempt, url, until } => {
                    assert!(self.link.is_none(), "the last transport is closed before there is another");
                    assert!(until > self.now(s), "an attempt has some time");
                    // One that was given up comes to something all the same.
                    if self.last_attempt > 0 && s.random.once_in(4) {
                        self.engine.connected(self.last_attempt, self.now(s));
                    }
                    let host = HOSTS.iter().position(|host| *host == url.host).expect("a host of this world");
                    let is_good = self.is_calm || s.random.below(10) < 8;
                    let hangs = !self.is_calm && s.random.once_in(10);
                    let comes = if hangs { NEVER } else { s.now + s.random.mostly_short(3_000) };
                    self.say(s, || format!("dials {host} as attempt {attempt}"));
                    self.attempt = Some(Attempt { number: attempt, host, until, comes, is_good });
                    self.last_attempt = attempt;
                }
                Action::Close => {
                    self.say(s, || "closes".into());
                    self.attempt = None;
                    if let Some(link) = self.link.take() {
                        s.network.client_closes(link, s.now);
                    }
                }
                Action::Authenticate(question) => {
                    assert!(self.authentication.is_none(), "there is one authenticator");
                    let at = s.now + if self.is_calm { Duration::ZERO } else { s.random.mostly_short(4_000) };
                    self.authentication = Some((at, question));
                }
                other => panic!("what is {other:?}?"),
            }
        }
        has_any
    }

    /// Moves bytes, or does what is due; whether anything came of it.
    fn turn(&mut self, s: &mut Surroundings) -> bool {
        let now = self.now(s);
        if !self.engine.has_transport() {
            let is_due = self.engine.deadline().is_some_and(|deadline| now >= deadline);
            if is_due {
                self.engine.handle_timeout(now);
            }
            return is_due;
        }
        let link = s.network.get(self.link.expect("the engine has a transport that is there"));
        let turn = self.engine.turn(now);
        let is_late = turn.until.is_some_and(|until| now >= until);
        let mut sent = turn.outgoing.len().min(link.up.room());
        if sent > 1 && s.random.once_in(8) {
            sent = 1 + s.random.below(sent as u64) as usize;
        }
        let outgoing = turn.outgoing[..sent].to_vec();
        self.reads = !turn.incoming.is_empty();
        let read = if self.reads { link.down.read(turn.incoming.len(), s.now, s.random) } else { None };
        let moved = match read {
            None => Ok(Transferred { sent, ..Transferred::default() }),
            Some(Read::Closed) => Ok(Transferred { sent, closed: true, ..Transferred::default() }),
            Some(Read::Bytes(bytes)) => {
                turn.incoming[..bytes.len()].copy_from_slice(&bytes);
                Ok(Transferred { sent, received: bytes.len(), closed: false })
            }
            Some(Read::Reset) => {
                Err(TransportError { kind: TransportErrorKind::ConnectionReset, message: String::new() })
            }
        };
        let has_moved = moved.as_ref().map_or(true, |moved| *moved != Transferred::default());
        if moved.is_ok() {
            link.up.send(outgoing, s.now, s.random);
        }
        let has_failed = moved.is_err();
        self.engine.turned(moved, now);
        if self.listener.is_none() {
            // As whoever waits for the next message does.
            self.engine.catch_up(now);
        }
        let stats = self.engine.stats();
        let moved = [stats.bytes_received, stats.bytes_sent, stats.packets_received, stats.packets_sent];
        if moved != self.moved {
            (self.moved, self.last_moved) = (moved, now);
        }
        has_moved || is_late || has_failed || self.engine.has_more_to_read()
    }

    /// Polls whoever has a reason to; whether any call ended or was woken.
    fn poll_calls(&mut self, s: &mut Surroundings) -> bool {
        let mut goes_on = false;
        let mut place = 0;
        while let Some(call) = self.calls.get_mut(place) {
            let is_woken = call.sleeper.wakes();
            if self.listener.is_some() && !is_woken {
                place += 1;
                continue;
            }
            goes_on |= is_woken;
            let now = self.clock.read(s.now);
            let waker = self.listener.is_some().then_some(&call.sleeper.waker);
            let before = self.engine.outgoing();
            let polled = call.running.poll(&mut self.engine, waker, now);
            self.note_accepted(before, s);
            match polled {
                Poll::Pending => place += 1,
                Poll::Ready(result) => {
                    goes_on = true;
                    let asked = self.calls.remove(place);
                    self.say(s, || format!("{:?} is over: {:?}", asked.what, result.as_ref().map(|_| ())));
                    self.came(&asked.what, result, s);
                }
            }
        }
        goes_on
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What holds whenever all is at rest

    fn check(&self, s: &Surroundings) {
        let (id, now, engine) = (self.id, self.now(s), &self.engine);
        assert!(engine.deadline().is_none_or(|deadline| deadline > now), "client {id} does what is due");
        assert_eq!(engine.has_transport(), self.link.is_some(), "client {id} knows of its transport");
        assert_eq!(engine.is_dialing(), self.attempt.is_some(), "client {id} knows of its attempt");
        let (waiting, most) = (engine.outgoing(), self.setup.outbound_limit + MOST_WAITING);
        assert!(waiting <= most, "{waiting} bytes of client {id} wait, and {most} may");
        let (in_flight, most) = (engine.session().in_flight(), usize::from(self.setup.in_flight_limit));
        assert!(in_flight <= most, "{in_flight} messages of client {id} are in flight, and {most} may be");
        let calls = self.calls.iter().filter(|call| call.running.id().is_some()).count();
        let most = calls + usize::from(self.listener.is_some()) + MOST_UNANSWERED;
        assert!(engine.kept() <= most, "client {id} keeps {} things for {calls} calls", engine.kept());
        for Asked { what, start, .. } in &self.calls {
            let (start, timeout) = match what {
                What::Event(timeout) => (*start, *timeout),
                What::Batch(_) => ((*start).max(self.last_moved), self.setup.response_timeout),
                // To close the last one, and then each host and each one that it refers to, twice for the time to connect.
                What::Connect => {
                    let each = self.setup.connect_timeout * 2;
                    ((*start).max(self.went_wrong), CLOSE_TIMEOUT + each * 6)
                }
                What::Disconnect => (*start, CLOSE_TIMEOUT),
                _ => (*start, self.setup.response_timeout),
            };
            let since = now.saturating_duration_since(start);
            assert!(since < timeout, "{what:?} of client {id} is over in time: {since:?} of {timeout:?}");
        }
    }
}

/// The model broker breaks no rule, so no client must say so.
fn check_error(error: &Error) {
    let is_blame = matches!(error, Error::Protocol(_) | Error::Malformed(_) | Error::NotMqtt(_) | Error::Mqtt3Only);
    assert!(!is_blame, "the broker did nothing wrong: {error}");
}

impl Setup {
    fn new(id: usize, token: &Token, s: &mut Surroundings) -> Self {
        let random = &mut *s.random;
        let has_authenticator = random.once_in(3);
        let gives_up = random.once_in(3);
        let (outbound_limit, in_flight_limit) = (random.pick(&[1 << 20, 2_000, 300]), random.pick(&[1_024, 1, 8]));
        let response_timeout = Duration::from_secs(random.pick(&[30, 5]));
        let connect_timeout = Duration::from_secs(random.pick(&[10, 4]));
        let mut options = Options::new()
            .client_id(format!("c{id}"))
            .keep_alive(random.pick(&[0, 10, 60]))
            .session_expiry_interval(random.pick(&[3_600, u32::MAX, 60, 0]))
            .restore_subscriptions(!random.once_in(4))
            .receive_maximum(random.pick(&[u16::MAX, 1, 5]))
            .topic_alias_maximum(random.pick(&[0, 2]))
            .outbound_topic_aliases(random.pick(&[0, 2]))
            .backlog_limit(random.pick(&[4 << 20, 0, 2_000]))
            .in_flight_limit(in_flight_limit)
            .outbound_limit(outbound_limit)
            .connect_timeout(connect_timeout)
            .response_timeout(response_timeout)
            .fallback("mqtt://b");
        if !random.once_in(4) {
            let first_delay = Duration::from_millis(random.pick(&[1_000, 10]));
            let longest_delay = Duration::from_secs(random.pick(&[60, 5]));
            let attempts = random.pick(&[None, None, Some(3)]);
            options = options.reconnect(Reconnect { first_delay, longest_delay, attempts, ..Reconnect::default() });
        }
        if gives_up {
            options = options.attempts_per_message(random.pick(&[1, 3]));
        }
        if has_authenticator {
            options = options.authenticator(token.clone());
        }
        Self {
            options,
            has_listeners: random.once_in(2),
            acknowledges_by_hand: random.once_in(3),
            has_authenticator,
            gives_up,
            inbox: random.pick(&[1, 20, 1_000]),
            outbound_limit,
            in_flight_limit,
            response_timeout,
            connect_timeout,
        }
    }

    fn engine(&self, snapshot: Option<Snapshot>, token: &[u8], s: &mut Surroundings) -> Engine {
        let mut options = self.options.clone();
        if !self.has_authenticator {
            options = options.password(token);
        }
        if let Some(snapshot) = snapshot {
            options = options.resume(snapshot);
        }
        let mut engine = Engine::new(Some("mqtt://a"), options, s.random.next()).expect("good options");
        if self.has_listeners {
            engine.deliver_to_listeners();
        }
        engine
    }
}
