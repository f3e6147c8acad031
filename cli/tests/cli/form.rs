//! The two forms of the client, as something to run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use host_tests::components::load;
use host_tests::runtime::{Permissions, Runtime};

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// The exit code. A component has 0 and 1 only, which WASI 0.2 knows.
    pub(crate) code: i32,
}

/// How the client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Native,
    Component,
}

pub(crate) const BOTH: [Form; 2] = [Form::Native, Form::Component];

/// What a responder prints with `-d` once it has subscribed. The embedded broker does not tell a requester that nobody has.
pub(crate) const READY: &str = "answering requests to ";

impl Ran {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails with what was told, unless it succeeded.
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.text(), self.stderr);
        self
    }
}

impl Form {
    /// Runs a line of arguments, which have no spaces in them, with the broker's address.
    pub(crate) fn run(self, broker: SocketAddr, line: &str) -> Ran {
        self.run_fed(broker, &words(line), b"")
    }

    /// Runs a line of arguments beside the test, and waits until standard error has these words.
    pub(crate) fn start_until(self, words: &str, broker: SocketAddr, line: &'static str) -> JoinHandle<Ran> {
        let (sender, told) = channel();
        let running = thread::spawn(move || self.run_watched(broker, &self::words(line), sender));
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains(words) {
            match told.recv() {
                Ok(bytes) => text.extend(bytes),
                Err(_) => panic!("it ended without `{words}`: {:?}", running.join().unwrap()),
            }
        }
        running
    }

    /// Runs, and passes on what is written to standard error as it happens.
    fn run_watched(self, broker: SocketAddr, arguments: &[&str], told: Sender<Vec<u8>>) -> Ran {
        let (host, port) = (broker.ip().to_string(), broker.port().to_string());
        let mut all = vec![arguments[0], "-h", &host, "-p", &port];
        all.extend(&arguments[1..]);
        // Whether the test still reads it does not matter.
        let tell = move |bytes: &[u8]| drop(told.send(bytes.to_vec()));
        if self == Self::Component {
            let output = component().run_watched(&all, &Permissions::to(broker), tell);
            let output = output.expect("it can be instantiated");
            return Ran { stdout: output.stdout_bytes, stderr: output.stderr, code: i32::from(!output.success) };
        }
        let mut child = native()
            .args(&all)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is there");
        let mut stderr = Vec::new();
        for line in BufReader::new(child.stderr.take().expect("it is piped")).split(b'\n').map_while(Result::ok) {
            tell(&line);
            stderr.extend(line);
            stderr.push(b'\n');
        }
        let ran = finish(child, b"");
        Ran { stderr: String::from_utf8_lossy(&stderr).into_owned(), ..ran }
    }

    /// Runs with standard input, and with the folder of [`file`] as `/`, or where it is.
    pub(crate) fn run_fed(self, broker: SocketAddr, arguments: &[&str], stdin: &[u8]) -> Ran {
        let (host, port) = (broker.ip().to_string(), broker.port().to_string());
        let mut all = vec![arguments[0], "-h", &host, "-p", &port];
        all.extend(&arguments[1..]);
        match self {
            Self::Native => run_fed(native().args(&all), stdin),
            Self::Component => {
                let permissions = Permissions { folder: Some(folder()), ..Permissions::to(broker) };
                let stdin = std::io::Cursor::new(stdin.to_vec());
                let output = component().run_fed(&all, &permissions, stdin).expect("it can be instantiated");
                Ran { stdout: output.stdout_bytes, stderr: output.stderr, code: i32::from(!output.success) }
            }
        }
    }

    /// Writes a file, and returns its path for this form.
    pub(crate) fn file(self, name: &str, content: &[u8]) -> String {
        let path = folder().join(name);
        std::fs::write(&path, content).expect("a file in the folder of tests");
        match self {
            Self::Native => path.display().to_string(),
            Self::Component => format!("/{name}"),
        }
    }
}

pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// The native client, without what the environment has for it.
pub(crate) fn native() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
    command.env_remove("MQTT_PASSWORD").env_remove("MQTT_USERNAME");
    command
}

/// Runs a command to its end.
pub(crate) fn run_fed(command: &mut Command, stdin: &[u8]) -> Ran {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    finish(child.expect("the program is there"), stdin)
}

pub(crate) fn finish(mut child: Child, stdin: &[u8]) -> Ran {
    let mut pipe = child.stdin.take();
    let input = stdin.to_vec();
    // Beside what reads the output: neither waits for the other.
    let feeding = thread::spawn(move || pipe.as_mut().map(|pipe| pipe.write_all(&input)));
    let output = child.wait_with_output().expect("its end");
    let _ = feeding.join();
    Ran {
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(-1),
    }
}

/// The component, compiled once.
pub(crate) fn component() -> &'static Runtime {
    static COMPONENT: OnceLock<Runtime> = OnceLock::new();
    COMPONENT.get_or_init(|| Runtime::new(&load("mqtt-cli.wasm").expect("it is built")).expect("a component"))
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
    std::fs::create_dir_all(&folder).expect("a folder for the files of tests");
    folder
}
