//! A client that is killed again and again, and goes on from what it had saved: the session driven by hand, as a program
//! does that saves a snapshot before everything it sends.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_tests::broker::Mosquitto;
use host_tests::proxy::{Random, seed};
use host_tests::subject::Native;
use mqtt_wasi::SubscribeReason;
use mqtt_wasi::codec::SubscribeProperties;
use mqtt_wasi::session::{Event, Session, Snapshot, Status};
use mqtt_wasi::{CallError, Options, Subscription};

use crate::load::{CLIENT_IDS, Inbox, Load, Outbox, PATIENCE, Terms};
use crate::witness::Witness;

const KILLS: u32 = 100;

/// The side that is killed, and the one that is not.
const KILLED: usize = 0;
const OTHER: usize = 1;

/// How many messages the client publishes at once.
const FEW: usize = 5;

/// How long the client waits for bytes.
const A_MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_killed_client_goes_on_from_its_last_snapshot() {
    let Some(broker) = Mosquitto::start() else { return };
    let seed = seed();
    let mut random = Random::new(seed);
    // The other client rests so that the killed one keeps up with it.
    let terms = Terms { is_harmed: false, rest: Duration::from_millis(20), ..Terms::EXCHANGE };
    let (proxy, witness) = Witness::proxy(broker.address(), seed);
    let inbox = Inbox::new(OTHER, KILLED, terms, Arc::clone(&witness));
    let state = State { inbox, outbox: Outbox::new(KILLED, &terms, random.clone()) };
    let mut life = Life::begin(proxy.address(), Disk { snapshot: None, state });
    life.subscribe();
    let mut load = Load::new(Arc::clone(&witness));
    load.add::<Native>(&proxy.url(), OTHER, terms, seed);
    load.take_part();
    for _ in 0..KILLS {
        loop {
            life.publish();
            if !life.turn(Death::draw(&mut random)) {
                break;
            }
            load.join_ended();
        }
        life = Life::begin(proxy.address(), life.killed());
    }
    load.stop();
    load.set_totals(KILLED, life.state.outbox.sent());
    let start = Instant::now();
    while load.totals(OTHER) != Some(life.state.inbox.counts())
        || !life.state.inbox.is_whole()
        || life.session.in_flight() > 0
    {
        life.turn(None);
        load.join_ended();
        assert!(start.elapsed() < PATIENCE, "not everything arrives");
    }
    load.finish();
    // What comes twice comes at once.
    for _ in 0..50 {
        life.turn(None);
    }
    let stats = life.session.stats();
    assert_eq!((stats.in_flight, stats.refused, stats.dropped), (0, 0, 0), "{stats:?}");
}

/// What the application knows.
#[derive(Clone)]
struct State {
    inbox: Inbox,
    outbox: Outbox,
}

/// What outlives the client: saved together, or not at all.
struct Disk {
    snapshot: Option<Vec<u8>>,
    state: State,
}

/// The client from its start until it is killed.
struct Life {
    disk: Disk,
    state: State,
    session: Session,
    stream: TcpStream,
    start: Instant,
    is_resumed: bool,
    is_subscribed: bool,
}

/// When a client is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// After it has received and published, before that is saved: that has never been.
    BeforeSaving,
    /// After it has saved, and sent after this share of what waits to be sent, in 256ths.
    AmidSending(usize),
}

impl Death {
    /// None, mostly.
    fn draw(random: &mut Random) -> Option<Self> {
        match random.below(24) {
            0 => Some(Self::BeforeSaving),
            1 => Some(Self::AmidSending(random.below(257) as usize)),
            _ => None,
        }
    }
}

impl Life {
    /// Goes on from what is saved.
    fn begin(broker: SocketAddr, disk: Disk) -> Self {
        let options = Options::new().client_id(CLIENT_IDS[KILLED]).session_expiry_interval(3600);
        let options = match &disk.snapshot {
            Some(bytes) => options.resume(Snapshot::from_bytes(bytes).expect("the snapshot that was saved")),
            None => options,
        };
        let mut session = Session::new(options);
        session.connect(mqtt_wasi::Instant::ZERO).expect("options that CONNECT has bytes for");
        let stream = TcpStream::connect(broker).expect("a broker");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(A_MOMENT)).expect("a timeout");
        let (is_resumed, state) = (disk.snapshot.is_some(), disk.state.clone());
        Self { disk, state, session, stream, start: Instant::now(), is_resumed, is_subscribed: false }
    }

    /// Subscribes, and saves that.
    fn subscribe(&mut self) {
        while self.session.status() != Status::Connected {
            self.turn(None);
        }
        let filters: Vec<_> = self.state.inbox.filters().map(|(filter, qos)| Subscription::new(filter, qos)).collect();
        self.session.subscribe(&filters, SubscribeProperties::default()).expect("room for SUBSCRIBE");
        while !self.is_subscribed {
            self.turn(None);
        }
        self.save();
    }

    /// Publishes messages, as far as there is room.
    fn publish(&mut self) {
        for _ in 0..FEW {
            let mut outbox = self.state.outbox.clone();
            let draft = outbox.draft();
            let published = self.session.publish(&outbox.publication(&draft));
            match published {
                Ok(_) => self.state.outbox = outbox,
                Err(CallError::WouldBlock | CallError::NotConnected) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Does once what a session wants done; `false` when the client is dead before that is done.
    fn turn(&mut self, death: Option<Death>) -> bool {
        self.take_all();
        if death == Some(Death::BeforeSaving) {
            return false;
        }
        let waiting = self.session.transmit().len();
        if waiting > 0 {
            self.save();
        }
        let len = match death {
            Some(Death::AmidSending(share)) => waiting * share / 256,
            _ => waiting,
        };
        self.stream.write_all(&self.session.transmit()[..len]).expect("a broker that reads");
        self.session.transmitted(len, self.now());
        if death.is_some() {
            return false;
        }
        self.read();
        self.session.handle_timeout(self.now());
        true
    }

    /// Ends with nothing but what is saved. The broker sees the connection end.
    fn killed(self) -> Disk {
        self.disk
    }

    fn save(&mut self) {
        self.disk = Disk { snapshot: Some(self.session.snapshot()), state: self.state.clone() };
    }

    fn take_all(&mut self) {
        loop {
            if let Some(event) = self.session.poll_event() {
                self.note(event);
            } else if let Some(message) = self.session.receive() {
                self.state.inbox.take(message.topic, message.payload);
            } else {
                return;
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected { session_present } => {
                assert_eq!(session_present, self.is_resumed, "the broker keeps the session");
            }
            Event::Subscribed { result, .. } => {
                result.and_then(SubscribeReason::granted).expect("granted subscriptions");
                self.is_subscribed = true;
            }
            Event::Published { result, .. } => {
                result.expect("a message that the broker takes");
            }
            event => panic!("{event:?}"),
        }
    }

    fn read(&mut self) {
        let buffer = self.session.read_buffer();
        assert!(!buffer.is_empty(), "everything that came was received");
        let len = match self.stream.read(buffer) {
            Ok(0) => panic!("the broker closed the connection"),
            Ok(len) => len,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                return;
            }
            Err(error) => panic!("{error}"),
        };
        self.session.received(len, self.now());
    }

    fn now(&self) -> mqtt_wasi::Instant {
        mqtt_wasi::Instant::from_start(self.start.elapsed())
    }
}
