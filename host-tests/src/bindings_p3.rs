//! What `wit/p3/` exports, as a host sees it.

wasmtime::component::bindgen!({
    path: "../wit/p3",
    inline: "
        package mqtt-wasi:host-tests;

        world exporter {
            export mqtt-wasi:client/mqtt@0.3.0;
            export mqtt-wasi:client/bulk@0.3.0;
        }
    ",
    world: "mqtt-wasi:host-tests/exporter",
    exports: { default: async },
});
