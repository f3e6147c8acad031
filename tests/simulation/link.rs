//! The network: links that are slow, stall, lose their end, and outlive what their client thinks of them. What a link
//! delivers, it delivers in order, as TCP does; but two links of one client know nothing of each other, so that the older
//! one may deliver later.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::Moment;
use crate::random::Random;

pub(crate) type LinkId = u64;

/// Longer than any world lasts.
pub(crate) const NEVER: Moment = Duration::from_secs(1_000_000);

/// What one side reads.
pub(crate) enum Read {
    Bytes(Vec<u8>),
    Closed,
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

/// One direction.
pub(crate) struct Pipe {
    latency: Duration,
    jitter: u64,
    /// How many bytes fit.
    window: usize,
    segments: VecDeque<(Moment, Vec<u8>)>,
    waiting: usize,
    /// When the last segment arrives.
    last: Moment,
    /// Nothing arrives before.
    held_until: Moment,
    end: Option<(Moment, End)>,
}

impl Pipe {
    fn new(latency: Duration, jitter: u64, window: usize) -> Self {
        let (last, held_until) = (Moment::ZERO, Moment::ZERO);
        Self { latency, jitter, window, segments: VecDeque::new(), waiting: 0, last, held_until, end: None }
    }

    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.waiting)
    }

    pub(crate) fn send(&mut self, bytes: Vec<u8>, now: Moment, random: &mut Random) {
        if bytes.is_empty() || self.end.is_some() {
            return;
        }
        self.last = self.last.max(now + self.latency + random.mostly_short(self.jitter + 1));
        self.waiting += bytes.len();
        self.segments.push_back((self.last, bytes));
    }

    /// When there is something to read.
    pub(crate) fn next(&self) -> Option<Moment> {
        let next = self.segments.front().map(|(arrives, _)| *arrives).or(self.end.map(|(arrives, _)| arrives));
        next.map(|next| next.max(self.held_until)).filter(|next| *next < NEVER)
    }

    /// What is there, up to so many bytes.
    pub(crate) fn read(&mut self, most: usize, now: Moment, random: &mut Random) -> Option<Read> {
        if self.next().is_none_or(|next| next > now) {
            return None;
        }
        let Some((_, segment)) = self.segments.front_mut() else {
            let (_, end) = self.end.take()?;
            return Some(if end == End::Closed { Read::Closed } else { Read::Reset });
        };
        let most = if random.once_in(8) { 1 + random.below(most as u64) as usize } else { most };
        let rest = segment.split_off(most.min(segment.len()));
        let bytes = std::mem::replace(segment, rest);
        if segment.is_empty() {
            self.segments.pop_front();
        }
        self.waiting -= bytes.len();
        Some(Read::Bytes(bytes))
    }

    fn end(&mut self, at: Moment, end: End) {
        self.end.get_or_insert((at.max(self.last), end));
    }

    /// Loses what was sent last.
    fn lose_some(&mut self, random: &mut Random) {
        let kept = random.below(self.segments.len() as u64 + 1) as usize;
        self.segments.truncate(kept);
        self.waiting = self.segments.iter().map(|(_, segment)| segment.len()).sum();
        self.last = self.segments.back().map_or(Moment::ZERO, |(arrives, _)| *arrives);
    }
}

pub(crate) struct Link {
    pub(crate) host: usize,
    pub(crate) client: usize,
    /// To the broker.
    pub(crate) up: Pipe,
    /// To the client.
    pub(crate) down: Pipe,
    client_is_there: bool,
    broker_is_there: bool,
}

#[derive(Default)]
pub(crate) struct Network {
    links: BTreeMap<LinkId, Link>,
    last: LinkId,
    /// Whether nothing bad happens any more.
    pub(crate) is_calm: bool,
}

impl Network {
    pub(crate) fn connect(&mut self, client: usize, host: usize, random: &mut Random) -> LinkId {
        let (latency, jitter) = match random.below(10) {
            _ if self.is_calm => (20, 10),
            0 => (5_000, 30_000),
            1..4 => (400, 1_000),
            _ => (20, 10),
        };
        let window = if self.is_calm { 65_536 } else { random.pick(&[65_536, 65_536, 4_096, 300]) };
        let latency = Duration::from_millis(latency);
        let (up, down) = (Pipe::new(latency, jitter, window), Pipe::new(latency, jitter, usize::MAX));
        self.last += 1;
        self.links.insert(self.last, Link { host, client, up, down, client_is_there: true, broker_is_there: true });
        self.last
    }

    pub(crate) fn get(&mut self, id: LinkId) -> &mut Link {
        self.links.get_mut(&id).expect("a link that is used is there")
    }

    pub(crate) fn peek(&self, id: LinkId) -> &Link {
        &self.links[&id]
    }

    pub(crate) fn ids(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// Those that the broker has something to read from.
    pub(crate) fn arrived(&self, now: Moment) -> Option<LinkId> {
        let has_arrived = |link: &&Link| link.broker_is_there && link.up.next().is_some_and(|next| next <= now);
        self.links.iter().find(|(_, link)| has_arrived(link)).map(|(id, _)| *id)
    }

    /// When the broker has something to read next.
    pub(crate) fn next_for_broker(&self) -> Option<Moment> {
        self.links.values().filter(|link| link.broker_is_there).filter_map(|link| link.up.next()).min()
    }

    /// The client closes its side: what it sent arrives first.
    pub(crate) fn client_closes(&mut self, id: LinkId, now: Moment) {
        let link = self.get(id);
        link.client_is_there = false;
        link.up.end(now + link.up.latency, End::Closed);
        self.forget(id);
    }

    /// The broker closes its side: what it sent arrives first.
    pub(crate) fn broker_closes(&mut self, id: LinkId, now: Moment) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.broker_is_there = false;
        link.down.end(now + link.down.latency, End::Closed);
        // Nobody reads it.
        link.up.segments.clear();
        link.up.waiting = 0;
        self.forget(id);
    }

    fn forget(&mut self, id: LinkId) {
        self.links.retain(|other, link| *other != id || link.client_is_there || link.broker_is_there);
    }

    /// The connection is gone: each side gets some of what was under way, and finds out at its own time, or never.
    pub(crate) fn reset(&mut self, id: LinkId, now: Moment, random: &mut Random) {
        let link = self.get(id);
        for pipe in [&mut link.up, &mut link.down] {
            pipe.lose_some(random);
            pipe.held_until = Moment::ZERO;
        }
        link.down.end(now + random.mostly_short(2_000), End::Reset);
        let finds_out = if random.once_in(3) { NEVER } else { now + random.mostly_short(300_000) };
        link.up.end(finds_out, End::Reset);
    }

    /// Nothing arrives until then, one way or both.
    pub(crate) fn stall(&mut self, id: LinkId, until: Moment, random: &mut Random) {
        let way = random.below(4);
        let link = self.get(id);
        if way != 0 {
            link.up.held_until = link.up.held_until.max(until);
        }
        if way != 1 {
            link.down.held_until = link.down.held_until.max(until);
        }
    }

    /// From now on everything arrives.
    pub(crate) fn calm_down(&mut self, now: Moment) {
        self.is_calm = true;
        for link in self.links.values_mut() {
            for pipe in [&mut link.up, &mut link.down] {
                pipe.held_until = pipe.held_until.min(now);
                if let Some((at, _)) = &mut pipe.end {
                    *at = (*at).min(now.max(pipe.last));
                }
            }
        }
    }
}
