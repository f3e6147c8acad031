//! Brokers that behave: one inside this process, and one that the world runs.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use mqtt5::broker::config::{BrokerConfig, StorageConfig};
use mqtt5::broker::server::MqttBroker;
use tokio::sync::oneshot;

use crate::ports::free_address;

/// The loopback address, and a port that the system chooses.
pub(crate) const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// How many messages may wait for one client: more than any test sends, so that no broker drops any.
const MOST_WAITING: usize = 100_000;

/// How long mosquitto may take to listen. Mostly that is some milliseconds.
const LONGEST_START: Duration = Duration::from_secs(60);

/// A broker on a thread of this process, until it is dropped.
pub struct Embedded {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A mosquitto process, until it is dropped.
pub struct Mosquitto {
    address: SocketAddr,
    process: Child,
    setup: Setup,
}

/// How a mosquitto speaks TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsListener {
    /// Its certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
    /// The authority that clients need a certificate of; without one they need none.
    pub client_ca_pem: Option<String>,
    /// The only version that it speaks, `tlsv1.2` or `tlsv1.3`; without one it speaks both.
    pub version: Option<&'static str>,
    /// The only suites that it has for TLS 1.2, by the names that OpenSSL gives them.
    pub ciphers: Option<&'static str>,
}

/// What a mosquitto is started with, as often as it is.
struct Setup {
    config: String,
    /// Where it finds its certificates, and saves what it has when it is stopped, if it does either.
    _folder: Option<Folder>,
    /// What OpenSSL is told beyond what mosquitto has an option for: a file in the folder.
    openssl_config: Option<PathBuf>,
}

/// A new folder, until it is dropped.
struct Folder(PathBuf);

/// The URL of the broker at this address.
#[must_use]
pub fn url(address: SocketAddr) -> String {
    format!("mqtt://{address}")
}

/// The URL of the broker that speaks TLS at this address.
#[must_use]
pub fn tls_url(address: SocketAddr) -> String {
    format!("mqtts://{address}")
}

/// The URL of the broker that speaks WebSocket at this address.
#[must_use]
pub fn websocket_url(address: SocketAddr) -> String {
    format!("ws://{address}/mqtt")
}

/// Runs a test against each broker there is.
///
/// # Panics
/// When the test does, or when the embedded broker does not start.
pub fn each_broker(test: impl Fn(SocketAddr)) {
    println!("against the embedded broker");
    test(Embedded::start().expect("the embedded broker starts").address());
    if let Some(mosquitto) = Mosquitto::start() {
        println!("against mosquitto");
        test(mosquitto.address());
    }
}

impl Embedded {
    /// Starts it on loopback, at a port that the system chooses.
    ///
    /// # Errors
    /// When the system gives no port or no thread.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut broker = runtime.block_on(MqttBroker::with_config(Self::config()))?;
        let address = broker.local_addr().context("the embedded broker listens nowhere")?;
        let (stop, is_stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("embedded broker".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = broker.run() => eprintln!("the embedded broker ended: {result:?}"),
                    _ = is_stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }

    fn config() -> BrokerConfig {
        BrokerConfig::default()
            .with_bind_address(ANY_PORT)
            .with_storage(StorageConfig::default().with_persistence(false))
            .with_sys_topics_enabled(false)
            .with_client_channel_capacity(MOST_WAITING)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; a second one would hide what the test has to say.
            let _ = thread.join();
        }
    }
}

impl Mosquitto {
    /// Starts it on loopback, at a free port. Where it is not installed, says so and returns none.
    ///
    /// # Panics
    /// When it is installed but does not start; when it is not installed and the variable `CI` is set.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_on_free_port(Setup::new)
    }

    /// As [`Mosquitto::start`], but it saves its sessions when it is [stopped](Mosquitto::stop), and at no other time, and
    /// has them when it is [started again](Mosquitto::start_again).
    ///
    /// # Panics
    /// As [`Mosquitto::start`]; when there is no folder to be had.
    #[must_use]
    pub fn start_persistent() -> Option<Self> {
        Self::start_on_free_port(Setup::persistent)
    }

    /// As [`Mosquitto::start`], for clients that speak TLS: its URL is a [`tls_url`].
    ///
    /// # Panics
    /// As [`Mosquitto::start_persistent`]; when it is to speak a version that it does not.
    #[must_use]
    pub fn start_tls(listener: &TlsListener) -> Option<Self> {
        Self::start_on_free_port(|address| Setup::tls(address, listener))
    }

    /// As [`Mosquitto::start`], for clients over WebSocket: its URL is a [`websocket_url`].
    ///
    /// # Panics
    /// As [`Mosquitto::start`].
    #[must_use]
    pub fn start_websocket() -> Option<Self> {
        Self::start_on_free_port(Setup::websocket)
    }

    /// As [`Mosquitto::start_tls`], for clients over WebSocket.
    ///
    /// # Panics
    /// As [`Mosquitto::start_tls`].
    #[must_use]
    pub fn start_websocket_tls(listener: &TlsListener) -> Option<Self> {
        Self::start_on_free_port(|address| Setup::tls(address, listener).over_websocket())
    }

    /// Stops it as its operator would, with SIGTERM, and waits for its end.
    ///
    /// # Panics
    /// When it has ended before.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        self.process.wait().expect("its end");
    }

    /// Kills it with SIGKILL: what it has not saved is lost.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Has it do nothing more, with SIGSTOP, while its connections stay. There is no going on but after
    /// [`Mosquitto::kill`].
    ///
    /// # Panics
    /// When it has ended before.
    pub fn pause(&mut self) {
        self.signal("-STOP");
    }

    /// Starts it again after [`Mosquitto::stop`] or [`Mosquitto::kill`], at the same port.
    ///
    /// # Panics
    /// When it does not start within seconds.
    pub fn start_again(&mut self) {
        for _ in 0..600 {
            self.process = self.setup.spawn().expect("mosquitto is installed, since it ran before");
            if self.is_running() {
                return;
            }
            // The port may not be free yet.
            self.kill();
            thread::sleep(Duration::from_millis(50));
        }
        panic!("mosquitto does not start again: its output above says why");
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }

    fn start_on_free_port(setup: impl Fn(SocketAddr) -> Setup) -> Option<Self> {
        // A port that was free a moment ago may be taken by another test before mosquitto has it.
        for _ in 0..5 {
            let address = free_address();
            let setup = setup(address);
            let Some(process) = setup.spawn() else {
                assert!(std::env::var_os("CI").is_none(), "mosquitto is not installed, and CI must not go without");
                crate::skipped("mosquitto is not installed");
                return None;
            };
            let mut mosquitto = Self { address, process, setup };
            if mosquitto.is_running() {
                return Some(mosquitto);
            }
        }
        panic!("mosquitto does not start: its output above says why");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(status.expect("kill is installed").success(), "kill {signal}");
    }

    /// Waits until it says that it listens; `false` when it ends instead.
    fn is_running(&mut self) -> bool {
        let log = BufReader::new(self.process.stderr.take().expect("its log is piped"));
        let (running, is_running) = mpsc::channel();
        // The log is read to its end, or mosquitto would wait for that one day.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.ends_with("running") {
                    // Nobody may be waiting any more.
                    let _ = running.send(());
                } else if line.contains("rror") {
                    eprintln!("mosquitto: {line}");
                }
            }
        });
        is_running.recv_timeout(LONGEST_START).is_ok()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Setup {
    fn new(address: SocketAddr) -> Self {
        Self { config: Self::config(address, "persistence false"), _folder: None, openssl_config: None }
    }

    fn websocket(address: SocketAddr) -> Self {
        let config = Self::config(address, "persistence false\nuser root");
        let folder = Some(Folder::create(address.port()));
        Self { config, _folder: folder, openssl_config: None }.over_websocket()
    }

    fn over_websocket(mut self) -> Self {
        let folder = self._folder.as_ref().expect("a folder for the socket");
        // mosquitto 2.0.11 listens at every address unless it is told the family, and ends if it has no other listener.
        let socket = folder.0.join("socket");
        self.config += &format!("protocol websockets\nsocket_domain ipv4\nlistener 0 {}\n", socket.display());
        self
    }

    fn persistent(address: SocketAddr) -> Self {
        let folder = Folder::create(address.port());
        // Started by the superuser it would become another user, whom the folder is not open to.
        let persistence =
            format!("persistence true\npersistence_location {}/\nautosave_interval 0\nuser root", folder.0.display());
        Self { config: Self::config(address, &persistence), _folder: Some(folder), openssl_config: None }
    }

    fn tls(address: SocketAddr, listener: &TlsListener) -> Self {
        let folder = Folder::create(address.port());
        let certificate = folder.write("certificate.pem", &listener.certificate_pem);
        let key = folder.write("key.pem", &listener.key_pem);
        let mut config = Self::config(address, "persistence false\nuser root")
            + &format!("certfile {}\nkeyfile {}\n", certificate.display(), key.display());
        if let Some(pem) = &listener.client_ca_pem {
            let authority = folder.write("authority.pem", pem);
            config += &format!("cafile {}\nrequire_certificate true\n", authority.display());
        }
        if let Some(ciphers) = listener.ciphers {
            config += &format!("ciphers {ciphers}\n");
        }
        let openssl_config = match listener.version {
            None => None,
            // For mosquitto it is the lowest version, and there is no higher one.
            Some("tlsv1.3") => {
                config += "tls_version tlsv1.3\n";
                None
            }
            // It has no option for the highest version, but the OpenSSL that it runs on has.
            Some("tlsv1.2") => Some(folder.write(
                "openssl.cnf",
                "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = versions\n\
                 [versions]\nMinProtocol = TLSv1.2\nMaxProtocol = TLSv1.2\n",
            )),
            Some(other) => panic!("mosquitto does not speak {other} alone"),
        };
        Self { config, _folder: Some(folder), openssl_config }
    }

    fn config(address: SocketAddr, persistence: &str) -> String {
        let (ip, port) = (address.ip(), address.port());
        // Without nodelay its two small writes per QoS 1 echo wait for each other's acknowledgement, 40 ms.
        format!(
            "listener {port} {ip}\nallow_anonymous true\n{persistence}\nset_tcp_nodelay true\n\
             max_queued_messages {MOST_WAITING}\nlog_dest stderr\nconnection_messages false\n"
        )
    }

    fn spawn(&self) -> Option<Child> {
        // Debian keeps it where only the superuser looks.
        ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].into_iter().find_map(|program| {
            let mut process = Command::new(program)
                .args(["-c", "/dev/stdin"])
                .envs(self.openssl_config.iter().map(|path| ("OPENSSL_CONF", path)))
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .ok()?;
            let mut stdin = process.stdin.take()?;
            stdin.write_all(self.config.as_bytes()).ok()?;
            Some(process)
        })
    }
}

impl Folder {
    /// No two processes listen at one port, so its number makes a name of their own.
    fn create(port: u16) -> Self {
        let path = std::env::temp_dir().join(format!("mosquitto-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for mosquitto");
        Self(path)
    }

    /// Where the file with this name is now.
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file in a temporary folder");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in a temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
