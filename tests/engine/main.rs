//! The engine's promises, told as stories between its users, a scripted network and a scripted broker under virtual time.

mod authentication;
mod backoff;
mod batch;
mod bounded;
#[path = "../support/calls.rs"]
mod calls;
mod combined;
mod connecting;
mod field;
mod housekeeping;
#[cfg(feature = "stream")]
mod incoming;
mod memory;
#[cfg(feature = "tracing")]
mod observing;
#[path = "../session/packets.rs"]
#[allow(dead_code, reason = "the stories of sessions use more of it")]
mod packets;
mod queues;
mod responders;
mod scenario;
mod slow_listeners;
mod stopping;
#[cfg(feature = "stream")]
mod stream;
mod timeouts;
mod token;
