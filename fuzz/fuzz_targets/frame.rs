//! Any stream of bytes, in any pieces.
#![no_main]

#[path = "../../tests/fuzz/frame.rs"]
mod frame;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| frame::check(data));
