#![doc = "mqtt"]
#![no_std]
// The component's ABI needs a few unsafe lines, in `component::abi`; nothing else may have any.
#![cfg_attr(not(feature = "component"), forbid(unsafe_code))]
#![cfg_attr(feature = "component", deny(unsafe_code))]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod client;
pub mod codec;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
mod component;
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
