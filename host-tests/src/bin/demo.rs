//! The way of a message, from a component to a broker and back: composes a guest with the mqtt component,
//! runs both in wasmtime with leave to connect to one broker and nothing else, and sums up what came of it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use host_tests::broker::Embedded;
use host_tests::components::{compose, load};
use host_tests::guest::Summary;
use host_tests::runtime::{Permissions, Runtime};
use mqtt_wasi::BrokerUrl;

const HELP: &str = "\
Sends messages from a WebAssembly component to an MQTT broker and back, through mqtt.wasm.

Usage: demo [--broker mqtt://[user:password@]host[:port]]

Without --broker, a broker is started inside this process. Whichever it is, the component may connect to its
addresses and nowhere else.";

const MESSAGES: u32 = 20;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Request {
    Help,
    Run { broker: Option<String> },
}

/// The broker, and what a component needs to get there.
struct Broker {
    url: String,
    permissions: Permissions,
    /// Runs until this is dropped.
    _embedded: Option<Embedded>,
}

fn main() -> ExitCode {
    match Request::parse(std::env::args().skip(1)).and_then(Request::execute) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Request {
    fn parse(args: impl IntoIterator<Item = String>) -> Result<Self> {
        let args: Vec<String> = args.into_iter().collect();
        if args.iter().any(|arg| arg == "--help" || arg == "-h") {
            return Ok(Self::Help);
        }
        match args.as_slice() {
            [] => Ok(Self::Run { broker: None }),
            [option, url] if option == "--broker" => Ok(Self::Run { broker: Some(url.clone()) }),
            [option] if option == "--broker" => bail!("--broker needs a URL; see --help"),
            [option, _, next, ..] if option == "--broker" => bail!("there is no argument `{next}`; see --help"),
            [first, ..] => bail!("there is no argument `{first}`; see --help"),
        }
    }

    fn execute(self) -> Result<()> {
        match self {
            Self::Help => {
                println!("{HELP}");
                Ok(())
            }
            Self::Run { broker } => run(broker),
        }
    }
}

impl Broker {
    fn find(url: Option<String>) -> Result<Self> {
        match url {
            Some(url) => Self::at(url),
            None => Self::embedded(),
        }
    }

    fn embedded() -> Result<Self> {
        let broker = Embedded::start().context("starting the embedded broker")?;
        step(&format!("started a broker at {}", broker.url()));
        Ok(Self { url: broker.url(), permissions: Permissions::to(broker.address()), _embedded: Some(broker) })
    }

    fn at(url: String) -> Result<Self> {
        let parsed: BrokerUrl = url.parse()?;
        parsed.require_plain()?;
        let place = (parsed.host.as_str(), parsed.port);
        let addresses: Vec<SocketAddr> =
            place.to_socket_addrs().with_context(|| format!("looking up {}", parsed.host))?.collect();
        ensure!(!addresses.is_empty(), "{} has no address", parsed.host);
        step(&format!("found the broker at {}", list(&addresses)));
        // The component looks a name up by itself, and then may connect to what it names and nothing else.
        let name_lookup = parsed.host.parse::<std::net::IpAddr>().is_err();
        Ok(Self { url, permissions: Permissions { addresses, name_lookup, ..Permissions::default() }, _embedded: None })
    }
}

fn run(broker: Option<String>) -> Result<()> {
    let broker = Broker::find(broker)?;
    let mqtt = load("mqtt.wasm")?;
    let guest = load("guests/demo_guest.wasm")?;
    let composed = compose(&guest, &mqtt)?;
    step("composed guests/demo_guest.wasm with mqtt.wasm");
    let runtime = Runtime::new(&composed)?;
    step(&format!("running it in wasmtime, with leave to connect to {}", list(&broker.permissions.addresses)));

    let output = runtime.run_shown(&[&broker.url, &MESSAGES.to_string()], &broker.permissions)?;
    ensure!(output.success, "the guest failed; above is why");
    let summary = Summary::of(&output.stdout).context("the guest ended without a summary")?;

    println!();
    println!("messages    {} of {MESSAGES} came back intact", summary.intact);
    println!("round trip  {:.3} ms, the median", summary.median_round_trip.as_secs_f64() * 1e3);
    println!("sizes       mqtt.wasm {}, demo_guest.wasm {}, composed {}", kb(&mqtt), kb(&guest), kb(&composed));
    println!("mqtt.wasm imports nothing but");
    for import in Runtime::new(&mqtt)?.imports() {
        println!("            {import}");
    }
    ensure!(summary.intact == MESSAGES, "messages were lost");
    Ok(())
}

fn step(what: &str) {
    println!("demo: {what}");
}

fn list(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    addresses.join(", ")
}

fn kb(component: &[u8]) -> String {
    format!("{:.1} KB", component.len() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request> {
        Request::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn broker_is_embedded_unless_there_is_one() {
        assert_eq!(parse("").unwrap(), Request::Run { broker: None });
        assert_eq!(parse("--broker mqtt://h").unwrap(), Request::Run { broker: Some("mqtt://h".into()) });
    }

    #[test]
    fn help_is_found_anywhere() {
        assert_eq!(parse("--help").unwrap(), Request::Help);
        assert_eq!(parse("--broker -h").unwrap(), Request::Help);
    }

    #[test]
    fn misuse_is_refused_with_what_was_wrong() {
        for (line, hint) in [
            ("--broker", "needs a URL"),
            ("--brokr mqtt://h", "`--brokr`"),
            ("mqtt://h", "`mqtt://h`"),
            ("--broker mqtt://h now", "`now`"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(hint), "{line}: {error}");
        }
    }

    #[test]
    fn url_is_checked_before_anything_runs() {
        for (url, hint) in [("localhost", "mqtt://"), ("mqtts://localhost", "TLS"), ("mqtt://localhost:x", "port")] {
            let error = Broker::at(url.into()).err().expect("an error").to_string();
            assert!(error.contains(hint), "{url}: {error}");
        }
    }
}
