//! An MQTT v5.0 client for WebAssembly (WASI 0.2) and native Rust.
//!
//! # In scope
//! MQTT v5.0, the client's side, over byte streams: as a blocking client, as an async client, as a WebAssembly component,
//! and as the engine without I/O that these are faces of. Requests and replies over it, and W3C Trace Context. The codec
//! serves both sides of a connection.
//!
//! # Out of scope
//! MQTT before version 5, brokers, WebSockets.
//!
//! # Which part is for you
//! - [`Client`]: a program that publishes and receives, native or on `wasm32-wasip2`.
//! - `AsyncClient`, with the feature `tokio`: one that does so in any number of tasks, over one connection.
//! - [`engine`]: what all of these do alike, without I/O, for a client of your own over whatever moves bytes; `no_std`.
//! - [`session`]: the protocol alone, as a state machine over one connection at a time; `no_std`.
//! - [`codec`] and [`frame`]: packets and where they begin and end, for brokers and gateways; `no_std`.
//! - The component is built from this crate by `cargo xtask build`; its interface is `wit/mqtt.wit`.
//!
#![cfg_attr(feature = "std", doc = "```no_run")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
//!
//! let mut client = Client::connect("mqtt://localhost", Options::new().client_id("thermometer"))?;
//! client.subscribe(&[Subscription::new("sensors/#", QoS::AtLeastOnce)])?;
//! client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
//! println!("{:?}", client.receive()?);
//! # Ok::<(), mqtt_wasi::Error>(())
//! ```
//!
//! # Features
//! - `std` (default): `Client::connect` over `std::net::TcpStream`. Without it the crate is `no_std` with `alloc`.
//! - `json`: typed payloads through serde, with `Client::publish_json` and `Message::json`.
//! - `scram`: SCRAM-SHA-256 for enhanced authentication, with `ScramSha256`.
//! - `tokio`: the async client, `AsyncClient`.
//! - `tls`: `mqtts://`, with rustls and a provider in pure Rust.
//! - `bulk`: [`bulk`], for guests that move many messages through the component.
//! - `component`: the WIT exports, for the component build alone.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(feature = "component", target_arch = "wasm32"),
    allow(unreachable_pub, reason = "generated macros are")
)]
// The component's ABI needs a few unsafe lines, in `component::abi`; nothing else may have any.
#![cfg_attr(not(feature = "component"), forbid(unsafe_code))]
#![cfg_attr(feature = "component", deny(unsafe_code))]
// Tests that choose the order of all steps have another network.
#![cfg_attr(all(test, shuttle), allow(dead_code, unused_imports))]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[macro_use]
mod examples;

#[cfg(feature = "tokio")]
mod async_client;
mod authenticate;
#[cfg(feature = "bulk")]
pub mod bulk;
mod client;
pub mod codec;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
mod component;
mod deadlines;
pub mod engine;
#[cfg(feature = "json")]
mod envelope;
mod error;
pub mod frame;
#[cfg(feature = "json")]
mod json;
mod message;
mod ordered;
// Everything but the component: the pages show all of it.
#[cfg(all(doctest, feature = "bulk", feature = "json", feature = "scram", feature = "tls", feature = "tokio"))]
mod pages;
pub mod rabbitmq;
#[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
mod random;
mod respond;
#[cfg(feature = "scram")]
mod scram;
pub mod session;
mod time;
mod trace;
pub mod transport;
mod url;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
mod wit;

#[cfg(feature = "tokio")]
pub use async_client::{AsyncClient, AsyncMessages, AsyncRequests, IncomingRequest};
pub use authenticate::Authenticator;
pub use client::{Client, Messages, PendingReply};
pub use codec::{
    Disconnect, DisconnectProperties, EncodeError, Publish, PublishProperties, QoS, ReasonCode, RetainHandling,
    SubscribeProperties, Subscription, UnknownProperties, UnsubscribeProperties,
};
pub use engine::{ConnectChanges, Event, Options, Overflow, Reconnect};
pub use error::{
    CallError, Error, ErrorKind, Failure, OtherProtocol, ProtocolError, Reason, SnapshotError, SubscribeReason,
    TlsFailure, TransportError, TransportErrorKind,
};
pub use frame::FrameError;
pub use message::Message;
pub use respond::{Reply, Request, Responder, ResponderStats};
#[cfg(feature = "scram")]
pub use scram::{ProhibitedCharacter, ScramSha256};
pub use session::{Challenge, ConnectionInfo, Delivery, Snapshot, Stats, WillMessage};
pub use time::Instant;
pub use trace::{TraceContext, TraceError};
#[cfg(feature = "std")]
pub use transport::TcpTransport;
#[cfg(feature = "tls")]
pub use transport::{SkippedCertificate, TlsOptions};
pub use url::{BrokerUrl, Scheme, UrlError};
