//! The session, driven by bytes: a broker that sends what it likes, and a user, a network and a clock that do what
//! they like. After each move the invariants of [`World::look`] and of the [`Wire`] hold, and in the end a broker that
//! behaves finds the session as good as new.
//!
//! ```text
//! input   = flags  limits  aliases  outbound-limit  backlog-limit  move*          one byte each, see `World::new`
//! move    = number  argument*                                                     see `World::make_move`
//! ```
//!
//! Arguments that are not there are zeros.

mod broker;
mod input;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use input::Input;
use mqtt_wasi::codec::{
    Disconnect, DisconnectProperties, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode,
    SubscribeProperties, Subscription,
};
use mqtt_wasi::session::{Delivery, Event, OperationId, Session, Snapshot, Status};
use mqtt_wasi::{CallError, Error, Instant, Options};
use wire::Wire;

/// The Authentication Method of the clients that have one.
const METHOD: &str = "m";

/// Where the replies to the client's requests go.
const RESPONSE_TOPIC: &str = "replies/c";

/// The length of the Correlation Data of requests.
const CORRELATION_LEN: usize = 20;

/// Topic Names and Topic Filters, some of which are not valid as the one or the other.
const TOPICS: [&str; 8] = ["t", "a", "a/b", "a/b/c/d", "", "a/+", "#", "$share/g/a"];

/// The largest packet that the client takes.
const MAXIMUM_PACKET_SIZE: usize = 400;

/// What may wait to be sent beside what the outbound limit bounds: answers to the broker, 256 KiB of them, and a few
/// packets.
const MOST_WAITING: usize = 300_000;

/// How many bytes the broker may send by repeating itself, so that no input takes long.
const MOST_REPEATED: usize = 400_000;

/// What came of an input, before the broker that behaves.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How often the broker took the connection, and how often it ended.
    pub(crate) connected: usize,
    pub(crate) disconnected: usize,
    pub(crate) challenged: usize,
    pub(crate) authenticated: usize,
    /// Messages at QoS 1 and 2 that came to their end, well or not, and those that were sent again.
    pub(crate) published: usize,
    pub(crate) refused: usize,
    pub(crate) resent: usize,
    /// Requests to subscribe or unsubscribe that the broker answered.
    pub(crate) answered: usize,
    /// Messages that the user has got.
    pub(crate) received: usize,
    /// Requests that ended with a reply, and those that ended without one.
    pub(crate) replied: usize,
    pub(crate) unreplied: usize,
}

/// Does what the input says, and then comes to rest.
pub(crate) fn check(data: &[u8]) -> Tally {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    while !input.is_empty() {
        world.make_move(&mut input);
        world.look();
    }
    world.poll_events();
    let tally = Tally { resent: world.wire.resent, ..world.tally };
    world.come_to_rest();
    tally
}

struct World {
    session: Session,
    wire: Wire,
    now: Instant,
    tally: Tally,

    has_method: bool,
    in_flight_limit: usize,
    outbound_limit: usize,
    backlog_limit: usize,
    /// Whether the broker that behaves has kept the session.
    keeps_session: bool,
    was_connected: bool,

    /// What the broker sent and the client has not read.
    unread: Vec<u8>,
    /// Whether the network delivers only what it is told to.
    is_stalled: bool,
    /// The broker's last packet.
    last: Vec<u8>,
    repeated: usize,

    /// What the client had to send when it was last looked at.
    to_send: Vec<u8>,
    /// How many messages were in flight when the client connected.
    carried_over: usize,
    /// Calls whose end no event has told.
    publishing: BTreeSet<OperationId>,
    requesting: BTreeSet<OperationId>,
    /// Requests for a reply, all of them, and those whose end no event has told.
    asked: Vec<OperationId>,
    asking: BTreeSet<OperationId>,
    /// How many of the messages in flight are such requests at most: no event tells when they are acknowledged.
    asking_in_flight: usize,
    /// Messages that the user has and can still acknowledge, with their Packet Identifiers at QoS 2.
    held: Vec<(Delivery, Option<PacketId>)>,
    /// Those that it cannot acknowledge any more, or, at QoS 2, not once the broker has taken the next connection.
    stale: Vec<(Delivery, Option<PacketId>)>,
}

impl World {
    /// A client that has never connected.
    ///
    /// ```text
    /// flags          = keep what the broker has, Session Expiry Interval, no problem information, method, adopt,
    ///                  do not restore subscriptions, the broker that behaves keeps the session
    ///                                                                                   from the lowest bit on
    /// limits         = Receive Maximum less one:4  in-flight limit less one:4
    /// aliases        = Topic Alias Maximum:2  outbound aliases:2  Keep Alive:2
    /// outbound-limit = a quarter of it
    /// backlog-limit  = a quarter of it
    /// ```
    fn new(input: &mut Input<'_>) -> Self {
        let flags = input.byte();
        let is_set = |bit: u8| flags >> bit & 1 != 0;
        let limits = input.byte();
        let aliases = input.byte();
        let in_flight_limit = u16::from(limits >> 4) + 1;
        let outbound_limit = usize::from(input.byte()) * 4;
        let backlog_limit = usize::from(input.byte()) * 4;
        let options = Options::new()
            .client_id("c")
            .clean_start(!is_set(0))
            .session_expiry_interval(if is_set(1) { 60 } else { 0 })
            .request_problem_information(!is_set(2))
            .adopt_session(is_set(4))
            .restore_subscriptions(!is_set(5))
            .receive_maximum(u16::from(limits & 15) + 1)
            .in_flight_limit(in_flight_limit)
            .topic_alias_maximum(u16::from(aliases & 3))
            .outbound_topic_aliases(u16::from(aliases >> 2 & 3))
            .keep_alive([0, 1, 10, 60][usize::from(aliases >> 4 & 3)])
            .maximum_packet_size(MAXIMUM_PACKET_SIZE as u32)
            .outbound_limit(outbound_limit)
            .backlog_limit(backlog_limit);
        let has_method = is_set(3);
        Self {
            session: Session::new(if has_method { options.authentication(METHOD, None) } else { options }),
            wire: Wire::new(in_flight_limit),
            // Any time but zero, which would hide that it is not set.
            now: Instant::ZERO + Duration::from_secs(1_000_000),
            tally: Tally::default(),
            has_method,
            in_flight_limit: in_flight_limit.into(),
            outbound_limit,
            backlog_limit,
            keeps_session: is_set(6),
            was_connected: false,
            unread: Vec::new(),
            is_stalled: false,
            last: Vec::new(),
            repeated: 0,
            to_send: Vec::new(),
            carried_over: 0,
            publishing: BTreeSet::new(),
            requesting: BTreeSet::new(),
            asked: Vec::new(),
            asking: BTreeSet::new(),
            asking_in_flight: 0,
            held: Vec::new(),
            stale: Vec::new(),
        }
    }

    fn make_move(&mut self, input: &mut Input<'_>) {
        match input.byte() % 35 {
            0 => self.connect(),
            1 => self.close(),
            2 => self.transmit(usize::MAX),
            3 => self.transmit(input.byte().into()),
            4 => self.let_time_pass(input.byte()),
            5 => self.poll_events(),
            6 => drop(self.receive()),
            7 => self.receive_unacknowledged(),
            8 => self.acknowledge(input.byte()),
            9 => self.publish(input),
            10 => self.subscribe(input.byte()),
            11 => self.unsubscribe(input.byte()),
            12 => self.disconnect(input.byte()),
            13 => drop(self.call(|session| session.answer_challenge(b"answer"))),
            14 => drop(self.call(|session| session.authenticate_again(b"again"))),
            15 => drop(Snapshot::from_bytes(&self.session.snapshot()).expect("a session can go on from its snapshot")),
            16 => {
                let len = input.byte().into();
                self.broker_sends(input.take(len).to_vec());
            }
            17 => self.broker_sends(broker::connack(input, self.has_method)),
            18 => {
                let (kind, id) = (input.byte(), self.wire.name_id(input.byte()));
                self.broker_sends(broker::ack(kind, id));
            }
            19 => {
                let id = self.wire.name_id(input.byte());
                self.broker_sends(broker::suback(input, id));
            }
            20 => {
                let id = self.wire.name_id(input.byte());
                self.broker_sends(broker::unsuback(input, id));
            }
            21 => {
                let (flags, id, payload_len) = (input.byte(), self.wire.name_id(input.byte()), input.byte());
                self.broker_sends(broker::publish(flags, id, payload_len));
            }
            22 => self.broker_sends(broker::bytes(&Packet::Pingresp)),
            23 => self.broker_sends(broker::disconnect(input)),
            24 => self.broker_sends(broker::auth(input)),
            25 => self.broker_repeats(input.byte()),
            26 => self.is_stalled = true,
            27 => self.deliver(input.byte().into()),
            28 => {
                self.is_stalled = false;
                self.deliver(usize::MAX);
            }
            29 => drop(self.session.has_message()),
            // What any driver does in turn.
            30 | 31 => {
                self.poll_events();
                while self.receive() {}
                self.transmit(usize::MAX);
            }
            // New moves come last, so that the inputs that are kept mean what they meant.
            32 => self.ask(input),
            33 => self.cancel(input.byte()),
            _ => {
                let (flags, id, which) = (input.byte(), self.wire.name_id(input.byte()), input.byte());
                self.broker_replies(flags, id, which);
            }
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the client's user does

    fn connect(&mut self) {
        self.let_go();
        self.unread.clear();
        self.is_stalled = false;
        self.to_send.clear();
        self.wire.connected();
        self.session.connect(self.now).expect("valid options");
        self.carried_over = self.session.in_flight();
    }

    fn close(&mut self) {
        self.session.connection_closed(Error::ConnectionClosed);
        assert_eq!(self.session.status(), Status::Disconnected);
    }

    /// As [`message`], and the length of the payload.
    fn publish(&mut self, input: &mut Input<'_>) {
        let flags = input.byte();
        let payload = vec![b'y'; input.byte().into()];
        let message = message(flags, &payload);
        if let Some(operation) = self.call(|session| session.publish(&message)) {
            self.publishes(message.qos, operation);
        }
    }

    fn publishes(&mut self, qos: QoS, operation: Option<OperationId>) {
        assert_eq!(operation.is_some(), qos != QoS::AtMostOnce, "an event tells of what is acknowledged");
        let is_new = operation.is_none_or(|operation| self.publishing.insert(operation));
        assert!(is_new, "operations are told apart");
    }

    /// topic:3  Topic Filters less one:2  Subscription Identifier:1
    fn subscribe(&mut self, flags: u8) {
        let first = Subscription::new(TOPICS[usize::from(flags & 7)], QoS::ExactlyOnce);
        let others = ["b", "c/#", "d"].map(|filter| Subscription::new(filter, QoS::AtLeastOnce));
        let subscriptions = [&[first][..], &others[..usize::from(flags >> 3 & 3)]].concat();
        let properties = SubscribeProperties {
            subscription_identifier: (flags >> 5 & 1 != 0).then_some(7),
            ..SubscribeProperties::default()
        };
        let operation = self.call(|session| session.subscribe(&subscriptions, properties));
        self.requests(operation);
    }

    fn unsubscribe(&mut self, topic: u8) {
        let filter = TOPICS[usize::from(topic & 7)];
        let operation = self.call(|session| session.unsubscribe(&[filter], Default::default()));
        self.requests(operation);
    }

    /// A request for a reply: as [`World::publish`], and for how many seconds the reply is waited for.
    fn ask(&mut self, input: &mut Input<'_>) {
        let flags = input.byte();
        let payload = vec![b'y'; input.byte().into()];
        let timeout = Duration::from_secs(input.byte().into());
        let request = message(flags, &payload);
        let in_flight = self.session.in_flight();
        // One that fails may have sent SUBSCRIBE for the Response Topic.
        match self.session.request(&request, timeout, self.asked.len() as u64, self.now) {
            Ok(operation) => {
                assert!(self.asking.insert(operation), "requests are told apart");
                self.asked.push(operation);
                self.asking_in_flight += usize::from(request.qos != QoS::AtMostOnce);
            }
            Err(_) => assert_eq!(self.session.in_flight(), in_flight, "a call that fails leaves nothing in flight"),
        }
    }

    /// Gives a request up, if it has not ended. No event tells of it then.
    fn cancel(&mut self, which: u8) {
        if !self.asked.is_empty() {
            let request = self.asked[usize::from(which) % self.asked.len()];
            let has_ended = !self.session.cancel_request(request);
            assert!(has_ended || self.asking.remove(&request), "a request ends once");
        }
    }

    fn requests(&mut self, operation: Option<OperationId>) {
        let is_new = operation.is_none_or(|operation| self.requesting.insert(operation));
        assert!(is_new, "operations are told apart");
    }

    /// Reason Code:2  Session Expiry Interval:1
    fn disconnect(&mut self, flags: u8) {
        let codes = [ReasonCode::Success, ReasonCode::DisconnectWithWillMessage, ReasonCode::UnspecifiedError];
        // The last is for servers to send.
        let code = codes.get(usize::from(flags & 3)).copied().unwrap_or(ReasonCode::ServerBusy);
        let properties = DisconnectProperties {
            session_expiry_interval: (flags >> 2 & 1 != 0).then_some(60),
            ..DisconnectProperties::default()
        };
        self.call(|session| session.disconnect(&Disconnect { reason_code: code, properties }));
    }

    /// Takes the next message; `false` if there is none.
    fn receive(&mut self) -> bool {
        let message = self.session.receive().map(|publish| Received::new(&publish));
        self.has_received(message).is_some()
    }

    fn receive_unacknowledged(&mut self) {
        let mut delivery = None;
        let message = self.session.receive_unacknowledged().map(|(publish, its_delivery)| {
            delivery = its_delivery;
            Received::new(&publish)
        });
        let message = self.has_received(message);
        if let (Some(delivery), Some(message)) = (delivery, message) {
            assert_ne!(message.qos, QoS::AtMostOnce, "there is nothing to acknowledge at QoS 0");
            self.held.push((delivery, message.exactly_once_id()));
        }
    }

    fn has_received(&mut self, message: Option<Received>) -> Option<Received> {
        match message {
            None => {}
            Some(message) if message.qos == QoS::AtMostOnce => self.wire.received_at_most_once(),
            Some(message) => {
                if let Some(id) = message.exactly_once_id() {
                    self.wire.exactly_once.handed_out(id);
                }
            }
        }
        self.tally.received += usize::from(message.is_some());
        message
    }

    /// Acknowledges one of the messages held, or, with the highest bit, one that is so no more.
    fn acknowledge(&mut self, which: u8) {
        let index = usize::from(which & 0x7F);
        if which >> 7 != 0 && !self.stale.is_empty() {
            let index = index % self.stale.len();
            let (delivery, id) = &mut self.stale[index];
            if self.session.acknowledge(*delivery) {
                let id = id.take().expect("a message is acknowledged once, at QoS 1 over its own connection");
                self.wire.exactly_once.acknowledged_late(id);
            }
        } else if which >> 7 == 0 && !self.held.is_empty() {
            let (delivery, _) = self.held.remove(index % self.held.len());
            assert!(self.session.acknowledge(delivery), "a message is held until it is acknowledged");
            self.stale.push((delivery, None));
        }
    }

    /// A call that may fail, and then has done nothing.
    fn call<T>(&mut self, call: impl FnOnce(&mut Session) -> Result<T, CallError>) -> Option<T> {
        let (waiting, in_flight) = (self.session.transmit().len(), self.session.in_flight());
        let result = call(&mut self.session);
        if result.is_err() {
            assert_eq!(self.session.transmit().len(), waiting, "a call that fails sends nothing");
            assert_eq!(self.session.in_flight(), in_flight, "a call that fails leaves nothing in flight");
        }
        result.ok()
    }

    fn poll_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.note(&event);
        }
        self.look();
        if !self.session.is_paused() {
            self.wire.all_taken();
        }
        let asking_in_flight = self.session.in_flight().checked_sub(self.publishing.len());
        let asking_in_flight = asking_in_flight.filter(|&requests| requests <= self.asking_in_flight);
        self.asking_in_flight = asking_in_flight.expect("what is in flight is what no event has ended, and requests");
        let pending = self.session.stats().pending_requests;
        assert_eq!(pending, self.asking.len(), "what waits for a reply is what no event has ended");
        if self.session.status() != Status::Connected {
            assert!(self.requesting.is_empty(), "requests end with the connection");
        }
    }

    fn note(&mut self, event: &Event) {
        let was_known = match event {
            Event::Published { id, .. } => self.publishing.remove(id),
            Event::Subscribed { id, .. } | Event::Unsubscribed { id, .. } => self.requesting.remove(id),
            Event::Replied { id, .. } => self.asking.remove(id),
            _ => true,
        };
        assert!(was_known, "a call ends once: {event:?}");
        let count = match event {
            Event::Connected { .. } => &mut self.tally.connected,
            Event::Disconnected(_) => &mut self.tally.disconnected,
            Event::Challenged(_) => &mut self.tally.challenged,
            Event::Authenticated(_) => &mut self.tally.authenticated,
            Event::Published { result: Ok(_), .. } => &mut self.tally.published,
            Event::Published { result: Err(_), .. } => &mut self.tally.refused,
            Event::Subscribed { result: Ok(_), .. } | Event::Unsubscribed { result: Ok(_), .. } => {
                &mut self.tally.answered
            }
            Event::Replied { result: Ok(_), .. } => &mut self.tally.replied,
            Event::Replied { result: Err(_), .. } => &mut self.tally.unreplied,
            _ => return,
        };
        *count += 1;
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What the broker, the network and time do

    fn broker_sends(&mut self, packet: Vec<u8>) {
        if self.session.status() != Status::Disconnected {
            self.unread.extend_from_slice(&packet);
            self.last = packet;
            if !self.is_stalled {
                self.deliver(usize::MAX);
            }
        }
    }

    /// Replies to one of the requests that the client sent; with the highest bit, to one that it did not.
    fn broker_replies(&mut self, flags: u8, id: PacketId, which: u8) {
        let requests = self.wire.requests();
        if let Some(correlation) = requests.get(usize::from(which & 0x7F) % requests.len().max(1)) {
            let mut correlation = correlation.clone();
            correlation[usize::from(which) % CORRELATION_LEN] ^= which >> 7;
            self.broker_sends(broker::reply(flags, id, &correlation));
        }
    }

    fn broker_repeats(&mut self, times: u8) {
        let bytes = self.last.repeat(usize::from(times) * 16);
        self.repeated += bytes.len();
        if self.repeated <= MOST_REPEATED && self.session.status() != Status::Disconnected {
            self.unread.extend_from_slice(&bytes);
            if !self.is_stalled {
                self.deliver(usize::MAX);
            }
        }
    }

    /// Brings this many of the broker's bytes to the client, or as many as it reads. The last of them are left for the
    /// next call to take.
    fn deliver(&mut self, mut most: usize) {
        while most > 0 && !self.unread.is_empty() {
            let is_full = self.session.read_buffer().is_empty();
            assert_eq!(is_full, self.session.is_paused(), "no more is read while too much waits");
            self.look();
            if is_full {
                return;
            }
            self.wire.all_taken();
            let is_open = matches!(self.session.status(), Status::Connecting | Status::Connected);
            let buffer = self.session.read_buffer();
            let len = buffer.len().min(self.unread.len()).min(most);
            let bytes: Vec<u8> = self.unread.drain(..len).collect();
            buffer[..len].copy_from_slice(&bytes);
            self.session.received(len, self.now);
            most -= len;
            if is_open {
                self.wire.broker_sent(&bytes);
                // It was within the limit before this read, but for a packet of which only a part had come.
                let bound = self.backlog_limit + MAXIMUM_PACKET_SIZE + len;
                assert!(self.wire.waiting() <= bound, "what waits to be received is bounded");
            }
        }
    }

    fn transmit(&mut self, most: usize) {
        // What waited before this is the client's word, and what it does because of this comes behind.
        self.look();
        let len = self.to_send.len().min(most);
        self.session.transmitted(len, self.now);
        self.to_send.drain(..len);
    }

    fn let_time_pass(&mut self, seconds: u8) {
        self.now = self.now + Duration::from_secs(seconds.into());
        self.session.handle_timeout(self.now);
        assert!(self.session.deadline().is_none_or(|deadline| deadline > self.now), "what was due is done");
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What holds

    /// What holds after each move.
    fn look(&mut self) {
        let status = self.session.status();
        match status {
            Status::Connecting => assert!(self.session.deadline().is_some(), "CONNACK is not waited for forever"),
            Status::Connected => {
                self.was_connected = true;
                self.wire.accepted(&self.session.connack().expect("the CONNACK of this connection"));
            }
            Status::Disconnected | Status::Closing => {
                let is_asking = self.session.stats().pending_requests > 0;
                assert_eq!(self.session.deadline().is_some(), is_asking, "no timer runs on but a request's");
                self.let_go();
            }
        }
        if status == Status::Disconnected {
            assert!(self.session.transmit().is_empty(), "there is nowhere to send to");
            self.unread.clear();
            self.to_send.clear();
        }
        let added = self.session.transmit().strip_prefix(self.to_send.as_slice());
        let added = added.expect("what waits to be sent stays as it is");
        self.wire.client_sent(added);
        self.to_send.extend_from_slice(added);

        let waiting = self.to_send.len();
        // A message at QoS 0 that was not sent has its full Topic Name over the next connection.
        assert!(waiting <= MOST_WAITING + 4 * self.outbound_limit, "what waits to be sent is bounded");
        let in_flight = self.session.in_flight();
        let most = self.publishing.len() + self.asking_in_flight;
        assert!(in_flight <= most, "what is in flight was published and has not ended");
        let most = self.in_flight_limit + self.carried_over;
        assert!(in_flight <= most, "no more than {most} messages are in flight");
        assert_eq!(self.session.stats().in_flight, in_flight);
    }

    /// The connection is over, and with it the time to acknowledge what came over it, but for QoS 2.
    fn let_go(&mut self) {
        for (delivery, id) in self.held.drain(..) {
            self.stale.push((delivery, id));
            if let Some(id) = id {
                self.wire.exactly_once.not_acknowledged(id);
            }
        }
    }

    /// A broker that behaves takes the connection and answers everything, and then once more.
    fn come_to_rest(&mut self) {
        self.close();
        self.poll_events();
        while self.receive() {}
        self.connect();
        self.look();
        self.exchange();
        assert!(self.publishing.is_empty(), "every message has come to an end");
        assert!(self.requesting.is_empty(), "every request has come to an end");

        let message = Publish::new("usable", "1").qos(QoS::ExactlyOnce);
        let operation = self.call(|session| session.publish(&message)).expect("there is room for a message");
        self.publishes(QoS::ExactlyOnce, operation);
        let (published, received) = (self.tally.published, self.tally.received);
        self.broker_sends(broker::publish(QoS::AtLeastOnce as u8, PacketId::MAX, 1));
        self.exchange();
        assert_eq!(self.tally.published, published + 1, "a message goes all its way");
        assert_eq!(self.tally.received, received + 1, "a message is received");

        self.close();
        // As long as any request has.
        self.let_time_pass(u8::MAX);
        self.poll_events();
        assert!(self.asking.is_empty(), "no reply is waited for longer than its request says");
    }

    /// Moves everything until nothing is under way.
    fn exchange(&mut self) {
        let session_present = self.keeps_session && self.was_connected;
        // The options may let one packet wait and one message be in flight at a time, which takes two rounds. The
        // others are for subscriptions to be restored.
        for _ in 0..50 + 4 * self.session.in_flight() {
            self.deliver(usize::MAX);
            self.poll_events();
            while self.receive() {}
            self.look();
            if self.unread.is_empty() && self.to_send.is_empty() {
                break;
            }
            let sent = self.to_send.clone();
            self.transmit(usize::MAX);
            let mut rest = sent.as_slice();
            while let Ok(Some((packet, len))) = Packet::decode(rest) {
                self.unread.extend(broker::answer(&packet, session_present, self.has_method));
                rest = &rest[len..];
            }
        }
        self.poll_events();
        assert_eq!(self.session.status(), Status::Connected);
        assert!(self.unread.is_empty() && self.to_send.is_empty(), "nothing is under way");
        assert_eq!(self.session.in_flight(), 0);
    }
}

/// QoS:2  topic:3  RETAIN:1  Topic Alias:2
fn message(flags: u8, payload: &[u8]) -> Publish<'_> {
    let topic_alias = Some(u16::from(flags >> 6)).filter(|&alias| alias != 0);
    Publish::new(TOPICS[usize::from(flags >> 2 & 7)], payload)
        .qos(QoS::from_u8(flags & 3).unwrap_or_default())
        .retain(flags >> 5 & 1 != 0)
        .properties(PublishProperties { topic_alias, ..PublishProperties::default() })
}

/// What is kept of a message that the user has got.
#[derive(Clone, Copy)]
struct Received {
    qos: QoS,
    packet_id: Option<PacketId>,
}

impl Received {
    fn new(publish: &Publish<'_>) -> Self {
        assert!(!publish.topic.is_empty(), "a message has its full Topic Name");
        assert_eq!(publish.properties.topic_alias, None, "an alias says nothing to the user");
        Self { qos: publish.qos, packet_id: publish.packet_id }
    }

    fn exactly_once_id(self) -> Option<PacketId> {
        self.packet_id.filter(|_| self.qos == QoS::ExactlyOnce)
    }
}
