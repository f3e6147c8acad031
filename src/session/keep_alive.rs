//! Keep Alive: when to send PINGREQ, and when to give the connection up (section 3.1.2.10).
//!
//! A ping is due when the client has sent nothing for a while, since the broker waits no longer than the Keep Alive;
//! and when it has *heard* nothing for a while, since messages that only go out prove nothing about the connection.
//!
//! An answer overtakes nothing. It waits behind a packet that is on its way in, and behind what the broker had said
//! before; and before there can be one, the broker has to have read what the system took before PINGREQ. So progress
//! counts as life: the time in which bytes come that PINGRESP cannot overtake is no time that it takes, and what may be
//! in the pipe has its time to get through.

use core::time::Duration;

use crate::codec::PacketId;
#[cfg(not(feature = "stream"))]
use crate::time::Instant;
#[cfg(feature = "stream")]
use crate::time::{Instant, soonest};

/// How long before the Keep Alive ends a ping is sent, at most: what the way to the broker may take.
const MARGIN: Duration = Duration::from_secs(5);

/// How many times its patience a ping waits at most, while other things come.
const MOST_PATIENCE: u32 = 8;

/// How many bytes the systems and the network hold at most between one side and the other.
const MOST_HELD: u64 = 8 * 1024 * 1024;

/// How many bytes a second get through at least, on a link where nothing else is known.
const SLOWEST: u64 = 32 * 1024;

/// Between bytes that come without a pause there is no more time than this.
const PAUSE: Duration = Duration::from_secs(1);

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
    pipe: Pipe,
    /// A message that the broker has not answered yet, and where it ends in the outbound stream.
    probe: Option<(PacketId, u64)>,
    /// Whether the system did not take all there was when it was given something last.
    is_stalled: bool,
    /// The Keep Alive, if there is one.
    #[cfg(feature = "stream")]
    longest: Option<Duration>,
}

/// What was given to the system, and may not have reached the broker.
#[derive(Debug, Default)]
struct Pipe {
    /// So many bytes since then.
    bytes: u64,
    since: Instant,
}

/// PINGREQ that was not answered yet.
#[derive(Debug, Clone, Copy)]
struct Ping {
    /// Where the first of them ends in the outbound stream.
    place: u64,
    /// Where the last one ends, while it waits there.
    waiting: Option<u64>,
    /// When the first of them was out, so that an answer can come.
    out: Option<Instant>,
    give_up: Instant,
    /// When to give up whatever else comes.
    latest: Instant,
    /// Whether its time ran out once already.
    last_chance: bool,
    /// How many bytes came since it was due, and how many were taken behind it.
    came: u64,
    behind: u64,
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
        #[cfg(feature = "stream")]
        {
            self.longest = (seconds != 0).then_some(keep_alive);
        }
        self.patience = (keep_alive / 2).clamp(Duration::from_secs(1), Duration::from_secs(30));
        (self.ping, self.probe, self.is_stalled) = (None, None, false);
        // The broker has read CONNECT.
        self.pipe = Pipe::default();
    }

    pub(super) fn stop(&mut self) {
        self.quiet = None;
        self.ping = None;
    }

    /// The system took `len` bytes, and `is_stalled` if it could not take all; `has_sent` tells what of the stream is
    /// out.
    pub(super) fn sent(&mut self, len: usize, is_stalled: bool, now: Instant, has_sent: impl Fn(u64) -> bool) {
        let gap = now.saturating_duration_since(core::mem::replace(&mut self.last_sent, now));
        let was_stalled = core::mem::replace(&mut self.is_stalled, is_stalled);
        self.pipe.add(len as u64, now);
        let Some(ping) = &mut self.ping else { return };
        let is_out = ping.waiting.is_none_or(has_sent);
        if is_out {
            ping.waiting = None;
        }
        if ping.out.is_none() {
            // It may have waited behind other bytes, but they move.
            ping.out = is_out.then_some(now);
            let in_pipe = self.pipe.delay(now);
            ping.latest = now + self.patience * MOST_PATIENCE + in_pipe;
            ping.wait_until(now + self.patience + in_pipe);
        } else if was_stalled && ping.behind < MOST_HELD {
            // What was full has got emptier, and the ping may still be in it.
            ping.behind += len as u64;
            ping.moves(gap.min(self.patience), now + self.patience);
        }
    }

    /// Bytes were received. The answer need not be among them, since it may be behind others. It is for sure where they
    /// are `within_packet`, of one packet that was there before and is not whole; and may be while they come without a
    /// pause. Otherwise it is not waited for for ever, since what comes in proves nothing about the way out.
    pub(super) fn received(&mut self, len: usize, within_packet: bool, now: Instant) {
        let gap = now.saturating_duration_since(core::mem::replace(&mut self.last_received, now));
        if let Some(ping) = &mut self.ping {
            let may_be_behind = within_packet || gap <= PAUSE && ping.came < MOST_HELD;
            ping.came = ping.came.saturating_add(len as u64);
            let blocked = if may_be_behind { gap.min(self.patience) } else { Duration::ZERO };
            ping.moves(blocked, now + self.patience);
        }
    }

    /// Whether a ping was not answered yet.
    pub(super) const fn is_pinging(&self) -> bool {
        self.ping.is_some()
    }

    /// PINGRESP came; `sent_since` tells how many bytes are out behind a place in the stream.
    pub(super) fn ping_answered(&mut self, sent_since: impl FnOnce(u64) -> u64) {
        let Some(ping) = self.ping.take() else { return };
        if let Some(out) = ping.out {
            self.round_trip = Some(self.last_received.saturating_duration_since(out));
            self.read_up_to(sent_since(ping.place));
        }
    }

    /// A message that will be answered ends at `place` in the outbound stream.
    pub(super) fn will_be_answered(&mut self, id: PacketId, place: u64) {
        self.probe.get_or_insert((id, place));
    }

    /// The answer to a message came; `sent_since` tells how many bytes are out behind a place in the stream.
    pub(super) fn answered(&mut self, id: PacketId, sent_since: impl FnOnce(u64) -> u64) {
        if let Some((_, place)) = self.probe.take_if(|(probe, _)| *probe == id) {
            self.read_up_to(sent_since(place));
        }
    }

    /// The broker has read what was sent, except the last `unread` bytes.
    const fn read_up_to(&mut self, unread: u64) {
        self.pipe = Pipe { bytes: unread, since: self.last_received };
    }

    /// How long the answer to the last ping took.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// A ping was put into the outbound stream and ends at `place`.
    pub(super) fn pinged(&mut self, now: Instant, place: u64) {
        let in_pipe = self.pipe.delay(now);
        let ping = self.ping.get_or_insert(Ping {
            place,
            waiting: None,
            out: None,
            give_up: now + self.patience + in_pipe,
            latest: now + self.patience * MOST_PATIENCE + in_pipe,
            last_chance: false,
            came: 0,
            behind: 0,
        });
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

    /// As [`KeepAlive::deadline`], within a message whose payload has to come before anything can be sent: when that
    /// has taken too long, or when a ping is to be given up that is out.
    #[cfg(feature = "stream")]
    pub(super) fn deadline_within_message(&self) -> Option<Instant> {
        let ping_is_over = self.ping.filter(|ping| ping.waiting.is_none()).map(|ping| ping.give_up);
        soonest(self.quiet.and(self.longest).map(|longest| self.last_sent + longest), ping_is_over)
    }

    /// Whether nothing was sent for so long that the broker may end the connection, for want of a payload. It counts
    /// the time between packets `[MQTT-3.1.2-22]`, or, as brokers do, between bytes.
    #[cfg(feature = "stream")]
    pub(super) fn has_source_stalled(&self, now: Instant) -> bool {
        self.quiet.is_some() && self.longest.is_some_and(|longest| now >= self.last_sent + longest)
    }

    /// Whether a ping is out whose answer is late.
    #[cfg(feature = "stream")]
    pub(super) fn is_answer_late(&self, now: Instant) -> bool {
        self.ping.is_some_and(|ping| ping.waiting.is_none() && now >= ping.give_up)
    }

    /// There is more of a payload: a ping that waits behind it waits for the network from now on.
    #[cfg(feature = "stream")]
    pub(super) fn payload_came(&mut self, now: Instant) {
        let patience = self.patience;
        if let Some(ping) = self.ping.as_mut().filter(|ping| ping.waiting.is_some()) {
            ping.wait_until(now + patience);
        }
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
    fn wait_until(&mut self, give_up: Instant) {
        self.give_up = self.give_up.max(give_up);
        self.last_chance = false;
    }

    /// There is life, and the answer was behind it for so long.
    fn moves(&mut self, blocked: Duration, give_up: Instant) {
        self.latest = self.latest + blocked;
        if give_up <= self.latest {
            self.wait_until(give_up);
        }
    }
}

impl Pipe {
    fn add(&mut self, len: u64, now: Instant) {
        if self.bytes <= self.seconds(now).saturating_mul(SLOWEST) {
            // All of that has got through.
            *self = Self { bytes: 0, since: now };
        }
        self.bytes = self.bytes.saturating_add(len);
    }

    /// How long what is in it may take to get through. What is more than it can hold has, and tells how fast it is.
    fn delay(&self, now: Instant) -> Duration {
        let seconds = self.seconds(now);
        let through = seconds.saturating_mul(SLOWEST).max(self.bytes.saturating_sub(MOST_HELD));
        let rate = (through / seconds.max(1)).max(SLOWEST);
        Duration::from_secs(self.bytes.saturating_sub(through) / rate)
    }

    const fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_secs()
    }
}
