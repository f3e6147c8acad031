//! The sensor loses nothing, and others know when it is there.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use host_tests::broker::Mosquitto;
use host_tests::timing::undisturbed;
use mqtt_wasi::{Message, Publish, QoS};
use serde_json::Value;

use crate::form::{BOTH, Program};
use crate::observer::{Observer, text};

fn is(kind: &'static str) -> impl FnMut(&Message) -> bool {
    move |message| message.topic == format!("plant/cellar/{kind}")
}

fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

#[test]
fn readings_wait_in_the_file_for_a_broker() {
    undisturbed(|| {
        let Some(mut broker) = Mosquitto::start() else { return };
        for form in BOTH {
            let sensor = Program::of_readme("sensor", &[broker.address()]).in_folder(&format!("sensor-waits-{form:?}"));
            broker.stop();
            let ran = sensor.clone().with(&["2"]).run(form);
            assert!(ran.stderr.contains("no connection yet: "), "{}", ran.stderr);
            assert!(ran.success().ends_with("2 readings wait in the file\n"));
            broker.start_again();

            let mut observer = Observer::start(broker.address(), "plant/#");
            assert!(sensor.with(&["1"]).run(form).success().ends_with("0 readings wait in the file\n"));
            let messages = observer.all_with("the death", is("death"));
            let topics: Vec<_> = messages.iter().map(|message| message.topic.rsplit('/').next().unwrap()).collect();
            assert_eq!(topics, ["birth", "data", "data", "data", "death"], "{form:?}");
            let sequence: Vec<_> = messages[..4].iter().map(|message| json(message)["seq"].clone()).collect();
            assert_eq!(sequence, [0, 1, 2, 3]);
            assert_eq!(json(&messages[0])["bdSeq"], json(&messages[4])["bdSeq"], "the death is that of this birth");
            let times: BTreeSet<_> = messages[1..4].iter().map(|message| json(message)["millis"].as_u64()).collect();
            assert_eq!(times.len(), 3, "each reading has its time");
        }
    });
}

#[test]
fn restart_of_the_broker_costs_no_reading() {
    undisturbed(|| {
        let Some(mut broker) = Mosquitto::start_persistent() else { return };
        for form in BOTH {
            let mut observer = Observer::start(broker.address(), "plant/#");
            let sensor =
                Program::of_readme("sensor", &[broker.address()]).in_folder(&format!("sensor-restart-{form:?}"));
            let running = sensor.with(&["8"]).start(form);
            let first = observer.wait_for("the first reading", is("data"));
            broker.stop();
            thread::sleep(Duration::from_secs(2));
            broker.start_again();
            let mut readings = BTreeSet::from([json(&first)["millis"].as_u64()]);
            let mut births = BTreeSet::new();
            observer.wait_for("the last reading", |message| {
                let value = json(message);
                match message.topic.as_str() {
                    "plant/cellar/data" => readings.insert(value["millis"].as_u64()),
                    "plant/cellar/birth" => births.insert(value["bdSeq"].as_u64()),
                    _ => false,
                };
                readings.len() == 8
            });
            assert!(!births.is_empty(), "a new connection begins with a birth");
            assert!(running.join().unwrap().success().ends_with("0 readings wait in the file\n"));
            observer.rest();
        }
    });
}

#[test]
fn death_of_the_sensor_is_told_and_the_next_start_continues() {
    undisturbed(|| {
        let Some(broker) = Mosquitto::start() else { return };
        for form in BOTH {
            let mut observer = Observer::start(broker.address(), "plant/#");
            let sensor = Program::of_readme("sensor", &[broker.address()]).in_folder(&format!("sensor-death-{form:?}"));
            let mut running = sensor.start_until("connected to ");
            let birth = observer.wait_for("the birth", is("birth"));
            observer.wait_for("the first reading", is("data"));
            observer.publish(&Publish::new("plant/cellar/command", "rebirth").qos(QoS::AtLeastOnce));
            assert_eq!(text(&observer.wait_for("another birth", is("birth"))), text(&birth));
            running.kill();
            let death = json(&observer.wait_for("the death", is("death")));
            assert_eq!(death["bdSeq"], json(&birth)["bdSeq"]);

            sensor.with(&["1"]).run(form).success();
            let next = json(&observer.wait_for("the next birth", is("birth")));
            assert_eq!(next["bdSeq"].as_u64(), death["bdSeq"].as_u64().map(|number| number + 1), "{form:?}");
            observer.rest();
        }
    });
}

#[test]
fn file_that_is_no_store_is_told() {
    for form in BOTH {
        let sensor = Program::of_readme("sensor", &["127.0.0.1:1".parse().unwrap()]);
        let folder = format!("sensor-broken-{form:?}");
        let sensor = sensor.in_folder(&folder).with_file("sensor.store", b"{\"birth\":");
        let ran = sensor.with(&["1"]).run(form);
        assert!(!ran.success);
        assert!(ran.stderr.starts_with("error: sensor.store is no store: "), "{}", ran.stderr);
    }
}
