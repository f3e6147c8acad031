//! Any bytes as packets of every type.
#![no_main]

#[path = "../../tests/fuzz/codec.rs"]
mod codec;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| codec::check(data));
