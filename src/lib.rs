#![doc = "mqtt"]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod client;
pub mod codec;
mod error;
pub mod frame;
mod message;
mod options;
pub mod session;
mod time;
pub mod transport;
mod url;

pub use client::{Client, Messages};
pub use codec::{Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Subscription};
pub use error::{Error, ProtocolError, Reason, RequestError, TransportError, TransportErrorKind};
pub use message::Message;
pub use options::{Options, WillMessage};
pub use time::Instant;
pub use url::{BrokerUrl, Scheme, UrlError};
