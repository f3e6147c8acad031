//! The command line: what it may have, and what it means.

use crate::components::SHOWCASE;
use crate::error::{Error, Result};

pub(crate) const HELP: &str = "\
The project's own commands.

Usage: cargo xtask <COMMAND>

Commands:
  build [OPTIONS]      Build the components and the guests into target/components
      --only NAME..    Only these: a component such as guests/echo, or a folder such as examples
      --deny-warnings  Fail on a compiler warning (always so where the variable CI is set)
      --quiet          Print only errors and what takes long
  languages [NAME..]   Build the guests, compose and run them: rust, javascript, typescript, python, c, go (default: all,
                       and the packages for hosts)
  hosts [NAME..]       Build the packages for programs that host the component: node, node-p3, python, wasmtime
                       (default: all)
  toolchain            Print which Rust builds for wasm32-wasip2, and fetch one if there is none
  test [-- ARGS]       Build, then run every test, and sum up what passed, failed and was skipped; ARGS go to
                       `cargo test` and run the workspace's tests only
  properties [CASES]   Try CASES cases of each property (default: 10,000), with a seed of its own
  schedules [NUMBER]   Test the async client under NUMBER random schedules (default: 20,000)
  store-kill [NUMBER]  Kill a client with a store NUMBER times under load (default: 1,000)
  simulate [OPTIONS]   Simulate clients, a broker, bad links, clocks and credentials for an hour of virtual time a seed
      --seeds NUMBER   So many seeds (default: 10,000)
      --from SEED      From this one on (default: 0)
      --aloud          Tell everything that happens, to find out why a seed fails
  interop [OPTIONS] [BROKER..]
                       Fetch and start each broker (default: all), try every promise and 20 restarts of each kind, print
                       a matrix, and fail if it is not as the table says; with all brokers, write docs/brokers.md
      --no-restarts    Without the restarts
  interop --tls [SERVER..]
                       Fetch and start a server over each implementation of TLS (default: all), try versions, resumption
                       and client certificates, print a matrix, and fail if it is not as the table says; write
                       docs/security.md
  scale [OPTIONS] [BROKER..]
                       Kill a node of a cluster of each broker (default: rabbitmq-4.3, ejabberd-26.07, rmqtt) under
                       load, share work among instances, and measure idle connections
      --clients NUMBER So many clients (default: 300)
  demo [--broker URL]  Build, then run the demo against a broker (default: an embedded one)
  run NAME [ARGS]      Build a program, and run it in wasmtime: mqtt (the command-line client), or one of
                       examples/showcase: sensor, command_and_control, workers, bridge, dashboard
  soak                 Send 10,000,000 messages, connect 10,000 times again and open 1,000 clients in one instance of
                       mqtt.wasm, and print its memory and handles as a curve
  sizes                Build what users get and small programs, and print the bytes of each beside version 0.2.0
  bench [ARGS]         Run the benchmarks; ARGS go to them, and `bench --help` lists them
      --against REVISION
                       Build REVISION too, measure it in the same rounds, and print how this build compares with it
  bench --counts       Count allocations, writes, instructions and sizes; fail if one is worse than bench/counts.txt
      --accept         Write the counts into bench/counts.txt instead
  bench --instructions [--against REVISION]
                       Count the instructions of a message with valgrind, beside those of REVISION
  lint                 Run the static checks: format, clippy, rustdoc, the wasm build, licences
      --docs           Check the documentation only: layout, links, code, words, and names in WIT and Rust
  newcomer             Follow the README's commands from a clean clone to a message through a component, and time them
  release              Make everything that a release has into target/release-files, without publishing it
  help                 Print this";

/// What one call of `cargo xtask` is to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    Help,
    Toolchain,
    Build(BuildOptions),
    Languages(Vec<String>),
    Hosts(Vec<String>),
    Test(Vec<String>),
    Properties(Option<usize>),
    Schedules(Option<usize>),
    StoreKill(Option<usize>),
    Simulate(SimulateOptions),
    Demo(Vec<String>),
    Run { program: String, arguments: Vec<String> },
    Bench(Vec<String>),
    Counts { accepts: bool },
    Instructions(Option<String>),
    Interop(Vec<String>),
    Lint { docs_only: bool },
    Newcomer,
    Scale(Vec<String>),
    Sizes,
    Soak,
    Release,
}

/// What `cargo xtask simulate` is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct SimulateOptions {
    pub(crate) seeds: u64,
    pub(crate) from: u64,
    pub(crate) is_loud: bool,
}

/// What `cargo xtask build` is asked for; by default, everything.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct BuildOptions {
    pub(crate) only: Vec<String>,
    pub(crate) deny_warnings: bool,
    pub(crate) quiet: bool,
}

impl Task {
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut args = args.into_iter();
        let Some(name) = args.next() else { return Ok(Self::Help) };
        let rest: Vec<String> = args.collect();
        if name != "bench" && name != "run" && asks_for_help(&rest) {
            return Ok(Self::Help);
        }
        match (name.as_str(), rest.as_slice()) {
            ("help" | "--help" | "-h", _) => Ok(Self::Help),
            ("build", _) => BuildOptions::parse(rest).map(Self::Build),
            ("bench", [option]) if option == "--counts" => Ok(Self::Counts { accepts: false }),
            ("bench", [option, accept]) if option == "--counts" && accept == "--accept" => {
                Ok(Self::Counts { accepts: true })
            }
            ("bench", [option]) if option == "--instructions" => Ok(Self::Instructions(None)),
            ("bench", [option, against, revision]) if option == "--instructions" && against == "--against" => {
                Ok(Self::Instructions(Some(revision.clone())))
            }
            ("bench", _) => Ok(Self::Bench(rest)),
            ("interop", _) => {
                let is_tls = rest.iter().any(|argument| argument == "--tls");
                let option = if is_tls { "--tls" } else { "--no-restarts" };
                match rest.iter().find(|argument| argument.starts_with('-') && *argument != option) {
                    Some(option) => Err(usage(format!("`interop` does not take `{option}`"))),
                    None => Ok(Self::Interop(rest)),
                }
            }
            ("scale", _) => Ok(Self::Scale(rest)),
            ("languages", _) => Ok(Self::Languages(rest)),
            ("hosts", _) => Ok(Self::Hosts(rest)),
            ("toolchain", []) => Ok(Self::Toolchain),
            ("newcomer", []) => Ok(Self::Newcomer),
            ("soak", []) => Ok(Self::Soak),
            ("sizes", []) => Ok(Self::Sizes),
            ("release", []) => Ok(Self::Release),
            ("lint", []) => Ok(Self::Lint { docs_only: false }),
            ("lint", [option]) if option == "--docs" => Ok(Self::Lint { docs_only: true }),
            ("test", []) => Ok(Self::Test(rest)),
            ("test", [separator, extra @ ..]) if separator == "--" => Ok(Self::Test(extra.to_vec())),
            ("schedules", []) => Ok(Self::Schedules(None)),
            ("store-kill", []) => Ok(Self::StoreKill(None)),
            ("properties", []) => Ok(Self::Properties(None)),
            ("schedules" | "properties" | "store-kill", [number]) => match (number.parse(), name.as_str()) {
                (Ok(number), "schedules") => Ok(Self::Schedules(Some(number))),
                (Ok(number), "store-kill") => Ok(Self::StoreKill(Some(number))),
                (Ok(number), _) => Ok(Self::Properties(Some(number))),
                (Err(_), _) => Err(usage(format!("`{number}` is not a number"))),
            },
            ("simulate", _) => SimulateOptions::parse(&rest).map(Self::Simulate),
            ("run", [program, arguments @ ..]) if program == "mqtt" || SHOWCASE.contains(&program.as_str()) => {
                Ok(Self::Run { program: program.clone(), arguments: arguments.to_vec() })
            }
            ("run", _) => Err(usage(format!("`run` needs a program: mqtt, {}", SHOWCASE.join(", ")))),
            ("demo", []) => Ok(Self::Demo(rest)),
            ("demo", [option, _]) if option == "--broker" => Ok(Self::Demo(rest)),
            ("demo", [option]) if option == "--broker" => Err(usage("--broker needs a URL")),
            (
                "toolchain" | "newcomer" | "sizes" | "release" | "lint" | "test" | "properties" | "schedules" | "demo",
                [first, ..],
            ) => Err(usage(format!("`{name}` does not take `{first}` here"))),
            _ => Err(usage(format!("there is no command `{name}`"))),
        }
    }
}

impl BuildOptions {
    fn parse(args: Vec<String>) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.into_iter().peekable();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--only" => {
                    let before = options.only.len();
                    while let Some(name) = args.next_if(|next| !next.starts_with('-')) {
                        options.only.push(name);
                    }
                    if options.only.len() == before {
                        return Err(usage("--only needs a name"));
                    }
                }
                "--deny-warnings" => options.deny_warnings = true,
                "--quiet" => options.quiet = true,
                _ => return Err(usage(format!("`build` does not take `{arg}`"))),
            }
        }
        Ok(options)
    }
}

impl SimulateOptions {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self { seeds: 10_000, from: 0, is_loud: false };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number = || match args.next().map(|number| number.parse()) {
                Some(Ok(number)) => Ok(number),
                _ => Err(usage(format!("{arg} needs a number"))),
            };
            match arg.as_str() {
                "--seeds" => options.seeds = number()?,
                "--from" => options.from = number()?,
                "--aloud" => options.is_loud = true,
                _ => return Err(usage(format!("`simulate` does not take `{arg}`"))),
            }
        }
        Ok(options)
    }
}

fn asks_for_help(args: &[String]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help" || arg == "-h")
}

fn usage(problem: impl Into<String>) -> Error {
    Error::Usage(problem.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task> {
        Task::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn build_collects_names_until_the_next_option() {
        let options =
            BuildOptions { only: vec!["mqtt".into(), "guests/echo".into()], quiet: true, deny_warnings: false };
        assert_eq!(parse("build --only mqtt guests/echo --quiet").unwrap(), Task::Build(options));
    }

    #[test]
    fn test_passes_on_what_follows_the_separator() {
        let extra = ["--test", "broker", "--", "--nocapture"].map(String::from).to_vec();
        assert_eq!(parse("test -- --test broker -- --nocapture").unwrap(), Task::Test(extra));
    }

    #[test]
    fn demo_passes_on_its_broker() {
        let extra = ["--broker", "mqtt://localhost"].map(String::from).to_vec();
        assert_eq!(parse("demo --broker mqtt://localhost").unwrap(), Task::Demo(extra));
    }

    #[test]
    fn simulations_may_begin_anywhere() {
        let one = SimulateOptions { seeds: 1, from: 17, is_loud: true };
        assert_eq!(parse("simulate --from 17 --seeds 1 --aloud").unwrap(), Task::Simulate(one));
        let usual = SimulateOptions { seeds: 10_000, from: 0, is_loud: false };
        assert_eq!(parse("simulate").unwrap(), Task::Simulate(usual));
    }

    #[test]
    fn interop_takes_brokers() {
        let arguments = ["--no-restarts", "mosquitto-2.0"].map(String::from).to_vec();
        assert_eq!(parse("interop --no-restarts mosquitto-2.0").unwrap(), Task::Interop(arguments));
        let arguments = ["--tls", "go"].map(String::from).to_vec();
        assert_eq!(parse("interop --tls go").unwrap(), Task::Interop(arguments));
    }

    #[test]
    fn help_is_found_anywhere_but_in_what_is_passed_on() {
        assert_eq!(parse("").unwrap(), Task::Help);
        assert_eq!(parse("build --help").unwrap(), Task::Help);
        assert_eq!(parse("test -- --help").unwrap(), Task::Test(vec!["--help".into()]));
        assert_eq!(parse("bench --help").unwrap(), Task::Bench(vec!["--help".into()]));
        assert_eq!(parse("languages c go").unwrap(), Task::Languages(vec!["c".into(), "go".into()]));
    }

    #[test]
    fn lint_may_be_of_the_docs_alone() {
        assert_eq!(parse("lint").unwrap(), Task::Lint { docs_only: false });
        assert_eq!(parse("lint --docs").unwrap(), Task::Lint { docs_only: true });
    }

    #[test]
    fn misuse_is_refused() {
        for line in [
            "bild",
            "lint --fast",
            "lint --docs now",
            "newcomer now",
            "release now",
            "test broker",
            "demo --broker",
            "interop --fast",
            "interop --tls --no-restarts",
            "simulate 17",
            "simulate --from",
            "simulate --seeds many",
            "build --only",
            "build mqtt",
        ] {
            assert!(matches!(parse(line), Err(Error::Usage(_))), "{line}");
        }
    }
}
