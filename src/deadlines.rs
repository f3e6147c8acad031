//! When things with numbers end: soonest first.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::time::Instant;

/// As many deadlines of things that have ended are kept as of those that have not, and this many more.
const MOST_ENDED: usize = 64;

/// The deadlines of things that are kept elsewhere. Some of them may have ended by now.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BinaryHeap<Reverse<(Instant, u64)>>);

impl Deadlines {
    pub(crate) fn push(&mut self, number: u64, deadline: Instant) {
        self.0.push(Reverse((deadline, number)));
    }

    /// The soonest.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// The next whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u64> {
        let Reverse((deadline, number)) = self.0.peek()?;
        let (is_due, number) = (now >= *deadline, *number);
        if is_due {
            self.0.pop();
        }
        is_due.then_some(number)
    }

    /// Forgets those that have ended, as far as they stand in front or are too many beside the `live`.
    pub(crate) fn forget(&mut self, live: usize, is_live: impl Fn(u64) -> bool) {
        while let Some(Reverse((_, number))) = self.0.peek()
            && !is_live(*number)
        {
            self.0.pop();
        }
        if self.0.len() > 2 * live + MOST_ENDED {
            for Reverse((deadline, number)) in core::mem::take(&mut self.0) {
                if is_live(number) {
                    self.push(number, deadline);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn soonest_is_next_and_what_has_ended_is_forgotten() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        for number in 0..10_000 {
            deadlines.push(number, at(10_000 - number));
            deadlines.forget(1, |other| other == number || other == 0);
        }
        assert!(deadlines.0.len() <= 2 + MOST_ENDED + 1, "{}", deadlines.0.len());
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!((deadlines.pop_due(at(0)), deadlines.pop_due(at(1))), (None, Some(9_999)));
    }
}
