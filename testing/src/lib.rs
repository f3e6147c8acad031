//! Brokers for tests: they do what a script says, to the byte, also what no real broker would do.
//!
//! | | for | time |
//! | --- | --- | --- |
//! | [`Scripted`] | any program: it listens on loopback, at a port that the system chooses | the real one |
//! | [`Memory`] | code that takes a [`Client`](mqtt_wasi::Client) over any transport | virtual: nothing waits |
//!
//! ```
//! use mqtt_wasi::{Client, Options, Publish, QoS, ReasonCode};
//! use mqtt_wasi_testing::{Scripted, packets};
//!
//! let broker = Scripted::start(|broker| {
//!     let mut client = broker.accept_client();
//!     let publish = client.expect_publish();
//!     assert_eq!((publish.topic.as_str(), &publish.payload[..]), ("sensors/kitchen", &b"21.5"[..]));
//!     client.send(&[packets::puback(1)]);
//!     client.expect_disconnect();
//! });
//! let mut client = Client::connect(&broker.url(), Options::new())?;
//! client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
//! client.disconnect()?;
//! broker.finish(); // fails unless all of the script has happened
//! # Ok::<(), mqtt_wasi::Error>(())
//! ```
#![forbid(unsafe_code)]

mod memory;
pub mod packets;
mod scripted;

pub use memory::{Answers, Memory};
pub use scripted::{Broker, Peer, Received, Scripted};
