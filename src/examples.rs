//! What examples in the documentation begin with, so that they run: `#[doc = example!()]` opens a block of code.

/// Opens an example with a broker at `url`, over TCP, which `tests/support/broker.rs` starts.
#[cfg(feature = "std")]
macro_rules! example {
    () => {
        concat!(with_broker!(), "# let broker = broker::start();\n# let url = broker.url();")
    };
}
#[cfg(not(feature = "std"))]
macro_rules! example {
    () => {
        "```ignore"
    };
}

/// The same for an example that is async, and ends with `# Ok(())` and `# }`.
#[cfg(feature = "tokio")]
macro_rules! async_example {
    () => {
        concat!(
            with_broker!(),
            "# #[tokio::main(flavor = \"current_thread\")]\n",
            "# async fn main() -> Result<(), Box<dyn std::error::Error>> {\n",
            "# let broker = broker::start();\n# let url = broker.url();"
        )
    };
}

/// Opens an example with a broker in memory, at the other end of `network`.
macro_rules! memory_example {
    () => {
        concat!(with_broker!(), "# let mut network = broker::Memory::new();")
    };
}

/// Opens an example with the function `connect`, which returns what a client with some options says in CONNECT.
macro_rules! connect_example {
    () => {
        concat!(
            "```\n# mod connect { include!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/tests/support/connect.rs\")); }\n",
            "# use connect::connect;"
        )
    };
}

/// Opens an example that needs `std` in this crate.
#[cfg(feature = "std")]
macro_rules! std_example {
    () => {
        "```"
    };
}
#[cfg(not(feature = "std"))]
macro_rules! std_example {
    () => {
        "```ignore"
    };
}

macro_rules! with_broker {
    () => {
        "```\n# mod broker { include!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/tests/support/broker.rs\")); }\n"
    };
}

/// The same for an example that needs a network to run.
#[cfg(all(feature = "std", feature = "tls"))]
macro_rules! std_no_run_example {
    () => {
        "```no_run"
    };
}
#[cfg(all(not(feature = "std"), feature = "tls"))]
macro_rules! std_no_run_example {
    () => {
        "```ignore"
    };
}

/// The same for one over WebSocket.
#[cfg(all(feature = "std", feature = "ws"))]
macro_rules! std_no_run_websocket_example {
    () => {
        "```no_run"
    };
}
#[cfg(all(not(feature = "std"), feature = "ws", feature = "component", target_arch = "wasm32"))]
macro_rules! std_no_run_websocket_example {
    () => {
        "```ignore"
    };
}
