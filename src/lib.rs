//! An MQTT v5.0 client for WebAssembly (WASI 0.2) and native Rust: a blocking client, an async client for tokio, and a
//! WebAssembly component, all over one engine without I/O.
//!
//! # Which part is for you
//! | you write | use | feature |
//! | --- | --- | --- |
//! | a program that publishes and receives, native or for `wasm32-wasip2` | [`Client`] | `std` (default) |
//! | tasks on tokio that share one connection | [`AsyncClient`] | `tokio` |
//! | a WebAssembly component, in any language | `mqtt.wasm` with `wit/mqtt.wit`: `cargo xtask build` | |
//! | a client of your own, over anything that moves bytes | [`engine`] | none: `no_std` |
//! | something that needs the protocol as a state machine | [`session`] | none: `no_std` |
//! | a broker, a gateway, a tool that reads packets | [`codec`], [`frame`] | none: `no_std` |
//!
//! # A blocking program
#![cfg_attr(feature = "std", doc = "```no_run")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
//!
//! fn main() -> Result<(), mqtt_wasi::Error> {
//!     let mut client = Client::connect("mqtt://localhost", Options::new())?;
//!     client.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)])?;
//!     client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
//!     let message = client.receive()?;
//!     println!("{}: {} bytes", message.topic, message.payload.len());
//!     client.disconnect()
//! }
//! ```
//!
//! [`Client::publish_all`] sends many messages with many in flight, and [`Client::enqueue`] many small ones in few
//! writes. [`Client::receive_with`] lends a message without a copy. With [`Client::receive_unacknowledged`] a message
//! is acknowledged only when its work is done.
//!
//! # An async program
//! With the feature `tokio`. Clones of the client share its connection.
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use mqtt_wasi::{AsyncClient, Options, Publish, QoS, Subscription};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), mqtt_wasi::Error> {
//!     let client = AsyncClient::connect("mqtt://localhost", Options::new()).await?;
//!     let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtLeastOnce)).await?;
//!     client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
//!     println!("{:?}", messages.receive().await?);
//!     client.disconnect().await
//! }
//! ```
//!
//! # Requests and replies
//! A request is published with a Response Topic and Correlation Data, and the call returns the reply. [`Client::serve`]
//! is the other side: it subscribes, and answers requests. A request that comes again gets the reply that it had. The
//! same for tasks: [`AsyncClient::request`], [`AsyncClient::serve`].
//!
#![cfg_attr(feature = "std", doc = "```no_run")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use std::time::Duration;
//! use mqtt_wasi::{Client, Options, Publish, QoS};
//!
//! let mut client = Client::connect("mqtt://localhost", Options::new())?;
//! let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
//! let reply = client.request(&request, Duration::from_secs(5))?;
//! println!("{}", String::from_utf8_lossy(&reply.payload));
//! # Ok::<(), mqtt_wasi::Error>(())
//! ```
//!
//! # TLS
//! With the feature `tls`, URLs may begin with `mqtts://`. [`TlsOptions`] sets which certificates to trust and to show.
//! The default trusts Mozilla's certificate authorities.
//!
#![cfg_attr(all(feature = "std", feature = "tls"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "std", feature = "tls")), doc = "```ignore")]
//! use mqtt_wasi::{Client, Options, TlsOptions};
//!
//! let tls = TlsOptions::new().ca(std::fs::read("ca.pem")?)?.only_own_ca();
//! let client = Client::connect("mqtts://broker.local", Options::new().tls(tls))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Staying connected
//! With [`Options::reconnect`], a client connects again by itself, and its calls continue. A session that the broker
//! keeps ([`Options::session_expiry_interval`]) continues too. [`Client::next_event`] tells what happened.
//! [`Client::snapshot`] and [`Options::resume`] carry a session over to a later process.
//!
#![cfg_attr(feature = "std", doc = "```no_run")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use std::time::Duration;
//! use mqtt_wasi::{Client, Options, Reconnect};
//!
//! let options = Options::new()
//!     .client_id("thermometer-7")
//!     .session_expiry_interval(3600)
//!     .reconnect(Reconnect::default())
//!     .fallback("mqtt://second.example");
//! let mut client = Client::connect("mqtt://first.example", options)?;
//! while let Some(event) = client.next_event(Duration::from_secs(60))? {
//!     println!("{event}");
//! }
//! # Ok::<(), mqtt_wasi::Error>(())
//! ```
//!
//! # Errors
//! All calls fail with an [`Error`]. [`Error::kind`] tells what it means for the program: there are seven kinds, and
//! later versions add no other. [`Error::name`] and the text tell what happened exactly.
//!
//! ```
//! use mqtt_wasi::{Error, ErrorKind};
//!
//! fn what_to_do(error: &Error) -> &'static str {
//!     match error.kind() {
//!         ErrorKind::WrongCall => "change the call",
//!         ErrorKind::TryLater => "try again",
//!         ErrorKind::TimedOut => "it may still arrive",
//!         ErrorKind::Refused => "the broker or the responder refused",
//!         ErrorKind::ConnectionOver => "connect again",
//!         ErrorKind::NotTrusted => "look at certificates and logins",
//!         ErrorKind::ProtocolBroken => "report it to the operator of the broker",
//!     }
//! }
//! assert_eq!(what_to_do(&Error::Timeout), "it may still arrive");
//! ```
//!
//! # Without a network
//! [`engine::Engine`] is everything that the clients do alike, except moving bytes, waiting and telling the time; its
//! module has the loop that drives it. [`session::Session`] below it is the protocol: bytes and points in time go in,
//! bytes and events come out. [`codec`] reads and writes all packets, for both sides of a connection.
//!
//! ```
//! use mqtt_wasi::codec::{Packet, Publish};
//!
//! let mut bytes = Vec::new();
//! Publish::new("sensors/kitchen", "21.5").encode(&mut bytes)?;
//! let (packet, len) = Packet::decode(&bytes)?.expect("a whole packet");
//! assert!(matches!(packet, Packet::Publish(publish) if publish.payload == b"21.5"));
//! assert_eq!(len, bytes.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//! | feature | what it adds |
//! | --- | --- |
//! | `std` (default) | `Client::connect`, over `std::net`, or WASI's own sockets on `wasm32-wasip2`. Without it the crate is `no_std` with `alloc` |
//! | `wasi` | `Client::connect` without `std`, on `wasm32-wasip2`: for small guests |
//! | `tokio` | [`AsyncClient`] |
//! | `tls` | `mqtts://` URLs and [`TlsOptions`], with rustls and a provider in pure Rust |
//! | `ws` | `ws://` URLs, and with `tls` `wss://`: MQTT over WebSocket |
//! | `proxy` | `Options::proxy`: HTTP and SOCKS 5 proxies |
//! | `socket-options` | natively, `Options::bind_address` and other options of TCP sockets |
//! | `store` | `Options::store`: a session that outlives its process at any moment; natively `FileStore` |
//! | `stream` | payloads that are streamed, and never in memory as a whole: `AsyncClient::publish_stream`, `AsyncClient::listen_streamed`, and in the engine |
//! | `json` | typed payloads through serde: `Client::publish_json`, `Client::request_json`, `Message::json` |
//! | `scram` | [`ScramSha256`], for enhanced authentication with SCRAM-SHA-256 |
//! | `tracing` | spans and events for the subscribers of the crate `tracing` |
//! | `bulk` | [`bulk`], for guests that move many messages through the component |
//! | `component` | the WIT exports, for the component build only |
//! | `host-tls` | `mqtts://` in the component by TLS of its host, for the component build only |
//! | `component-p3` | the same for WASI 0.3, in their place |
//!
//! # Scope
//! MQTT v5.0, the client's side, over byte streams. Requests and replies over it, and W3C Trace Context
//! ([`TraceContext`]). The codec serves both sides. Not in scope: MQTT before version 5, brokers.
//!
//! Section numbers in this documentation, such as "section 4.12", and names such as `[MQTT-4.6.0-2]` are those of the
//! [MQTT v5.0 specification](https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html). More on each task is in the
//! folder `docs` of the [repository](https://github.com/mqtt-wasi/mqtt-wasi).
//!
#![cfg_attr(not(feature = "tokio"), doc = "[`AsyncClient`]: #features")]
#![cfg_attr(not(feature = "tokio"), doc = "[`AsyncClient::request`]: #features")]
#![cfg_attr(not(feature = "tokio"), doc = "[`AsyncClient::serve`]: #features")]
#![cfg_attr(not(feature = "tls"), doc = "[`TlsOptions`]: #features")]
#![cfg_attr(not(feature = "scram"), doc = "[`ScramSha256`]: #features")]
#![cfg_attr(not(feature = "bulk"), doc = "[`bulk`]: #features")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Both kinds of TCP connections are there with the same features.
#![cfg_attr(docsrs, doc(auto_cfg(hide(target_os = "wasi", target_env = "p2"))))]
#![cfg_attr(
    all(feature = "component", target_arch = "wasm32"),
    allow(unreachable_pub, reason = "generated macros are")
)]
// The component's ABI needs a few unsafe lines, in `component::abi` and `landing`; nothing else may have any.
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
#[cfg(all(feature = "component-p3", target_arch = "wasm32"))]
mod component_p3;
mod deadlines;
pub mod engine;
#[cfg(feature = "json")]
mod envelope;
mod error;
mod fifo;
pub mod frame;
#[cfg(feature = "json")]
mod json;
#[cfg(all(feature = "component", not(feature = "component-p3"), target_arch = "wasm32"))]
mod landing;
mod message;
mod ordered;
// Everything but the component: the pages show all of it.
#[cfg(all(
    doctest,
    feature = "bulk",
    feature = "json",
    feature = "proxy",
    feature = "scram",
    feature = "stream",
    feature = "tls",
    feature = "tokio",
    feature = "ws"
))]
mod pages;
pub mod rabbitmq;
#[cfg(any(
    feature = "std",
    all(feature = "wasi", target_os = "wasi", target_env = "p2"),
    all(feature = "component", target_arch = "wasm32")
))]
mod random;
mod respond;
#[cfg(feature = "scram")]
mod scram;
pub mod session;
#[cfg(all(feature = "store", not(target_family = "wasm")))]
mod store;
mod time;
mod trace;
pub mod transport;
mod url;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
mod wit;

#[cfg(feature = "tokio")]
pub use async_client::{AsyncClient, AsyncMessages, AsyncRequests, IncomingRequest};
#[cfg(all(feature = "stream", feature = "tokio"))]
pub use async_client::{AsyncPayload, AsyncStreamedMessages, StreamedMessage};
pub use authenticate::Authenticator;
pub use client::{Client, Messages, PendingReply};
#[doc(inline)]
pub use codec::{
    Disconnect, DisconnectProperties, EncodeError, Publish, PublishProperties, QoS, ReasonCode, RetainHandling,
    SubscribeProperties, Subscription, UnknownProperties, UnsubscribeProperties,
};
#[doc(inline)]
pub use engine::{ConnectAttempt, ConnectChanges, Event, Options, Overflow, Reconnect, Retries};
#[cfg(feature = "proxy")]
pub use error::ProxyFailure;
#[cfg(feature = "stream")]
pub use error::StreamError;
#[cfg(feature = "ws")]
pub use error::WebSocketFailure;
pub use error::{
    CallError, Error, ErrorKind, Failure, OtherProtocol, ProtocolError, Reason, SnapshotError, SubscribeReason,
    TlsFailure, TransportError, TransportErrorKind,
};
#[cfg(feature = "store")]
pub use error::{StoreError, StoreErrorKind};
#[doc(inline)]
pub use frame::FrameError;
pub use message::Message;
pub use respond::{Reply, Request, Responder, ResponderStats};
#[cfg(feature = "scram")]
pub use scram::{ProhibitedCharacter, ScramSha256};
#[doc(inline)]
pub use session::{Challenge, ConnectionInfo, Delivery, InFlightMessage, Snapshot, Stats, WillMessage};
#[cfg(all(feature = "store", not(target_family = "wasm")))]
pub use store::{Durability, FileStore};
pub use time::Instant;
pub use trace::{TraceContext, TraceError};
#[cfg(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2")))]
#[doc(inline)]
pub use transport::TcpTransport;
#[cfg(feature = "tls")]
#[doc(inline)]
pub use transport::{SkippedCertificate, TlsOptions};
pub use url::{BrokerUrl, Scheme, UrlError};
