//! A component that keeps its session in `wasi:keyvalue`, as `examples/guests/rust/src/bin/keyvalue.rs` does: its
//! instances come and go, and the session stays.

use std::time::Duration;

use host_tests::broker::{Mosquitto, each_broker, url};
use host_tests::components::{compose, load};
use host_tests::key_value::KeyValue;
use host_tests::runtime::{Output, Permissions, Runtime};
use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_keyvalue::{WasiKeyValue, WasiKeyValueCtx, WasiKeyValueCtxBuilder};

const READINGS: &str = "mqtt-wasi/example/keyvalue/readings";
const COMMANDS: &str = "mqtt-wasi/example/keyvalue/commands";

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn example() -> Vec<u8> {
    compose(&load("examples/keyvalue.wasm").unwrap(), &load("mqtt.wasm").unwrap()).unwrap()
}

/// The example, a broker, and a bucket.
struct Stage {
    program: Runtime,
    broker: Mosquitto,
    bucket: KeyValue,
}

impl Stage {
    /// `None` where there is no broker that keeps sessions.
    fn new() -> Option<Self> {
        let broker = Mosquitto::start()?;
        Some(Self { program: Runtime::new(&example()).unwrap(), broker, bucket: KeyValue::default() })
    }

    /// An instance with these arguments, from its beginning to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        let permissions =
            Permissions { key_value: Some(self.bucket.clone()), ..Permissions::to(self.broker.address()) };
        let url = self.broker.url();
        self.program.run(&[&[url.as_str()], arguments].concat(), &permissions).unwrap()
    }

    /// One that must succeed.
    fn run_well(&self, reading: &str) -> String {
        let output = self.run(&[reading]);
        assert!(output.success, "{}\n{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Runs instances until there were as many commands, which may take longer than one waits, and one more. All
    /// commands, and how many instances there were.
    fn run_until(&self, mut commands: Vec<String>, count: usize) -> (Vec<String>, usize) {
        for instances in 1..=20 {
            let has_all = commands.len() >= count;
            commands.extend(commands_of(&self.run_well("whole")));
            if has_all {
                return (commands, instances);
            }
        }
        panic!("{count} commands do not come: {commands:?}");
    }

    /// Somebody else, who gets the readings.
    fn witness(&self) -> Client {
        let mut witness = Client::connect(&self.broker.url(), Options::new().client_id("witness")).unwrap();
        witness.subscribe(&[Subscription::new(READINGS, QoS::ExactlyOnce)]).unwrap();
        witness
    }
}

/// The commands that an instance has printed.
fn commands_of(output: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.strip_prefix("command: ")).map(str::to_owned).collect()
}

fn command(witness: &mut Client, command: &str) {
    witness.publish(&Publish::new(COMMANDS, command).qos(QoS::ExactlyOnce)).unwrap();
}

/// The next reading.
fn reading(witness: &mut Client) -> String {
    let message = witness.receive_timeout(PATIENCE).unwrap().expect("a reading");
    String::from_utf8(message.payload).unwrap()
}

#[test]
fn next_instance_gets_what_came_while_there_was_none() {
    let Some(stage) = Stage::new() else { return };
    let mut witness = stage.witness();
    assert_eq!(stage.run_well("1"), "a new session\n");
    assert!(stage.run_well("2").starts_with("the session continues\n"));
    assert_eq!([reading(&mut witness), reading(&mut witness)], ["1", "2"]);
    command(&mut witness, "faster");
    command(&mut witness, "slower");
    let (commands, _) = stage.run_until(Vec::new(), 2);
    assert_eq!(commands, ["faster", "slower"], "each once, and in order");
    witness.disconnect().unwrap();
}

/// It is ended by its host in the moment in which the bucket has the session: with the reading that has not left, after
/// the first command, after the second, and when the connection is over.
#[test]
fn instance_that_is_ended_loses_and_repeats_nothing() {
    let Some(stage) = Stage::new() else { return };
    let mut witness = stage.witness();
    stage.run_well("begin");
    assert_eq!(reading(&mut witness), "begin");
    for (sent, saved) in [(&["first", "second"][..], 0), (&["first", "second"], 1), (&["first", "second"], 2), (&[], 1)]
    {
        sent.iter().for_each(|text| command(&mut witness, text));
        stage.bucket.end_after(saved);
        // It ends with the last command that it waits for; where there is none, soon.
        let waiting_ms = if sent.is_empty() { "100" } else { "60000" };
        let ended = stage.run(&["ended", waiting_ms]);
        assert!(!ended.success && ended.stderr.contains("the instance ends here"), "{saved}: {}", ended.stderr);
        stage.bucket.end_none();
        let (commands, instances) = stage.run_until(commands_of(&ended.stdout), sent.len());
        assert_eq!(commands, sent, "{saved}: each once, and in order");
        let mut readings: Vec<String> = (0..=instances).map(|_| reading(&mut witness)).collect();
        assert_eq!(readings.remove(0), "ended", "{saved}: it was accepted before the others");
        assert!(readings.iter().all(|reading| reading == "whole"), "{saved}: {readings:?}");
    }
    assert_eq!(witness.receive_timeout(Duration::from_secs(2)), Ok(None), "a reading comes again");
    witness.disconnect().unwrap();
}

#[test]
fn instance_that_may_not_use_the_bucket_says_so() {
    let program = Runtime::new(&example()).unwrap();
    each_broker(|broker| {
        let output = program.run(&[&url(broker)], &Permissions::to(broker)).unwrap();
        assert!(!output.success);
        assert!(output.stderr.contains("the session cannot be kept: Error::AccessDenied"), "{}", output.stderr);
    });
}

/// wasmtime has a bucket of its own, in memory, which is gone with its handle: what an instance sets no other gets. The
/// session that it is to begin with can be put there.
#[test]
fn program_runs_with_the_interface_of_wasmtime() {
    let Some(stage) = Stage::new() else { return };
    let mut witness = stage.witness();
    let run = |reading: &str, session: Option<Vec<u8>>| {
        let engine = Engine::new(Config::new().concurrency_support(false)).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
        wasmtime_wasi_keyvalue::add_to_linker(&mut linker, |host: &mut OfWasmtime| {
            WasiKeyValue::new(&host.key_value, &mut host.table)
        })
        .unwrap();
        let mut store = Store::new(&engine, OfWasmtime::new(&stage.broker.url(), reading, session));
        let component = Component::new(&engine, example()).unwrap();
        let program = Command::instantiate(&mut store, &component, &linker).unwrap();
        program.wasi_cli_run().call_run(&mut store).unwrap().expect("it succeeds");
    };
    run("1", None);
    assert_eq!(reading(&mut witness), "1");
    // One that has not left.
    stage.bucket.end_after(0);
    assert!(!stage.run(&["2"]).success);
    run("3", stage.bucket.get("thermometer-7"));
    assert_eq!([reading(&mut witness), reading(&mut witness)], ["2", "3"]);
    witness.disconnect().unwrap();
}

/// The host's side of an instance, with what wasmtime has.
struct OfWasmtime {
    wasi: WasiCtx,
    key_value: WasiKeyValueCtx,
    table: ResourceTable,
}

impl OfWasmtime {
    fn new(url: &str, reading: &str, session: Option<Vec<u8>>) -> Self {
        let mut wasi = WasiCtxBuilder::new();
        wasi.args(&["guest", url, reading]).inherit_stderr().inherit_network().allow_tcp(true);
        let values = session.into_iter().map(|session| ("thermometer-7", session));
        let key_value = WasiKeyValueCtxBuilder::new().in_memory_data(values).build();
        Self { wasi: wasi.build(), key_value, table: ResourceTable::new() }
    }
}

impl WasiView for OfWasmtime {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
