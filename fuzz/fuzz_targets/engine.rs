//! An engine whose users, network, broker and clock do anything.
#![no_main]

#[path = "../../tests/fuzz/engine/mod.rs"]
#[allow(dead_code, reason = "walks with fixed seeds are for the stable compiler")]
mod engine;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    engine::check(data);
});
