//! Points in time without a clock: sessions and engines are told what time it is.

use core::fmt;
use core::num::NonZero;
use core::ops::Add;
use core::time::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

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
// One number that is never zero: a point in time that there may be none of is one number too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZero<u64>);

impl Instant {
    /// The start itself.
    pub const ZERO: Self = Self(NonZero::<u64>::MIN);

    /// The last point in time, which never comes: 584 years after the start.
    pub const MAX: Self = Self(NonZero::<u64>::MAX);

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
        Self::ZERO.after(nanos(elapsed))
    }

    /// The point in time this many nanoseconds after the start.
    #[cfg(any(
        all(feature = "component", target_arch = "wasm32"),
        all(any(feature = "std", feature = "wasi"), target_os = "wasi", target_env = "p2")
    ))]
    pub(crate) const fn from_nanos(elapsed: u64) -> Self {
        Self::ZERO.after(elapsed)
    }

    /// How many nanoseconds after the start it is.
    #[cfg(any(
        all(feature = "component", target_arch = "wasm32"),
        all(any(feature = "std", feature = "wasi"), target_os = "wasi", target_env = "p2")
    ))]
    pub(crate) const fn nanos(self) -> u64 {
        self.0.get() - 1
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
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    const fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.saturating_duration_since(Self::ZERO)).finish()
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Stops at the last point in time, instead of overflowing.
    fn add(self, duration: Duration) -> Self {
        self.after(nanos(duration))
    }
}

/// A duration in nanoseconds, as many as can be told.
// Its multiplication is of 128 bits, to see what overflows.
#[inline(never)]
const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(NANOS_PER_SECOND).saturating_add(duration.subsec_nanos() as u64)
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
    use alloc::format;

    use super::*;

    #[test]
    fn time_stops_at_its_last_point() {
        assert_eq!(Instant::from_start(Duration::MAX), Instant::MAX);
        assert_eq!(Instant::MAX + Duration::from_nanos(1), Instant::MAX);
        let nearly = Instant::ZERO + Duration::from_nanos(u64::MAX - 2);
        assert_eq!((nearly + Duration::from_nanos(1), nearly < Instant::MAX), (Instant::MAX, true));
        assert_eq!(format!("{:?}", Instant::from_start(Duration::from_millis(1_500))), "Instant(1.5s)");
    }

    #[test]
    fn begun_seconds_count_as_whole_ones_and_begun_milliseconds_do_not() {
        let seconds = [0, 1, 999_999, 1_000_000, 999_000_000, 1_000_000_000, 1_000_999_999, 1_001_000_000]
            .map(|nanos| seconds_up(Duration::from_nanos(nanos)));
        assert_eq!(seconds, [0, 0, 0, 1, 1, 1, 1, 2]);
        assert_eq!(seconds_up(Duration::MAX), u64::MAX);
    }
}
