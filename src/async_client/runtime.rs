//! What the async client is run by. Tests that choose the order of all steps have others in their place.

#[cfg(all(test, shuttle))]
pub(super) use super::schedules::runtime::{Connection, Mutex, MutexGuard, Sleep, connect, now, sleep_until, spawn};
#[cfg(not(all(test, shuttle)))]
pub(super) use {
    crate::transport::{TokioConnection as Connection, connect, now},
    std::sync::{Mutex, MutexGuard},
    tokio::spawn,
    tokio::time::{Sleep, sleep_until},
};
