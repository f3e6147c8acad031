//! What a hostile broker can make the session hold, in bytes of the heap: each bound is computed from the options, and
//! counted by the allocator.
//!
//! A buffer that is reallocated counts once, with its new size.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use mqtt_wasi::codec::{
    Ack, AckProperties, Auth, AuthProperties, Connack, ConnackProperties, Disconnect, Packet, PacketId, Publish,
    PublishProperties, QoS, ReasonCode, UserProperty,
};
use mqtt_wasi::session::{Event, Session, Status};
use mqtt_wasi::{Error, Instant, Options, ProtocolError};

// ---------------------------------------------------------------------------------------------------------------------
// The allocator

thread_local! {
    // A test has a thread of its own, and all that it allocates stays on it.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

impl Counting {
    fn count(by: isize) {
        // No thread that ends is of interest.
        let _ = LIVE.try_with(|live| {
            live.set(live.get() + by);
            PEAK.try_with(|peak| peak.set(peak.get().max(live.get())))
        });
    }
}

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The bounds

/// Queues and strings that are small whatever the broker does.
const SMALL: usize = 8 * 1024;

/// Two bits for each Packet Identifier.
const RECEIVED_IDS: usize = 16 * 1024;

/// Answers that wait to be sent: one of four bytes for each of 65,536 messages and as many for what was read at once,
/// in a buffer that doubles as it grows.
const ANSWERS: usize = 2 * 2 * 4 * 65_536;

/// The receive buffer: what is held (up to the backlog limit and one packet more), half of that in front of it that is
/// free and does not move yet, and room to read as much again; a busy connection has 64 KiB in any case.
const fn receive_buffer(maximum_packet_size: usize, backlog_limit: usize) -> usize {
    64 * 1024 + 3 * (maximum_packet_size + backlog_limit)
}

/// What is noted of messages that wait: 40 bytes for each, of which the smallest has 6, in a queue that doubles as it
/// grows.
const fn waiting(maximum_packet_size: usize, backlog_limit: usize) -> usize {
    2 * 40 * (maximum_packet_size + backlog_limit) / 6
}

/// What one event holds: of a User Property, which has 5 bytes at the least, two strings of 24 bytes, in a vector that
/// doubles as it grows.
const fn event(maximum_packet_size: usize) -> usize {
    2 * 48 * maximum_packet_size / 5
}

// ---------------------------------------------------------------------------------------------------------------------
// The client and its broker

/// A session whose user does what the test says, and a broker that sends what it likes.
struct Client {
    session: Session,
    /// What the thread's heap had before the session.
    before: isize,
    /// Whether the network takes what the client sends.
    network_takes: bool,
}

const NOW: Instant = Instant::ZERO;

impl Client {
    /// A client that has sent CONNECT.
    fn connecting(options: Options) -> Self {
        let before = LIVE.get();
        PEAK.set(before);
        let mut client = Self { session: Session::new(options), before, network_takes: true };
        client.connect();
        client
    }

    /// A client whose broker has taken the connection.
    fn connected(options: Options) -> Self {
        let connack = bytes(&Packet::Connack(Connack::default()));
        let mut client = Self::connecting(options);
        assert_eq!(client.broker_sends(&connack), 0);
        assert_eq!(client.session.poll_event(), Some(Event::Connected { session_present: false }));
        client
    }

    fn connect(&mut self) {
        self.session.connect(NOW).expect("valid options");
        self.transmit();
    }

    /// Reads what the session wants to read; returns how many bytes it left unread.
    fn broker_sends(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = self.session.read_buffer();
            let len = space.len().min(rest.len());
            if len == 0 {
                break;
            }
            space[..len].copy_from_slice(&rest[..len]);
            self.session.received(len, NOW);
            rest = &rest[len..];
            // Takes what came.
            let _ = self.session.read_buffer();
            self.transmit();
        }
        rest.len()
    }

    /// As [`Client::broker_sends`], with a user who receives all that is there whenever nothing more is read; returns
    /// how many messages that were.
    fn broker_sends_and_user_receives(&mut self, bytes: &[u8]) -> usize {
        let (mut unread, mut received) = (bytes.len(), 0);
        while unread > 0 {
            unread = self.broker_sends(&bytes[bytes.len() - unread..]);
            let more = self.user_receives();
            assert!(unread == 0 || more > 0, "a user who receives makes room");
            received += more;
        }
        received
    }

    fn user_receives(&mut self) -> usize {
        let mut received = 0;
        while self.session.receive().is_some() {
            received += 1;
        }
        self.transmit();
        received
    }

    fn publish(&mut self, qos: QoS) {
        self.session.publish(&Publish::new("a", "1").qos(qos)).expect("a message that can be sent now");
        self.transmit();
    }

    fn transmit(&mut self) {
        if self.network_takes {
            let len = self.session.transmit().len();
            self.session.transmitted(len, NOW);
        }
    }

    fn is_reading(&mut self) -> bool {
        !self.session.read_buffer().is_empty()
    }

    /// The session has never held more than this.
    #[track_caller]
    fn assert_peak_within(&self, bound: usize) {
        let peak = PEAK.get() - self.before;
        let bound = bound + SMALL;
        assert!(peak <= bound as isize, "{peak} bytes, which is over {bound}");
    }
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).expect("a valid packet");
    bytes
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("a Packet Identifier is not zero")
}

fn message(qos: QoS, packet_id: u16) -> Vec<u8> {
    bytes(&Packet::Publish(Publish { packet_id: PacketId::new(packet_id), ..Publish::new("a", "").qos(qos) }))
}

/// As many of the smallest User Properties as there are in a packet of this size, but for a few.
fn user_properties(size: usize) -> Vec<UserProperty<'static>> {
    vec![("", ""); (size - 30) / 5]
}

// ---------------------------------------------------------------------------------------------------------------------
// User Properties

#[test]
fn messages_full_of_user_properties_take_no_more_than_their_bytes() {
    let (maximum_packet_size, backlog_limit) = (16 * 1024, 256 * 1024);
    let user_properties = user_properties(maximum_packet_size);
    let properties = PublishProperties { user_properties: user_properties.as_slice().into(), ..Default::default() };
    let flood = bytes(&Packet::Publish(Publish::new("a", "").properties(properties))).repeat(200);
    let options = Options::new().maximum_packet_size(maximum_packet_size as u32).backlog_limit(backlog_limit);
    let mut client = Client::connected(options);
    let unread = client.broker_sends(&flood);
    assert!(unread > 0 && !client.is_reading(), "what is too much is not read");
    let first = client.user_receives();
    assert_eq!(first + client.broker_sends_and_user_receives(&flood[flood.len() - unread..]), 200);
    let bound = receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit);
    client.assert_peak_within(bound);
}

#[test]
fn refusals_full_of_user_properties_that_nobody_looks_at_are_one_for_each_message() {
    let maximum_packet_size = 16 * 1024;
    let user_properties = user_properties(maximum_packet_size);
    let properties = AckProperties { user_properties: user_properties.as_slice().into(), ..Default::default() };
    let refusals: Vec<_> = (1..=8)
        .map(|n| {
            let ack = Ack { reason_code: ReasonCode::QuotaExceeded, properties, ..Ack::success(id(n)) };
            bytes(&Packet::Puback(ack))
        })
        .collect();
    let mut client = Client::connected(Options::new().maximum_packet_size(maximum_packet_size as u32));
    for _ in 1..=8 {
        client.publish(QoS::AtLeastOnce);
    }
    // No event is taken.
    for refusal in &refusals {
        assert_eq!(client.broker_sends(refusal), 0);
    }
    client.assert_peak_within(receive_buffer(maximum_packet_size, 0) + 8 * event(maximum_packet_size));
    // A ninth has no message, and is not kept.
    assert_eq!(client.broker_sends(&refusals[0]), 0);
    assert_eq!(client.session.status(), Status::Connected);
    client.assert_peak_within(receive_buffer(maximum_packet_size, 0) + 8 * event(maximum_packet_size));
}

#[test]
fn connack_full_of_user_properties_is_kept_once() {
    let maximum_packet_size = 16 * 1024;
    let user_properties = user_properties(maximum_packet_size);
    let properties = ConnackProperties { user_properties: user_properties.as_slice().into(), ..Default::default() };
    let accepted = bytes(&Packet::Connack(Connack { properties, ..Default::default() }));
    let refused =
        bytes(&Packet::Connack(Connack { reason_code: ReasonCode::Banned, properties, ..Default::default() }));
    let mut client = Client::connecting(Options::new().maximum_packet_size(maximum_packet_size as u32));
    for _ in 0..50 {
        for connack in [&refused, &accepted] {
            assert_eq!(client.broker_sends(connack), 0);
            while client.session.poll_event().is_some() {}
            client.session.connection_closed(Error::ConnectionClosed);
            while client.session.poll_event().is_some() {}
            client.connect();
        }
    }
    // It is kept in a vector that doubles as it grows. A refusal is an event, which is a copy of what the connection
    // ended with.
    let bound = receive_buffer(maximum_packet_size, 0) + 2 * maximum_packet_size + 2 * event(maximum_packet_size);
    client.assert_peak_within(bound);
}

// ---------------------------------------------------------------------------------------------------------------------
// Topic Aliases

#[test]
fn topic_aliases_take_no_more_than_the_longest_topic_names() {
    let topic_alias_maximum = 16;
    let (maximum_packet_size, backlog_limit) = (70_000, 10_000);
    let longest = 65_535;
    let options = Options::new()
        .maximum_packet_size(maximum_packet_size as u32)
        .backlog_limit(backlog_limit)
        .topic_alias_maximum(topic_alias_maximum);
    let aliased = |alias: u16, first: &str| {
        let topic = format!("{first}{}", "x".repeat(longest - first.len()));
        let properties = PublishProperties { topic_alias: Some(alias), ..Default::default() };
        bytes(&Packet::Publish(Publish::new(&topic, "").properties(properties)))
    };
    // From the last alias on, each with one Topic Name after the other.
    let packets: Vec<_> =
        (1..=topic_alias_maximum).rev().flat_map(|alias| ["a", "b", "c"].map(|first| aliased(alias, first))).collect();
    let mut client = Client::connected(options);
    for _ in 0..3 {
        for packet in &packets {
            assert_eq!(client.broker_sends_and_user_receives(packet), 1);
        }
    }
    // Each alias with its Topic Name, and one more while that changes; 16 bytes for each beside it, and as many for its
    // place in a vector that doubles as it grows.
    let topics = (usize::from(topic_alias_maximum) + 1) * (longest + 16 + 2 * 16);
    let bound =
        receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit) + topics;
    client.assert_peak_within(bound);
}

#[test]
fn topics_of_waiting_messages_with_an_alias_alone_are_those_that_came() {
    let (maximum_packet_size, backlog_limit) = (70_000, 200_000);
    let options = Options::new()
        .maximum_packet_size(maximum_packet_size as u32)
        .backlog_limit(backlog_limit)
        .topic_alias_maximum(1);
    let properties = PublishProperties { topic_alias: Some(1), ..Default::default() };
    let mut client = Client::connected(options);
    let mut is_read = true;
    for n in 0..100 {
        if is_read {
            // Each time the alias stands for something else, which messages with the alias alone wait for.
            let topic = format!("{n:0>60000}");
            let named = bytes(&Packet::Publish(Publish::new(&topic, "").properties(properties)));
            let unnamed = bytes(&Packet::Publish(Publish::new("", "").properties(properties)));
            // What the test itself allocates meanwhile is some of the bound.
            is_read = client.broker_sends(&[named, unnamed.repeat(100)].concat()) == 0;
        }
    }
    assert!(!is_read, "what is too much is not read");
    // Each Topic Name that is kept came in a message that waits too, so they are no more than those.
    let kept = maximum_packet_size + backlog_limit + 65_535;
    let of_the_test = 4 * maximum_packet_size;
    let bound = receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit);
    client.assert_peak_within(bound + kept + of_the_test);
}

// ---------------------------------------------------------------------------------------------------------------------
// Small packets without end

#[test]
fn pingresp_without_end_takes_nothing() {
    let flood = bytes(&Packet::Pingresp).repeat(500_000);
    let mut client = Client::connected(Options::new().maximum_packet_size(1_000));
    for _ in 0..2 {
        assert_eq!(client.broker_sends(&flood), 0);
    }
    assert_eq!(client.session.poll_event(), None);
    client.assert_peak_within(receive_buffer(1_000, 0));
}

#[test]
fn pingresp_behind_a_message_that_waits_counts_against_the_backlog_limit() {
    let (maximum_packet_size, backlog_limit) = (1_000, 10_000);
    let flood = [message(QoS::AtMostOnce, 0), bytes(&Packet::Pingresp).repeat(500_000)].concat();
    let options = Options::new().maximum_packet_size(maximum_packet_size as u32).backlog_limit(backlog_limit);
    let mut client = Client::connected(options);
    assert!(client.broker_sends(&flood) > 0);
    assert!(!client.is_reading());
    let bound = receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit);
    client.assert_peak_within(bound);
}

#[test]
fn answers_are_bounded_whether_or_not_the_broker_takes_them() {
    let unknown = Ack::success(id(7));
    for packet in [Packet::Pubrel(unknown), Packet::Pubrec(unknown)] {
        for network_takes in [false, true] {
            let flood = bytes(&packet).repeat(500_000);
            let mut client = Client::connected(Options::new().maximum_packet_size(1_000));
            client.network_takes = network_takes;
            let unread = client.broker_sends(&flood);
            assert_eq!((unread == 0, client.is_reading()), (network_takes, network_takes));
            client.assert_peak_within(receive_buffer(1_000, 0) + ANSWERS);
        }
    }
}

#[test]
fn puback_without_end_is_not_kept() {
    let flood = bytes(&Packet::Puback(Ack::success(id(1)))).repeat(500_000);
    let mut client = Client::connected(Options::new().maximum_packet_size(1_000));
    client.publish(QoS::AtLeastOnce);
    assert_eq!(client.broker_sends(&flood), 0);
    assert_eq!(client.session.status(), Status::Connected);
    client.assert_peak_within(receive_buffer(1_000, 0));
}

#[test]
fn messages_at_qos_0_that_nobody_receives_wait_in_the_network() {
    let (maximum_packet_size, backlog_limit) = (1_000, 64 * 1024);
    let flood = message(QoS::AtMostOnce, 0).repeat(500_000);
    let options = Options::new().maximum_packet_size(maximum_packet_size as u32).backlog_limit(backlog_limit);
    let mut client = Client::connected(options);
    let unread = client.broker_sends(&flood);
    assert!(unread >= flood.len() - receive_buffer(maximum_packet_size, backlog_limit), "{unread}");
    assert!(!client.is_reading());
    let bound = receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit);
    client.assert_peak_within(bound);
}

#[test]
fn messages_that_are_received_make_room_for_as_many_again_and_no_more() {
    let (maximum_packet_size, backlog_limit) = (1_000, 64 * 1024);
    for message in [message(QoS::AtMostOnce, 0), message(QoS::AtLeastOnce, 7)] {
        let flood = message.repeat(200_000);
        let options = Options::new().maximum_packet_size(maximum_packet_size as u32).backlog_limit(backlog_limit);
        let mut client = Client::connected(options);
        assert_eq!(client.broker_sends_and_user_receives(&flood), 200_000);
        let bound = receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit);
        client.assert_peak_within(bound + ANSWERS);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// QoS 2

#[test]
fn every_packet_identifier_can_wait_for_pubrel() {
    let (maximum_packet_size, backlog_limit) = (1_000, 64 * 1024);
    let flood: Vec<_> = (1..=u16::MAX).flat_map(|n| message(QoS::ExactlyOnce, n)).collect();
    let one_too_many = message(QoS::AtLeastOnce, 1);
    let too_many = bytes(&Packet::Disconnect(Disconnect::new(ReasonCode::ReceiveMaximumExceeded)));
    let options = Options::new().maximum_packet_size(maximum_packet_size as u32).backlog_limit(backlog_limit);
    let mut client = Client::connected(options);
    assert_eq!(client.broker_sends_and_user_receives(&flood), usize::from(u16::MAX));
    // All of them again are the same messages.
    assert_eq!(client.broker_sends_and_user_receives(&flood), 0);
    client.network_takes = false;
    assert_eq!(client.broker_sends(&one_too_many), 0);
    let exceeded = Error::Protocol(ProtocolError::ReceiveMaximumExceeded);
    assert_eq!(client.session.poll_event(), Some(Event::Disconnected(exceeded)));
    assert_eq!(client.session.transmit(), too_many);
    let bound = receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit);
    client.assert_peak_within(bound + RECEIVED_IDS + ANSWERS);
}

#[test]
fn messages_that_the_user_has_not_acknowledged_are_no_more_than_the_receive_maximum() {
    let receive_maximum = 10;
    let (maximum_packet_size, backlog_limit) = (1_000, 1_000);
    // PUBREL before PUBREC, as if that freed the Packet Identifier for another message.
    let pubrel = bytes(&Packet::Pubrel(Ack::success(id(1))));
    let flood = [message(QoS::ExactlyOnce, 1), pubrel].concat().repeat(20);
    let options = Options::new()
        .maximum_packet_size(maximum_packet_size as u32)
        .backlog_limit(backlog_limit)
        .receive_maximum(receive_maximum);
    let mut client = Client::connected(options);
    let mut held = 0_usize;
    for _ in 0..5_000 {
        client.broker_sends(&flood);
        while client.session.receive_unacknowledged().is_some() {
            held += 1;
        }
    }
    assert!(held <= usize::from(receive_maximum), "{held} messages are held");
    let bound = receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit);
    client.assert_peak_within(bound + RECEIVED_IDS);
}

// ---------------------------------------------------------------------------------------------------------------------
// Authentication

fn challenge(len: usize) -> Vec<u8> {
    let data = vec![b'x'; len];
    let properties =
        AuthProperties { authentication_method: Some("m"), authentication_data: Some(&data), ..Default::default() };
    bytes(&Packet::Auth(Auth { reason_code: ReasonCode::ContinueAuthentication, properties }))
}

#[test]
fn challenges_that_are_answered_are_not_kept() {
    let maximum_packet_size = 16 * 1024;
    let challenge = challenge(maximum_packet_size - 100);
    let options = Options::new().maximum_packet_size(maximum_packet_size as u32).authentication("m", None);
    let mut client = Client::connecting(options);
    for _ in 0..1_000 {
        assert_eq!(client.broker_sends(&challenge), 0);
        assert!(matches!(client.session.poll_event(), Some(Event::Challenged(_))));
        client.session.answer_challenge(b"answer").expect("the client's turn");
        client.transmit();
    }
    client.assert_peak_within(receive_buffer(maximum_packet_size, 0) + event(maximum_packet_size));
}

#[test]
fn challenges_that_nobody_answers_are_one() {
    let maximum_packet_size = 16 * 1024;
    let flood = challenge(maximum_packet_size - 100).repeat(100);
    let options = Options::new().maximum_packet_size(maximum_packet_size as u32).authentication("m", None);
    let mut client = Client::connecting(options);
    assert_eq!(client.broker_sends(&flood), 0);
    assert_eq!(client.session.status(), Status::Closing);
    client.assert_peak_within(receive_buffer(maximum_packet_size, 0) + event(maximum_packet_size));
}

#[test]
fn challenges_behind_messages_of_an_earlier_connection_are_not_kept() {
    let (maximum_packet_size, backlog_limit) = (2_000, 10_000);
    let challenge = challenge(1_000);
    let waits = message(QoS::AtMostOnce, 0);
    let properties = ConnackProperties { authentication_method: Some("m"), ..Default::default() };
    let connack = bytes(&Packet::Connack(Connack { properties, ..Default::default() }));
    let options = Options::new()
        .maximum_packet_size(maximum_packet_size as u32)
        .backlog_limit(backlog_limit)
        .authentication("m", None);
    let mut client = Client::connecting(options);
    assert_eq!(client.broker_sends(&connack), 0);
    assert_eq!(client.broker_sends(&waits), 0);
    client.session.connection_closed(Error::ConnectionClosed);
    while client.session.poll_event().is_some() {}
    client.connect();
    for _ in 0..2_000 {
        if client.broker_sends(&challenge) > 0 {
            break;
        }
        assert!(matches!(client.session.poll_event(), Some(Event::Challenged(_))));
        client.session.answer_challenge(b"answer").expect("the client's turn");
        client.transmit();
    }
    let bound = receive_buffer(maximum_packet_size, backlog_limit) + waiting(maximum_packet_size, backlog_limit);
    client.assert_peak_within(bound + event(maximum_packet_size));
}

// ---------------------------------------------------------------------------------------------------------------------
// Connection after connection

#[test]
fn messages_of_many_connections_keep_within_the_backlog_limit() {
    let (maximum_packet_size, backlog_limit) = (1_000, 10_000);
    let connack = bytes(&Packet::Connack(Connack::default()));
    let flood = [connack, message(QoS::AtMostOnce, 0).repeat(3_000)].concat();
    let options = Options::new().maximum_packet_size(maximum_packet_size as u32).backlog_limit(backlog_limit);
    let mut client = Client::connecting(options);
    for _ in 0..100 {
        client.broker_sends(&flood);
        client.session.connection_closed(Error::ConnectionClosed);
        while client.session.poll_event().is_some() {}
        client.connect();
    }
    // What was read when a connection ends is taken, over the limit or not: a whole receive buffer of small messages.
    let most_held = receive_buffer(maximum_packet_size, backlog_limit);
    client.assert_peak_within(receive_buffer(maximum_packet_size, most_held) + waiting(maximum_packet_size, most_held));
}

// ---------------------------------------------------------------------------------------------------------------------
// The peer in a TLS handshake

#[cfg(feature = "tls")]
mod tls {
    use std::time::Duration;

    use mqtt_wasi::transport::{TlsTransport, Transferred, Transport};
    use mqtt_wasi::{Instant, TlsOptions, TransportError};

    use super::{LIVE, PEAK};

    /// Mozilla's roots, ClientHello, and what was received of one handshake message, which rustls takes up to 64 KiB of,
    /// in buffers that double as they grow.
    const MOST_HELD: isize = 320 * 1024;

    /// As much would come before a peer gives up.
    const MOST_SENT: usize = 64 * 1024 * 1024;

    /// Says the same record for ever.
    struct Peer<'a> {
        record: &'a [u8],
        place: usize,
        left: usize,
        now: Instant,
    }

    impl Transport for Peer<'_> {
        fn now(&self) -> Instant {
            self.now
        }

        fn transfer(
            &mut self,
            outgoing: &[u8],
            incoming: &mut [u8],
            _: Option<Instant>,
        ) -> Result<Transferred, TransportError> {
            let received = incoming.len().min(self.left);
            for byte in &mut incoming[..received] {
                *byte = self.record[self.place];
                self.place = (self.place + 1) % self.record.len();
            }
            self.left -= received;
            let closed = received == 0 && !incoming.is_empty();
            Ok(Transferred { sent: outgoing.len(), received, closed })
        }

        fn close(&mut self) {}
    }

    /// The record with this type and content.
    fn record(content_type: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::to_be_bytes(content.len() as u16);
        [&[content_type, 3, 3, high, low], content].concat()
    }

    #[test]
    fn peer_that_talks_without_end_in_the_handshake_is_not_listened_to() {
        // The beginning of a ServerHello of 16 MiB, whose rest is more of the same.
        let mut hello = vec![0; 16_384];
        hello[..4].copy_from_slice(&[2, 0xFF, 0xFF, 0xFF]);
        let records = [
            ("a long message", record(22, &hello)),
            ("a long message, byte by byte", record(22, &[2])),
            ("empty parts of messages", record(22, &[])),
            ("change_cipher_spec", record(20, &[1])),
            ("warnings", record(21, &[1, 90])),
            ("application data", record(23, &[0; 100])),
            ("records that are too long", vec![22, 3, 3, 0xFF, 0xFF]),
            ("no records", vec![0x20, 3, 0, 0, 0]),
        ];
        for (what, record) in records {
            let before = LIVE.get();
            PEAK.set(before);
            let peer = Peer { record: &record, place: 0, left: MOST_SENT, now: Instant::ZERO };
            let until = Instant::ZERO + Duration::from_secs(10);
            let failure = TlsTransport::connect(peer, "broker.example", TlsOptions::new(), until).map(drop);
            assert!(failure.is_err(), "{what}");
            let peak = PEAK.get() - before;
            assert!(peak <= MOST_HELD, "{what}: {peak} bytes");
            println!("{what}: {peak} bytes, {}", failure.unwrap_err());
        }
    }
}
