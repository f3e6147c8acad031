//! A process is killed at random points under load. Nothing that it has accepted is lost, and at QoS 2 nothing comes
//! twice, in either direction. The broker is a mosquitto that keeps the session.
//!
//! `MQTT_WASI_KILLS` says how often; `MQTT_WASI_SEED` makes the points the same again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mqtt_wasi::{AsyncClient, Client, Durability, FileStore, Options, Publish, QoS, Subscription};

use crate::Folder;

/// How often a process is killed where nothing else is said.
const KILLS: u64 = 30;

/// What tells a process that it is the one to be killed: the folder, the broker's URL, and how often it was killed.
const VARIABLE: &str = "MQTT_WASI_TO_BE_KILLED";

/// How long everything may take to arrive in the end.
const PATIENCE: Duration = Duration::from_secs(180);

/// After how long without a message no more come, from a broker that has all of them.
const QUIET: Duration = Duration::from_secs(4);

#[test]
fn process_that_is_killed_loses_nothing_and_repeats_nothing() {
    if let Some(run) = Run::of_this_process() {
        return run.be_killed();
    }
    let Some(broker) = Mosquitto::start() else { return };
    let kills = number("MQTT_WASI_KILLS").unwrap_or(KILLS);
    let seed = number("MQTT_WASI_SEED").unwrap_or_else(|| std::process::id().into());
    println!("{kills} kills with seed {seed}");
    let folder = Folder::new("killed");
    let mut observer = Observer::new(&broker.url);
    let mut random = Random(seed);
    Run::start(folder.path(), &broker.url, "begin", 0).expect_success();
    for number in 1..=kills {
        let mut process = Run::start(folder.path(), &broker.url, "work", number);
        // Some are killed while they start, and most once they are at work.
        if random.below(4) > 0 {
            observer.exchange_until_it_works(folder.path());
        }
        let until = Instant::now() + Duration::from_micros(random.below(150_000));
        while Instant::now() < until {
            observer.exchange(until);
        }
        process.kill();
    }
    observer.settle();
    Run::start(folder.path(), &broker.url, "end", kills + 1).expect_success();
    observer.check(folder.path());
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// The process that is killed: what it does, and where it notes what it has done.
struct Run {
    folder: PathBuf,
    url: String,
    what: String,
    number: u64,
}

/// One of them, from outside.
struct Process(Child);

impl Process {
    /// Kills it, which it must have lived until.
    fn kill(&mut self) {
        if let Some(status) = self.0.try_wait().expect("a child") {
            panic!("the process has ended by itself, with {status}: its output above says why");
        }
        self.0.kill().expect("a child");
        self.0.wait().expect("a child");
    }

    fn expect_success(mut self) {
        let status = self.0.wait().expect("a child");
        assert!(status.success(), "the process has ended with {status}: its output above says why");
    }
}

impl Run {
    fn start(folder: &Path, url: &str, what: &str, number: u64) -> Process {
        let run = format!("{}|{url}|{what}|{number}", folder.display());
        let test = "killed::process_that_is_killed_loses_nothing_and_repeats_nothing";
        let program = std::env::current_exe().expect("a test has a program");
        let mut command = Command::new(program);
        command.args(["--exact", test, "--nocapture"]).env(VARIABLE, run).stdout(Stdio::null());
        Process(command.spawn().expect("what runs now runs again"))
    }

    fn of_this_process() -> Option<Self> {
        let run = std::env::var(VARIABLE).ok()?;
        let mut parts = run.split('|').map(str::to_owned);
        let mut part = || parts.next().expect("four parts");
        Some(Self { folder: part().into(), url: part(), what: part(), number: part().parse().expect("a number") })
    }

    /// Both clients take turns, as do both durabilities.
    fn options(&self) -> Options {
        let durability = if self.number % 4 < 2 { Durability::Process } else { Durability::Power };
        let store = FileStore::open_with(self.folder.join("session.redb"), durability).expect("the store opens");
        Options::new().client_id("to-be-killed").session_expiry_interval(3600).in_flight_limit(2000).store(store)
    }

    fn be_killed(self) {
        match (self.what.as_str(), self.number % 2) {
            ("begin", _) => {
                let mut client = Client::connect(&self.url, self.options()).expect("the broker is there");
                client.subscribe(&[Subscription::new("in", QoS::ExactlyOnce)]).expect("it is granted");
                client.disconnect().expect("it can be");
            }
            ("end", _) => self.finish(),
            (_, 0) => self.work_blocking(),
            _ => self.work_async(),
        }
    }

    fn log(&self) -> File {
        let path = self.folder.join("log");
        OpenOptions::new().create(true).append(true).open(path).expect("the folder is there")
    }

    /// What it publishes, one after the other: at QoS 1 and 2 in turn.
    fn messages(&self) -> impl Iterator<Item = (String, QoS)> {
        let number = self.number;
        (0..).map(move |index| {
            let qos = if index % 2 == 0 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
            (format!("{number}.{index}.{}", qos as u8), qos)
        })
    }

    fn work_blocking(&self) {
        let (mut log, mut messages) = (self.log(), self.messages());
        let mut client = Client::offline(&self.url, self.options()).expect("the store is as it was");
        let mut send = |client: &mut Client| {
            let (name, qos) = messages.next().expect("there is no end");
            client.enqueue(&Publish::new("out", name.as_str()).qos(qos)).expect("the store takes it");
            note(&mut log, "accepted", &name);
        };
        (0..10).for_each(|_| send(&mut client));
        assert!(client.reconnect().expect("the broker is there"), "it has kept the session");
        let mut log = self.log();
        loop {
            send(&mut client);
            take_all(&mut client, &mut log, Duration::ZERO);
        }
    }

    fn work_async(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (mut log, mut messages) = (self.log(), self.messages());
            let client = AsyncClient::offline(&self.url, self.options()).expect("the store is as it was");
            let mut incoming = client.messages();
            for index in 0.. {
                if index == 10 {
                    assert!(client.reconnect().await.expect("the broker is there"), "it has kept the session");
                }
                let (name, qos) = messages.next().expect("there is no end");
                client.enqueue(&Publish::new("out", name.as_str()).qos(qos)).await.expect("the store takes it");
                note(&mut log, "accepted", &name);
                let mut done = Vec::new();
                while let Ok(Ok((message, delivery))) =
                    tokio::time::timeout(Duration::ZERO, incoming.receive_unacknowledged()).await
                {
                    done.push(text(&message.payload));
                    note(&mut log, "got", &text(&message.payload));
                    assert!(delivery.is_none_or(|delivery| client.acknowledge(delivery)));
                }
                if !done.is_empty() {
                    client.flush().await.expect("the connection lasts");
                    done.iter().for_each(|name| note(&mut log, "done", name));
                }
            }
        });
    }

    /// Receives what is left, until nothing more comes and nothing is in flight.
    fn finish(&self) {
        let mut log = self.log();
        let mut client = Client::connect(&self.url, self.options()).expect("the broker is there");
        let until = Instant::now() + PATIENCE;
        while take_all(&mut client, &mut log, QUIET) || client.stats().in_flight > 0 {
            assert!(Instant::now() < until, "{} messages are still in flight", client.stats().in_flight);
        }
        client.disconnect().expect("it can be");
    }
}

/// Receives what there is; whether that was anything.
fn take_all(client: &mut Client, log: &mut File, timeout: Duration) -> bool {
    let mut done = Vec::new();
    while let Some((message, delivery)) = client.receive_unacknowledged(timeout).expect("the connection lasts") {
        done.push(text(&message.payload));
        note(log, "got", &text(&message.payload));
        // One of an earlier connection comes again.
        assert!(delivery.is_none_or(|delivery| client.acknowledge(delivery)));
    }
    if !done.is_empty() {
        // What acknowledges them leaves after the store has that they are.
        client.flush().expect("the connection lasts");
        done.iter().for_each(|name| note(log, "done", name));
    }
    !done.is_empty()
}

/// One write, which is there whatever happens to the process.
fn note(log: &mut File, what: &str, name: &str) {
    log.write_all(format!("{what} {name}\n").as_bytes()).expect("the log takes it");
}

fn text(payload: &[u8]) -> String {
    String::from_utf8(payload.to_vec()).expect("text")
}

/// Who gets what the process publishes, and publishes what it gets. Nobody kills this one.
struct Observer {
    client: Client,
    received: BTreeMap<String, u32>,
    sent: u64,
    /// How often a process was killed at work.
    kills: u64,
}

impl Observer {
    fn new(url: &str) -> Self {
        let mut client = Client::connect(url, Options::new().client_id("observer")).expect("the broker is there");
        client.subscribe(&[Subscription::new("out", QoS::ExactlyOnce)]).expect("it is granted");
        Self { client, received: BTreeMap::new(), sent: 0, kills: 0 }
    }

    fn exchange(&mut self, until: Instant) {
        self.sent += 1;
        let name = self.sent.to_string();
        self.client.enqueue(&Publish::new("in", name.as_str()).qos(QoS::ExactlyOnce)).expect("there is room");
        let most = Duration::from_millis(5);
        self.receive(most.min(until.saturating_duration_since(Instant::now())));
    }

    /// Until the process has accepted something.
    fn exchange_until_it_works(&mut self, folder: &Path) {
        let len = || std::fs::metadata(folder.join("log")).map_or(0, |log| log.len());
        let (before, until) = (len(), Instant::now() + PATIENCE);
        while len() == before {
            assert!(Instant::now() < until, "the process does nothing");
            self.exchange(until);
        }
        self.kills += 1;
    }

    /// Until the broker has all that was published.
    fn settle(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.client.stats().in_flight > 0 {
            assert!(Instant::now() < until, "the broker does not answer");
            self.receive(Duration::from_millis(50));
        }
    }

    fn receive(&mut self, timeout: Duration) -> bool {
        let message = self.client.receive_timeout(timeout).expect("the connection lasts");
        let is_some = message.is_some();
        if let Some(message) = message {
            *self.received.entry(text(&message.payload)).or_default() += 1;
        }
        is_some
    }

    fn check(mut self, folder: &Path) {
        while self.receive(QUIET) {}
        let log = std::fs::read_to_string(folder.join("log")).expect("the process has written it");
        let mut got: BTreeMap<&str, u32> = BTreeMap::new();
        let mut done: BTreeMap<&str, u32> = BTreeMap::new();
        let (mut accepted, mut lost, mut again) = (0, Vec::new(), Vec::new());
        for line in log.lines() {
            match line.split_once(' ') {
                Some(("accepted", name)) => {
                    accepted += 1;
                    if !self.received.contains_key(name) {
                        lost.push(name);
                    }
                }
                Some(("got", name)) => {
                    *got.entry(name).or_default() += 1;
                    if done.contains_key(name) {
                        again.push(name);
                    }
                }
                Some(("done", name)) => *done.entry(name).or_default() += 1,
                _ => panic!("{line:?}"),
            }
        }
        let is_twice = |(name, times): &(&String, &u32)| name.ends_with(".2") && **times > 1;
        let twice: Vec<_> = self.received.iter().filter(is_twice).collect();
        let missing: Vec<_> = (1..=self.sent).filter(|number| !got.contains_key(&*number.to_string())).collect();
        let repeated = self.received.values().filter(|times| **times > 1).count();
        let redelivered = got.values().filter(|times| **times > 1).count();
        println!(
            "{accepted} accepted, {} arrived, {repeated} of them more than once at QoS 1; {} received, {redelivered} of \
             them again before they were acknowledged",
            self.received.len(),
            got.len(),
        );
        assert!(accepted >= self.kills && self.kills > 0, "hardly any process was killed at work");
        assert!(lost.is_empty(), "accepted and lost: {lost:?}");
        assert!(twice.is_empty(), "arrived twice at QoS 2: {twice:?}");
        assert!(missing.is_empty(), "never received: {missing:?}");
        assert!(again.is_empty(), "received again after it was acknowledged: {again:?}");
    }
}

/// A mosquitto, until it is dropped.
struct Mosquitto {
    process: Child,
    url: String,
    _folder: Folder,
}

impl Mosquitto {
    fn start() -> Option<Self> {
        let folder = Folder::new("killed-broker");
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
            let address = listener.local_addr().expect("it has one");
            drop(listener);
            let configuration = folder.path().join("mosquitto.conf");
            let text = format!(
                "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_type error\n",
                address.port()
            );
            std::fs::write(&configuration, text).expect("the folder is there");
            let Some(mut process) = ["mosquitto", "/usr/sbin/mosquitto"]
                .into_iter()
                .find_map(|program| Command::new(program).arg("-c").arg(&configuration).spawn().ok())
            else {
                assert!(std::env::var_os("CI").is_none(), "mosquitto is not installed, and CI must not go without");
                println!("skipped: mosquitto is not installed");
                return None;
            };
            // Another may have taken the port.
            for _ in 0..3_000 {
                if process.try_wait().expect("a child").is_some() {
                    break;
                }
                if std::net::TcpStream::connect(address).is_ok() {
                    return Some(Self { process, url: format!("mqtt://{address}"), _folder: folder });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("mosquitto does not start: its output above says why");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Numbers that are the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
