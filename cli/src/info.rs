//! `mqtt info`: what a broker says of itself, in words, and what it does otherwise than one would guess.

use std::io::{self, Write as _};

use mqtt_wasi::{Client, ConnectionInfo, QoS};
use serde_json::json;

use crate::args;
use crate::connection::{self, Target};
use crate::failure::Failure;
use crate::notes::Notes;
use crate::oddities;
use crate::progress::grouped;
use crate::properties::{self, Scope};

pub(crate) fn run(args: &args::Info, notes: &Notes) -> Result<(), Failure> {
    let given = properties::parse(&args.connection.properties, &[Scope::Connect, Scope::Will])?;
    let Target { url, options, .. } = connection::target(&args.connection, &given)?;
    let mut client = Client::connect(&url, options.request_response_information(true))?;
    let info = client.connection_info().ok_or(mqtt_wasi::Error::ConnectionClosed)?;
    let mut probed = Vec::new();
    if let Some(topic) = &args.probe {
        probed = oddities::probe(&mut client, topic)?;
    }
    let software = oddities::software(&mut client);
    let known = software.as_deref().map(oddities::known).unwrap_or_default();
    let odd: Vec<String> = known.into_iter().map(String::from).chain(probed).collect();
    if let Err(error) = client.disconnect() {
        notes.detail(error);
    }
    let mut out = io::stdout().lock();
    let text = if args.json {
        as_json(&url, software.as_deref(), &info, args, &odd)
    } else {
        as_lines(&url, software.as_deref(), &info, args, &odd)
    };
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Each property of CONNACK: its name, what it says, and what MQTT has where it says nothing.
fn facts(info: &ConnectionInfo, args: &args::Info) -> Vec<(&'static str, String, bool)> {
    let yes_or_no = |yes: bool| (if yes { "yes" } else { "no" }).to_owned();
    let or_none = |text: &Option<String>| text.as_ref().map_or("none".into(), |text| text.escape_debug().to_string());
    let asked =
        args.connection.session_expiry_interval.unwrap_or(if args.connection.keep_session { u32::MAX } else { 0 });
    let expiry = match info.session_expiry_interval.unwrap_or(asked) {
        0 => "until the connection ends".into(),
        u32::MAX => "for ever".into(),
        seconds => format!("for {} s after the connection has ended", grouped(seconds.into())),
    };
    let keep_alive = match info.server_keep_alive.unwrap_or(args.connection.keepalive) {
        0 => "none".into(),
        seconds => format!("{seconds} s"),
    };
    vec![
        ("Client Identifier", info.client_id.escape_debug().to_string(), args.connection.id.is_some()),
        ("Session Present", yes_or_no(info.session_present), !info.session_present),
        ("Keeps the session", expiry, info.session_expiry_interval.is_none()),
        ("Keep Alive", keep_alive, info.server_keep_alive.is_none()),
        ("Maximum QoS", (info.maximum_qos as u8).to_string(), info.maximum_qos == QoS::ExactlyOnce),
        (
            "Receive Maximum",
            format!("{} messages at QoS 1 and 2 at once", grouped(info.receive_maximum.into())),
            info.receive_maximum == u16::MAX,
        ),
        (
            "Maximum Packet Size",
            info.maximum_packet_size.map_or("no limit".into(), |bytes| format!("{} bytes", grouped(bytes.into()))),
            info.maximum_packet_size.is_none(),
        ),
        ("Topic Alias Maximum", info.topic_alias_maximum.to_string(), info.topic_alias_maximum == 0),
        ("Retained messages", yes_or_no(info.retain_available), info.retain_available),
        (
            "Wildcard subscriptions",
            yes_or_no(info.wildcard_subscription_available),
            info.wildcard_subscription_available,
        ),
        (
            "Subscription Identifiers",
            yes_or_no(info.subscription_identifier_available),
            info.subscription_identifier_available,
        ),
        ("Shared subscriptions", yes_or_no(info.shared_subscription_available), info.shared_subscription_available),
        ("Response Information", or_none(&info.response_information), info.response_information.is_none()),
        ("Server Reference", or_none(&info.server_reference), info.server_reference.is_none()),
        ("Reason String", or_none(&info.reason_string), info.reason_string.is_none()),
    ]
}

fn as_lines(url: &str, software: Option<&str>, info: &ConnectionInfo, args: &args::Info, odd: &[String]) -> String {
    let software = software.map_or("it does not say".into(), |software| software.escape_debug().to_string());
    let mut lines = vec![format!("{:<26}{url}", "Broker"), format!("{:<26}{software}", "Software")];
    for (name, value, is_default) in facts(info, args) {
        let default = if is_default { "  (as MQTT has it, or as we asked)" } else { "" };
        lines.push(format!("{name:<26}{value}{default}"));
    }
    for (name, value) in &info.user_properties {
        lines.push(format!("{:<26}{} = {}", "User Property", name.escape_debug(), value.escape_debug()));
    }
    if !odd.is_empty() {
        lines.push("What one would not guess:".into());
        lines.extend(odd.iter().map(|odd| format!("  - {odd}")));
    } else if args.probe.is_none() {
        lines.push("`--probe` sends a message to ourselves, and tells what the broker changes of it.".into());
    }
    lines.join("\n") + "\n"
}

/// With the specification's names, as keys.
fn as_json(url: &str, software: Option<&str>, info: &ConnectionInfo, args: &args::Info, odd: &[String]) -> String {
    let json = json!({
        "url": url,
        "software": software,
        "client-identifier": info.client_id,
        "session-present": info.session_present,
        "session-expiry-interval": info.session_expiry_interval,
        "server-keep-alive": info.server_keep_alive,
        "maximum-qos": info.maximum_qos as u8,
        "receive-maximum": info.receive_maximum,
        "maximum-packet-size": info.maximum_packet_size,
        "topic-alias-maximum": info.topic_alias_maximum,
        "retain-available": info.retain_available,
        "wildcard-subscription-available": info.wildcard_subscription_available,
        "subscription-identifier-available": info.subscription_identifier_available,
        "shared-subscription-available": info.shared_subscription_available,
        "response-information": info.response_information,
        "server-reference": info.server_reference,
        "reason-string": info.reason_string,
        "user-properties": info.user_properties,
        "probed": args.probe.is_some(),
        "oddities": odd,
    });
    format!("{json}\n")
}
