//! A TLS server that `host-tests/brokers/tls-peer` runs, in front of a broker, with a witness on the wire between it
//! and the client.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};

use super::wire::Handshake;
use crate::certificates::Certified;
use crate::ports::free_ports;
use crate::proxy::{Direction, Proxy};

/// Finds the servers, and runs them.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/brokers/tls-peer");

/// How long one may take to listen. Java takes some seconds.
const LONGEST_START: Duration = Duration::from_secs(60);

/// What the script ends with for a setting that the server does not have.
const UNSET: i32 = 3;

/// A server, until it is dropped.
pub(super) struct Server {
    process: Child,
    folder: PathBuf,
    proxy: Option<Proxy>,
    /// What it said, over each connection.
    said: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Fails with the reason why there is none with this name on this machine.
pub(super) fn available(name: &str) -> Result<()> {
    output(&["available", name]).map(drop)
}

/// The version of the implementation.
pub(super) fn version(name: &str) -> Result<String> {
    output(&["version", name])
}

fn output(arguments: &[&str]) -> Result<String> {
    let output = Command::new(SCRIPT).args(arguments).output().context(SCRIPT)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

impl Server {
    /// Starts it in front of the broker at this port; `None` if it does not have one of the settings.
    pub(super) fn start(
        name: &str,
        certified: &Certified,
        clients: Option<&str>,
        settings: &[&str],
        backend: u16,
    ) -> Result<Option<Self>> {
        let [port] = free_ports::<1>([Ipv4Addr::LOCALHOST]);
        let folder = std::env::temp_dir().join(format!("mqtt-wasi-tls-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("server.pem"), &certified.certificate_pem)?;
        fs::write(folder.join("server.key"), &certified.key_pem)?;
        if let Some(authority) = clients {
            fs::write(folder.join("clients.pem"), authority)?;
        }
        let is_loud = std::env::var_os("MQTT_WASI_BROKER_LOGS").is_some();
        let process = Command::new(SCRIPT)
            .args(["serve", name])
            .arg(&folder)
            .args([port.to_string(), backend.to_string()])
            .args(settings)
            .args(clients.map(|_| "clients=required"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(if is_loud { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .context(SCRIPT)?;
        let said = Arc::default();
        let mut server = Self { process, folder, proxy: None, said: Arc::clone(&said) };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if !server.wait_until_it_listens(address)? {
            return Ok(None);
        }
        server.proxy = Some(Proxy::start_watched(address, 0, move |number, direction, bytes| {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            let number = number as usize;
            if said.len() <= number {
                said.resize(number + 1, Vec::new());
            }
            if direction == Direction::ToClient {
                said[number].extend_from_slice(bytes);
            }
        }));
        Ok(Some(server))
    }

    /// `false` when it ends because it does not have a setting.
    fn wait_until_it_listens(&mut self, address: SocketAddr) -> Result<bool> {
        let end = Instant::now() + LONGEST_START;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                return if status.code() == Some(UNSET) { Ok(false) } else { bail!("the server ends with {status}") };
            }
            if Instant::now() > end {
                bail!("the server does not listen after {LONGEST_START:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(true)
    }

    /// Where clients find it.
    pub(super) fn address(&self) -> SocketAddr {
        self.proxy.as_ref().expect("it listens").address()
    }

    /// The handshakes so far, one for each connection.
    pub(super) fn handshakes(&self) -> Vec<Handshake> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().filter_map(|wire| Handshake::read(wire)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        // What is left behind in a temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
