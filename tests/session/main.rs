//! The session's promises, told as stories between a client and a scripted broker under virtual time.

mod acknowledge;
mod alias;
mod authenticate;
mod bounded;
mod chaos;
mod connect;
mod delivery;
mod disconnect;
mod exactly_once;
#[cfg(feature = "stream")]
mod incoming;
mod keep_alive;
mod observer;
mod packets;
mod poison;
mod publish;
mod reconnect;
mod request;
mod respond;
mod restore;
mod scenario;
mod snapshot;
mod stats;
#[cfg(feature = "stream")]
mod stream;
mod subscribe;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod support;
mod violations;
