//! From the command line to a URL and the options of a client.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use mqtt_wasi::{BrokerUrl, Options, Scheme, TlsOptions, WillMessage};

use crate::args::{self, Connection};
use crate::failure::Failure;
use crate::properties::{self, Property};

/// The largest payload that MQTT has (section 1.5.5), and so of a file that is one.
const LARGEST_PAYLOAD: u64 = 268_435_455;

/// Larger than any password: the largest that CONNECT can carry (section 3.1.3.6).
const LARGEST_PASSWORD: u64 = 65_535;

const TLS_PORT: u16 = 8883;

/// Where to connect to, and how.
pub(crate) struct Target {
    /// Without login.
    pub(crate) url: String,
    pub(crate) options: Options,
    /// What the URL of `-L` has behind the host.
    pub(crate) topic: Option<String>,
}

/// The target that the command line asks for, with the properties of `-D connect` and `-D will`.
pub(crate) fn target(args: &Connection, properties: &[Property]) -> Result<Target, Failure> {
    let (broker, topic) = broker(args)?;
    let user_name = args.username.clone().or(broker.user_name.clone()).or_else(|| variable("MQTT_USERNAME"));
    let expiry = args.session_expiry_interval.unwrap_or(if args.keep_session { u32::MAX } else { 0 });
    let mut options = Options::new()
        .keep_alive(args.keepalive)
        .clean_start(!args.keep_session)
        // Messages of a session from an earlier run are ours too.
        .adopt_session(args.keep_session)
        .session_expiry_interval(expiry)
        .in_flight_limit(args.max_inflight)
        .connect_timeout(args.connect_timeout)
        .response_timeout(Duration::from_secs(30));
    options = properties::connect(options, properties)?;
    if let Some(id) = client_id(args) {
        options = options.client_id(id);
    }
    if let Some(name) = user_name {
        options = options.user_name(name);
    }
    if let Some(password) = password(args, &broker)? {
        options = options.password(password);
    }
    if let Some(will) = will(&args.will, properties)? {
        options = options.will(will);
    }
    if broker.scheme == Scheme::Mqtts {
        options = options.tls(tls(&args.tls)?);
    }
    let scheme = if broker.scheme == Scheme::Mqtts { "mqtts" } else { "mqtt" };
    let host = if broker.host.contains(':') { format!("[{}]", broker.host) } else { broker.host };
    Ok(Target { url: format!("{scheme}://{host}:{}", broker.port), options, topic })
}

/// The broker of `-L`, or of `-h` and `-p`, and the topic of `-L`.
fn broker(args: &Connection) -> Result<(BrokerUrl, Option<String>), Failure> {
    let wants_tls = args.tls.is_wanted();
    let Some(given) = &args.url else {
        let host = args.host.as_deref().unwrap_or("localhost");
        let port = args.port.unwrap_or(if wants_tls { TLS_PORT } else { 1883 });
        let scheme = if wants_tls || port == TLS_PORT { "mqtts" } else { "mqtt" };
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let url = format!("{scheme}://{host}:{port}").parse();
        // A login would be an accident: it is not shown.
        return url.map(|url| (url, None)).map_err(|error| Failure::Usage(format!("-h: {error}")));
    };
    let (url, topic) = split_topic(given);
    let mut url: BrokerUrl = url.parse().map_err(|error| Failure::Usage(format!("-L: {error}")))?;
    if wants_tls && url.scheme == Scheme::Mqtt {
        if !given.contains(&format!(":{}", url.port)) {
            url.port = TLS_PORT;
        }
        url.scheme = Scheme::Mqtts;
    }
    Ok((url, topic.map(String::from)))
}

/// A URL without the topic behind the first slash after the host, and that.
fn split_topic(url: &str) -> (&str, Option<&str>) {
    let authority = url.find("://").map_or(0, |scheme| scheme + 3);
    match url[authority..].find('/') {
        Some(slash) => {
            (&url[..authority + slash], Some(&url[authority + slash + 1..]).filter(|topic| !topic.is_empty()))
        }
        None => (url, None),
    }
}

fn client_id(args: &Connection) -> Option<String> {
    let random = || std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    args.id.clone().or_else(|| args.id_prefix.as_ref().map(|prefix| format!("{prefix}{:016x}", random())))
}

/// The Password, from the first place that has one.
fn password(args: &Connection, broker: &BrokerUrl) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(file) = &args.password_file {
        let mut password = read_file(file, LARGEST_PASSWORD + 2)?;
        for end in [b'\n', b'\r'] {
            if password.last() == Some(&end) {
                password.pop();
            }
        }
        return Ok(Some(password));
    }
    if let Some(password) = &args.password {
        return Ok(Some(password.clone().into_bytes()));
    }
    if broker.password.is_some() {
        return Ok(broker.password.clone());
    }
    Ok(std::env::var_os("MQTT_PASSWORD").filter(|value| !value.is_empty()).map(std::ffi::OsString::into_encoded_bytes))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn will(args: &args::Will, properties: &[Property]) -> Result<Option<WillMessage>, Failure> {
    let Some(topic) = &args.will_topic else { return Ok(None) };
    let payload = args.will_payload.clone().unwrap_or_default().into_encoded_bytes();
    let mut will = WillMessage::new(topic, payload);
    will.qos = args.will_qos;
    will.retain = args.will_retain;
    properties::will(will, properties).map(Some)
}

impl args::Tls {
    /// Whether there is an option that makes no sense without TLS.
    fn is_wanted(&self) -> bool {
        let Self { tls, cafile, cert, key, fingerprint, server_name, tls_alpn, insecure } = self;
        let files = cafile.is_some() || cert.is_some() || key.is_some();
        *tls || *insecure || files || fingerprint.is_some() || server_name.is_some() || tls_alpn.is_some()
    }
}

fn tls(args: &args::Tls) -> Result<TlsOptions, Failure> {
    /// A chain of certificates is some kilobytes, and a system's whole store less than this.
    const LARGEST: u64 = 16 * 1024 * 1024;
    let wrong = |path: &Path, error: mqtt_wasi::TransportError| Failure::Usage(format!("{}: {error}", path.display()));
    let mut tls = TlsOptions::new();
    if let Some(path) = &args.cafile {
        tls = tls.ca(read_file(path, LARGEST)?).map_err(|error| wrong(path, error))?.only_own_ca();
    }
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        let (chain, key) = (read_file(cert, LARGEST)?, read_file(key, LARGEST)?);
        tls = tls.client_certificate(chain, key).map_err(|error| wrong(cert, error))?;
    }
    if let Some(fingerprint) = &args.fingerprint {
        tls = tls.fingerprint(fingerprint).map_err(|error| Failure::Usage(format!("--fingerprint: {error}")))?;
    }
    if let Some(name) = &args.server_name {
        tls = tls.server_name(name);
    }
    if let Some(protocol) = &args.tls_alpn {
        tls = tls.alpn([protocol.as_str()]);
    }
    Ok(if args.insecure { tls.dangerous_accept_any_certificate() } else { tls })
}

/// What `-m`, `-f`, `-n` or `-s` say; `None` if there is none of them.
pub(crate) fn payload(args: &args::Payload) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(message) = &args.message {
        Ok(Some(message.clone().into_encoded_bytes()))
    } else if let Some(file) = &args.file {
        read_file(file, LARGEST_PAYLOAD).map(Some)
    } else if args.stdin_file {
        read_at_most(std::io::stdin().lock(), "standard input", LARGEST_PAYLOAD).map(Some)
    } else {
        Ok(args.null_message.then(Vec::new))
    }
}

fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(Failure::here(format!("reading {name}")))?;
    read_at_most(file, &name, most)
}

/// What has no end, as some devices, is not read into memory for ever.
fn read_at_most(from: impl std::io::Read, name: &str, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes).map_err(Failure::here(format!("reading {name}")))?;
    if bytes.len() as u64 > most {
        return Err(Failure::Usage(format!("{name} has more than {most} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn connection(line: &str) -> Connection {
        let line = format!("mqtt info {line}");
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Info(info) => info.connection,
            _ => unreachable!(),
        }
    }

    fn url(line: &str) -> String {
        target(&connection(line), &[]).unwrap().url
    }

    #[test]
    fn place_follows_from_host_port_and_tls() {
        assert_eq!(url(""), "mqtt://localhost:1883");
        assert_eq!(url("-h ::1 -p 1884"), "mqtt://[::1]:1884");
        assert_eq!(url("-h broker.local -p 8883"), "mqtts://broker.local:8883");
        assert_eq!(url("--tls"), "mqtts://localhost:8883");
        assert_eq!(url("-L mqtts://broker.local"), "mqtts://broker.local:8883");
        assert_eq!(url("-L mqtt://broker.local:8884 --tls"), "mqtts://broker.local:8884");
        assert_eq!(url("-L mqtt://[::1]:1884/a/b"), "mqtt://[::1]:1884");
    }

    #[test]
    fn topic_of_a_url_is_what_follows_the_host() {
        assert_eq!(split_topic("mqtt://u:p@h:1/a/b/#"), ("mqtt://u:p@h:1", Some("a/b/#")));
        assert_eq!(split_topic("mqtt://h/"), ("mqtt://h", None));
        assert_eq!(split_topic("mqtt://h"), ("mqtt://h", None));
    }

    #[test]
    fn wrong_url_is_refused_without_its_password() {
        for line in ["-L http://u:secret@h", "-L mqtt://u:secret@h:0", "-L u:secret@h", "-h u:secret@h"] {
            let Err(error) = target(&connection(line), &[]) else { panic!("{line}") };
            assert_eq!(error.code(), 2);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn password_file_ends_before_its_line_end() {
        let file = std::env::temp_dir().join(format!("mqtt-cli-password-{}", std::process::id()));
        for (content, expected) in [("pass\n", "pass"), ("pass\r\n", "pass"), ("pass", "pass"), (" p\n\n", " p\n")] {
            std::fs::write(&file, content).unwrap();
            let connection = connection(&format!("--password-file {}", file.display()));
            let broker = broker(&connection).unwrap().0;
            assert_eq!(password(&connection, &broker).unwrap().unwrap(), expected.as_bytes(), "{content:?}");
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn more_than_there_may_be_is_refused() {
        assert_eq!(read_at_most(&b"1234"[..], "x", 4).unwrap(), b"1234");
        assert_eq!(read_at_most(&b"12345"[..], "x", 4).unwrap_err().to_string(), "x has more than 4 bytes");
    }
}
