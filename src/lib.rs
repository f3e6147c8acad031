#![doc = "mqtt"]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod codec;
mod error;
pub mod frame;
mod options;
pub mod session;
mod time;
mod url;

pub use codec::QoS;
pub use error::{Error, ProtocolError, Reason, RequestError, TransportError, TransportErrorKind};
pub use options::{Options, WillMessage};
pub use time::Instant;
pub use url::{BrokerUrl, Scheme, UrlError};
