//! What was published, what became of it, and what must be true of that.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_wasi::QoS;

/// A message of a client: its number among all that the client published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) client: usize,
    pub(crate) number: usize,
}

impl Key {
    /// The payload that says which message it is.
    pub(crate) fn payload(self, len: usize) -> String {
        format!("{:<len$}", self.mark())
    }

    /// What nothing else begins with.
    pub(crate) fn mark(self) -> String {
        format!("{}:{};", self.client, self.number)
    }

    pub(crate) fn of(payload: &[u8]) -> Self {
        let text = std::str::from_utf8(payload).ok().and_then(|text| text.split_once(';'));
        let (client, number) = text.and_then(|(mark, _)| mark.split_once(':')).expect("a payload of this world");
        Self { client: client.parse().expect("a client"), number: number.parse().expect("a number") }
    }
}

/// What is known of a message.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    /// The place among the messages that the client has taken on. `None`: it has not.
    pub(crate) place: Option<usize>,
    /// Whether its user was told that it may not arrive.
    pub(crate) is_told: bool,
    /// Whether its process ended, and nothing of it was kept.
    pub(crate) is_forgotten: bool,
    /// How many times the broker took it, and in which of its sessions.
    pub(crate) arrived: u32,
    sessions: BTreeSet<u64>,
}

/// What a subscriber got of a message at a QoS.
#[derive(Debug, Default)]
struct Got {
    /// How many times the broker began to deliver it, and in which places among all that it began to deliver.
    begun: u32,
    places: Vec<usize>,
    /// How many of those the client has acknowledged.
    acknowledged: u32,
    /// How many times its user got it, and whether any message was seen yet.
    handed: u32,
    is_shown: bool,
}

/// How often something happened, so that a world in which nothing happens is found out.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    pub(crate) arrived: usize,
    pub(crate) arrived_again: usize,
    pub(crate) handed: usize,
    pub(crate) given_up: usize,
    pub(crate) connections: usize,
    pub(crate) sessions_lost: usize,
    pub(crate) logins_refused: usize,
    pub(crate) taken_over: usize,
    pub(crate) crashes: usize,
    pub(crate) calls: usize,
    pub(crate) calls_failed: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        let Self { accepted, arrived, arrived_again, handed, given_up, connections, sessions_lost, .. } = other;
        let Self { logins_refused, taken_over, crashes, calls, calls_failed, .. } = other;
        self.accepted += accepted;
        self.arrived += arrived;
        self.arrived_again += arrived_again;
        self.handed += handed;
        self.given_up += given_up;
        self.connections += connections;
        self.sessions_lost += sessions_lost;
        self.logins_refused += logins_refused;
        self.taken_over += taken_over;
        self.crashes += crashes;
        self.calls += calls;
        self.calls_failed += calls_failed;
    }
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// By client and number.
    sent: Vec<Vec<Sent>>,
    /// The last that arrived for the first time, by client and topic.
    last_arrived: BTreeMap<(usize, String), usize>,
    got: BTreeMap<(usize, Key, QoS), Got>,
    /// How many deliveries have begun.
    begun: usize,
    /// The last that a subscriber got for the first time, by the topic, and the QoS that it came at.
    last_shown: BTreeMap<(usize, String, QoS), usize>,
    /// How many of a client's messages to a topic it says it has given up.
    given_up: BTreeMap<(usize, String), i64>,
    pub(crate) tally: Tally,
}

impl Ledger {
    pub(crate) fn new(clients: usize) -> Self {
        Self { sent: (0..clients).map(|_| Vec::new()).collect(), ..Self::default() }
    }

    /// A client publishes another message.
    pub(crate) fn publish(&mut self, client: usize, topic: &str, qos: QoS) -> Key {
        let number = self.sent[client].len();
        let (place, is_told, is_forgotten) = (None, false, false);
        let sessions = BTreeSet::new();
        let topic = topic.into();
        self.sent[client].push(Sent { topic, qos, place, is_told, is_forgotten, arrived: 0, sessions });
        Key { client, number }
    }

    pub(crate) fn sent(&mut self, key: Key) -> &mut Sent {
        &mut self.sent[key.client][key.number]
    }

    /// The client has taken it on: it arrives, or somebody is told that it did not.
    pub(crate) fn accept(&mut self, key: Key) {
        let sent = &mut self.sent[key.client][key.number];
        if sent.place.is_none() {
            sent.place = Some(self.tally.accepted);
            self.tally.accepted += 1;
        }
    }

    /// The call failed with what an event tells too.
    pub(crate) fn tell_twice(&mut self, key: Key) {
        self.tell(key);
        let sent = self.sent(key);
        // With PUBREC, the client has forgotten the topic, so the event does not count for it.
        if sent.qos != QoS::ExactlyOnce || sent.arrived == 0 {
            let topic = sent.topic.clone();
            *self.given_up.entry((key.client, topic)).or_default() -= 1;
        }
    }

    /// The user was told that it may not have arrived.
    pub(crate) fn tell(&mut self, key: Key) {
        self.sent(key).is_told = true;
    }

    pub(crate) fn give_up(&mut self, client: usize, topic: &str) {
        *self.given_up.entry((client, topic.into())).or_default() += 1;
        self.tally.given_up += 1;
    }

    /// A process ended, and kept nothing: what it has not sent nobody ever will.
    pub(crate) fn forget(&mut self, client: usize) {
        self.sent[client].iter_mut().for_each(|sent| sent.is_forgotten = true);
    }

    /// The broker takes a message that it has not got in this session, as far as QoS 2 can tell.
    pub(crate) fn arrives(&mut self, key: Key, topic: &str, qos: QoS, session: u64) {
        let sent = &mut self.sent[key.client][key.number];
        assert_eq!((sent.topic.as_str(), sent.qos), (topic, qos), "{key:?} arrives as it was published");
        let is_new_to_session = sent.sessions.insert(session);
        // One that the broker refuses may be sent again, if the client does not hear of that.
        let is_refused = topic.contains("/refused/");
        assert!(
            qos == QoS::AtLeastOnce || is_new_to_session || is_refused,
            "{key:?} at QoS {} arrives once",
            qos as u8
        );
        assert!(qos != QoS::AtMostOnce || sent.arrived == 0, "{key:?} at QoS 0 arrives once at most");
        self.tally.arrived += 1;
        self.tally.arrived_again += usize::from(sent.arrived > 0);
        sent.arrived += 1;
        let place = sent.place.unwrap_or_else(|| panic!("{key:?} arrives, and was never taken on"));
        if sent.arrived == 1 {
            let last = self.last_arrived.insert((key.client, topic.into()), place);
            assert!(last.is_none_or(|last| last < place), "{key:?} arrives too late");
        }
    }

    /// The broker begins to deliver it.
    pub(crate) fn begin(&mut self, subscriber: usize, key: Key, qos: QoS) {
        let got = self.got.entry((subscriber, key, qos)).or_default();
        got.begun += 1;
        self.begun += 1;
        got.places.push(self.begun);
    }

    /// The client has acknowledged it: its user has it.
    pub(crate) fn acknowledged(&mut self, subscriber: usize, key: Key, qos: QoS) {
        let got = self.got.get_mut(&(subscriber, key, qos)).expect("it was delivered");
        got.acknowledged += 1;
        let is_there = if qos == QoS::ExactlyOnce { got.handed >= got.acknowledged } else { got.handed > 0 };
        assert!(is_there, "{key:?} is acknowledged by client {subscriber} and was not handed out: {got:?}");
    }

    /// The user has it.
    pub(crate) fn hand(&mut self, subscriber: usize, key: Key, qos: QoS) {
        let got = self.got.get_mut(&(subscriber, key, qos)).expect("it was delivered");
        got.handed += 1;
        self.tally.handed += 1;
        let is_due = qos == QoS::AtLeastOnce || got.handed <= got.begun;
        assert!(is_due, "{key:?} is handed out to client {subscriber} more often than it was delivered: {got:?}");
    }

    /// The user sees it, and may work on it later.
    pub(crate) fn show(&mut self, subscriber: usize, key: Key, topic: &str, qos: QoS) {
        let got = self.got.get_mut(&(subscriber, key, qos)).expect("it was delivered");
        if !std::mem::replace(&mut got.is_shown, true) {
            // If its publisher has sent it twice, the second delivery may be the first to come.
            let last = self.last_shown.entry((subscriber, topic.into(), qos)).or_default();
            let place = got.places.iter().find(|place| **place > *last);
            *last = *place.unwrap_or_else(|| panic!("{key:?} comes to client {subscriber} too late"));
        }
    }

    /// Everything has come to rest.
    pub(crate) fn check(&self) {
        let mut missing: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
        for (client, sent) in self.sent.iter().enumerate() {
            for (number, sent) in sent.iter().enumerate() {
                let is_due = sent.place.is_some() && !sent.is_told && !sent.is_forgotten && sent.qos != QoS::AtMostOnce;
                if is_due && sent.arrived == 0 {
                    missing.entry((client, sent.topic.clone())).or_default().push(number);
                }
            }
        }
        for (place, missing) in missing {
            let given_up = self.given_up.get(&place).copied().unwrap_or_default();
            assert!(
                missing.len() as i64 <= given_up,
                "lost without a word: {missing:?} of {place:?}, {given_up} given up"
            );
        }
    }
}
