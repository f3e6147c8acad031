//! Any bytes as the server's side of a TLS handshake.
#![no_main]

#[path = "../../tests/fuzz/tls.rs"]
mod tls;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tls::check(data));
