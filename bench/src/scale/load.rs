//! The load job in little memory: by a program that has the clients and nothing else, since what the kernel reads of a
//! program counts, too. The sink is outside.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, io};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::cgroup::Cgroup;
use super::peer::Peer;
use super::{Load, LoadEnd, LoadRow};
use crate::driver::output_in_time;
use crate::job::Work;

/// Of a message's payload, in bytes.
const SIZE: usize = 64;

/// What the sink does.
pub(super) const WORK: Work = Work::Mixed { size: SIZE };

/// What the process may have, in bytes.
const LIMIT: u64 = 10 << 20;

/// As the program knows them.
const CONTENDERS: [&str; 6] = [
    "mqtt-wasi, blocking",
    "mqtt-wasi, tokio",
    "rumqttc 0.25",
    "rumqttc 0.25, 1,024 in flight",
    "rumqttc-v5-next 0.34",
    "rumqttc-v5-next 0.34, 1,024 in flight",
];

pub(super) fn run(messages: u32) -> Load {
    let cgroup = Cgroup::with_memory(LIMIT).map(|cgroup| cgroup.version());
    let rows = match cgroup {
        Ok(_) => CONTENDERS.into_iter().map(|contender| row(contender, messages)).collect(),
        Err(_) => Vec::new(),
    };
    Load { messages, size: SIZE, limit: LIMIT, cgroup, rows }
}

fn row(contender: &str, messages: u32) -> LoadRow {
    eprintln!("{messages} messages in little memory: {contender}");
    let (end, peak) = measure(contender, messages).unwrap_or_else(|why| (LoadEnd::Failed(why), None));
    LoadRow { contender: contender.into(), end, peak }
}

fn measure(contender: &str, messages: u32) -> Result<(LoadEnd, Option<u64>), String> {
    let in_words = |error: io::Error| error.to_string();
    let program = program().map_err(in_words)?;
    forget(&program).map_err(in_words)?;
    let peer = Peer::start("sink").map_err(in_words)?;
    let cgroup = Cgroup::with_memory(LIMIT)?;
    let mut command = cgroup.command(&program);
    command.args([contender, &peer.address().to_string(), &messages.to_string(), &SIZE.to_string()]);
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = output_in_time(&mut command);
    let end = match output {
        _ if cgroup.has_killed() => LoadEnd::Killed,
        Ok((stdout, stderr)) => match stdout.trim().parse() {
            Ok(wall_ns) => LoadEnd::Finished { wall_ns },
            Err(_) => LoadEnd::Failed(stderr.lines().next_back().unwrap_or("ended without a word").into()),
        },
        Err(error) if error.kind() == io::ErrorKind::TimedOut => LoadEnd::Failed("stalled".into()),
        Err(error) => LoadEnd::Failed(error.to_string()),
    };
    Ok((end, cgroup.peak()))
}

/// It is built beside this one.
fn program() -> io::Result<PathBuf> {
    let program = env::current_exe()?.with_file_name(format!("load{}", env::consts::EXE_SUFFIX));
    if program.exists() { Ok(program) } else { Err(io::Error::other(format!("{} is not there", program.display()))) }
}

/// Has the kernel forget what it has of the program, so that it is read, and counted, again.
fn forget(program: &Path) -> io::Result<()> {
    let file = File::open(program)?;
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}
