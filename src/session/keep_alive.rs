//! Keep Alive: when to send PINGREQ, and when to give the connection up (section 3.1.2.10).
//!
//! A ping is due when the client has sent nothing for a while, since the broker waits no longer than the Keep Alive;
//! and when it has *heard* nothing for a while, since messages that only go out prove nothing about the connection.

use core::time::Duration;

use crate::time::Instant;

/// How long before the Keep Alive ends a ping is sent, at most: what the way to the broker may take.
const MARGIN: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct KeepAlive {
    /// How long after the last packet a ping is due; `None` while there is no connection, or no Keep Alive.
    quiet: Option<Duration>,
    /// How long PINGRESP may take.
    patience: Duration,
    last_sent: Instant,
    last_received: Instant,
    ping: Option<Ping>,
}

/// A PINGREQ that was not answered yet.
#[derive(Debug, Clone, Copy)]
struct Ping {
    /// Where it ends in the outbound stream.
    place: u64,
    give_up: Instant,
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
    /// The connection was made, with this Keep Alive in seconds. It counts from what was last received: CONNACK.
    pub(super) fn start(&mut self, seconds: u16) {
        let keep_alive = Duration::from_secs(seconds.into());
        self.quiet = (seconds != 0).then(|| keep_alive - MARGIN.min(keep_alive / 4));
        self.patience = (keep_alive / 2).clamp(Duration::from_secs(1), Duration::from_secs(30));
        self.last_sent = self.last_received;
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
            && !has_sent(ping.place)
        {
            // The ping still waits behind other bytes, and they move.
            ping.give_up = now + self.patience;
        }
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    pub(super) fn ping_answered(&mut self) {
        self.ping = None;
    }

    /// A ping was put into the outbound stream and ends at `place`.
    pub(super) fn pinged(&mut self, now: Instant, place: u64) {
        self.ping = Some(Ping { place, give_up: now + self.patience, last_chance: false });
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let quiet = self.quiet?;
        Some(match self.ping {
            Some(ping) => ping.give_up,
            None => self.last_sent.min(self.last_received) + quiet,
        })
    }

    /// What is due. While the caller `is_paused`, that is, reads nothing, no answer can arrive and none is missed.
    pub(super) fn due(&mut self, now: Instant, is_paused: bool) -> Due {
        match (self.deadline(), &mut self.ping) {
            (Some(deadline), ping) if now >= deadline => match ping {
                None => Due::Ping,
                Some(ping) if is_paused || !ping.last_chance => {
                    // The caller may have been away, with the answer unread in the socket: let it look once more.
                    ping.last_chance = !is_paused;
                    ping.give_up = now + self.patience.min(Duration::from_secs(1));
                    Due::Nothing
                }
                Some(_) => Due::GiveUp,
            },
            _ => Due::Nothing,
        }
    }
}
