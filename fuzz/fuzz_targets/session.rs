//! A session between a hostile broker and a user, a network and a clock that do anything.
#![no_main]

#[path = "../../tests/fuzz/session/mod.rs"]
mod session;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    session::check(data);
});
