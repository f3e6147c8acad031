//! When things with numbers end: soonest first.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::fifo::Fifo;
use crate::time::{Instant, soonest};

/// As many deadlines of things that have ended are kept as of those that have not, and this many more.
const MOST_ENDED: usize = 64;

/// The deadlines of things that are kept elsewhere. Some of them may have ended by now.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// Soonest first. Most things have the same time, so each one's deadline is behind all before it.
    in_order: Fifo<(Instant, u64)>,
    others: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Deadlines {
    #[inline(never)]
    pub(crate) fn push(&mut self, number: u64, deadline: Instant) {
        if self.in_order.back().is_none_or(|(last, _)| *last <= deadline) {
            self.in_order.push_back((deadline, number));
        } else {
            self.others.push(Reverse((deadline, number)));
        }
    }

    /// The soonest.
    pub(crate) fn next(&self) -> Option<Instant> {
        let other = self.others.peek().map(|Reverse((deadline, _))| *deadline);
        soonest(self.in_order.front().map(|(deadline, _)| *deadline), other)
    }

    /// The next whose time has come.
    #[inline(never)]
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u64> {
        let next = self.next().filter(|deadline| now >= *deadline)?;
        if self.in_order.front().is_some_and(|(deadline, _)| *deadline == next) {
            return self.in_order.pop_front().map(|(_, number)| number);
        }
        self.pop_other().map(|(_, number)| number)
    }

    #[inline(never)]
    fn pop_other(&mut self) -> Option<(Instant, u64)> {
        self.others.pop().map(|Reverse(other)| other)
    }

    /// Forgets those that have ended, as far as they stand in front or are too many beside the `live`.
    pub(crate) fn forget(&mut self, live: usize, is_live: impl Fn(u64) -> bool) {
        while let Some((_, number)) = self.in_order.front()
            && !is_live(*number)
        {
            self.in_order.pop_front();
        }
        while let Some(Reverse((_, number))) = self.others.peek()
            && !is_live(*number)
        {
            self.pop_other();
        }
        if self.in_order.len() + self.others.len() > 2 * live + MOST_ENDED {
            let mut all = core::mem::take(self);
            while let Some((deadline, number)) = all.in_order.pop_front().or_else(|| all.pop_other()) {
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
        let kept = deadlines.in_order.len() + deadlines.others.len();
        assert!(kept <= 2 + MOST_ENDED + 1, "{kept}");
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!((deadlines.pop_due(at(0)), deadlines.pop_due(at(1))), (None, Some(9_999)));
    }
}
