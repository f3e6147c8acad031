//! The load of these tests: clients that publish numbered messages, and hold each message they receive against what was
//! promised of it.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use host_tests::proxy::Random;
use host_tests::subject::{ErrorKind, Happening, Settings, Subject};
use mqtt_wasi::{Publish, QoS};

use crate::witness::Witness;

/// How many topics each client publishes to, in turns.
pub(crate) const TOPICS: usize = 3;

/// How many messages are published at once.
pub(crate) const BATCH: usize = 20;

/// For how long nothing may move. What runs into it has stalled.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Both sides' Client Identifiers, which their topics begin with.
pub(crate) const CLIENT_IDS: [&str; 2] = ["chaos-a", "chaos-b"];

/// How long a client waits for messages before it does something else.
const A_MOMENT: Duration = Duration::from_millis(1);

/// How often a client looks for messages before it publishes again.
const MOST_ROUNDS: usize = 10;

/// How many messages there are on each topic.
pub(crate) type Counts = [u32; TOPICS];

/// What clients do, and what they are promised.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// The QoS of each topic.
    pub(crate) qos: [QoS; TOPICS],
    /// Whether a client is subscribed to its own topics, and not to those of the other side.
    pub(crate) hears_itself: bool,
    /// Whether the broker has the session whenever the client comes back.
    pub(crate) keeps_session: bool,
    /// Whether all messages arrive. Otherwise the broker may lose what it acknowledged before it was killed.
    pub(crate) keeps_messages: bool,
    /// Whether the client's connection ends at all.
    pub(crate) is_harmed: bool,
    /// How long a client rests after each batch.
    pub(crate) rest: Duration,
}

impl Terms {
    /// Everything that both sides publish arrives at the other.
    pub(crate) const EXCHANGE: Self = Self {
        qos: [QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::ExactlyOnce],
        hears_itself: false,
        keeps_session: true,
        keeps_messages: true,
        is_harmed: true,
        rest: Duration::ZERO,
    };
}

/// The messages that one client publishes: it numbers them on each topic.
#[derive(Clone)]
pub(crate) struct Outbox {
    topics: [String; TOPICS],
    qos: [QoS; TOPICS],
    sent: Counts,
    random: Random,
}

/// A message to publish.
pub(crate) struct Draft {
    place: usize,
    payload: Vec<u8>,
}

/// What one client has received.
#[derive(Clone)]
pub(crate) struct Inbox {
    client_id: &'static str,
    topics: [String; TOPICS],
    terms: Terms,
    /// Who has seen what the broker did.
    witness: Arc<Witness>,
    /// Messages that the broker still owes: it sent later ones before.
    owed: HashSet<(usize, u32)>,
    /// The number that is to come next on each topic.
    next: Counts,
    /// The places of topics, and the numbers that did not come before those behind them.
    lost: Vec<(usize, Range<u32>)>,
}

/// A client with its messages.
pub(crate) struct Peer<S> {
    client: S,
    outbox: Outbox,
    inbox: Inbox,
    /// When something moved last.
    moved: Instant,
}

/// Clients at work, each on a thread of its own.
pub(crate) struct Load {
    run: Arc<Run>,
    threads: Vec<JoinHandle<()>>,
    witness: Arc<Witness>,
}

/// What the threads tell each other.
#[derive(Default)]
struct Run {
    /// How many clients are subscribed.
    ready: AtomicU32,
    is_over: AtomicBool,
    /// How often the broker was killed.
    kills: AtomicU32,
    /// How many batches each side has published.
    batches: [AtomicU32; 2],
    /// How many messages each side has published when it publishes no more.
    totals: [OnceLock<Counts>; 2],
}

fn topics(side: usize) -> [String; TOPICS] {
    std::array::from_fn(|place| format!("{}/{place}", CLIENT_IDS[side]))
}

impl Outbox {
    pub(crate) fn new(side: usize, terms: &Terms, random: Random) -> Self {
        Self { topics: topics(side), qos: terms.qos, sent: [0; TOPICS], random }
    }

    /// How many messages there were.
    pub(crate) const fn sent(&self) -> Counts {
        self.sent
    }

    /// The next message.
    pub(crate) fn draft(&mut self) -> Draft {
        let place = self.sent.iter().sum::<u32>() as usize % TOPICS;
        let number = self.sent[place];
        self.sent[place] += 1;
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(payload.len() + self.random.below(200) as usize, filler(number));
        Draft { place, payload }
    }

    /// A message as it is published.
    pub(crate) fn publication<'a>(&'a self, draft: &'a Draft) -> Publish<'a> {
        Publish::new(&self.topics[draft.place], &draft.payload).qos(self.qos[draft.place])
    }
}

/// What follows a message's number.
const fn filler(number: u32) -> u8 {
    (number % 251) as u8
}

impl Inbox {
    /// For the messages that `from` publishes and `to` receives.
    pub(crate) fn new(from: usize, to: usize, terms: Terms, witness: Arc<Witness>) -> Self {
        let (next, lost, owed) = ([0; TOPICS], Vec::new(), HashSet::new());
        Self { client_id: CLIENT_IDS[to], topics: topics(from), terms, witness, owed, next, lost }
    }

    /// Whether nothing is missing among those that came.
    pub(crate) fn is_whole(&self) -> bool {
        self.owed.is_empty()
    }

    /// How many messages came, or were lost before them.
    pub(crate) const fn counts(&self) -> Counts {
        self.next
    }

    /// What to subscribe to.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (&str, QoS)> {
        self.topics.iter().map(String::as_str).zip(self.terms.qos)
    }

    /// Takes a message: the next one on its topic, or at QoS 1 one that came before.
    pub(crate) fn take(&mut self, topic: &str, payload: &[u8]) {
        let place = self.topics.iter().position(|known| known == topic).expect("a topic that is subscribed to");
        let (number, rest) = payload.split_first_chunk().expect("a number");
        let number = u32::from_be_bytes(*number);
        assert!(rest.iter().all(|&byte| byte == filler(number)), "{topic} {number} came changed");
        let next = &mut self.next[place];
        if number < *next {
            if self.owed.remove(&(place, number)) {
                let was_late = self.witness.was_late(self.client_id, topic, number);
                assert!(was_late, "{topic} {number} came behind later ones, and the broker had sent it in time");
                return;
            }
            if self.terms.qos[place] == QoS::ExactlyOnce {
                let is_excused = self.witness.has_repeated(self.client_id, topic, number);
                assert!(is_excused, "{topic} {number} came twice, and the broker had done nothing wrong");
            }
            let is_late = self.lost.iter().any(|(lost_at, lost)| *lost_at == place && lost.contains(&number));
            assert!(!is_late, "{topic} {number} came behind later ones");
            return;
        }
        if number > *next {
            if self.terms.keeps_messages {
                self.owed.extend((*next..number).map(|owed| (place, owed)));
            } else {
                self.lost.push((place, *next..number));
            }
        }
        *next = number + 1;
    }
}

impl<S: Subject> Peer<S> {
    /// Connects with a clean start and subscribes.
    pub(crate) fn connect(url: &str, side: usize, terms: Terms, random: Random, witness: Arc<Witness>) -> Self {
        let settings = Settings {
            client_id: CLIENT_IDS[side],
            clean_start: Some(true),
            session_expiry_interval: Some(3600),
            reconnect: Some((Duration::from_millis(1), Duration::from_millis(50))),
            ..Settings::default()
        };
        let mut client = S::connect(url, &settings).expect("a broker that takes the first connection");
        let inbox = Inbox::new(if terms.hears_itself { side } else { 1 - side }, side, terms, witness);
        for (filter, qos) in inbox.filters() {
            client.subscribe(filter, qos);
        }
        if terms.keeps_session {
            // mosquitto 2.0.11 saves no session that began with a clean start.
            assert_eq!(client.reconnect(), Ok(true));
        }
        Self { client, outbox: Outbox::new(side, &terms, random), inbox, moved: Instant::now() }
    }

    /// How many messages it has published.
    pub(crate) const fn sent(&self) -> Counts {
        self.outbox.sent()
    }

    /// How many messages are in flight to the broker.
    pub(crate) fn in_flight(&mut self) -> usize {
        self.client.in_flight()
    }

    /// Publishes messages, whatever becomes of the connection meanwhile.
    pub(crate) fn publish_batch(&mut self) {
        let drafts: Vec<_> = (0..BATCH).map(|_| self.outbox.draft()).collect();
        let messages: Vec<_> = drafts.iter().map(|draft| self.outbox.publication(draft)).collect();
        let results = self.client.publish_batch(&messages);
        assert_eq!(results.len(), messages.len());
        for result in results {
            match result {
                Ok(_) => self.moved = Instant::now(),
                // It is in flight, and arrives.
                Err(failure) if failure.kind == ErrorKind::Timeout => {}
                Err(failure) => panic!("a message was given up: {failure:?}"),
            }
        }
        self.check();
    }

    /// Sends messages without waiting for the broker's answer.
    pub(crate) fn send(&mut self, count: usize) {
        for _ in 0..count {
            let draft = self.outbox.draft();
            self.client.enqueue(&self.outbox.publication(&draft)).expect("room for a message");
        }
        self.client.flush().expect("a connection that takes what is sent");
    }

    /// Takes messages that come within this time; `false` if there are none.
    pub(crate) fn receive(&mut self, timeout: Duration) -> bool {
        let messages = self.client.receive_batch(256, timeout).expect("a client that makes its connection again");
        for message in &messages {
            self.inbox.take(&message.topic, &message.payload);
            self.moved = Instant::now();
        }
        self.check();
        !messages.is_empty()
    }

    /// Takes messages until all of these have come, and everything has gone to the broker.
    pub(crate) fn receive_up_to(&mut self, totals: Counts) {
        while self.inbox.counts() != totals || !self.inbox.is_whole() || self.client.in_flight() > 0 {
            self.receive(A_MOMENT);
        }
    }

    /// Waits for what must not come, and looks for what must not be left.
    pub(crate) fn finish(mut self) {
        // What comes twice comes at once.
        for _ in 0..10 {
            self.receive(Duration::from_millis(20));
        }
        let stats = self.client.stats();
        assert_eq!((stats.in_flight, stats.refused, stats.dropped), (0, 0, 0), "{stats:?}");
        let by_hand = u64::from(self.inbox.terms.keeps_session);
        assert_eq!(stats.reconnects > by_hand, self.inbox.terms.is_harmed, "{stats:?}");
        self.inbox.witness.acquit(self.inbox.client_id);
    }

    /// Nothing happened that must not, and something did lately.
    fn check(&mut self) {
        let keeps_session = self.inbox.terms.keeps_session;
        while let Some(happening) = self.client.take_event() {
            let is_loss = match &happening {
                Happening::Reconnected { session_present } => keeps_session && !*session_present,
                Happening::SubscriptionLost(_)
                | Happening::MessageDropped
                | Happening::MessageGivenUp(_)
                | Happening::MessageRefused(..)
                | Happening::ReplyDropped(_) => true,
                Happening::SubscriptionRestored(_) => keeps_session,
                Happening::Disconnected(_) | Happening::AttemptFailed(_) | Happening::RepeatedlyClosed => false,
            };
            assert!(!is_loss, "{happening:?}");
        }
        assert!(self.moved.elapsed() < PATIENCE, "nothing moves any more");
    }

    /// What one thread does.
    fn work(mut self, side: usize, run: &Run) {
        run.ready.fetch_add(1, SeqCst);
        while run.ready.load(SeqCst) < 2 {
            thread::sleep(A_MOMENT);
            self.check();
        }
        // From which messages on everything arrives: the first that were published after the last kill.
        let (mut kills, mut kept_from) = (0, [0; TOPICS]);
        while !run.is_over.load(SeqCst) {
            let kills_now = run.kills.load(SeqCst);
            if kills_now != kills {
                (kills, kept_from) = (kills_now, self.sent());
            }
            self.publish_batch();
            run.batches[side].fetch_add(1, SeqCst);
            // It keeps up with the other side, but does not listen alone.
            (0..MOST_ROUNDS).take_while(|_| self.receive(A_MOMENT)).for_each(drop);
            thread::sleep(self.inbox.terms.rest);
        }
        run.totals[side].set(self.sent()).expect("one thread a side");
        let hears = if self.inbox.terms.hears_itself { side } else { 1 - side };
        let totals = loop {
            if let Some(totals) = run.totals[hears].get() {
                break *totals;
            }
            self.receive(A_MOMENT);
        };
        self.receive_up_to(totals);
        for (place, kept_from) in kept_from.into_iter().enumerate() {
            let mut lost = self.inbox.lost.iter().filter(|(lost_at, _)| *lost_at == place).map(|(_, lost)| lost);
            assert!(lost.clone().count() <= kills as usize, "more was lost than with the broker's kills");
            assert!(lost.all(|lost| lost.end <= kept_from), "lost after the last kill");
        }
        self.finish();
    }
}

impl Load {
    /// None yet.
    pub(crate) fn new(witness: Arc<Witness>) -> Self {
        Self { run: Arc::default(), threads: Vec::new(), witness }
    }

    /// Both sides, once they are connected and subscribed.
    pub(crate) fn start<S: Subject + 'static>(url: &str, terms: Terms, seed: u64, witness: &Arc<Witness>) -> Self {
        let mut load = Self::new(Arc::clone(witness));
        load.add::<S>(url, 0, terms, seed);
        load.add::<S>(url, 1, terms, seed);
        load.wait_until_ready();
        load
    }

    /// Starts one side, which waits for the other to be ready.
    pub(crate) fn add<S: Subject + 'static>(&mut self, url: &str, side: usize, terms: Terms, seed: u64) {
        let (run, witness, url) = (Arc::clone(&self.run), Arc::clone(&self.witness), url.to_owned());
        let random = Random::new(seed.wrapping_add(side as u64));
        let work = move || Peer::<S>::connect(&url, side, terms, random, witness).work(side, &run);
        self.threads.push(thread::spawn(work));
    }

    /// The test itself plays the side that was not added, and is subscribed. Returns once the other is, too.
    pub(crate) fn take_part(&mut self) {
        self.run.ready.fetch_add(1, SeqCst);
        self.wait_until_ready();
    }

    /// Notes that the broker was killed, and is dead.
    pub(crate) fn count_kill(&self) {
        self.run.kills.fetch_add(1, SeqCst);
    }

    /// Has the clients publish no more.
    pub(crate) fn stop(&self) {
        self.run.is_over.store(true, SeqCst);
    }

    /// How many messages this side has published, if it publishes no more.
    pub(crate) fn totals(&self, side: usize) -> Option<Counts> {
        self.run.totals[side].get().copied()
    }

    /// The side that the test plays publishes no more.
    pub(crate) fn set_totals(&self, side: usize, totals: Counts) {
        self.run.totals[side].set(totals).expect("the test plays this side");
    }

    /// Waits until both sides have published messages that they began to publish after this was called.
    pub(crate) fn wait_for_progress(&mut self) {
        let run = Arc::clone(&self.run);
        let batches = || run.batches.each_ref().map(|batches| batches.load(SeqCst));
        let before = batches();
        // The first batch from now on may have been begun before.
        self.wait_until(|| batches().into_iter().zip(before).all(|(now, before)| now >= before + 2));
    }

    /// Waits, but not for clients that have stalled or failed.
    pub(crate) fn wait_until(&mut self, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            self.join_ended();
            assert!(start.elapsed() < PATIENCE, "nothing moves any more");
            thread::sleep(A_MOMENT);
        }
    }

    /// Waits until everything has arrived.
    pub(crate) fn finish(mut self) {
        self.stop();
        let start = Instant::now();
        while !self.threads.is_empty() {
            self.join_ended();
            assert!(start.elapsed() < PATIENCE, "not everything arrives");
            thread::sleep(A_MOMENT);
        }
    }

    fn wait_until_ready(&mut self) {
        let run = Arc::clone(&self.run);
        self.wait_until(|| run.ready.load(SeqCst) == 2);
    }

    /// Fails as a thread did.
    pub(crate) fn join_ended(&mut self) {
        while let Some(place) = self.threads.iter().position(JoinHandle::is_finished) {
            if let Err(panic) = self.threads.swap_remove(place).join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}
