//! What the tests are told with: brokers that behave and one that does not, the client in its native and its component
//! form behind one trait, and a wasmtime harness that gives components the network permission that a test gives them
//! and nothing else.

#[allow(missing_docs, reason = "generated")]
pub mod bindings;
pub mod broker;
mod capture;
pub mod certificates;
pub mod components;
pub mod guest;
pub mod packets;
pub mod proxy;
pub mod rabbitmq;
pub mod runtime;
pub mod scripted;
mod skipped;
pub mod subject;
pub mod tls_peer;

pub use skipped::skipped;
