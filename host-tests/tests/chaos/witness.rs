//! Who watches the wire, to tell what a broker does wrong from what a client does.
//!
//! mosquitto 2.0.11, which Debian 12 has, breaks two promises when connections end while it sends messages again. None of
//! that may count against the client, and nothing else may be excused:
//! - It sends a PUBLISH again whose PUBREL it has sent, so that the client takes it for a new message
//!   (`[MQTT-4.3.3-6]` forbids that).
//! - It sends messages of one topic in another order than they were published in (section 4.6): over one connection, over
//!   several, or by sending later ones while it still has to send one again.
//!
//! What a client sends is watched, too: in order on each topic, and nothing again without DUP.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host_tests::proxy::{Direction, Proxy};
use mqtt_wasi::codec::{Packet, Publish, QoS};
use std::net::SocketAddr;

/// A topic, and a message's number there.
type Message = (String, u32);

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Witness(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    connections: HashMap<u64, Connection>,
    clients: HashMap<String, Client>,
}

/// One network connection.
#[derive(Default)]
struct Connection {
    client_id: String,
    /// Bytes of packets that are not whole yet.
    to_broker: Vec<u8>,
    to_client: Vec<u8>,
    sent: Order,
    received: Order,
}

/// The messages that go one way over one connection.
#[derive(Default)]
struct Order {
    highest: HashMap<String, u32>,
    seen: HashSet<Message>,
}

/// A client, over all its connections.
#[derive(Default)]
struct Client {
    /// Messages that it has sent over any connection.
    sent: HashSet<Message>,
    /// Messages for it, over any connection.
    received: Order,
    /// Those of them that it has not acknowledged, by their Packet Identifiers.
    unacknowledged: HashMap<u16, Message>,
    /// QoS 2 messages for it by their Packet Identifiers, and whether the broker has sent PUBREL.
    incoming: HashMap<u16, (Message, bool)>,
    /// Messages that the broker sent again as no broker may.
    repeated: HashSet<Message>,
    /// Messages that the broker sent behind later ones.
    late: HashSet<Message>,
    /// What the client did wrong.
    faults: Vec<String>,
}

impl Order {
    /// Notes a message; `true` if one behind it was sent before.
    fn is_late(&mut self, message: &Message) -> bool {
        let highest = self.highest.entry(message.0.clone()).or_insert(message.1);
        let is_late = message.1 < *highest && !self.seen.contains(message);
        *highest = message.1.max(*highest);
        self.seen.insert(message.clone());
        is_late
    }
}

impl Witness {
    /// A proxy to the broker, whose connections it watches.
    pub(crate) fn proxy(broker: SocketAddr, seed: u64) -> (Proxy, Arc<Self>) {
        let witness = Arc::new(Self::default());
        let watching = Arc::clone(&witness);
        let watch = move |connection, direction, bytes: &[u8]| watching.seen().bytes(connection, direction, bytes);
        (Proxy::start_watched(broker, seed, watch), witness)
    }

    /// Whether the broker gave this client the message again as no broker may.
    pub(crate) fn has_repeated(&self, client_id: &str, topic: &str, number: u32) -> bool {
        self.tell(client_id, |client| client.repeated.contains(&(topic.to_owned(), number)))
    }

    /// Whether the broker gave this client the message behind later ones.
    pub(crate) fn was_late(&self, client_id: &str, topic: &str, number: u32) -> bool {
        self.tell(client_id, |client| client.late.contains(&(topic.to_owned(), number)))
    }

    /// Fails for what the client did wrong.
    pub(crate) fn acquit(&self, client_id: &str) {
        self.tell(client_id, |client| {
            assert!(client.faults.is_empty(), "{client_id}: {:?}", client.faults);
            println!(
                "{client_id}: the broker repeated {} messages and sent {} late",
                client.repeated.len(),
                client.late.len()
            );
        });
    }

    fn tell<R>(&self, client_id: &str, tell: impl FnOnce(&Client) -> R) -> R {
        tell(self.seen().clients.entry(client_id.to_owned()).or_default())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn bytes(&mut self, connection: u64, direction: Direction, bytes: &[u8]) {
        let connection = self.connections.entry(connection).or_default();
        let waiting = match direction {
            Direction::ToBroker => &mut connection.to_broker,
            Direction::ToClient => &mut connection.to_client,
        };
        waiting.extend_from_slice(bytes);
        let all = std::mem::take(waiting);
        let mut rest = all.as_slice();
        while let Ok(Some((packet, len))) = Packet::decode(rest) {
            rest = &rest[len..];
            if let Packet::Connect(connect) = packet {
                connection.client_id = connect.client_id.to_owned();
            }
            let client = self.clients.entry(connection.client_id.clone()).or_default();
            match direction {
                Direction::ToBroker => client.sends(&packet, &mut connection.sent),
                Direction::ToClient => client.receives(&packet, &mut connection.received),
            }
        }
        match direction {
            Direction::ToBroker => connection.to_broker = rest.to_vec(),
            Direction::ToClient => connection.to_client = rest.to_vec(),
        }
    }
}

impl Client {
    fn sends(&mut self, packet: &Packet<'_>, order: &mut Order) {
        if let Packet::Puback(ack) | Packet::Pubrec(ack) = packet {
            self.unacknowledged.remove(&ack.packet_id.get());
        }
        let Packet::Publish(publish) = packet else { return };
        let message = message(publish);
        if order.is_late(&message) {
            self.faults.push(format!("{message:?} was sent behind later ones"));
        }
        if !self.sent.insert(message.clone()) && !publish.dup {
            self.faults.push(format!("{message:?} was sent twice, and the second time not as a repetition"));
        }
    }

    fn receives(&mut self, packet: &Packet<'_>, order: &mut Order) {
        match packet {
            Packet::Publish(publish) => {
                let message = message(publish);
                // Both have to take note of it.
                if order.is_late(&message) | self.received.is_late(&message) {
                    self.late.insert(message.clone());
                }
                let is_skipped =
                    |other: &&Message| other.0 == message.0 && other.1 < message.1 && !order.seen.contains(other);
                self.late.extend(self.unacknowledged.values().filter(is_skipped).cloned());
                if let Some(id) = publish.packet_id {
                    self.unacknowledged.insert(id.get(), message.clone());
                }
                if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
                    match self.incoming.insert(id.get(), (message.clone(), false)) {
                        Some((before, true)) if before == message => drop(self.repeated.insert(message)),
                        _ => {}
                    }
                }
            }
            Packet::Pubrel(ack) => {
                if let Some((_, is_released)) = self.incoming.get_mut(&ack.packet_id.get()) {
                    *is_released = true;
                }
            }
            _ => {}
        }
    }
}

fn message(publish: &Publish<'_>) -> Message {
    let number = publish.payload.first_chunk().map_or(0, |number| u32::from_be_bytes(*number));
    (publish.topic.to_owned(), number)
}
