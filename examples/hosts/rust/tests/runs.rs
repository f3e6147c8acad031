//! The program does what it says, against every broker.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use host_tests::broker::each_broker;
use host_tests::components::load;

#[test]
fn the_host_talks_to_the_broker_and_to_nothing_else() {
    let component = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mqtt.wasm");
    fs::write(&component, load("mqtt.wasm").unwrap()).unwrap();
    each_broker(|broker| {
        let host = Command::new(env!("CARGO_BIN_EXE_example-host")).arg(broker.to_string()).arg(&component).output();
        let output = host.unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            printed,
            "sensors/kitchen: Payload::Text(\"21.5\")\naccess-denied\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success());
    });
}
