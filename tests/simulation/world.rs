//! A world: clients, a broker and a network for an hour and what comes after, as a seed has it.

use std::time::Duration;

use crate::broker::Broker;
use crate::client::{Client, Kept};
use crate::clock::Moment;
use crate::ledger::{Ledger, Tally};
use crate::link::{NEVER, Network};
use crate::random::Random;

/// Where the broker listens.
pub(crate) const HOSTS: [&str; 2] = ["a", "b"];

const CLIENTS: usize = 3;

/// As long as bad things happen.
const TROUBLE: Duration = Duration::from_secs(3600);

/// As long as everything has to come to rest, and then to stay as it is.
const CALM: Duration = Duration::from_secs(1200);
const REST: Duration = Duration::from_secs(300);

/// Far more steps than any world takes.
const MOST_STEPS: usize = 1_000_000;

/// What clients and broker live in.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Moment,
    pub(crate) random: &'a mut Random,
    pub(crate) network: &'a mut Network,
    pub(crate) ledger: &'a mut Ledger,
    is_loud: bool,
}

impl Surroundings<'_> {
    /// Tells what happens, to find out why something fails.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.is_loud {
            let (seconds, rest) = (self.now.as_secs(), self.now.subsec_micros());
            eprintln!("{seconds:5}.{rest:06} {}", what());
        }
    }
}

/// Lives through a seed.
pub(crate) fn live(seed: u64, is_loud: bool) -> Tally {
    let mut random = Random::new(seed);
    let (mut network, mut ledger) = (Network::default(), Ledger::new(CLIENTS));
    let texts = Kept::texts();
    let messages = Kept::messages();
    let kept = Kept { texts: &texts, messages: &messages };
    let mut s =
        Surroundings { now: Moment::ZERO, random: &mut random, network: &mut network, ledger: &mut ledger, is_loud };
    let broker = Broker::new(&mut s);
    let clients = (0..CLIENTS).map(|id| Client::new(id, kept, &mut s)).collect();
    let mut world = World { broker, clients, next_trouble: Moment::ZERO };
    world.run(TROUBLE, &mut s);
    s.say(|| "calm".into());
    s.network.calm_down(s.now);
    world.broker.calm_down();
    world.next_trouble = NEVER;
    world.clients.iter_mut().for_each(|client| client.calm_down(&mut s));
    world.run(TROUBLE + CALM, &mut s);
    world.clients.iter_mut().for_each(|client| client.begin_rest(&mut s));
    world.run(TROUBLE + CALM + REST, &mut s);
    for client in &mut world.clients {
        client.check_rest(&world.broker, &mut s);
    }
    s.ledger.check();
    s.ledger.tally
}

struct World<'a> {
    broker: Broker,
    clients: Vec<Client<'a>>,
    next_trouble: Moment,
}

impl World<'_> {
    /// Lets time pass until then.
    fn run(&mut self, end: Moment, s: &mut Surroundings) {
        for _ in 0..MOST_STEPS {
            let next = s.network.next_for_broker().unwrap_or(NEVER).min(self.broker.next()).min(self.next_trouble);
            let next = self.clients.iter().map(|client| client.next(s)).fold(next, Moment::min);
            if next > end {
                s.now = end;
                return;
            }
            // What was due is done; a clock that goes back does not take the world with it.
            s.now = s.now.max(next);
            if self.next_trouble <= s.now {
                self.make_trouble(s);
                self.next_trouble = s.now + s.random.between(1_000, 120_000);
            }
            self.broker.run(s);
            for client in &mut self.clients {
                if client.next(s) <= s.now {
                    client.run(s);
                }
            }
        }
        panic!("it goes on for too long without time to pass");
    }

    fn make_trouble(&mut self, s: &mut Surroundings) {
        let links = s.network.ids();
        match s.random.below(20) {
            0..6 if !links.is_empty() => {
                let link = s.random.pick(&links);
                s.say(|| format!("link {link} is reset"));
                s.network.reset(link, s.now, s.random);
            }
            6..11 if !links.is_empty() => {
                let link = s.random.pick(&links);
                let until = if s.random.once_in(4) { NEVER } else { s.now + s.random.mostly_short(600_000) };
                s.say(|| format!("link {link} stalls until {until:?}"));
                s.network.stall(link, until, s.random);
            }
            11..13 => self.broker.throws_somebody_out(s),
            13..15 => self.broker.goes_down(s),
            15..18 => {
                let client = s.random.below(CLIENTS as u64) as usize;
                self.clients[client].time_goes_wrong(s);
            }
            18 => {
                let client = s.random.below(CLIENTS as u64) as usize;
                self.clients[client].crash(s);
            }
            _ => {}
        }
    }
}
