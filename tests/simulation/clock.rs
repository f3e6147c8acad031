//! The clock of one client: it is a little fast or slow, it jumps, and it stands still while its machine sleeps.

use std::time::Duration;

use mqtt_wasi::Instant;

/// A point in the time of the world, which no client sees.
pub(crate) type Moment = Duration;

/// How fast a clock goes that is right, in millionths.
const RIGHT: u128 = 1_000_000;

pub(crate) struct Clock {
    /// When it was last set, and what it showed then.
    set_at: Moment,
    showed: Duration,
    /// In millionths. 0: it stands still.
    speed: u128,
}

impl Clock {
    /// Shows something other than zero, which would hide that a time is not set.
    pub(crate) fn new(now: Moment, parts_per_million: i64) -> Self {
        let speed = u128::try_from(RIGHT as i64 + parts_per_million).expect("a clock that goes forward");
        Self { set_at: now, showed: Duration::from_secs(1_000_000), speed }
    }

    pub(crate) fn read(&self, now: Moment) -> Instant {
        Instant::from_start(self.shows(now))
    }

    fn shows(&self, now: Moment) -> Duration {
        let elapsed = now.saturating_sub(self.set_at).as_nanos() * self.speed / RIGHT;
        self.showed + Duration::from_nanos(elapsed as u64)
    }

    /// When it will show this. `None`: never, as it goes.
    pub(crate) fn when(&self, shows: Instant) -> Option<Moment> {
        let shows = shows.saturating_duration_since(Instant::ZERO);
        let left = shows.saturating_sub(self.showed).as_nanos();
        if left == 0 {
            return Some(self.set_at);
        }
        if self.speed == 0 {
            return None;
        }
        let left = left.saturating_mul(RIGHT).div_ceil(self.speed);
        // A century is as good as never.
        let left = u64::try_from(left).ok().filter(|left| *left < 100 * 365 * 86_400 * 1_000_000_000)?;
        Some(self.set_at + Duration::from_nanos(left))
    }

    /// It suddenly shows a later time.
    pub(crate) fn jump_ahead(&mut self, now: Moment, by: Duration) {
        self.showed = self.shows(now) + by;
        self.set_at = now;
    }

    /// It suddenly shows an earlier time.
    pub(crate) fn jump_back(&mut self, now: Moment, by: Duration) {
        self.showed = self.shows(now).saturating_sub(by);
        self.set_at = now;
    }

    /// It stands still; returns how fast it went.
    pub(crate) fn stop(&mut self, now: Moment) -> u128 {
        self.showed = self.shows(now);
        self.set_at = now;
        std::mem::take(&mut self.speed)
    }

    pub(crate) fn go(&mut self, now: Moment, speed: u128) {
        self.showed = self.shows(now);
        self.set_at = now;
        self.speed = speed;
    }
}
