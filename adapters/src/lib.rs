//! What the adapters have in common, and what can be tested without a host. The components are beside it:
//! `spin-mqtt/`, and those of `wasmcloud-messaging/`.
#![cfg_attr(all(target_os = "wasi", target_env = "p2"), no_std)]

extern crate alloc;

pub mod messaging;
#[cfg(all(target_os = "wasi", target_env = "p2"))]
mod rt;
pub mod spin;

use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// The outcome of what waits for nothing: code that adapters for WASI 0.2 share with those for 0.3, where the same calls
/// block instead.
///
/// # Panics
/// When it waits all the same.
pub fn now<T>(outcome: impl Future<Output = T>) -> T {
    match pin!(outcome).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("calls block"),
    }
}
