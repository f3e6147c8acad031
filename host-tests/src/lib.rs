//! What the tests are told with: brokers that behave and one that does not, the client in its native and its component
//! form behind one trait, and a wasmtime harness that gives components the network permission that a test gives them
//! and nothing else.

#![allow(clippy::duplicate_mod, reason = "what is said by the types of one WIT package is said by those of another")]

#[allow(missing_docs, reason = "generated")]
pub mod bindings;
#[allow(missing_docs, reason = "generated")]
pub mod bindings_p3;
pub mod broker;
mod capture;
pub mod certificates;
pub mod components;
pub mod gateway;
pub mod guest;
pub mod host_tls;
pub mod interop;
pub mod key_value;
pub mod packets;
mod ports;
pub mod proxies;
pub mod proxy;
pub mod rabbitmq;
pub mod runtime;
pub mod scale;
pub mod scripted;
mod skipped;
pub mod soak;
pub mod subject;
pub mod timing;
pub mod tls_peer;

pub use ports::nowhere;
pub use skipped::skipped;
