//! Tests that cannot run here.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Tells that the test that runs is skipped, or a part of it, and why: in its output, and in the file that the variable
/// `MQTT_WASI_SKIPPED` names, from which `cargo xtask test` sums it up.
pub fn skipped(why: &str) {
    println!("skipped: {why}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    if let Some(path) = std::env::var_os("MQTT_WASI_SKIPPED") {
        // One write, since others append at the same time. What cannot be written is in the output all the same.
        let line = format!("{test}: {}\n", why.replace('\n', " "));
        let _ = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
