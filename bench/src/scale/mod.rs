//! What one process can carry: idle connections, natively and in instances of the component, and the load job in little
//! memory. Every contender is measured in a process of its own, and its peer is another one, whose memory and time do
//! not count.

mod attend;
mod cgroup;
mod component;
mod crowd;
mod hall;
mod load;
mod native;
mod peer;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, io, process};

use serde::{Deserialize, Serialize};

use self::hall::Hall;
use self::peer::Peer;
use crate::contenders::Unable;
use crate::driver::output_in_time;

/// The Keep Alive of every connection, in seconds: the least that rumqttc takes.
const KEEP_ALIVE: u16 = 5;

/// How much to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    connections: u32,
    instances: u32,
    /// How long the connections are idle.
    idle: Duration,
    /// Messages of the load job.
    messages: u32,
}

impl Effort {
    pub(crate) const FULL: Self =
        Self { connections: 10_000, instances: 1_000, idle: Duration::from_secs(10), messages: 1_000_000 };
    pub(crate) const QUICK: Self =
        Self { connections: 500, instances: 50, idle: Duration::from_secs(5), messages: 50_000 };
}

/// What one process carried.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scale {
    /// Idle connections of each native client.
    pub(crate) native: Vec<Crowd>,
    /// Idle connections of the component.
    pub(crate) component: Vec<Crowd>,
    pub(crate) load: Load,
}

/// Idle connections of one contender.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Crowd {
    pub(crate) contender: String,
    /// How many connections there should have been.
    pub(crate) wanted: u32,
    pub(crate) sample: Option<CrowdSample>,
    /// Why there is no sample.
    pub(crate) failed: Option<String>,
}

/// What they cost their process, all together.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CrowdSample {
    /// How many there were: fewer than wanted where the system lets no process have as many files, and where the
    /// process had grown to 2 GiB.
    pub(crate) connections: u32,
    /// By how much the resident memory had grown when all were connected, in bytes.
    pub(crate) connected_bytes: u64,
    /// The same when they had been idle.
    pub(crate) idle_bytes: u64,
    pub(crate) connect_wall_ns: u64,
    pub(crate) connect_cpu_ns: u64,
    /// How long they were idle.
    pub(crate) idle_wall_ns: u64,
    pub(crate) idle_cpu_ns: u64,
    /// How often a thread gave up the processor by itself meanwhile, to be woken up again.
    pub(crate) idle_wake_ups: u64,
    /// How many PINGREQ came meanwhile.
    pub(crate) pings: u64,
}

/// The load job: messages published at QoS 1 and received again at QoS 1, in little memory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) messages: u32,
    /// Of a message's payload, in bytes.
    pub(crate) size: usize,
    /// What the process and the kernel on its behalf may have, in bytes.
    pub(crate) limit: u64,
    /// The version of the cgroups that bound it; `Err` says why there are none.
    pub(crate) cgroup: Result<u8, String>,
    /// Empty where there are no cgroups.
    pub(crate) rows: Vec<LoadRow>,
}

/// The load job of one contender.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LoadRow {
    pub(crate) contender: String,
    pub(crate) end: LoadEnd,
    /// The most that was in use, in bytes, as the kernel counts it.
    pub(crate) peak: Option<u64>,
}

/// How the load job ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LoadEnd {
    /// With all messages there and back.
    Finished {
        wall_ns: u64,
    },
    /// By the kernel, for want of memory.
    Killed,
    Failed(String),
}

/// A client of which there can be many.
struct Contender {
    name: &'static str,
    run: fn(&mut Hall) -> Result<(), Unable>,
}

/// What a process that measures says.
#[derive(Serialize, Deserialize)]
enum Outcome {
    Measured(CrowdSample),
    Failed(String),
}

/// Measures all of it.
pub(crate) fn run(effort: Effort) -> Scale {
    let crowds = |contenders: &[Contender], wanted| {
        let crowd = |contender: &Contender| measure(contender.name, wanted, effort.idle);
        contenders.iter().map(crowd).collect()
    };
    Scale {
        native: crowds(native::ALL, effort.connections),
        component: crowds(component::ALL, effort.instances),
        load: load::run(effort.messages),
    }
}

fn measure(name: &str, wanted: u32, idle: Duration) -> Crowd {
    eprintln!("{wanted} idle connections: {name}");
    let (sample, failed) = match try_to_measure(name, wanted, idle) {
        Ok(Outcome::Measured(sample)) => (Some(sample), None),
        Ok(Outcome::Failed(why)) => (None, Some(why)),
        Err(error) => (None, Some(error.to_string())),
    };
    Crowd { contender: name.into(), wanted, sample, failed }
}

fn try_to_measure(name: &str, wanted: u32, idle: Duration) -> io::Result<Outcome> {
    let peer = Peer::start("crowd")?;
    let mut command = program()?;
    command.args(["connect", name, &wanted.to_string(), &idle.as_millis().to_string(), &peer.address().to_string()]);
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (stdout, stderr) = output_in_time(&mut command)?;
    Ok(serde_json::from_str(&stdout).unwrap_or_else(|_| {
        let mut words = stderr.lines().filter(|line| !line.starts_with("note:") && !line.trim().is_empty());
        Outcome::Failed(words.next_back().unwrap_or("ended without a word").into())
    }))
}

/// This program, as one of the processes that take part.
fn program() -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(PROCESS);
    Ok(command)
}

/// The first argument of a process that takes part in a measurement.
pub(crate) const PROCESS: &str = "scale-process";

/// In such a process.
///
/// # Panics
/// When the arguments are not those that [`run`] gives.
pub(crate) fn process(args: &[String]) {
    match args {
        [role, rest @ ..] if role == "connect" => connect(rest),
        [role] => peer::serve(role),
        _ => panic!("no such process takes part"),
    }
}

fn connect(args: &[String]) {
    let [name, wanted, idle, address] = args else { panic!("four arguments") };
    let contender = native::ALL.iter().chain(component::ALL).find(|contender| contender.name == name);
    let number = |text: &str| text.parse().expect("a number");
    let address: SocketAddr = address.parse().expect("an address");
    let mut hall = Hall::new(address, number(wanted), Duration::from_millis(number(idle).into()));
    let outcome = match (contender.expect("a contender").run)(&mut hall) {
        Ok(()) => Outcome::Measured(hall.into_sample()),
        Err(Unable::Lacks(what)) => Outcome::Failed(what.into()),
        Err(Unable::Failed(why)) => Outcome::Failed(why),
    };
    println!("{}", serde_json::to_string(&outcome).expect("it has nothing but numbers and text"));
    // To end thousands of connections one after the other would only take time.
    process::exit(0);
}
