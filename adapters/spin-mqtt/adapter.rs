//! `spin:mqtt/mqtt@3.0.0` over the mqtt component for WASI 0.3: each connection is a client of its own, which connects
//! again by itself, and on which any number of publishes are under way at the same time.
#![cfg_attr(all(target_os = "wasi", target_env = "p2"), no_std)]
#![cfg(all(target_os = "wasi", target_env = "p2"))]
#![allow(missing_docs, reason = "generated")]

extern crate alloc;

wit_bindgen::generate!({
    path: ["../wit/p3", "spin-mqtt/wit"],
    inline: "
        package mqtt-wasi:spin-mqtt;

        world adapter {
            import mqtt-wasi:client/mqtt@0.3.0;
            export spin:mqtt/mqtt@3.0.0;
        }
    ",
    world: "mqtt-wasi:spin-mqtt/adapter",
    generate_all,
});

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use exports::spin::mqtt::mqtt::{self as spin, Error};
use mqtt_wasi::client::mqtt::{self, Client, ConnectOptions, Failure, FailureKind, Payload, Qos};
use mqtt_wasi_adapters::spin::{Address, AddressError};

/// How many connections may be open at the same time: as many as Spin has by default.
const MOST_CONNECTIONS: usize = 256;

/// How many are.
static OPEN: AtomicUsize = AtomicUsize::new(0);

struct Adapter;

export!(Adapter);

impl spin::Guest for Adapter {
    type Connection = Connection;
}

/// One that is open, or about to be.
struct Place;

struct Connection {
    client: Client,
    _place: Place,
}

impl spin::GuestConnection for Connection {
    async fn open(
        address: String,
        username: String,
        password: String,
        keep_alive_interval_in_secs: u64,
    ) -> Result<spin::Connection, Error> {
        let place = Place::take().ok_or(Error::TooManyConnections)?;
        let address = Address::parse(&address).map_err(of_address)?;
        let options = ConnectOptions::new();
        if let Some(client_id) = &address.client_id {
            options.set_client_id(client_id);
        }
        // Both are empty where there is no login, and that of the URL counts if it has one.
        if !username.is_empty() {
            options.set_user_name(&username);
        }
        if !password.is_empty() {
            options.set_password(password.as_bytes());
        }
        // The longest that MQTT has is 18 hours: to ask more often than demanded harms nobody.
        options.set_keep_alive_seconds(u16::try_from(keep_alive_interval_in_secs).unwrap_or(u16::MAX));
        options.set_reconnect(true);
        let client = mqtt::connect(address.url.into(), Some(&options)).await.map_err(of_opening)?;
        Ok(spin::Connection::new(Self { client, _place: place }))
    }

    async fn publish(&self, topic: String, payload: Vec<u8>, qos: spin::Qos) -> Result<(), Error> {
        let qos = match qos {
            spin::Qos::AtMostOnce => Qos::AtMostOnce,
            spin::Qos::AtLeastOnce => Qos::AtLeastOnce,
            spin::Qos::ExactlyOnce => Qos::ExactlyOnce,
        };
        // That nobody has subscribed, 0x10, is no failure.
        self.client.publish(topic, Payload::Bytes(payload), qos, false).await.map_err(of_publishing)?;
        Ok(())
    }
}

impl Place {
    fn take() -> Option<Self> {
        let more = |open| (open < MOST_CONNECTIONS).then_some(open + 1);
        OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

fn of_address(error: AddressError) -> Error {
    match error {
        AddressError::Fragment => Error::InvalidAddress,
        AddressError::Parameter(name) => Error::Other(
            ["the address has the parameter ", &name, ", and one client_id is all that it may have: remove it"]
                .concat(),
        ),
    }
}

fn of_opening(failure: Failure) -> Error {
    match failure.name.as_str() {
        "invalid-url" => Error::InvalidAddress,
        "invalid-argument" => Error::Other(failure.message),
        _ => Error::ConnectionFailed(failure.message),
    }
}

fn of_publishing(failure: Failure) -> Error {
    match failure.kind {
        FailureKind::ConnectionOver | FailureKind::NotTrusted | FailureKind::ProtocolBroken => {
            Error::ConnectionFailed(failure.message)
        }
        _ => Error::Other(failure.message),
    }
}
