//! Brokers that users have keep what the table says of them, in every form of the client. `cargo xtask interop` tries all
//! of them, and restarts each more often.

use host_tests::interop::{BROKERS, try_promises, try_restarts};

/// How often a broker is restarted here, in each way.
const RESTARTS: u32 = 3;

#[test]
fn embedded_broker_keeps_its_promises() {
    keeps_its_promises("mqtt5");
}

#[test]
fn mosquitto_keeps_its_promises() {
    keeps_its_promises("mosquitto-2.0");
}

#[test]
fn rabbitmq_keeps_its_promises() {
    keeps_its_promises("rabbitmq-4.0");
}

#[test]
fn ejabberd_keeps_its_promises() {
    keeps_its_promises("ejabberd-24.12");
}

/// Each of these tests is of one of them.
#[test]
fn quick_brokers_are_tested_here() {
    let quick = BROKERS.iter().filter(|broker| broker.is_quick).map(|broker| broker.name);
    assert_eq!(quick.collect::<Vec<_>>(), ["mosquitto-2.0", "rabbitmq-4.0", "ejabberd-24.12", "mqtt5"]);
}

fn keeps_its_promises(name: &str) {
    let broker = BROKERS.iter().find(|broker| broker.name == name).expect("it is in the table");
    let Some(mut cells) = try_promises(broker) else { return };
    if broker.is_restarted() {
        cells.extend(try_restarts(broker, RESTARTS).expect("it was there a moment ago"));
    }
    let problems: Vec<_> = cells.iter().filter_map(|cell| cell.problem()).collect();
    assert!(problems.is_empty(), "not as host-tests/src/interop/table.rs says:\n{}", problems.join("\n"));
}
