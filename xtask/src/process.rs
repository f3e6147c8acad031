//! Running other programs.

use std::io::{self, BufRead as _, BufReader, Write as _};
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

/// Runs a program that speaks for itself, and has `read` read each line along that it prints.
pub(crate) fn tee(command: &mut Command, mut read: impl FnMut(&str)) -> Result<()> {
    let started = command.stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|source| Error::Start { program: name(command), source })?;
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        // What is no text is printed as it is.
        while output.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            let _ = io::stdout().write_all(&line);
            read(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    let status = child.wait().map_err(|source| Error::Start { program: name(command), source })?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command: self::line(command), status }) }
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
