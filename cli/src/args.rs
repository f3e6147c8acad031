//! The command line: what it may have, and how it is explained.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use mqtt_wasi::QoS;

/// What follows the help of every command.
const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  something on this side failed: a file, a program, the output
    2  the command line is wrong, or the broker cannot do what it asks for
    3  there is no connection: nobody answers, or it was lost
    4  refused by the broker, or by the responder of a request
    5  not trusted: TLS or authentication failed
    6  the peer does not speak MQTT v5.0, or breaks its rules
   27  the time of -W ran out
  130  interrupted by Ctrl-C before the work was done (143: by SIGTERM)
  141  the reader of the output has gone";

const ABOUT: &str = "\
Publishes and receives MQTT messages, asks and answers over MQTT, and looks at brokers.

In MQTT, programs do not talk to each other but to a broker. One publishes a message under a topic, a
name such as sensors/kitchen/temperature. The broker hands it to everyone who has subscribed to that topic, or to a
filter that matches it: `+` stands for one level of the name, `#` for all that follow.

QoS is how often a message arrives: 0 once at most, 1 once at least, 2 exactly once. A retained message is kept by the
broker, for those who subscribe later. A will is a message that the broker publishes when a client vanishes.

This client speaks MQTT v5.0. Options have the names that mosquitto_pub and mosquitto_sub gave them.";

const EXAMPLES: &str = "\
Examples:
  mqtt sub -t 'sensors/#' -v                     Print what comes below sensors, with its topic
  mqtt pub -t sensors/kitchen -m 21.5 -r         Publish a value, and have the broker keep it
  tail -f log.txt | mqtt pub -t log -l -q 1      Publish each line, and wait for the broker to have it
  mqtt rr -t calculator/add -m '1 2'             Ask, and print the answer
  mqtt rr --answer -t upper -- tr a-z A-Z        Answer requests with the output of a program
  mqtt info -L mqtts://test.example              Print what a broker says of itself
  mqtt bench -q 1 -n 10000                       Measure how fast messages come through
";

/// What a password on the command line is good for.
const SECRETS: &str = "\
Secrets:
  Everybody on this machine can read a command line, so keep passwords off it. The client takes the password from
  --password-file, or else from the variable MQTT_PASSWORD, and the user name from MQTT_USERNAME.";

#[derive(Debug, Parser)]
#[command(name = "mqtt", bin_name = "mqtt", version, about = ABOUT.split("\n\n").next(), long_about = ABOUT)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n{SECRETS}\n\n{EXIT_CODES}"))]
#[command(disable_help_flag = true, disable_version_flag = true, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print help; `mqtt help pub` prints that of a command
    #[arg(long, short = '?', action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version of this program
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a message, or many
    Pub(Publish),
    /// Subscribe, and print the messages that come
    Sub(Subscribe),
    /// Ask and print the reply, or answer the requests of others
    Rr(Request),
    /// Print what a broker says of itself, and what it does otherwise than one would guess
    Info(Info),
    /// Measure how fast messages come through a broker
    Bench(Bench),
}

/// Who the broker is, and who we are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The broker's host name or address [default: localhost]
    #[arg(short = 'h', long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// The broker's port [default: 1883, or 8883 with TLS]
    #[arg(short = 'p', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// All of it in one: mqtt(s)://[user[:password]@]host[:port][/topic]
    #[arg(short = 'L', long, value_name = "URL", conflicts_with_all = ["host", "port"])]
    pub(crate) url: Option<String>,
    /// The User Name [default: the variable MQTT_USERNAME]
    #[arg(short = 'u', long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) username: Option<String>,
    /// The Password, which everybody on this machine can then read: prefer --password-file or MQTT_PASSWORD
    #[arg(short = 'P', long = "pw", alias = "password", value_name = "PASSWORD", allow_hyphen_values = true)]
    #[arg(conflicts_with = "password_file")]
    pub(crate) password: Option<String>,
    /// A file with the Password; a line end behind it does not count
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The Client Identifier [default: the broker chooses one]
    #[arg(short = 'i', long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) id: Option<String>,
    /// What the Client Identifier begins with; random digits follow
    #[arg(short = 'I', long, value_name = "PREFIX", conflicts_with = "id")]
    pub(crate) id_prefix: Option<String>,
    /// Keep Alive: after so many seconds of silence the connection is tried; 0 for never
    #[arg(short = 'k', long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) keepalive: u16,
    /// Continue the session that the broker has for this Client Identifier, and leave it there (needs -i)
    #[arg(short = 'c', long = "disable-clean-session", requires = "id")]
    pub(crate) keep_session: bool,
    /// How long the broker keeps the session after we are gone, in seconds; -1 for ever [default: 0, or -1 with -c]
    #[arg(short = 'x', long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = expiry)]
    pub(crate) session_expiry_interval: Option<u32>,
    /// How many QoS 1 and 2 messages are in flight at once, at most
    #[arg(short = 'M', long, value_name = "COUNT", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_inflight: u16,
    /// The version of MQTT; there is only mqttv5 (or 5) here
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "mqttv5", hide_default_value = true)]
    #[arg(value_parser = version)]
    protocol_version: Mqtt5,
    /// How long to try to connect, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
    /// Tell on standard error what happens to the connection
    #[arg(short = 'd', long)]
    pub(crate) debug: bool,
    /// Print nothing on standard error; the exit code tells
    #[arg(long, conflicts_with = "debug")]
    pub(crate) quiet: bool,
    /// Accepted for the sake of scripts for mosquitto: the client decides by itself when a packet must not wait
    #[arg(long, hide = true)]
    nodelay: bool,
    #[command(flatten)]
    pub(crate) tls: Tls,
    #[command(flatten)]
    pub(crate) will: Will,
    /// A property, as COMMAND NAME VALUE, or COMMAND user-property NAME VALUE. Commands: connect, publish, subscribe,
    /// unsubscribe, disconnect, will. Names are those of MQTT v5.0 in lower case, such as content-type
    #[arg(short = 'D', long = "property", num_args = 3..=4, action = ArgAction::Append, allow_negative_numbers = true)]
    #[arg(value_names = ["COMMAND", "NAME", "VALUE"], help_heading = "MQTT 5")]
    pub(crate) properties: Vec<String>,
    /// Print help
    #[arg(long, short = '?', action = ArgAction::Help, help_heading = "Help")]
    help: Option<bool>,
}

/// Any of these, the port 8883, or a URL that begins with mqtts:// makes the connection a TLS one.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct Tls {
    /// Use TLS, and trust what web browsers trust
    #[arg(long)]
    pub(crate) tls: bool,
    /// Trust the authorities in this file of PEM certificates, and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) cafile: Option<PathBuf>,
    /// Our certificate, with its chain, in PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert, in PEM, without a passphrase
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Trust only the certificate with this SHA-256 fingerprint, no matter who signed it
    #[arg(long, value_name = "HEX")]
    pub(crate) fingerprint: Option<String>,
    /// The name that the broker's certificate has, if that is not the host
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// The protocol that is asked for by ALPN, such as mqtt
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) tls_alpn: Option<String>,
    /// Trust any certificate. Anybody in between can then read and change everything: for tests only
    #[arg(long, conflicts_with_all = ["cafile", "fingerprint"])]
    pub(crate) insecure: bool,
}

/// A message that the broker publishes if we vanish.
#[derive(Debug, Args)]
#[command(next_help_heading = "Will")]
pub(crate) struct Will {
    /// The topic of the will
    #[arg(long, value_name = "TOPIC")]
    pub(crate) will_topic: Option<String>,
    /// What the will says [default: nothing]
    #[arg(long, value_name = "MESSAGE", requires = "will_topic", allow_hyphen_values = true)]
    pub(crate) will_payload: Option<OsString>,
    /// The QoS of the will
    #[arg(long, value_name = "QOS", requires = "will_topic", value_parser = qos, default_value = "0")]
    pub(crate) will_qos: QoS,
    /// The broker keeps the will for those who subscribe later
    #[arg(long, requires = "will_topic")]
    pub(crate) will_retain: bool,
}

/// Where the payload comes from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Payload {
    /// The message
    #[arg(short = 'm', long, value_name = "MESSAGE", allow_hyphen_values = true)]
    pub(crate) message: Option<OsString>,
    /// Send the content of a file, byte by byte
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Send nothing: with -r, this deletes what the broker keeps
    #[arg(short = 'n', long)]
    pub(crate) null_message: bool,
    /// Send all of standard input as one message
    #[arg(short = 's', long)]
    pub(crate) stdin_file: bool,
}

/// What a message says of itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "MQTT 5")]
pub(crate) struct Properties {
    /// What the payload is, such as application/json
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// The broker drops the message if it is not delivered within so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) expiry: Option<u32>,
    /// The payload is UTF-8 text: receivers may check that
    #[arg(long)]
    pub(crate) text: bool,
    /// A User Property: a name and a value of your own; may be repeated
    #[arg(long, num_args = 2, action = ArgAction::Append, allow_hyphen_values = true)]
    #[arg(value_names = ["NAME", "VALUE"])]
    pub(crate) user_property: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
#[command(disable_help_flag = true, disable_version_flag = true)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(false)
    .args(["message", "file", "null_message", "stdin_file", "stdin_line"])))]
pub(crate) struct Publish {
    /// The topic to publish to
    #[arg(short = 't', long, required_unless_present = "url", allow_hyphen_values = true)]
    pub(crate) topic: Option<String>,
    #[command(flatten)]
    pub(crate) payload: Payload,
    /// Send each line of standard input as a message, as it comes
    #[arg(short = 'l', long)]
    pub(crate) stdin_line: bool,
    /// How often the message arrives: 0 once at most, 1 once at least, 2 exactly once
    #[arg(short = 'q', long, value_parser = qos, default_value = "0")]
    pub(crate) qos: QoS,
    /// The broker keeps the message for those who subscribe later
    #[arg(short = 'r', long)]
    pub(crate) retain: bool,
    /// Publish the message so many times
    #[arg(long, value_name = "COUNT", default_value_t = 1, conflicts_with = "stdin_line", hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,
    /// How long to wait between two of them, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, hide_default_value = true)]
    pub(crate) repeat_delay: Duration,
    #[command(flatten)]
    pub(crate) properties: Properties,
    /// Where a reply to the message is to be published
    #[arg(short = 'e', long, value_name = "TOPIC", help_heading = "MQTT 5")]
    pub(crate) response_topic: Option<String>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// How messages are printed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// The topic before the payload; twice (-vv) adds all properties, for people to read
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// A JSON object a line, with all properties; a payload that is not UTF-8 is there as payload-hex
    #[arg(long, conflicts_with_all = ["format", "verbose"])]
    pub(crate) json: bool,
    /// A format: %t topic, %p payload, %x and %X payload in hex, %l its length, %q QoS, %r retain, %d sent again,
    /// %C Content Type, %D Correlation Data, %E Message Expiry Interval, %F Payload Format Indicator, %P User
    /// Properties, %R Response Topic, %S Subscription Identifiers, %I local time, %U Unix time, %@X strftime's X,
    /// %j JSON, %J JSON with a JSON payload in it, %% percent; and \n \t \r \\ \0 \a \e \v. A width such as %-20t pads,
    /// and %.5p cuts
    #[arg(short = 'F', long, value_name = "FORMAT", conflicts_with = "verbose", allow_hyphen_values = true)]
    pub(crate) format: Option<String>,
    /// No line end behind a message
    #[arg(short = 'N')]
    pub(crate) no_line_end: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Subscribe {
    /// The Topic Filter to subscribe to; may be repeated. $share/GROUP/FILTER shares the messages with others
    #[arg(short = 't', long = "topic", value_name = "FILTER", required_unless_present = "url")]
    #[arg(allow_hyphen_values = true)]
    pub(crate) filters: Vec<String>,
    /// The highest QoS that messages are delivered with
    #[arg(short = 'q', long, value_parser = qos, default_value = "0")]
    pub(crate) qos: QoS,
    /// Leave after so many messages
    #[arg(short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Leave after so many seconds, with exit code 27
    #[arg(short = 'W', value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Leave as soon as the broker has accepted the subscriptions
    #[arg(short = 'E')]
    pub(crate) exit_after_subscribe: bool,
    /// Leave out what the broker had kept
    #[arg(short = 'R')]
    pub(crate) no_retained: bool,
    /// Print only what the broker had kept, and leave when something else comes
    #[arg(long, conflicts_with = "no_retained")]
    pub(crate) retained_only: bool,
    /// Delete what the broker had kept, after it was printed
    #[arg(long)]
    pub(crate) remove_retained: bool,
    /// Leave out messages that match this filter; may be repeated
    #[arg(short = 'T', long, value_name = "FILTER")]
    pub(crate) filter_out: Vec<String>,
    /// Unsubscribe from this filter of the session; may be repeated
    #[arg(short = 'U', long, value_name = "FILTER")]
    pub(crate) unsubscribe: Vec<String>,
    /// No Local: leave out what this client itself publishes
    #[arg(long, help_heading = "MQTT 5")]
    pub(crate) no_local: bool,
    /// Retain As Published: the retain flag is the publisher's
    #[arg(long, help_heading = "MQTT 5")]
    pub(crate) retain_as_published: bool,
    /// Which messages that the broker has kept it sends: always, new (for a new subscription), never
    #[arg(long, value_name = "WHEN", default_value = "always", help_heading = "MQTT 5", hide_possible_values = true)]
    pub(crate) retain_handling: RetainHandling,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RetainHandling {
    Always,
    New,
    Never,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Request {
    /// The topic to ask, or with --answer the Topic Filter of the requests
    #[arg(short = 't', long, value_name = "TOPIC", required_unless_present = "url", allow_hyphen_values = true)]
    pub(crate) topic: Option<String>,
    #[command(flatten)]
    pub(crate) payload: Payload,
    /// Answer requests in place of asking: with the payload, with --echo, or with the output of PROGRAM
    #[arg(long)]
    pub(crate) answer: bool,
    /// Answer with the request itself
    #[arg(long, requires = "answer", conflicts_with_all = ["message", "file", "null_message", "stdin_file"])]
    pub(crate) echo: bool,
    /// Answer so many requests, and leave
    #[arg(short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..), requires = "answer")]
    pub(crate) count: Option<u64>,
    /// How long to wait for the reply, in seconds [default: 10]; with --answer: leave after so many seconds
    #[arg(short = 'W', value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// The QoS of the request
    #[arg(short = 'q', long, value_parser = qos, default_value = "1")]
    pub(crate) qos: QoS,
    /// Where the reply is published [default: a topic of our own]
    #[arg(short = 'e', long, value_name = "TOPIC", conflicts_with = "answer")]
    pub(crate) response_topic: Option<String>,
    #[command(flatten)]
    pub(crate) properties: Properties,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// A program that gets each request on its standard input, and whose output is the reply. MQTT_TOPIC has the topic.
    /// If it fails, the requester is told what it wrote to standard error
    #[arg(last = true, value_name = "PROGRAM", requires = "answer")]
    #[arg(conflicts_with_all = ["echo", "message", "file", "null_message", "stdin_file"])]
    pub(crate) program: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Info {
    /// Also send a message to ourselves, below this topic, and tell what the broker changed of it
    #[arg(long, value_name = "TOPIC", num_args = 0..=1, default_missing_value = "mqtt-wasi/probe")]
    pub(crate) probe: Option<String>,
    /// A JSON object in place of lines
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Bench {
    /// Which way to measure
    #[arg(value_name = "WAY", default_value = "both", hide_possible_values = true)]
    #[arg(help = "both: publish, and receive over a second connection; publish; or receive")]
    pub(crate) way: Way,
    /// The topic of the messages
    #[arg(short = 't', long, default_value = "mqtt-wasi/bench")]
    pub(crate) topic: String,
    /// The QoS of the messages
    #[arg(short = 'q', long, value_parser = qos, default_value = "0")]
    pub(crate) qos: QoS,
    /// How many messages
    #[arg(short = 'n', long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// The size of each payload in bytes; from 16 on, it carries the time, and delays are measured
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(..=268_000_000))]
    pub(crate) size: u32,
    /// How many messages a second, at most [default: as many as there can be]
    #[arg(short = 'r', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Stop after so many seconds
    #[arg(short = 'W', value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// A JSON object in place of the summary
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    Both,
    Publish,
    Receive,
}

fn qos(text: &str) -> Result<QoS, String> {
    text.parse().ok().and_then(QoS::from_u8).ok_or_else(|| "QoS is 0, 1 or 2".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|_| "a number of seconds, such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A Session Expiry Interval, in mosquitto's words.
fn expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "a number of seconds up to 4294967295, or -1 for ever".to_owned()),
    }
}

/// The only version of MQTT that there is here.
#[derive(Debug, Clone)]
struct Mqtt5;

fn version(text: &str) -> Result<Mqtt5, String> {
    match text {
        "mqttv5" | "5" => Ok(Mqtt5),
        "mqttv31" | "mqttv311" | "31" | "311" => {
            Err("this client speaks MQTT v5.0 only. Most brokers do too: leave the option out".into())
        }
        _ => Err("the only version is mqttv5".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["mqtt"].into_iter().chain(line.split(' ')))
    }

    fn refusal(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_are_those_that_people_know_from_mosquitto() {
        for line in [
            "pub -h broker -p 1884 -u me -P secret -t a/b -m hello -q 2 -r -i id -k 10 -c -x -1 -M 5 -V mqttv5 -d",
            "pub -L mqtt://broker/a/b -l",
            "pub -t a -f file --repeat 3 --repeat-delay 0.5 --quiet --nodelay",
            "pub -t a -n -I prefix- --will-topic w --will-payload gone --will-qos 1 --will-retain",
            "pub -t a -s --cafile ca --cert cert --key key --tls-alpn mqtt",
            "pub -t a -m -5 -D publish content-type text/plain -D publish user-property unit celsius -D connect receive-maximum 5",
            "sub -t a -t b -v -C 3 -W 10 -E -R -T c -U d -N -F %t --remove-retained",
            "sub -t a --retained-only -x 3600",
            "rr -t a -e b -m question -W 3",
        ] {
            // %t and -v exclude each other.
            let line = line.replace("-v -C", "-C");
            parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn payload_is_one_of_its_sources() {
        assert!(refusal("pub -t a").contains("required"), "{}", refusal("pub -t a"));
        assert!(refusal("pub -t a -m b -l").contains("cannot be used with"));
        assert!(refusal("pub -m b").contains("--topic"));
    }

    #[test]
    fn what_mqtt_does_not_have_is_refused_with_what_it_has() {
        assert!(refusal("pub -t a -m b -q 3").contains("QoS is 0, 1 or 2"));
        assert!(refusal("pub -t a -m b -V mqttv311").contains("MQTT v5.0 only"));
        assert!(refusal("pub -t a -m b -x forever").contains("-1 for ever"));
        assert!(refusal("sub -t a -c").contains("--id"));
    }

    #[test]
    fn mistyped_option_has_a_suggestion() {
        assert!(refusal("sub --topik a").contains("--topic"));
    }

    #[test]
    fn lines_of_the_help_fit_a_page() {
        for command in ["pub", "sub", "rr", "info", "bench"] {
            let help = Cli::command().find_subcommand_mut(command).unwrap().render_long_help().to_string();
            assert!(help.contains("Exit codes:"), "{help}");
        }
    }
}
