//! The component: the blocking client behind the WIT interface of `wit/mqtt.wit`, without std.
//!
//! Here types are translated and nothing is decided: behaviour lives in the session and the client.

mod abi;
#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated: the component ABI is unsafe")]
pub(crate) mod bindings;
mod convert;
mod export;
