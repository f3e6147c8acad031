//! Points in time without a clock: sessions and engines are told what time it is.

use core::ops::Add;
use core::time::Duration;

/// A point in time: the time since a start that the owner of the clock chooses and never changes.
///
/// ```
/// use core::time::Duration;
/// use mqtt_wasi::Instant;
///
/// let start = Instant::ZERO;
/// let later = start + Duration::from_secs(5);
/// assert_eq!(later.saturating_duration_since(start), Duration::from_secs(5));
/// assert_eq!(start.saturating_duration_since(later), Duration::ZERO);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The start itself.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The last point in time, which never comes.
    pub const MAX: Self = Self(Duration::MAX);

    /// The point in time this long after the start.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::Instant;
    ///
    /// let started = std::time::Instant::now();
    /// let now = Instant::from_start(started.elapsed());
    /// assert!(now < Instant::from_start(Duration::from_secs(60)));
    /// ```
    #[must_use]
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after `earlier` this is. Zero if it is before.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::Instant;
    ///
    /// let five = Instant::from_start(Duration::from_secs(5));
    /// assert_eq!(five.saturating_duration_since(Instant::ZERO), Duration::from_secs(5));
    /// ```
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Stops at the last point in time, instead of overflowing.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// A duration in seconds, rounded up from its milliseconds. In 64 bits: a division of 128 is a kilobyte of WebAssembly.
pub(crate) fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add((duration.subsec_millis() > 0).into())
}

/// The earlier of two points in time that there may be none of.
pub(crate) fn soonest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other < one { other } else { one }),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begun_seconds_count_as_whole_ones_and_begun_milliseconds_do_not() {
        let seconds = [0, 1, 999_999, 1_000_000, 999_000_000, 1_000_000_000, 1_000_999_999, 1_001_000_000]
            .map(|nanos| seconds_up(Duration::from_nanos(nanos)));
        assert_eq!(seconds, [0, 0, 0, 1, 1, 1, 1, 2]);
        assert_eq!(seconds_up(Duration::MAX), u64::MAX);
    }
}
