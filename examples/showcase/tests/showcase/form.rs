//! The two forms of a program, as its README starts them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use host_tests::broker::url;
use host_tests::components::showcase;
use host_tests::runtime::{Permissions, Runtime};

/// How a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Native,
    Component,
}

pub(crate) const BOTH: [Form; 2] = [Form::Native, Form::Component];

/// A program, and what it is started with.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    name: &'static str,
    brokers: Vec<SocketAddr>,
    args: Vec<String>,
    folder: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) success: bool,
}

impl Ran {
    /// What it printed. Fails with all that was told, unless it succeeded.
    pub(crate) fn success(self) -> String {
        assert!(self.success, "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// A native program that is killed when the test ends.
pub(crate) struct Running(Child);

impl Running {
    /// As SIGKILL does it: it says goodbye to nobody.
    pub(crate) fn kill(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Program {
    /// The program with the arguments that its README has for it, and these brokers in place of those.
    pub(crate) fn of_readme(name: &'static str, brokers: &[SocketAddr]) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("README.md");
        let readme = std::fs::read_to_string(&file).unwrap();
        let args = |begin: &str| -> Vec<String> {
            let line = readme.lines().find_map(|line| line.strip_prefix(begin));
            let line = line.unwrap_or_else(|| panic!("{} has no line `{begin}…`", file.display()));
            line.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()
        };
        let mut all = args(&format!("cargo run -p showcase --bin {name} -- "));
        assert_eq!(all, args(&format!("cargo xtask run {name} ")), "both forms take the same arguments");
        let urls: Vec<_> = all.iter_mut().filter(|arg| arg.starts_with("mqtt://")).collect();
        assert_eq!(urls.len(), brokers.len());
        for (arg, broker) in urls.into_iter().zip(brokers) {
            *arg = url(*broker);
        }
        Self { name, brokers: brokers.to_vec(), args: all, folder: std::env::temp_dir() }
    }

    /// With more arguments.
    pub(crate) fn with(mut self, more: &[&str]) -> Self {
        self.args.extend(more.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// In a new folder by this name.
    pub(crate) fn in_folder(mut self, name: &str) -> Self {
        self.folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What an earlier run left.
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir_all(&self.folder).unwrap();
        self
    }

    /// With a file in its folder.
    pub(crate) fn with_file(self, name: &str, content: &[u8]) -> Self {
        std::fs::write(self.folder.join(name), content).unwrap();
        self
    }

    /// With other filters in place of those of the README, which come last.
    pub(crate) fn with_filters(mut self, filters: &[&str]) -> Self {
        let others = self.args.len() - filters.len();
        self.args.truncate(others);
        self.with(filters)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, form: Form) -> Ran {
        match form {
            Form::Native => {
                let output = self.command().output().unwrap();
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                Ran { stdout: text(output.stdout), stderr: text(output.stderr), success: output.status.success() }
            }
            Form::Component => {
                let args: Vec<_> = self.args.iter().map(String::as_str).collect();
                let (addresses, data) = (self.brokers.clone(), Some(self.folder.clone()));
                let permissions = Permissions { addresses, data, ..Permissions::default() };
                let output = component(self.name).run(&args, &permissions).unwrap();
                Ran { stdout: output.stdout, stderr: output.stderr, success: output.success }
            }
        }
    }

    /// Runs it beside the test.
    pub(crate) fn start(&self, form: Form) -> JoinHandle<Ran> {
        if form == Form::Component {
            // Compiled before the time of the test runs.
            let _ = component(self.name);
        }
        let program = self.clone();
        thread::spawn(move || program.run(form))
    }

    /// Starts it natively, to be killed, and waits until it prints these words.
    pub(crate) fn start_until(&self, words: &str) -> Running {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let running = Running(child);
        assert!(lines.any(|line| line.contains(words)), "{} ended without `{words}`", self.name);
        // It is read to its end, so that printing never fails.
        thread::spawn(move || lines.for_each(drop));
        running
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.executable());
        command.args(&self.args).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// The command line for a shell.
    pub(crate) fn line(&self) -> String {
        format!("'{}' '{}'", self.executable(), self.args.join("' '"))
    }

    fn executable(&self) -> &'static str {
        match self.name {
            "bridge" => env!("CARGO_BIN_EXE_bridge"),
            "command_and_control" => env!("CARGO_BIN_EXE_command_and_control"),
            "dashboard" => env!("CARGO_BIN_EXE_dashboard"),
            "sensor" => env!("CARGO_BIN_EXE_sensor"),
            "workers" => env!("CARGO_BIN_EXE_workers"),
            other => panic!("there is no program {other}"),
        }
    }
}

/// A program in wasmtime, compiled once.
fn component(name: &'static str) -> &'static Runtime {
    static COMPONENTS: LazyLock<Mutex<HashMap<&str, &Runtime>>> = LazyLock::new(Mutex::default);
    let mut components = COMPONENTS.lock().unwrap_or_else(PoisonError::into_inner);
    components.entry(name).or_insert_with(|| {
        let bytes = showcase(name).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        Box::leak(Box::new(Runtime::new(&bytes).unwrap()))
    })
}
