//! What an engine does when its store takes its time, or refuses: under virtual time, with a broker of a few lines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use mqtt_wasi::codec::{Ack, Connack, Packet};
use mqtt_wasi::engine::{Action, Call, Connecting, Engine, Enqueueing, Operation};
use mqtt_wasi::session::{Changes, Store};
use mqtt_wasi::transport::Transferred;
use mqtt_wasi::{Error, Instant, Options, Publish, QoS, StoreError, StoreErrorKind};

type Entries = Arc<Mutex<BTreeMap<u32, Vec<u8>>>>;

/// A store in memory, which outlives the engine.
#[derive(Clone, Default)]
struct Shared(Entries);

impl Store for Shared {
    fn load(&mut self, entry: &mut dyn FnMut(u32, &[u8])) -> Result<(), StoreError> {
        self.0.lock().unwrap().iter().for_each(|(&key, value)| entry(key, value));
        Ok(())
    }

    fn write(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let mut entries = self.0.lock().unwrap();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => drop(entries.insert(key, value.to_vec())),
                None => drop(entries.remove(&key)),
            }
        }
        Ok(())
    }
}

fn full() -> StoreError {
    StoreError { kind: StoreErrorKind::Full, message: "no space".into() }
}

/// An engine, its store, and a broker that answers at once.
struct World {
    engine: Engine,
    store: Shared,
    now: Instant,
    /// What the broker got, as packets.
    sent: Vec<u8>,
    answers: Vec<u8>,
    has_session: bool,
}

impl World {
    fn new(store: &Shared, has_session: bool) -> Self {
        let options = Options::new().client_id("c").session_expiry_interval(60).store(store.clone());
        let engine = Engine::new(Some("mqtt://broker.local"), options, 0).unwrap();
        let (sent, answers) = (Vec::new(), Vec::new());
        Self { engine, store: store.clone(), now: Instant::ZERO, sent, answers, has_session }
    }

    fn connected(store: &Shared, has_session: bool) -> Self {
        let mut world = Self::new(store, has_session);
        world.run(Connecting).unwrap();
        world
    }

    /// Takes what the engine sends, and answers.
    fn exchange(&mut self) {
        while let Some(action) = self.engine.poll_action(self.now) {
            if let Action::Connect { attempt, .. } = action {
                self.engine.connected(attempt, self.now);
            }
        }
        let turn = self.engine.turn(self.now);
        let len = self.answers.len().min(turn.incoming.len());
        turn.incoming[..len].copy_from_slice(&self.answers[..len]);
        self.answers.drain(..len);
        let (start, sent) = (self.sent.len(), turn.outgoing.len());
        self.sent.extend_from_slice(turn.outgoing);
        let mut read = start;
        while let Ok(Some((packet, len))) = Packet::decode(&self.sent[read..]) {
            read += len;
            let answer = match packet {
                Packet::Connect(_) => {
                    Packet::Connack(Connack { session_present: self.has_session, ..Connack::default() })
                }
                Packet::Publish(Publish { packet_id: Some(id), qos: QoS::AtLeastOnce, .. }) => {
                    Packet::Puback(Ack::success(id))
                }
                Packet::Publish(Publish { packet_id: Some(id), .. }) => Packet::Pubrec(Ack::success(id)),
                Packet::Pubrel(Ack { packet_id, .. }) => Packet::Pubcomp(Ack::success(packet_id)),
                _ => continue,
            };
            answer.encode(&mut self.answers).unwrap();
        }
        self.now = self.now + Duration::from_millis(1);
        self.engine.turned(Ok(Transferred { sent, received: len, closed: false }), self.now);
    }

    fn save(&mut self) {
        while let Some(changes) = self.engine.take_changes(self.now) {
            let result = self.store.write(&changes);
            self.engine.stored(changes, result, self.now);
        }
    }

    fn run<O: Operation>(&mut self, operation: O) -> Result<O::Output, Error> {
        let mut call = Call::new(operation);
        for _ in 0..100 {
            let now = self.now;
            if let Poll::Ready(result) = self.engine.poll_call(&mut call, None, &mut || now) {
                return result;
            }
            self.save();
            self.exchange();
        }
        panic!("the call does not end");
    }

    /// The first bytes of the packets that the broker got.
    fn kinds(&self) -> Vec<u8> {
        let (mut kinds, mut read) = (Vec::new(), 0);
        while let Ok(Some((_, len))) = Packet::decode(&self.sent[read..]) {
            kinds.push(self.sent[read]);
            read += len;
        }
        kinds
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.save();
            self.exchange();
        }
    }
}

fn message(qos: QoS) -> Publish<'static> {
    Publish::new("a", "1").qos(qos)
}

#[test]
fn nothing_is_sent_before_the_store_has_it() {
    let mut world = World::connected(&Shared::default(), false);
    world.settle();
    let before = world.kinds().len();
    let message = message(QoS::ExactlyOnce);
    let mut call = Call::new(Enqueueing(&message));
    let now = world.now;
    assert!(world.engine.poll_call(&mut call, None, &mut || now).is_pending());
    let changes = world.engine.take_changes(world.now).expect("the message");
    (0..5).for_each(|_| world.exchange());
    assert_eq!(world.kinds().len(), before, "it is being written");
    assert!(world.engine.poll_call(&mut call, None, &mut || now).is_pending(), "nor is it accepted");
    world.store.write(&changes).unwrap();
    world.engine.stored(changes, Ok(()), world.now);
    assert_eq!(world.engine.poll_call(&mut call, None, &mut || now), Poll::Ready(Ok(())));
    world.exchange();
    assert_eq!(world.kinds()[before..], [0x34]);
    // PUBREC comes: PUBREL waits for the store too.
    (0..5).for_each(|_| world.exchange());
    assert_eq!(world.kinds()[before..], [0x34]);
    world.settle();
    assert_eq!(world.kinds()[before..], [0x34, 0x62]);
}

#[test]
fn message_that_the_store_refuses_is_not_accepted_and_never_sent() {
    let store = Shared::default();
    let mut world = World::connected(&store, false);
    world.settle();
    let message = message(QoS::AtLeastOnce);
    let mut call = Call::new(Enqueueing(&message));
    let now = world.now;
    assert!(world.engine.poll_call(&mut call, None, &mut || now).is_pending());
    let changes = world.engine.take_changes(world.now).expect("the message");
    world.engine.stored(changes, Err(full()), world.now);
    assert_eq!(world.engine.poll_call(&mut call, None, &mut || now), Poll::Ready(Err(Error::Store(full()))));
    assert!(!world.engine.is_connected(), "what the broker may know depends on what the store knows");
    assert!(world.engine.messages_in_flight().is_empty());
    world.run(Connecting).unwrap();
    world.run(Enqueueing(&message)).unwrap();
    world.settle();
    assert_eq!(world.kinds(), [0x10, 0x10, 0x32], "the second one alone");
}

#[test]
fn what_was_sent_or_not_goes_on_in_the_next_process() {
    let store = Shared::default();
    let mut world = World::connected(&store, false);
    world.run(Enqueueing(&message(QoS::ExactlyOnce))).unwrap();
    world.exchange();
    assert_eq!(world.kinds(), [0x10, 0x34]);
    // Killed, with PUBREC on its way.
    drop(world);
    let mut world = World::new(&store, true);
    world.run(Enqueueing(&message(QoS::AtLeastOnce))).unwrap();
    assert_eq!(world.engine.messages_in_flight().len(), 2, "one was accepted without a connection");
    world.run(Connecting).unwrap();
    world.settle();
    assert_eq!(world.kinds(), [0x10, 0x3C, 0x32, 0x62], "the first is repeated, the second is not");
    // What nothing waits for is written a little later.
    world.now = world.now + Duration::from_secs(1);
    world.settle();
    assert_eq!(store.0.lock().unwrap().keys().copied().collect::<Vec<_>>(), [0], "nothing is in flight");
}

#[test]
fn message_at_qos_2_that_was_taken_is_not_received_again_by_the_next_process() {
    let store = Shared::default();
    let mut world = World::connected(&store, false);
    let incoming = Publish { packet_id: mqtt_wasi::codec::PacketId::new(7), ..message(QoS::ExactlyOnce) };
    Packet::Publish(incoming).encode(&mut world.answers).unwrap();
    world.exchange();
    assert_eq!(world.engine.receive().map(|message| message.payload.to_vec()), Some(b"1".to_vec()));
    world.save();
    // Killed before PUBREC leaves.
    drop(world);
    let mut world = World::connected(&store, true);
    Packet::Publish(Publish { dup: true, ..incoming }).encode(&mut world.answers).unwrap();
    world.settle();
    assert_eq!(world.engine.receive(), None, "it was received before");
    assert_eq!(world.kinds(), [0x10, 0x50], "PUBREC");
    // Once it is released, its identifier is for another message.
    Packet::Pubrel(Ack::success(incoming.packet_id.unwrap())).encode(&mut world.answers).unwrap();
    world.settle();
    drop(world);
    let mut world = World::connected(&store, true);
    Packet::Publish(incoming).encode(&mut world.answers).unwrap();
    world.settle();
    assert!(world.engine.receive().is_some(), "this is another one");
}

#[test]
fn entries_that_do_not_fit_together_are_refused() {
    let store = Shared::default();
    World::connected(&store, false).run(Enqueueing(&message(QoS::ExactlyOnce))).unwrap();
    let entries = store.0.lock().unwrap().clone();
    let load = |entries: BTreeMap<u32, Vec<u8>>| {
        let store = Shared(Arc::new(Mutex::new(entries.clone())));
        let kind = match Engine::new(Some("mqtt://broker.local"), Options::new().store(store.clone()), 0) {
            Err(Error::Store(error)) => error.kind,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it is taken"),
        };
        assert_eq!(*store.0.lock().unwrap(), entries, "it stays as it is");
        kind
    };
    for key in entries.keys() {
        for len in 0..entries[key].len() {
            let mut torn = entries.clone();
            torn.get_mut(key).unwrap().truncate(len);
            assert_eq!(load(torn), StoreErrorKind::Torn, "{key:x} cut at {len}");
        }
    }
    let mut headless = entries.clone();
    headless.remove(&0);
    assert_eq!(load(headless), StoreErrorKind::Torn);
    let mut newer = entries.clone();
    newer.get_mut(&0).unwrap()[5] = 0xFE;
    assert_eq!(load(newer), StoreErrorKind::Version);
    let mut foreign = entries;
    foreign.insert(0x0009_0000, Vec::new());
    assert_eq!(load(foreign), StoreErrorKind::Torn);
}
