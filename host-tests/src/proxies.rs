//! Proxies that the world runs: tinyproxy for HTTP, and microsocks for SOCKS 5.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::ports::free_address;

/// How long a proxy may take to listen.
const LONGEST_START: Duration = Duration::from_secs(60);

/// A proxy process, until it is dropped.
pub struct ProxyServer {
    address: SocketAddr,
    process: Child,
    config: Option<PathBuf>,
}

impl ProxyServer {
    /// tinyproxy, which wants this login, if one is given. Where it is not installed, says so and returns none.
    ///
    /// # Panics
    /// When it is installed but does not start; when it is not installed and the variable `CI` is set.
    #[must_use]
    pub fn http(login: Option<(&str, &str)>) -> Option<Self> {
        Self::start("tinyproxy", |address| {
            let path = std::env::temp_dir().join(format!("tinyproxy-{}-{}.conf", std::process::id(), address.port()));
            let (ip, port) = (address.ip(), address.port());
            let login = login.map_or_else(String::new, |(name, password)| format!("BasicAuth {name} {password}\n"));
            let config =
                format!("Port {port}\nListen {ip}\nAllow {ip}\nTimeout 60\nMaxClients 20\nLogLevel Error\n{login}");
            std::fs::write(&path, config).expect("a file in a temporary folder");
            (vec!["-d".into(), "-c".into(), path.display().to_string()], Some(path))
        })
    }

    /// microsocks, which wants this login, if one is given. Where it is not installed, says so and returns none.
    ///
    /// # Panics
    /// As [`ProxyServer::http`].
    #[must_use]
    pub fn socks(login: Option<(&str, &str)>) -> Option<Self> {
        Self::start("microsocks", |address| {
            let mut arguments = vec!["-i".into(), address.ip().to_string(), "-p".into(), address.port().to_string()];
            if let Some((name, password)) = login {
                arguments.extend(["-u".into(), name.into(), "-P".into(), password.into()]);
            }
            (arguments, None)
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    fn start(program: &str, arguments: impl Fn(SocketAddr) -> (Vec<String>, Option<PathBuf>)) -> Option<Self> {
        // A port that was free a moment ago may be taken by another test before the proxy has it.
        for _ in 0..5 {
            let address = free_address();
            let (arguments, config) = arguments(address);
            let spawned = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let Ok(process) = spawned else {
                assert!(std::env::var_os("CI").is_none(), "{program} is not installed, and CI must not go without");
                crate::skipped(&format!("{program} is not installed"));
                return None;
            };
            let mut proxy = Self { address, process, config };
            if proxy.is_running() {
                return Some(proxy);
            }
        }
        panic!("{program} does not start");
    }

    /// Waits until it listens; `false` when it ends instead.
    fn is_running(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < LONGEST_START {
            if self.process.try_wait().expect("its state").is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        // What is left behind in a temporary folder does no harm.
        self.config.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}
