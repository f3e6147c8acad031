//! Tells a story between an engine, its users, a network and a broker that do what the story says, under virtual time.
//!
//! Each move is followed by what any driver of an engine does: actions are carried out, bytes move both ways, who was
//! woken polls. Where messages go to listeners, a call is polled when it was woken and never else, as in an async program;
//! where they are taken one by one, every call is polled after each turn, as in a blocking one. What the client sent, whom
//! it dialed and how calls ended is kept until the story tells of it, and a story that leaves something untold fails. After
//! each move, whatever the story, the invariants of [`Scenario::check`] hold.
//!
//! ```text
//! let mut s = Scenario::connected(Mode::Listeners);
//! let message = s.publish(QoS::AtLeastOnce, "a", "1");
//! s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
//! s.broker_sends(puback(1));
//! s.expect_published(message);
//! ```

mod expect;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use mqtt_wasi::codec::{
    ConnackProperties, Disconnect, Packet, PacketType, Publish, QoS, ReasonCode, SubscribeProperties, Subscription,
    UnsubscribeProperties,
};
use mqtt_wasi::engine::{
    Action, Authenticating, Authentication, Call, Connected, Connecting, Disconnecting, Engine, Flushing, Held,
    ListenerId, Listening, NextEvent, Operation, Overflow, Publishing, PublishingAll, Replying, Requesting,
    ResponderId, Subscribing, Taken, Unsubscribing,
};
use mqtt_wasi::transport::Transferred;
use mqtt_wasi::{BrokerUrl, Error, Instant, Options, Reply, Request, TransportError, TransportErrorKind};

use crate::calls::{Bell, Came, Running};
use crate::packets::{bytes, connack, puback, pubcomp, pubrec, suback, unsuback};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const EVER: Duration = Duration::MAX;

/// Far more turns than any move of a story takes.
const MOST_TURNS: usize = 50_000;

/// How messages reach the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are taken one by one, and calls are polled after each turn.
    OneByOne,
    /// They are taken one by one beside other calls, and calls are polled when they are woken.
    AtOnce,
    /// They go to listeners, and calls are polled when they are woken.
    Listeners,
}

pub(crate) const ALL: [Mode; 3] = [Mode::OneByOne, Mode::AtOnce, Mode::Listeners];

/// What an attempt to connect comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    /// To nothing, until its time is up or the story says what.
    Hangs,
    Succeeds,
    Fails,
}

/// What goes on while the story looks away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) dial: Dial,
    /// Whether the broker takes each connection, without a session.
    pub(crate) takes_connections: bool,
    /// Whether it answers what it is sent.
    pub(crate) answers: bool,
    /// It closes the connection when this comes.
    pub(crate) closes_at: Option<PacketType>,
}

impl Habits {
    pub(crate) const GOOD: Self =
        Self { dial: Dial::Succeeds, takes_connections: true, answers: true, closes_at: None };
}

/// A call that the story has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked(usize);

struct Told {
    /// `None` once it is over, or was cancelled.
    running: Option<Box<dyn Running>>,
    bell: Arc<Bell>,
    waker: Waker,
    /// How many of the rings its user has heard.
    heard: usize,
    was_polled: bool,
    /// What it came to, until the story tells of it.
    came: Option<Result<Came, Error>>,
}

/// An attempt to connect that is under way.
#[derive(Debug, Clone)]
struct Attempt {
    number: u64,
    until: Instant,
}

pub(crate) struct Scenario {
    pub(crate) engine: Engine,
    mode: Mode,
    now: Instant,
    calls: Vec<Told>,
    woken: Vec<Waker>,
    /// Whether users do something else, and poll nothing.
    users_are_away: bool,
    /// Whether the driver does something else, and neither moves bytes nor tells the time.
    driver_is_away: bool,

    attempt: Option<Attempt>,
    /// The number of the attempt that was under way last.
    last_attempt: u64,
    /// Attempts that the story has not told of.
    dials: VecDeque<String>,
    /// When there was one, whoever told of it.
    pub(crate) dialed: Vec<Instant>,
    /// How many attempts the engine gave up, and how many transports it closed, that the story has not told of.
    given_up: usize,
    closed: usize,

    is_up: bool,
    /// What the broker sent and the client has not read.
    unread: VecDeque<u8>,
    /// Whether the broker closed the connection behind that.
    is_closed: bool,
    /// What the transport fails with from now on.
    broken: Option<TransportError>,
    /// How many more bytes of the client the network takes.
    takes: usize,
    partial: Vec<u8>,
    /// Packets that the client sent and the story has not told of.
    sent: VecDeque<Vec<u8>>,
    habits: Option<Habits>,

    /// Whether what the authenticator is asked waits until the story says so.
    holds_authentication: bool,
    pub(crate) authentication: Option<Authentication>,

    nonce: u64,
    leaves_untold: bool,
}

/// Who the stories are about. There are no pings in between.
pub(crate) fn options() -> Options {
    Options::new().client_id("c").keep_alive(0)
}

/// Keeps something for the rest of the process, so that calls can borrow it.
pub(crate) fn kept<T: ?Sized>(thing: impl Into<Box<T>>) -> &'static T {
    Box::leak(thing.into())
}

/// A message that calls can borrow.
pub(crate) fn a_message(qos: QoS, topic: &str, payload: &str) -> Publish<'static> {
    Publish::new(kept::<str>(topic), kept::<str>(payload)).qos(qos)
}

pub(crate) fn transport_failed(kind: TransportErrorKind) -> Error {
    Error::Transport(TransportError { kind, message: String::new() })
}

/// What attempts fail with that the story says no more of.
pub(crate) fn unreachable() -> Error {
    transport_failed(TransportErrorKind::Unreachable)
}

impl Scenario {
    /// A client of `mqtt://a` that was not told to connect.
    pub(crate) fn new(mode: Mode, options: Options) -> Self {
        Self::of(mode, Some("mqtt://a"), options)
    }

    pub(crate) fn of(mode: Mode, url: Option<&str>, options: Options) -> Self {
        let mut engine = Engine::new(url, options, 7).expect("a good URL and good options");
        match mode {
            Mode::OneByOne => {}
            Mode::AtOnce => engine.allow_calls_at_once(),
            Mode::Listeners => engine.deliver_to_listeners(),
        }
        Self {
            engine,
            mode,
            // Any time but zero, which would hide that it is not set.
            now: Instant::ZERO + Duration::from_secs(1_000_000),
            calls: Vec::new(),
            woken: Vec::new(),
            users_are_away: false,
            driver_is_away: false,
            attempt: None,
            last_attempt: 0,
            dials: VecDeque::new(),
            dialed: Vec::new(),
            given_up: 0,
            closed: 0,
            is_up: false,
            unread: VecDeque::new(),
            is_closed: false,
            broken: None,
            takes: usize::MAX,
            partial: Vec::new(),
            sent: VecDeque::new(),
            habits: None,
            holds_authentication: false,
            authentication: None,
            nonce: 0,
            leaves_untold: false,
        }
    }

    /// A client with the usual options whose broker has taken the connection.
    pub(crate) fn connected(mode: Mode) -> Self {
        Self::connected_with(mode, options(), ConnackProperties::default())
    }

    /// A client with these options whose broker has taken the connection on these terms.
    pub(crate) fn connected_with(mode: Mode, options: Options, terms: ConnackProperties<'_>) -> Self {
        let mut s = Self::new(mode, options);
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, terms);
        s.expect_connected(connecting, false);
        s
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What users do

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Makes a call.
    pub(crate) fn ask<O: Operation + 'static>(&mut self, operation: O) -> Asked
    where
        O::Output: Into<Came>,
    {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let running: Option<Box<dyn Running>> = Some(Box::new(Call::new(operation)));
        self.calls.push(Told { running, bell, waker, heard: 0, was_polled: false, came: None });
        // The first time it is polled by whoever makes it, wherever the others are.
        let asked = Asked(self.calls.len() - 1);
        self.poll(asked.0);
        self.wake();
        self.settle();
        asked
    }

    /// The number of a call that is under way.
    #[cfg(feature = "stream")]
    pub(crate) fn call_id(&self, asked: Asked) -> Option<mqtt_wasi::engine::CallId> {
        self.calls[asked.0].running.as_ref().and_then(|running| running.id())
    }

    pub(crate) fn connect(&mut self) -> Asked {
        self.ask(Connecting)
    }

    /// Waits for the connection that is being made.
    pub(crate) fn wait_for_connection(&mut self) -> Asked {
        self.ask(Connected)
    }

    pub(crate) fn disconnect(&mut self) -> Asked {
        self.ask(Disconnecting(Box::leak(Box::new(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)))))
    }

    pub(crate) fn publish(&mut self, qos: QoS, topic: &str, payload: &str) -> Asked {
        self.publish_this(a_message(qos, topic, payload))
    }

    pub(crate) fn publish_this(&mut self, message: Publish<'static>) -> Asked {
        self.ask(Publishing(Box::leak(Box::new(message))))
    }

    pub(crate) fn publish_all(&mut self, messages: &[Publish<'static>]) -> Asked {
        self.ask(PublishingAll::new(messages.to_vec()))
    }

    pub(crate) fn flush(&mut self) -> Asked {
        self.ask(Flushing)
    }

    /// Subscribes at QoS 1.
    pub(crate) fn subscribe(&mut self, filter: &str) -> Asked {
        self.subscribe_to(Subscription::new(kept::<str>(filter), QoS::AtLeastOnce))
    }

    pub(crate) fn subscribe_to(&mut self, subscription: Subscription<'static>) -> Asked {
        let subscriptions = kept::<[_]>(vec![subscription]);
        self.ask(Subscribing { subscriptions, properties: SubscribeProperties::default() })
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) -> Asked {
        let filters = kept::<[_]>(vec![kept::<str>(filter)]);
        self.ask(Unsubscribing { filters, properties: UnsubscribeProperties::default() })
    }

    /// Makes a request at QoS 0 for what is behind the topic `q`.
    pub(crate) fn request(&mut self, payload: &str, timeout: Duration) -> Asked {
        self.request_at(QoS::AtMostOnce, payload, timeout)
    }

    pub(crate) fn request_at(&mut self, qos: QoS, payload: &str, timeout: Duration) -> Asked {
        let request = Box::leak(Box::new(a_message(qos, "q", payload)));
        self.nonce += 1;
        self.ask(Requesting { request, timeout, nonce: self.nonce })
    }

    /// Replies to a request.
    pub(crate) fn reply(&mut self, responder: ResponderId, request: &Request, payload: &str) -> Asked {
        let (request, reply) =
            (Box::leak(Box::new(request.clone())), Box::leak(Box::new(Reply::new(payload.as_bytes()))));
        self.ask(Replying { responder, request, reply })
    }

    /// The next request that is to be worked on.
    pub(crate) fn next_request(&mut self, responder: ResponderId) -> Option<Request> {
        let request = self.engine.next_request(responder, self.now);
        self.settle();
        request
    }

    pub(crate) fn authenticate(&mut self) -> Asked {
        self.ask(Authenticating)
    }

    pub(crate) fn next_event(&mut self, timeout: Duration) -> Asked {
        self.ask(NextEvent { timeout })
    }

    /// Has messages of a filter come to a new listener, at QoS 1.
    pub(crate) fn listen(&mut self, filter: &str, overflow: Overflow) -> (ListenerId, Asked) {
        self.listen_to(Subscription::new(kept::<str>(filter), QoS::AtLeastOnce), overflow)
    }

    pub(crate) fn listen_to(&mut self, subscription: Subscription<'static>, overflow: Overflow) -> (ListenerId, Asked) {
        let listener = self.engine.open_listener(Some(subscription.filter), overflow, self.now);
        let asked = self.ask(Listening { listener, subscription });
        (listener, asked)
    }

    /// Opens a listener to everything that comes.
    pub(crate) fn listen_to_everything(&mut self, overflow: Overflow) -> ListenerId {
        let listener = self.engine.open_listener(None, overflow, self.now);
        self.settle();
        listener
    }

    pub(crate) fn close_listener(&mut self, listener: ListenerId) {
        self.engine.close_listener(listener, self.now);
        self.settle();
    }

    /// Takes what a listener has, and acknowledges it.
    pub(crate) fn heard_by(&mut self, listener: ListenerId) -> Vec<String> {
        let mut heard = Vec::new();
        let mut more = Held::default();
        while let Some((message, delivery)) = self.engine.take_message(listener, &mut more, None, &mut || self.now) {
            let behind = core::iter::from_fn(|| more.pop().map(|(message, _)| message));
            let payloads = core::iter::once(message).chain(behind);
            heard.extend(payloads.map(|message| String::from_utf8_lossy(&message.payload).into_owned()));
            if let Some(delivery) = delivery {
                self.engine.acknowledge(delivery);
            }
            self.settle();
        }
        heard
    }

    /// Takes a message of a listener, with what acknowledges it.
    pub(crate) fn take_message(&mut self, listener: ListenerId) -> Option<Taken> {
        let mut more = Held::default();
        let taken = self.engine.take_message(listener, &mut more, None, &mut || self.now);
        assert!(more.is_empty(), "one message");
        self.settle();
        taken
    }

    /// Takes one message of a listener, which has fewer than are handed out at once.
    pub(crate) fn hear_one(&mut self, listener: ListenerId) -> Option<String> {
        let (message, delivery) = self.take_message(listener)?;
        if let Some(delivery) = delivery {
            self.engine.acknowledge(delivery);
        }
        self.settle();
        Some(String::from_utf8_lossy(&message.payload).into_owned())
    }

    /// Waits for a message of a listener that has none: the bell rings when there may be one.
    pub(crate) fn wait_for_message(&mut self, listener: ListenerId) -> Arc<Bell> {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let message = self.engine.take_message(listener, &mut Held::default(), Some(&waker), &mut || self.now);
        assert!(message.is_none(), "the listener has no message");
        bell
    }

    /// Takes the next message, where they are taken one by one.
    pub(crate) fn receive(&mut self) -> Option<String> {
        let message = self.engine.receive().map(|message| String::from_utf8_lossy(message.payload).into_owned());
        if self.mode == Mode::AtOnce && message.is_some() {
            self.engine.took_messages(self.now);
        }
        self.settle();
        message
    }

    /// Looks for a message, where they are taken one by one, and finds none.
    pub(crate) fn receive_nothing(&mut self) -> Option<String> {
        if self.mode == Mode::Listeners { None } else { self.receive() }
    }

    /// The engine was called behind the story's back.
    pub(crate) fn wake_and_settle(&mut self) {
        self.wake();
        self.settle();
    }

    /// Gives a call up.
    pub(crate) fn cancel(&mut self, asked: Asked) {
        let running = self.calls[asked.0].running.take().expect("a call that is not over");
        if let Some(id) = running.id() {
            self.engine.cancel(id, self.now);
        }
        self.settle();
    }

    /// From now on users do something else: what they are woken for waits.
    pub(crate) fn users_leave(&mut self) {
        self.users_are_away = true;
    }

    pub(crate) fn users_return(&mut self) {
        self.users_are_away = false;
        self.settle();
    }

    /// From now on neither bytes nor time reach the engine.
    pub(crate) fn driver_leaves(&mut self) {
        self.driver_is_away = true;
    }

    pub(crate) fn driver_returns(&mut self) {
        self.driver_is_away = false;
        self.settle();
    }

    /// The driver is gone for good.
    pub(crate) fn stop(&mut self, error: Error) {
        self.engine.stop(error);
        self.is_up = false;
        self.attempt = None;
        // Nobody carries anything out any more.
        while self.engine.poll_action(self.now).is_some() {}
        self.driver_is_away = true;
        self.settle();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the broker does

    pub(crate) fn broker_sends(&mut self, packet: Packet<'_>) {
        self.broker_sends_all(&[packet]);
    }

    /// Sends packets in one segment.
    pub(crate) fn broker_sends_all(&mut self, packets: &[Packet<'_>]) {
        assert!(self.is_up, "there is a connection to send over");
        for packet in packets {
            self.unread.extend(bytes(packet));
        }
        self.settle();
    }

    /// Sends what may be no packet at all.
    pub(crate) fn broker_sends_bytes(&mut self, bytes: &[u8]) {
        self.unread.extend(bytes);
        self.settle();
    }

    /// Closes the connection behind what it sent.
    pub(crate) fn broker_closes(&mut self) {
        self.is_closed = true;
        self.settle();
    }

    /// Gets CONNECT, and takes the connection.
    #[track_caller]
    pub(crate) fn broker_takes_connection(&mut self, session_present: bool, terms: ConnackProperties<'_>) {
        self.expect_connect();
        self.broker_sends(connack(session_present, terms));
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the network and time do

    /// The attempt that is under way makes a connection.
    pub(crate) fn attempt_succeeds(&mut self) {
        let attempt = self.attempt.take().expect("an attempt that is under way");
        self.new_connection();
        self.engine.connected(attempt.number, self.now);
        self.settle();
    }

    pub(crate) fn attempt_fails(&mut self, error: Error) {
        let attempt = self.attempt.take().expect("an attempt that is under way");
        self.engine.connect_failed(attempt.number, error, self.now);
        self.settle();
    }

    /// The user has made a connection, and goes on over that.
    pub(crate) fn attach(&mut self) {
        self.new_connection();
        self.engine.attach(self.now);
        self.settle();
    }

    /// An attempt that the engine has given up makes a connection all the same.
    pub(crate) fn attempt_that_was_given_up_succeeds(&mut self) {
        assert!(self.attempt.is_none(), "it was given up");
        self.engine.connected(self.last_attempt, self.now);
        self.settle();
    }

    /// The network is broken.
    pub(crate) fn network_breaks(&mut self) {
        let kind = TransportErrorKind::ConnectionReset;
        self.broken = Some(TransportError { kind, message: String::new() });
        self.settle();
    }

    /// Takes no more of the client's bytes.
    pub(crate) fn network_stalls(&mut self) {
        self.takes = 0;
    }

    /// Takes this many bytes of the client, then no more.
    pub(crate) fn network_takes(&mut self, len: usize) {
        self.takes = len;
        self.settle();
    }

    pub(crate) fn network_flows(&mut self) {
        self.takes = usize::MAX;
        self.settle();
    }

    /// Time goes by, and the engine is called at each of its deadlines.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while !self.driver_is_away
            && let Some(next) = self.next_point_in_time().filter(|&next| next <= end)
        {
            self.now = self.now.max(next);
            if let Some(Attempt { number, .. }) = self.attempt.take_if(|attempt| attempt.until <= self.now) {
                let error = transport_failed(TransportErrorKind::ConnectTimeout);
                self.engine.connect_failed(number, error, self.now);
            }
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    /// Time goes by until there is an attempt to connect, which is to this broker.
    #[track_caller]
    pub(crate) fn wait_for_dial(&mut self, place: &str) {
        while self.attempt.is_none() {
            let due = self.engine.deadline().expect("an attempt is due some time");
            self.wait(due.saturating_duration_since(self.now));
        }
        self.expect_dial(place);
    }

    /// From now on the network and the broker do this by themselves, and the story tells nothing of it.
    pub(crate) fn look_away(&mut self, habits: Habits) {
        self.habits = Some(habits);
        self.settle();
    }

    /// The story tells again of what happens.
    pub(crate) fn look_back(&mut self) {
        self.habits = None;
        (self.given_up, self.closed) = (0, 0);
        self.dials.clear();
        self.sent.clear();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the authenticator does

    /// From now on it answers when the story says so.
    pub(crate) const fn authenticator_takes_its_time(&mut self) {
        self.holds_authentication = true;
    }

    /// It panics, and is gone.
    pub(crate) fn authenticator_panics(&mut self) {
        drop(self.authentication.take().expect("a question for the authenticator"));
        self.engine.authenticator_lost(self.now);
        self.settle();
    }

    /// It says what it was asked last.
    pub(crate) fn authenticator_answers(&mut self) {
        let asked = self.authentication.take().expect("a question for the authenticator");
        self.engine.authenticated(asked.run(), self.now);
        self.settle();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What goes on behind the story

    fn new_connection(&mut self) {
        self.is_up = true;
        self.unread.clear();
        self.partial.clear();
        self.is_closed = false;
        self.broken = None;
        self.takes = usize::MAX;
    }

    fn next_point_in_time(&self) -> Option<Instant> {
        let attempt = self.attempt.as_ref().map(|attempt| attempt.until);
        self.engine.deadline().into_iter().chain(attempt).min()
    }

    /// Does the engine's rule until nothing comes of it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            let before = self.engine.outgoing();
            let mut goes_on = false;
            if !self.driver_is_away {
                goes_on |= self.carry_out();
                goes_on |= self.turn();
            }
            goes_on |= self.wake();
            goes_on |= self.poll_calls();
            let is_at_rest = !goes_on && self.engine.outgoing() == before;
            if is_at_rest && (self.driver_is_away || !self.engine.has_action()) {
                return self.check();
            }
        }
        panic!("the engine comes to rest: {:?}", self.engine);
    }

    fn carry_out(&mut self) -> bool {
        let mut has_done = false;
        while let Some(action) = self.engine.poll_action(self.now) {
            has_done = true;
            match action {
                Action::Connect { attempt, url, until } => self.dial(attempt, &url, until),
                Action::Close => {
                    self.given_up += usize::from(self.attempt.take().is_some());
                    self.closed += usize::from(core::mem::take(&mut self.is_up));
                }
                Action::Authenticate(question) if self.holds_authentication => {
                    assert!(self.authentication.is_none(), "there is one authenticator");
                    self.authentication = Some(question);
                }
                Action::Authenticate(question) => self.engine.authenticated(question.run(), self.now),
                other => panic!("what is {other:?}?"),
            }
        }
        has_done
    }

    fn dial(&mut self, number: u64, url: &BrokerUrl, until: Instant) {
        assert!(!self.is_up, "the last transport is closed before another one is made");
        assert!(until > self.now, "an attempt has some time");
        self.attempt = Some(Attempt { number, until });
        self.last_attempt = number;
        self.dialed.push(self.now);
        let Some(habits) = self.habits else {
            return self.dials.push_back(format!("{}:{}", url.host, url.port));
        };
        match habits.dial {
            Dial::Hangs => {}
            Dial::Fails => {
                self.attempt = None;
                self.engine.connect_failed(number, unreachable(), self.now);
            }
            Dial::Succeeds => {
                self.attempt = None;
                self.new_connection();
                self.engine.connected(number, self.now);
            }
        }
    }

    /// One turn; whether anything came of it.
    fn turn(&mut self) -> bool {
        if !self.engine.has_transport() {
            let is_due = self.engine.deadline().is_some_and(|deadline| self.now >= deadline);
            if is_due {
                self.engine.handle_timeout(self.now);
            }
            return is_due;
        }
        let turn = self.engine.turn(self.now);
        let is_late = turn.until.is_some_and(|until| self.now >= until);
        let len = turn.outgoing.len().min(self.takes);
        let taken = turn.outgoing[..len].to_vec();
        let is_reading = !turn.incoming.is_empty();
        let received = turn.incoming.len().min(self.unread.len());
        for (space, byte) in turn.incoming.iter_mut().zip(self.unread.drain(..received)) {
            *space = byte;
        }
        let closed = self.is_closed && is_reading && self.unread.is_empty() && received == 0;
        if closed {
            self.is_closed = false;
        }
        let has_moved = len > 0 || received > 0 || closed;
        if self.takes != usize::MAX {
            self.takes -= len;
        }
        match &self.broken {
            Some(error) if received == 0 => self.engine.turned(Err(error.clone()), self.now),
            _ => self.engine.turned(Ok(Transferred { sent: len, received, closed }), self.now),
        }
        if self.mode != Mode::Listeners {
            // As whoever waits for the next message does.
            self.engine.catch_up(self.now);
        }
        self.partial.extend(taken);
        while let Some((_, len)) = Packet::decode(&self.partial).expect("valid packets") {
            let rest = self.partial.split_off(len);
            let packet = core::mem::replace(&mut self.partial, rest);
            self.broker_gets(packet);
        }
        has_moved || is_late || self.engine.has_more_to_read() || self.broken.is_some() && self.engine.has_transport()
    }

    fn broker_gets(&mut self, bytes_of_packet: Vec<u8>) {
        let Some(habits) = self.habits else { return self.sent.push_back(bytes_of_packet) };
        let packet = decode(&bytes_of_packet);
        if habits.closes_at == Some(packet.packet_type()) {
            self.is_closed = true;
            return;
        }
        let granted = [ReasonCode::GrantedQos1; 64];
        let answer = match &packet {
            Packet::Connect(_) if habits.takes_connections => connack(false, ConnackProperties::default()),
            _ if !habits.answers => return,
            Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_id: Some(id), .. }) => puback(id.get()),
            Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id: Some(id), .. }) => pubrec(id.get()),
            Packet::Pubrel(ack) => pubcomp(ack.packet_id.get()),
            Packet::Subscribe(subscribe) => {
                suback(subscribe.packet_id.get(), &granted[..subscribe.subscriptions.iter().count()])
            }
            Packet::Unsubscribe(unsubscribe) => unsuback(unsubscribe.packet_id.get(), &[ReasonCode::Success]),
            Packet::Pingreq => Packet::Pingresp,
            _ => return,
        };
        self.unread.extend(bytes(&answer));
    }

    /// Wakes whom the engine has woken; whether there was anyone.
    fn wake(&mut self) -> bool {
        self.engine.take_woken(&mut self.woken);
        let has_any = !self.woken.is_empty();
        self.woken.drain(..).for_each(Waker::wake);
        has_any
    }

    /// Polls whoever is there and has a reason to; whether any call ended or was polled since it was woken.
    fn poll_calls(&mut self) -> bool {
        if self.users_are_away {
            return false;
        }
        let mut goes_on = false;
        for place in 0..self.calls.len() {
            let call = &self.calls[place];
            if call.running.is_none() {
                continue;
            }
            let is_woken = call.bell.rings() > call.heard;
            if self.mode == Mode::OneByOne || is_woken || !call.was_polled {
                goes_on |= self.poll(place) || is_woken;
            }
        }
        goes_on
    }

    /// Polls a call; whether it is over.
    fn poll(&mut self, place: usize) -> bool {
        let call = &mut self.calls[place];
        call.heard = call.bell.rings();
        call.was_polled = true;
        let Some(running) = &mut call.running else { return false };
        let waker = (self.mode != Mode::OneByOne).then_some(&call.waker);
        match running.poll(&mut self.engine, waker, self.now) {
            Poll::Pending => false,
            Poll::Ready(result) => {
                call.running = None;
                call.came = Some(result);
                true
            }
        }
    }

    /// What holds after each move of any story.
    fn check(&mut self) {
        if self.driver_is_away {
            return;
        }
        let deadline = self.engine.deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "what was due is done: {deadline:?}");
        assert_eq!(self.engine.has_transport(), self.is_up, "engine and network agree on the transport");
        assert_eq!(self.engine.is_dialing(), self.attempt.is_some(), "engine and network agree on the attempt");
        assert!(!self.engine.is_connected() || self.is_up, "a connection has a transport");
        if !self.users_are_away && self.mode != Mode::OneByOne {
            self.check_that_nobody_sleeps_in_vain();
        }
    }

    /// Whoever was not woken has nothing to do: if it polls all the same, nothing comes of that.
    fn check_that_nobody_sleeps_in_vain(&mut self) {
        let before = self.engine.outgoing();
        for place in 0..self.calls.len() {
            let is_over = self.poll(place);
            let came = &self.calls[place].came;
            assert!(!is_over, "call {place} sleeps, and is over: {came:?}");
            assert_eq!(self.engine.outgoing(), before, "call {place} sleeps, and what it waits for is there");
        }
        assert!(!self.engine.has_action(), "somebody sleeps, and what it waits for is there");
        assert!(!self.wake(), "somebody is woken since somebody else has polled in vain");
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if self.leaves_untold || std::thread::panicking() {
            return;
        }
        self.expect_nothing_sent();
        self.expect_no_dial();
        assert_eq!((self.given_up, self.closed), (0, 0), "what was given up and closed is told of");
        for (place, call) in self.calls.iter().enumerate() {
            assert_eq!(call.came, None, "how call {place} ended is told of");
        }
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Packet<'_> {
    Packet::decode(bytes).expect("a valid packet").expect("a whole packet").0
}
