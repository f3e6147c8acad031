//! A command-line client for MQTT v5.0, native and as a WebAssembly component.
//!
//! ```sh
//! cargo run -p mqtt-cli -- sub -t 'sensors/#' -v
//! wasmtime run -S inherit-network -S allow-ip-name-lookup target/components/mqtt-cli.wasm sub -t 'sensors/#' -v
//! ```
#![forbid(unsafe_code)]

mod args;
mod bench;
mod connection;
mod failure;
mod format;
mod info;
mod input;
mod interrupt;
mod notes;
mod oddities;
mod program;
mod progress;
mod properties;
mod publish;
mod request;
mod subscribe;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command, Connection};
use failure::Failure;
use notes::Notes;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let notes = Notes::new(connection_of(&command));
    match run(&command, &notes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.is_news() {
                notes.problem(format_args!("error: {failure}"));
            }
            failure.into()
        }
    }
}

fn run(command: &Command, notes: &Notes) -> Result<(), Failure> {
    let connection = connection_of(command);
    if connection.password.is_some() {
        notes.problem(
            "note: everybody on this machine can read a password on the command line; better use --password-file",
        );
    }
    match command {
        Command::Pub(args) => publish::run(args, notes),
        Command::Sub(args) => subscribe::run(args, notes),
        Command::Rr(args) => request::run(args, notes),
        Command::Info(args) => info::run(args, notes),
        Command::Bench(args) => bench::run(args, notes),
    }
}

const fn connection_of(command: &Command) -> &Connection {
    match command {
        Command::Pub(args) => &args.connection,
        Command::Sub(args) => &args.connection,
        Command::Rr(args) => &args.connection,
        Command::Info(args) => &args.connection,
        Command::Bench(args) => &args.connection,
    }
}

/// Runs something async on this thread alone.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::here("starting the program's runtime"))?;
    runtime.block_on(future)
}
