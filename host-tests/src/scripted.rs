//! A broker that does what a script says, to the byte: for everything that no real broker would do. It is the one that
//! users have for their own tests.

pub use mqtt_wasi_testing::{Broker, Peer, Received, Scripted};
