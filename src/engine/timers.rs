//! The timer table: everything that happens though nothing comes, in one place.

use crate::deadlines::Deadlines;
use crate::time::{Instant, soonest};

/// What there is one of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Timer {
    /// The next attempt to connect is due.
    Redial,
    /// The last bytes of a connection have had their time.
    Close,
    /// Nobody takes the messages that the broker's answers are behind.
    Stuck,
    /// Bytes have not left, and a call may wait for them that has no deadline yet.
    Flush,
    /// The authenticator and the broker have had their time to make a connection.
    Authenticate,
    /// What nothing waits for is to be written to the store.
    #[cfg(feature = "store")]
    Store,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    table: [Option<Instant>; if cfg!(feature = "store") { 6 } else { 5 }],
    /// When calls end.
    calls: Deadlines,
}

impl Timers {
    pub(super) const fn get(&self, timer: Timer) -> Option<Instant> {
        self.table[timer as usize]
    }

    pub(super) const fn set(&mut self, timer: Timer, at: Instant) {
        self.table[timer as usize] = Some(at);
    }

    /// As [`Timers::set`], unless it is due before.
    pub(super) fn set_sooner(&mut self, timer: Timer, at: Instant) {
        let timer = &mut self.table[timer as usize];
        *timer = soonest(*timer, Some(at));
    }

    pub(super) const fn stop(&mut self, timer: Timer) {
        self.table[timer as usize] = None;
    }

    /// Whether this one's time has come; it is stopped then.
    pub(super) fn take_due(&mut self, timer: Timer, now: Instant) -> bool {
        self.table[timer as usize].take_if(|at| now >= *at).is_some()
    }

    /// Has a call end then. One that never ends by itself needs no timer.
    pub(super) fn start_call(&mut self, call: u64, deadline: Instant) {
        if deadline < Instant::MAX {
            self.calls.push(call, deadline);
        }
    }

    /// The next call whose time has come.
    pub(super) fn take_due_call(&mut self, now: Instant) -> Option<u64> {
        self.calls.pop_due(now)
    }

    /// Forgets the calls that are over.
    pub(super) fn forget_calls(&mut self, live: usize, is_live: impl Fn(u64) -> bool) {
        self.calls.forget(live, is_live);
    }

    /// The soonest of all.
    pub(super) fn next(&self) -> Option<Instant> {
        self.table.iter().copied().fold(self.calls.next(), soonest)
    }
}
