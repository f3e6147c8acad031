//! A broker that `host-tests/brokers/broker` runs, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::Way;
use crate::broker::{Embedded, url};
use crate::ports::free_ports;

/// Finds brokers, and runs them.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/brokers/broker");

/// How long a broker may take to listen. Mostly that is some seconds.
const LONGEST_START: Duration = Duration::from_secs(120);

/// How long one may take to end after SIGTERM. RabbitMQ takes some seconds.
const LONGEST_END: Duration = Duration::from_secs(30);

/// A broker, until it is dropped.
pub struct Server {
    name: &'static str,
    /// For MQTT.
    address: SocketAddr,
    /// What else it may need.
    ports: [u16; 2],
    /// The addresses of all nodes, if it is one of a cluster.
    nodes: Vec<Ipv4Addr>,
    folder: PathBuf,
    running: Running,
}

enum Running {
    Not,
    /// In this process.
    Here {
        _until_dropped: Embedded,
    },
    Process(Child),
}

/// Fails with the reason why there is none with this name on this machine.
///
/// # Errors
/// See above.
pub fn available(name: &str) -> Result<(), String> {
    if name == super::table::EMBEDDED {
        return Ok(());
    }
    let output =
        Command::new(SCRIPT).args(["available", name]).output().map_err(|error| format!("{SCRIPT}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

impl Server {
    /// Starts it on loopback, at free ports. Where it is not installed, says so and returns none.
    ///
    /// # Panics
    /// When it is installed but does not start; when it is not installed and the variable `CI` is set.
    #[must_use]
    pub fn start(name: &'static str) -> Option<Self> {
        if let Err(why) = available(name) {
            assert!(std::env::var_os("CI").is_none(), "CI must not go without {name}: {why}");
            crate::skipped(&why);
            return None;
        }
        // A port that was free a moment ago may be taken by another test before the broker has it.
        for _ in 0..5 {
            let [mqtt, ports @ ..] = free_ports::<3>([Ipv4Addr::LOCALHOST]);
            let mut server = Self::new(name, SocketAddr::from((Ipv4Addr::LOCALHOST, mqtt)), ports, Vec::new());
            if server.try_to_run() {
                return Some(server);
            }
        }
        panic!("{name} does not start: its output above says why");
    }

    /// One that does not run yet.
    pub(super) fn new(name: &'static str, address: SocketAddr, ports: [u16; 2], nodes: Vec<Ipv4Addr>) -> Self {
        // No two processes listen at one address, so that makes a name of their own.
        let folder = format!("{name}-{}-{}-{}", std::process::id(), address.ip(), address.port());
        Self { name, address, ports, nodes, folder: std::env::temp_dir().join(folder), running: Running::Not }
    }

    /// Its URL for MQTT clients.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }

    /// Where it listens for MQTT clients.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first of the other ports, for example that of AMQP.
    #[must_use]
    pub const fn other_port(&self) -> u16 {
        self.ports[0]
    }

    /// Its URL for clients that come this way. `None` where it has no such way.
    #[must_use]
    pub fn url_by(&self, way: Way) -> Option<String> {
        match way {
            Way::Tcp => Some(self.url()),
            Way::WebSocket => self.websocket_url(),
        }
    }

    /// Its URL for MQTT clients over WebSocket. `None` where it has no WebSocket.
    #[must_use]
    pub fn websocket_url(&self) -> Option<String> {
        let path = match self.name.split('-').next()? {
            "mosquitto" | "ejabberd" | "aedes" => "mqtt",
            "rabbitmq" => "ws",
            _ => return None,
        };
        Some(format!("ws://{}:{}/{path}", self.address.ip(), self.ports[1]))
    }

    /// Its version.
    ///
    /// # Panics
    /// When it is not installed.
    #[must_use]
    pub fn version(name: &str) -> String {
        if name == super::table::EMBEDDED {
            return "0.49".into();
        }
        let output = Command::new(SCRIPT).args(["version", name]).output().expect("the script runs");
        assert!(output.status.success(), "{name} is installed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The process, to measure it.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        match &self.running {
            Running::Process(process) => Some(process.id()),
            Running::Not | Running::Here { .. } => None,
        }
    }

    /// Stops it as its operator would, with SIGTERM, and waits for its end. One that does not end in time is killed.
    pub fn stop(&mut self) {
        if let Running::Process(process) = &mut self.running {
            let status = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
            let end = Instant::now() + LONGEST_END;
            while status.as_ref().is_ok_and(|status| status.success())
                && process.try_wait().is_ok_and(|status| status.is_none())
                && Instant::now() < end
            {
                thread::sleep(Duration::from_millis(20));
            }
        }
        self.kill();
    }

    /// Kills it with SIGKILL: what it has not saved is lost.
    pub fn kill(&mut self) {
        if let Running::Process(process) = &mut self.running {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
        self.running = Running::Not;
    }

    /// Starts it after [`Server::stop`] or [`Server::kill`], at the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        for _ in 0..100 {
            if self.try_to_run() {
                return;
            }
            // The port may not be free yet.
            thread::sleep(Duration::from_millis(200));
        }
        panic!("{} does not start again: its output above says why", self.name);
    }

    /// Starts it, and waits until it says that it listens; `false` when it ends instead.
    fn try_to_run(&mut self) -> bool {
        let listens = self.spawn();
        self.wait_until_it_listens(&listens)
    }

    /// Starts it, and says when it listens; the channel closes when it ends instead.
    pub(super) fn spawn(&mut self) -> mpsc::Receiver<()> {
        let (running, is_running) = mpsc::channel();
        if self.name == super::table::EMBEDDED {
            let embedded = Embedded::start().expect("the embedded broker starts");
            self.address = embedded.address();
            self.running = Running::Here { _until_dropped: embedded };
            let _ = running.send(());
            return is_running;
        }
        let [first, second] = self.ports.map(|port| port.to_string());
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let mut process = Command::new(SCRIPT)
            .args(["serve", self.name])
            .arg(&self.folder)
            .args([&ip, &port, &first, &second])
            .args(self.nodes.iter().map(Ipv4Addr::to_string))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the script runs, since it did before");
        let log = BufReader::new(process.stderr.take().expect("its log is piped"));
        let (name, is_loud) = (self.name, std::env::var_os("MQTT_WASI_BROKER_LOGS").is_some());
        // The log is read to its end, or the broker would wait for that one day.
        thread::spawn(move || {
            let mut last = String::new();
            for line in log.lines().map_while(Result::ok) {
                if line.ends_with("running") {
                    // Nobody may be waiting any more.
                    let _ = running.send(());
                } else if is_loud {
                    eprintln!("{name}: {line}");
                }
                last = line;
            }
            drop(running);
            if is_loud {
                eprintln!("{name} ended: {last}");
            }
        });
        self.running = Running::Process(process);
        is_running
    }

    /// `false` when it ends instead.
    pub(super) fn wait_until_it_listens(&self, is_running: &mpsc::Receiver<()>) -> bool {
        match is_running.recv_timeout(LONGEST_START) {
            Ok(()) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("{} does not listen after {LONGEST_START:?}", self.name),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // What is left behind in a temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
