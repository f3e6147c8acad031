//! A broker for two protocols: RabbitMQ, where MQTT clients and AMQP 0.9.1 clients reach each other.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::broker::ANY_PORT;

/// Finds it, and runs a node.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rabbitmq");

/// How long it may take to listen. Mostly that is some seconds.
const LONGEST_START: Duration = Duration::from_secs(60);

/// A RabbitMQ node, until it is dropped.
pub struct RabbitMq {
    mqtt_port: u16,
    amqp_port: u16,
    process: Child,
    folder: PathBuf,
}

impl RabbitMq {
    /// Starts it on loopback, at free ports. Where it is not installed, says so and returns none.
    ///
    /// # Panics
    /// When it is installed but does not start; when it is not installed and the variable `CI` is set.
    #[must_use]
    pub fn start() -> Option<Self> {
        if let Err(why) = available() {
            assert!(std::env::var_os("CI").is_none(), "CI must not go without RabbitMQ: {why}");
            crate::skipped(&why);
            return None;
        }
        // A port that was free a moment ago may be taken by another test before RabbitMQ has it.
        for _ in 0..5 {
            let mut rabbitmq = Self::spawn();
            if rabbitmq.is_running() {
                return Some(rabbitmq);
            }
        }
        panic!("RabbitMQ does not start: its output above says why");
    }

    /// Its URL for MQTT clients.
    #[must_use]
    pub fn mqtt_url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.mqtt_port)
    }

    /// Its URL for AMQP clients.
    #[must_use]
    pub fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.amqp_port)
    }

    fn spawn() -> Self {
        let [mqtt_port, amqp_port] = free_ports();
        // No two processes listen at one port, so its number makes a name of their own.
        let folder = std::env::temp_dir().join(format!("rabbitmq-{}-{mqtt_port}", std::process::id()));
        let process = Command::new(SCRIPT)
            .arg("serve")
            .arg(&folder)
            .args([mqtt_port.to_string(), amqp_port.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the script runs, since it did before");
        Self { mqtt_port, amqp_port, process, folder }
    }

    /// Waits until it says that it listens; `false` when it ends instead.
    fn is_running(&mut self) -> bool {
        let log = BufReader::new(self.process.stderr.take().expect("its log is piped"));
        let (running, is_running) = mpsc::channel();
        // The log is read to its end, or RabbitMQ would wait for that one day.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line == "running" {
                    // Nobody may be waiting any more.
                    let _ = running.send(());
                } else {
                    eprintln!("rabbitmq: {line}");
                }
            }
        });
        match is_running.recv_timeout(LONGEST_START) {
            Ok(()) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("RabbitMQ does not listen after {LONGEST_START:?}"),
        }
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        // What is left behind in a temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Fails with the reason why there is none on this machine.
fn available() -> Result<(), String> {
    let output = Command::new(SCRIPT).arg("available").output().map_err(|error| format!("{SCRIPT}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// Ports that differ, since all are taken before the first is let go.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind(ANY_PORT).expect("a port of the loopback address"));
    listeners.map(|listener| listener.local_addr().expect("the port's number").port())
}
