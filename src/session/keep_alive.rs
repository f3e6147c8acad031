//! Keep Alive: when to send PINGREQ, and when to give the connection up (section 3.1.2.10).
//!
//! A ping is due when the client has sent nothing for a while, since the broker waits no longer than the Keep Alive;
//! and when it has *heard* nothing for a while, since messages that only go out prove nothing about the connection.

use core::time::Duration;

use crate::time::Instant;

/// How long before the Keep Alive ends a ping is sent, at most: what the way to the broker may take.
const MARGIN: Duration = Duration::from_secs(5);

/// How many times its patience a ping waits at most, while other things come.
const MOST_PATIENCE: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct KeepAlive {
    /// How long after the last packet a ping is due; `None` while there is no connection, or no Keep Alive.
    quiet: Option<Duration>,
    /// How long PINGRESP may take.
    patience: Duration,
    last_sent: Instant,
    last_received: Instant,
    ping: Option<Ping>,
    /// How long the last answer took.
    round_trip: Option<Duration>,
}

/// PINGREQ that was not answered yet.
#[derive(Debug, Clone, Copy)]
struct Ping {
    /// Where the last one ends in the outbound stream, while it waits there.
    waiting: Option<u64>,
    /// When the first of them was out, so that an answer can come.
    out: Option<Instant>,
    give_up: Instant,
    /// When to give up whatever else comes.
    latest: Instant,
    /// Whether its time ran out once already.
    last_chance: bool,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    GiveUp,
}

impl KeepAlive {
    /// The connection was made, with this Keep Alive in seconds. The broker counts from CONNECT, which was sent last.
    pub(super) fn start(&mut self, seconds: u16) {
        let keep_alive = Duration::from_secs(seconds.into());
        self.quiet = (seconds != 0).then(|| keep_alive - MARGIN.min(keep_alive / 4));
        self.patience = (keep_alive / 2).clamp(Duration::from_secs(1), Duration::from_secs(30));
        self.ping = None;
    }

    pub(super) fn stop(&mut self) {
        self.quiet = None;
        self.ping = None;
    }

    /// Something was sent; `has_sent` tells what of the stream is out.
    pub(super) fn sent(&mut self, now: Instant, has_sent: impl FnOnce(u64) -> bool) {
        self.last_sent = now;
        if let Some(ping) = &mut self.ping
            && let Some(place) = ping.waiting
        {
            let is_sent = has_sent(place);
            if is_sent {
                ping.waiting = None;
            }
            if ping.out.is_none() {
                // It may have waited behind other bytes, but they move.
                ping.out = is_sent.then_some(now);
                ping.latest = now + self.patience * MOST_PATIENCE;
                ping.wait_until(now + self.patience);
            }
        }
    }

    /// Something was received. It need not be the answer, which may be behind packets that take their time; but not for
    /// ever, since what comes in proves nothing about the way out.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
        if let Some(ping) = &mut self.ping
            && now + self.patience <= ping.latest
        {
            ping.wait_until(now + self.patience);
        }
    }

    pub(super) fn ping_answered(&mut self) {
        if let Some(out) = self.ping.take().and_then(|ping| ping.out) {
            self.round_trip = Some(self.last_received.saturating_duration_since(out));
        }
    }

    /// How long the answer to the last ping took.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// A ping was put into the outbound stream and ends at `place`.
    pub(super) fn pinged(&mut self, now: Instant, place: u64) {
        let give_up = now + self.patience;
        let latest = now + self.patience * MOST_PATIENCE;
        let ping = self.ping.get_or_insert(Ping { waiting: None, out: None, give_up, latest, last_chance: false });
        ping.waiting = Some(place);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let quiet = self.quiet?;
        Some(match self.ping {
            None => self.last_sent.min(self.last_received) + quiet,
            Some(Ping { waiting: Some(_), give_up, .. }) => give_up,
            // The broker counts from the last packet that it got, whether or not its answer to that is here.
            Some(Ping { waiting: None, give_up, .. }) => give_up.min(self.last_sent + quiet),
        })
    }

    /// What is due. No answer is missed that may be unread: while the user `is_behind` with receiving, and while the
    /// broker has let too much pile up (`is_overrun`), unless that is why the ping is not out.
    pub(super) fn due(&mut self, now: Instant, is_behind: bool, is_overrun: bool) -> Due {
        if let Some(ping) = &mut self.ping
            && now >= ping.give_up
        {
            let may_be_unread = is_behind || is_overrun && ping.waiting.is_none();
            if ping.last_chance && !may_be_unread {
                return Due::GiveUp;
            }
            // The caller may have been away, with the answer unread in the socket: let it look once more.
            ping.last_chance = !may_be_unread;
            ping.give_up = now + self.patience.min(Duration::from_secs(1));
        }
        if self.deadline().is_some_and(|deadline| now >= deadline) { Due::Ping } else { Due::Nothing }
    }
}

impl Ping {
    const fn wait_until(&mut self, give_up: Instant) {
        self.give_up = give_up;
        self.last_chance = false;
    }
}
