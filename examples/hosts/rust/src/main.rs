//! Calls `mqtt.wasm` from wasmtime. It may connect to the broker at the address that is the first argument, and to
//! nothing else. The second argument is the path of `mqtt.wasm`.
#![allow(missing_docs, reason = "generated")]

use std::net::SocketAddr;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Error, Result, Store};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

wasmtime::component::bindgen!({
    path: "wit",
    inline: "package demo:host; world embedder { export mqtt-wasi:client/mqtt@0.1.0; }",
    world: "demo:host/embedder",
});
use exports::mqtt_wasi::client::mqtt::{Failure, Payload, Qos};

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let broker: SocketAddr = args.next().unwrap_or_else(|| "127.0.0.1:1883".into()).parse()?;
    let path = args.next().unwrap_or_else(|| "mqtt.wasm".into());

    let engine = Engine::default();
    let component = Component::from_file(&engine, path)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    let mut store = Store::new(&engine, Host { wasi: permission(broker), table: ResourceTable::new() });
    let instance = Embedder::instantiate(&mut store, &component, &linker)?;

    let mqtt = instance.mqtt_wasi_client_mqtt();
    let client = mqtt.call_connect(&mut store, &format!("mqtt://{broker}"), None)?.map_err(in_words)?;
    let (guest, text) = (mqtt.client(), Payload::Text("21.5".into()));
    guest.call_subscribe(&mut store, client, "sensors/+", Qos::AtLeastOnce)?.map_err(in_words)?;
    guest.call_publish(&mut store, client, "sensors/kitchen", &text, Qos::AtLeastOnce, false)?.map_err(in_words)?;
    if let Some(message) = guest.call_receive(&mut store, client, 2_000)?.map_err(in_words)? {
        println!("{}: {:?}", message.topic, message.payload);
    }
    // The component tries it, and its host refuses.
    if let Err(failure) = mqtt.call_connect(&mut store, "mqtt://127.0.0.1:1", None)? {
        println!("{}", failure.name);
    }
    guest.call_disconnect(&mut store, client, None)?.map_err(in_words)?;
    client.resource_drop(&mut store)
}

/// Permission to connect to this address, and nothing else. wasmtime denies all that is not allowed here.
fn permission(broker: SocketAddr) -> WasiCtx {
    WasiCtx::builder()
        .allow_tcp(true)
        .socket_addr_check(move |address, used_for| {
            let is_allowed = match used_for {
                SocketAddrUse::TcpConnect => address == broker,
                // A socket is bound to a free port before it connects.
                SocketAddrUse::TcpBind => address.port() == 0,
                _ => false,
            };
            Box::pin(async move { is_allowed })
        })
        .build()
}

fn in_words(failure: Failure) -> Error {
    Error::msg(failure.message)
}
