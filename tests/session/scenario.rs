//! Tells a story between a client's session and a broker that does what the story says, under virtual time.
//!
//! Each move is followed by what any driver of a session does: events are taken, bytes move both ways. What the client
//! sent and what happened is kept until the story tells of it, and a story that leaves something untold fails. After
//! each move, whatever the story, the invariants of [`Scenario::check`] and of the [`Observer`] hold.
//!
//! ```text
//! let mut s = Scenario::connected();
//! let message = s.publish(QoS::AtLeastOnce, "a", "1");
//! s.expect_sent(publish(QoS::AtLeastOnce, 1, "a", "1"));
//! s.broker_sends(puback(1));
//! s.expect_published(message, ReasonCode::Success);
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use mqtt_wasi::codec::{
    ConnackProperties, Disconnect, Packet, PacketType, Publish, QoS, ReasonCode, Subscribe, SubscribeProperties,
    Subscription,
};
use mqtt_wasi::session::{Delivery, Event, OperationId, Session, Status};
use mqtt_wasi::{CallError, Error, Instant, Message, Options};

use crate::observer::Observer;
use crate::packets::{self, connack, id};

/// What may wait to be sent: what the user may give by default, and answers to the broker.
const MOST_WAITING: usize = 1024 * 1024 + 300_000;

pub(crate) struct Scenario {
    pub(crate) session: Session,
    pub(crate) observer: Observer,
    now: Instant,
    /// Whether the client's driver does something else and leaves the session alone.
    is_away: bool,
    /// Whether the user receives each message as soon as it is there, before anything else.
    receives_at_once: bool,
    /// What it has received that way and the story has not told of: topics and payloads.
    received: VecDeque<(String, String)>,

    /// What the broker sent and the client has not read.
    unread: VecDeque<u8>,
    /// Whether the broker closed the connection behind that.
    is_closed: bool,
    /// How many bytes arrive at once.
    piece: usize,
    /// How many more bytes of the broker the network delivers.
    delivers: usize,
    /// How many more bytes of the client the network takes.
    takes: usize,

    /// Packets that the client sent and the story has not told of.
    sent: VecDeque<Vec<u8>>,
    /// How many of those each write had.
    writes: VecDeque<usize>,
    events: VecDeque<Event>,
    /// Calls whose end no event has told.
    publishing: BTreeSet<OperationId>,
    /// The same of messages at QoS 0 that are streamed.
    streaming: BTreeSet<OperationId>,
    /// Whether any was streamed: what waits to be sent may end within its packet.
    streams: bool,
    requesting: BTreeSet<OperationId>,
    /// Requests whose end no event has told.
    asking: BTreeSet<OperationId>,
    /// How many of the messages in flight are requests, whose acknowledgements no event tells of.
    asking_in_flight: usize,
    /// How many requests were made, which their nonces are made of.
    asked: u64,
    /// How many messages are in flight whose calls the story knows nothing of: an earlier process made them, or what is
    /// driven by [`Scenario::call`].
    taken_over: usize,
    leaves_untold: bool,
}

/// Who the stories are about.
pub(crate) fn options() -> Options {
    Options::new().client_id("c")
}

impl Scenario {
    /// A client that has never connected.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            session: Session::new(options),
            observer: Observer::default(),
            // Any time but zero, which would hide that it is not set.
            now: Instant::ZERO + Duration::from_secs(1_000_000),
            is_away: false,
            receives_at_once: false,
            received: VecDeque::new(),
            unread: VecDeque::new(),
            is_closed: false,
            piece: usize::MAX,
            delivers: usize::MAX,
            takes: usize::MAX,
            sent: VecDeque::new(),
            writes: VecDeque::new(),
            events: VecDeque::new(),
            publishing: BTreeSet::new(),
            streaming: BTreeSet::new(),
            streams: false,
            requesting: BTreeSet::new(),
            asking: BTreeSet::new(),
            asking_in_flight: 0,
            asked: 0,
            taken_over: 0,
            leaves_untold: false,
        }
    }

    /// A client with the usual options whose broker has taken the connection.
    pub(crate) fn connected() -> Self {
        Self::connected_with(options(), ConnackProperties::default())
    }

    /// A client with these options whose broker has taken the connection on these terms.
    pub(crate) fn connected_with(options: Options, terms: ConnackProperties<'_>) -> Self {
        let mut scenario = Self::new(options);
        scenario.reconnected_with(false, terms);
        scenario
    }

    /// The same with a user that receives each message as soon as it is there.
    pub(crate) fn receiving_at_once(mut self) -> Self {
        self.receives_at_once = true;
        self
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the client's user does

    /// The session has messages of an earlier process in flight.
    pub(crate) fn takes_over(&mut self, messages: usize) {
        self.taken_over = messages;
        // Nonces are random: the other process had none of those that this one has.
        self.asked += 1 << 32;
    }

    /// Starts over a new network connection.
    pub(crate) fn connect(&mut self) {
        self.new_network_connection();
        self.session.connect(self.now).expect("valid options");
        self.settle();
    }

    pub(crate) fn publish(&mut self, qos: QoS, topic: &str, payload: &str) -> Option<OperationId> {
        self.try_publish(&Publish::new(topic, payload).qos(qos)).expect("a message that can be sent now")
    }

    pub(crate) fn try_publish(&mut self, publish: &Publish<'_>) -> Result<Option<OperationId>, CallError> {
        let operation = self.session.publish(publish);
        if let Ok(Some(operation)) = operation {
            assert!(self.publishing.insert(operation), "operations are told apart");
        }
        self.settle();
        operation
    }

    /// A message is streamed, whose packet is whole once its payload is.
    #[cfg(feature = "stream")]
    pub(crate) fn streamed(&mut self, qos: QoS, operation: Option<OperationId>) {
        if let Some(operation) = operation {
            self.streams = true;
            let known = if qos == QoS::AtMostOnce { &mut self.streaming } else { &mut self.publishing };
            assert!(known.insert(operation), "operations are told apart");
        }
        self.settle();
    }

    /// Something was done with the session.
    #[cfg(feature = "stream")]
    pub(crate) fn go_on(&mut self) {
        self.settle();
    }

    #[cfg(feature = "stream")]
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Subscribes at QoS 2.
    pub(crate) fn subscribe(&mut self, filters: &[&str]) -> OperationId {
        let subscriptions: Vec<_> = filters.iter().map(|filter| Subscription::new(filter, QoS::ExactlyOnce)).collect();
        self.try_subscribe(&subscriptions, SubscribeProperties::default())
            .expect("a subscription that can be asked for")
    }

    pub(crate) fn try_subscribe(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: SubscribeProperties<'_>,
    ) -> Result<OperationId, CallError> {
        let operation = self.session.subscribe(subscriptions, properties);
        self.requested(operation)
    }

    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> OperationId {
        self.try_unsubscribe(filters).expect("valid filters")
    }

    pub(crate) fn try_unsubscribe(&mut self, filters: &[&str]) -> Result<OperationId, CallError> {
        let operation = self.session.unsubscribe(filters, Default::default());
        self.requested(operation)
    }

    /// Makes a request.
    pub(crate) fn request(&mut self, qos: QoS, topic: &str, payload: &str, timeout: Duration) -> OperationId {
        self.try_request(&Publish::new(topic, payload).qos(qos), timeout).expect("a request that can be sent now")
    }

    /// As [`Scenario::request`], with a nonce that no other request has.
    pub(crate) fn try_request(&mut self, request: &Publish<'_>, timeout: Duration) -> Result<OperationId, CallError> {
        let nonce = (self.asked + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let operation = self.session.request(request, timeout, nonce, self.now);
        if let Ok(operation) = operation {
            self.asked += 1;
            assert!(self.asking.insert(operation), "requests are told apart");
            self.asking_in_flight += usize::from(request.qos != QoS::AtMostOnce);
        }
        self.settle();
        operation
    }

    pub(crate) fn cancel_request(&mut self, request: OperationId) -> bool {
        let was_waiting = self.session.cancel_request(request);
        assert_eq!(self.asking.remove(&request), was_waiting, "what no event has ended can be given up, once");
        self.settle();
        was_waiting
    }

    /// Does something with the session that the story has no word for.
    pub(crate) fn call<R>(&mut self, call: impl FnOnce(&mut Session, Instant) -> R) -> R {
        let in_flight = self.session.in_flight();
        let result = call(&mut self.session, self.now);
        self.taken_over += self.session.in_flight() - in_flight;
        self.settle();
        result
    }

    /// Gives up a message that is in flight.
    pub(crate) fn give_up(&mut self, id: u64) -> bool {
        let is_given_up = self.session.give_up_message(id);
        self.settle();
        is_given_up
    }

    pub(crate) fn disconnect(&mut self, disconnect: &Disconnect<'_>) -> Result<(), CallError> {
        let result = self.session.disconnect(disconnect);
        self.settle();
        result
    }

    /// Takes the next message without acknowledging it.
    pub(crate) fn receive_unacknowledged(&mut self) -> Option<(String, Option<Delivery>)> {
        let message = self.session.receive_unacknowledged().map(|(publish, delivery)| (owned(&publish).1, delivery));
        self.settle();
        message
    }

    pub(crate) fn acknowledge(&mut self, delivery: Delivery) -> bool {
        let was_held = self.session.acknowledge(delivery);
        self.settle();
        was_held
    }

    pub(crate) fn answer_challenge(&mut self, data: &[u8]) -> Result<(), CallError> {
        let result = self.session.answer_challenge(data);
        self.settle();
        result
    }

    pub(crate) fn authenticate_again(&mut self, data: &[u8]) -> Result<(), CallError> {
        let result = self.session.authenticate_again(data);
        self.settle();
        result
    }

    /// Takes the next message, if there is one.
    pub(crate) fn receive(&mut self) -> Option<String> {
        self.next_message().map(|(_, payload)| payload)
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the broker does

    pub(crate) fn broker_sends(&mut self, packet: Packet<'_>) {
        self.broker_sends_bytes(&packets::bytes(&packet));
    }

    /// Sends packets in one segment.
    pub(crate) fn broker_sends_all(&mut self, packets: &[Packet<'_>]) {
        self.broker_sends_bytes(&packets.iter().flat_map(packets::bytes).collect::<Vec<_>>());
    }

    pub(crate) fn broker_sends_bytes(&mut self, bytes: &[u8]) {
        self.observer.broker_sent(bytes);
        self.unread.extend(bytes);
        self.settle();
    }

    /// Closes the connection behind what it sent.
    pub(crate) fn broker_closes(&mut self) {
        self.is_closed = true;
        self.settle();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the network and time do

    /// What is under way is lost with the connection.
    pub(crate) fn connection_is_lost(&mut self) {
        self.session.connection_closed(Error::ConnectionClosed);
        self.settle();
    }

    /// The connection is lost; a new one is made, and the broker takes it. The story goes on after that.
    pub(crate) fn reconnected(&mut self, session_present: bool) {
        self.reconnected_with(session_present, ConnackProperties::default());
    }

    /// As [`Scenario::reconnected`], on these terms.
    pub(crate) fn reconnected_with(&mut self, session_present: bool, terms: ConnackProperties<'_>) {
        if self.session.status() != Status::Disconnected {
            self.connection_is_lost();
            self.expect_event(Event::Disconnected(Error::ConnectionClosed));
        }
        self.connect();
        self.expect_connect();
        self.broker_sends(connack(session_present, terms));
        self.expect_event(Event::Connected { session_present });
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

    /// Delivers this many bytes of the broker, then no more.
    pub(crate) fn network_delivers(&mut self, len: usize) {
        self.delivers = len;
        self.settle();
    }

    pub(crate) fn network_flows(&mut self) {
        (self.takes, self.delivers) = (usize::MAX, usize::MAX);
        self.settle();
    }

    /// From now on the broker's bytes arrive this many at a time.
    pub(crate) fn network_delivers_pieces_of(&mut self, len: usize) {
        self.piece = len;
    }

    /// Time goes by, and the session is called at each of its deadlines.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        if !self.is_away {
            while let Some(deadline) = self.session.deadline().filter(|&deadline| deadline <= end) {
                self.now = self.now.max(deadline);
                self.handle_timeout();
            }
        }
        self.now = end;
        self.settle();
    }

    /// The session is left alone from now on: neither bytes nor time reach it.
    pub(crate) fn caller_leaves(&mut self) {
        self.is_away = true;
    }

    /// The session is told the time, and only then what has arrived.
    pub(crate) fn caller_returns(&mut self) {
        self.is_away = false;
        self.handle_timeout();
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the story tells

    /// The client sent this, after what was told before.
    #[track_caller]
    pub(crate) fn expect_sent(&mut self, expected: Packet<'_>) {
        let Some(bytes) = self.sent.pop_front() else { panic!("the client should have sent {expected:?}") };
        assert_eq!(decode(&bytes), expected);
        self.told_of(1);
    }

    #[track_caller]
    pub(crate) fn expect_sent_all(&mut self, expected: &[Packet<'_>]) {
        for &packet in expected {
            self.expect_sent(packet);
        }
    }

    /// The client sent these, in one write.
    #[track_caller]
    pub(crate) fn expect_one_write(&mut self, expected: &[Packet<'_>]) {
        assert_eq!(self.writes.front(), Some(&expected.len()), "packets in one write");
        self.expect_sent_all(expected);
    }

    #[track_caller]
    pub(crate) fn expect_nothing_sent(&self) {
        if let Some(bytes) = self.sent.front() {
            panic!("the client should have sent nothing, not {:?}", decode(bytes));
        }
    }

    /// The client sent CONNECT, whatever it says.
    #[track_caller]
    pub(crate) fn expect_connect(&mut self) {
        let bytes = self.sent.pop_front().expect("CONNECT");
        assert_eq!(decode(&bytes).packet_type(), PacketType::Connect);
        self.told_of(1);
    }

    /// The client asked for what comes to this topic, at QoS 1, as it does for replies.
    #[track_caller]
    pub(crate) fn expect_subscribe(&mut self, packet_id: u16, topic: &str) {
        let subscriptions = &[Subscription::new(topic, QoS::AtLeastOnce)][..];
        let (packet_id, properties) = (id(packet_id), SubscribeProperties::default());
        self.expect_sent(Packet::Subscribe(Subscribe { packet_id, properties, subscriptions: subscriptions.into() }));
    }

    #[track_caller]
    pub(crate) fn expect_event(&mut self, expected: Event) {
        assert_eq!(self.events.pop_front(), Some(expected));
    }

    #[track_caller]
    pub(crate) fn expect_no_event(&self) {
        assert_eq!(self.events.front(), None);
    }

    /// The message has gone all its way, and the broker said no more than this.
    #[track_caller]
    pub(crate) fn expect_published(&mut self, message: Option<OperationId>, reason_code: ReasonCode) {
        match self.events.pop_front() {
            Some(Event::Published { id, result: Ok(reason) }) if Some(id) == message => {
                assert_eq!(reason.reason_code, reason_code);
                assert_eq!((reason.reason_string, reason.user_properties.len()), (None, 0));
            }
            other => panic!("the message should be published, not {other:?}"),
        }
    }

    /// The client sent this request, but for its Correlation Data, which is 20 characters that are returned.
    #[track_caller]
    pub(crate) fn expect_request(&mut self, expected: Publish<'_>) -> Vec<u8> {
        let Some(bytes) = self.sent.pop_front() else { panic!("the client should have sent {expected:?}") };
        self.told_of(1);
        let Packet::Publish(mut request) = decode(&bytes) else { panic!("no request: {:?}", decode(&bytes)) };
        let correlation = request.properties.correlation_data.take().expect("Correlation Data");
        assert_eq!(request, expected);
        assert_eq!(correlation.len(), 20);
        assert!(correlation.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)), "{correlation:?}");
        correlation.to_vec()
    }

    /// The reply to this request came; returns all of it.
    #[track_caller]
    pub(crate) fn expect_replied(&mut self, request: OperationId, payload: &str) -> Message {
        match self.events.pop_front() {
            Some(Event::Replied { id, result: Ok(reply) }) if id == request => {
                assert_eq!(String::from_utf8_lossy(&reply.payload), payload);
                *reply
            }
            other => panic!("{request:?} should have the reply {payload}, not {other:?}"),
        }
    }

    /// The request ended without a reply, because of this.
    #[track_caller]
    pub(crate) fn expect_unanswered(&mut self, request: OperationId, error: Error) {
        self.expect_event(Event::Replied { id: request, result: Err(error) });
    }

    /// The connection is over because of this.
    #[track_caller]
    pub(crate) fn expect_disconnected(&mut self, error: impl Into<Error>) {
        self.expect_event(Event::Disconnected(error.into()));
    }

    /// The user receives this.
    #[track_caller]
    pub(crate) fn expect_message(&mut self, topic: &str, payload: &str) {
        assert_eq!(self.next_message(), Some((topic.to_owned(), payload.to_owned())));
    }

    #[track_caller]
    pub(crate) fn expect_no_message(&mut self) {
        assert_eq!(self.next_message(), None);
    }

    #[track_caller]
    pub(crate) fn expect_status(&self, status: Status) {
        assert_eq!(self.session.status(), status);
    }

    /// The session wants to be called this long from now.
    #[track_caller]
    pub(crate) fn expect_deadline_in(&self, duration: Duration) {
        assert_eq!(self.session.deadline(), Some(self.now + duration));
    }

    /// The session is as good as before: a message goes all its way at each QoS.
    #[track_caller]
    pub(crate) fn expect_usable(&mut self) {
        self.expect_nothing_sent();
        self.expect_no_event();
        self.publish(QoS::AtMostOnce, "usable", "0");
        self.expect_sent(packets::publish(QoS::AtMostOnce, 0, "usable", "0"));
        let message = self.publish(QoS::AtLeastOnce, "usable", "1");
        let bytes = self.sent.pop_front().expect("PUBLISH");
        let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = decode(&bytes) else {
            panic!("a message at QoS 1")
        };
        self.told_of(1);
        self.broker_sends(packets::puback(packet_id.get()));
        self.expect_published(message, ReasonCode::Success);
        let message = Publish { packet_id: Some(id(0xFFFF)), ..Publish::new("usable", "2").qos(QoS::AtLeastOnce) };
        self.broker_sends(Packet::Publish(message));
        self.expect_message("usable", "2");
        self.expect_sent(packets::puback(0xFFFF));
    }

    /// How many bytes wait to be sent.
    pub(crate) fn waiting_to_be_sent(&self) -> usize {
        self.session.transmit().len()
    }

    /// Whether the client reads what the broker sends.
    pub(crate) fn is_reading(&mut self) -> bool {
        !self.session.read_buffer().is_empty()
    }

    /// How many bytes of the broker the client has left unread.
    pub(crate) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// What the client sent and the story has not told of.
    pub(crate) fn take_sent(&mut self) -> Vec<Vec<u8>> {
        self.writes.clear();
        self.sent.drain(..).collect()
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// How many messages no event has told the end of.
    pub(crate) fn publishing(&self) -> usize {
        self.publishing.len()
    }

    /// The story ends here, whatever it has not told.
    pub(crate) fn leave_the_rest(mut self) {
        self.leaves_untold = true;
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What goes on behind it

    fn new_network_connection(&mut self) {
        self.observer.connected();
        self.unread.clear();
        self.is_closed = false;
        (self.takes, self.delivers) = (usize::MAX, usize::MAX);
    }

    fn requested(&mut self, operation: Result<OperationId, CallError>) -> Result<OperationId, CallError> {
        if let Ok(operation) = operation {
            assert!(self.requesting.insert(operation), "operations are told apart");
        }
        self.settle();
        operation
    }

    fn handle_timeout(&mut self) {
        self.session.handle_timeout(self.now);
        self.settle();
        let deadline = self.session.deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "what was due is done");
    }

    fn next_message(&mut self) -> Option<(String, String)> {
        let message = self.received.pop_front().or_else(|| self.session.receive().map(|publish| owned(&publish)));
        self.settle();
        message
    }

    /// Takes events and moves bytes until neither is left.
    fn settle(&mut self) {
        if self.is_away {
            return;
        }
        loop {
            if self.receives_at_once {
                while let Some(publish) = self.session.receive() {
                    self.received.push_back(owned(&publish));
                }
            }
            while let Some(event) = self.session.poll_event() {
                self.note(event);
            }
            if !(self.read() | self.write()) {
                break;
            }
        }
        self.check();
    }

    fn read(&mut self) -> bool {
        if self.session.status() == Status::Disconnected {
            self.unread.clear();
            return false;
        }
        let buffer = self.session.read_buffer();
        let len = buffer.len().min(self.unread.len()).min(self.piece).min(self.delivers);
        if self.delivers != usize::MAX {
            self.delivers -= len;
        }
        let is_at_end = self.unread.is_empty() && self.is_closed;
        for (space, byte) in buffer.iter_mut().zip(self.unread.drain(..len)) {
            *space = byte;
        }
        // A driver tells of every read, and one that would have to wait has read nothing.
        self.session.received(len, self.now);
        if is_at_end {
            self.is_closed = false;
            self.session.connection_closed(Error::ConnectionClosed);
        }
        len > 0 || is_at_end
    }

    fn write(&mut self) -> bool {
        let bytes = self.session.transmit();
        let len = bytes.len().min(self.takes);
        let is_all = len == bytes.len();
        let taken = bytes[..len].to_vec();
        if self.takes != usize::MAX {
            self.takes -= len;
        }
        // As with reading.
        self.session.transmitted(len, self.now);
        let packets = self.observer.client_sent(&taken);
        if len > 0 && is_all {
            assert!(
                self.streams || !self.observer.is_inside_packet(),
                "what waits to be sent ends with a whole packet"
            );
        }
        if !packets.is_empty() {
            self.writes.push_back(packets.len());
        }
        self.sent.extend(packets);
        len > 0
    }

    fn note(&mut self, event: Event) {
        let was_known = match &event {
            Event::Published { id, .. } if self.publishing.remove(id) || self.streaming.remove(id) => true,
            Event::Published { .. } if self.taken_over > 0 => {
                self.taken_over -= 1;
                true
            }
            Event::Published { .. } => false,
            Event::Subscribed { id, .. } | Event::Unsubscribed { id, .. } => self.requesting.remove(id),
            Event::Replied { id, .. } => self.asking.remove(id),
            _ => true,
        };
        assert!(was_known, "a call ends once: {event:?}");
        self.events.push_back(event);
    }

    /// What holds after each move of any story.
    fn check(&mut self) {
        let in_flight = self.publishing.len() + self.taken_over;
        let asking_in_flight = self.session.in_flight().checked_sub(in_flight);
        let asking_in_flight = asking_in_flight.filter(|&requests| requests <= self.asking_in_flight);
        self.asking_in_flight = asking_in_flight.expect("what is in flight is what no event has ended, and requests");
        let pending_requests = self.session.stats().pending_requests;
        assert_eq!(pending_requests, self.asking.len(), "what waits for a reply is what no event has ended");
        assert!(self.session.transmit().len() <= MOST_WAITING, "what waits to be sent is bounded");
        match self.session.status() {
            Status::Connected => {}
            Status::Connecting => assert!(self.session.deadline().is_some(), "CONNACK is not waited for forever"),
            Status::Disconnected | Status::Closing => {
                assert_eq!(
                    self.session.deadline().is_some(),
                    !self.asking.is_empty(),
                    "no timer runs on but a request's"
                );
            }
        }
        if self.session.status() != Status::Connected {
            assert!(self.requesting.is_empty(), "requests end with the connection");
        }
        if self.session.status() == Status::Disconnected {
            assert!(self.session.transmit().is_empty(), "there is nowhere to send to");
        }
    }

    fn told_of(&mut self, packets: usize) {
        for _ in 0..packets {
            let Some(first) = self.writes.front_mut() else { return };
            *first -= 1;
            if *first == 0 {
                self.writes.pop_front();
            }
        }
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if self.leaves_untold || std::thread::panicking() {
            return;
        }
        self.expect_nothing_sent();
        self.expect_no_event();
        self.expect_no_message();
    }
}

/// Topic and payload.
fn owned(publish: &Publish<'_>) -> (String, String) {
    (publish.topic.to_owned(), String::from_utf8_lossy(publish.payload).into_owned())
}

fn decode(bytes: &[u8]) -> Packet<'_> {
    Packet::decode(bytes).expect("the observer has decoded it").expect("a whole packet").0
}
