//! Running other programs.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result};

/// Says which step begins.
pub(crate) fn step(what: &str) {
    eprintln!("xtask: {what}");
}

/// Runs a program that speaks for itself.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    wait(command).map(drop)
}

/// Whether a program can be started and succeeds, whatever it prints.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    wait(command.stdout(Stdio::null()).stderr(Stdio::null())).is_ok()
}

/// Runs a program for what it prints.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    wait(command.stdout(Stdio::piped()))
}

fn wait(command: &mut Command) -> Result<String> {
    let output = command
        .spawn()
        .and_then(Child::wait_with_output)
        .map_err(|source| Error::Start { program: name(command), source })?;
    if !output.status.success() {
        return Err(Error::Failed { command: line(command), status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn line(command: &Command) -> String {
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(name(command)).chain(args).collect::<Vec<_>>().join(" ")
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}
