//! What `wit/` exports, as a host sees it. What it imports is wasmtime's own to give.

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package mqtt-wasi:host-tests;

        world exporter {
            export mqtt-wasi:client/mqtt@0.1.0;
            export mqtt-wasi:client/bulk@0.1.0;
        }
    ",
    world: "mqtt-wasi:host-tests/exporter",
});
