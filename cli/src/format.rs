//! How a message is printed: as it is, for people, as JSON, or in a format with `%` sequences.

use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::Zoned;
use mqtt_wasi::Message;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::args;
use crate::failure::Failure;

/// Wider than any screen: so much padding is a mistake.
const WIDEST: usize = 10_000;

/// As ISO 8601 has the time.
const ISO_8601: &str = "%Y-%m-%dT%H:%M:%S%z";

/// Prints messages in the way that the command line asks for.
#[derive(Debug)]
pub(crate) struct Printer {
    style: Style,
    has_line_end: bool,
}

#[derive(Debug)]
enum Style {
    Payload,
    WithTopic,
    WithEverything,
    Json,
    Format(Vec<Piece>),
}

/// What a format is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field {
        name: char,
        fit: Fit,
    },
    /// A conversion of strftime, with its `%`.
    Time(String),
}

/// How much room a field takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fit {
    width: usize,
    precision: Option<usize>,
    is_left: bool,
    has_zeros: bool,
}

impl Printer {
    pub(crate) fn new(args: &args::Output) -> Result<Self, Failure> {
        let style = match (&args.format, args.json, args.verbose) {
            (Some(format), ..) => Style::Format(parse(format).map_err(|why| Failure::Usage(format!("-F: {why}")))?),
            (None, true, _) => Style::Json,
            (None, false, 0) => Style::Payload,
            (None, false, 1) => Style::WithTopic,
            (None, false, _) => Style::WithEverything,
        };
        Ok(Self { style, has_line_end: !args.no_line_end })
    }

    pub(crate) fn print(&self, message: &Message, out: &mut impl Write) -> io::Result<()> {
        match &self.style {
            Style::Payload => out.write_all(&message.payload)?,
            Style::WithTopic if message.payload.is_empty() => write!(out, "{} (null)", message.topic)?,
            Style::WithTopic => {
                write!(out, "{} ", message.topic)?;
                out.write_all(&message.payload)?;
            }
            Style::WithEverything => out.write_all(for_people(message).as_bytes())?,
            Style::Json => out.write_all(&json(message, false)?)?,
            Style::Format(pieces) => {
                for piece in pieces {
                    piece.print(message, out)?;
                }
            }
        }
        if self.has_line_end { out.write_all(b"\n") } else { Ok(()) }
    }
}

/// Reads a format; what is wrong with it, if anything is.
fn parse(format: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(match chars.next() {
                Some('0') => '\0',
                Some('a') => '\x07',
                Some('e') => '\x1b',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\x0b',
                Some('\\') => '\\',
                Some(other) => return Err(format!("`\\{other}` stands for nothing")),
                None => return Err("there is nothing behind the last `\\`".into()),
            }),
            '%' => {
                let mut fit = Fit::default();
                while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '0')) {
                    *(if flag == '-' { &mut fit.is_left } else { &mut fit.has_zeros }) = true;
                }
                fit.width = number(&mut chars)?.unwrap_or(0);
                if chars.next_if_eq(&'.').is_some() {
                    fit.precision = Some(number(&mut chars)?.unwrap_or(0));
                }
                let piece = match chars.next() {
                    Some('%') => {
                        text.push('%');
                        continue;
                    }
                    Some('@') => time(chars.next())?,
                    Some('m' | 'A') => {
                        return Err("%m and %A are of one connection only, and this client hides them".into());
                    }
                    Some(name) if FIELDS.contains(name) => Piece::Field { name, fit },
                    Some(name) => return Err(format!("`%{name}` stands for nothing: see `mqtt help sub`")),
                    None => return Err("there is nothing behind the last `%`".into()),
                };
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text).into_bytes()));
                }
                pieces.push(piece);
            }
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into_bytes()));
    }
    Ok(pieces)
}

/// The names of fields, other than those of strftime.
const FIELDS: &str = "tpxXlqrdCDEFPRSIUjJ";

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>, String> {
    let mut number = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|digit| digit.to_digit(10)) {
        let next = number.unwrap_or(0) * 10 + digit as usize;
        if next > WIDEST {
            return Err(format!("a width of more than {WIDEST}"));
        }
        number = Some(next);
    }
    Ok(number)
}

fn time(conversion: Option<char>) -> Result<Piece, String> {
    let conversion = conversion.ok_or("there is nothing behind the last `%@`")?;
    let format = format!("%{conversion}");
    match jiff::fmt::strtime::format(&format, &Zoned::now()) {
        Ok(_) => Ok(Piece::Time(format)),
        Err(_) => Err(format!("strftime has no %{conversion}")),
    }
}

impl Piece {
    fn print(&self, message: &Message, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Text(text) => out.write_all(text),
            Self::Time(format) => out.write_all(now(format)?.as_bytes()),
            // As it is: it may be large, and need not be text.
            Self::Field { name: 'p', fit } => fit.print(&message.payload, out),
            Self::Field { name, fit } => fit.print(&field(*name, message)?, out),
        }
    }
}

fn now(format: &str) -> io::Result<String> {
    jiff::fmt::strtime::format(format, &Zoned::now()).map_err(io::Error::other)
}

fn field(name: char, message: &Message) -> io::Result<Vec<u8>> {
    let optional = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let text = match name {
        't' => message.topic.clone(),
        'x' => hex(&message.payload),
        'X' => hex(&message.payload).to_uppercase(),
        'l' => message.payload.len().to_string(),
        'q' => (message.qos as u8).to_string(),
        'r' => u8::from(message.retain).to_string(),
        'd' => u8::from(message.dup).to_string(),
        'C' => message.content_type.clone().unwrap_or_default(),
        'D' => return Ok(message.correlation_data.clone().unwrap_or_default()),
        'E' => optional(message.message_expiry_interval),
        'F' => optional(message.payload_format_indicator.map(u32::from)),
        'P' => {
            let pairs = message.user_properties.iter().map(|(name, value)| format!("{name}:{value}"));
            pairs.collect::<Vec<_>>().join(" ")
        }
        'R' => message.response_topic.clone().unwrap_or_default(),
        'S' => message.subscription_identifiers.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        'I' => now(ISO_8601)?,
        'U' => {
            let now = Zoned::now().timestamp();
            format!("{}.{:09}", now.as_second(), now.subsec_nanosecond())
        }
        'j' => return json(message, false),
        _ => return json(message, true),
    };
    Ok(text.into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl Fit {
    /// Writes the bytes in their room. Text is measured in characters, and anything else in bytes.
    fn print(self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        if self == Self::default() {
            return out.write_all(bytes);
        }
        let (len, kept) = match std::str::from_utf8(bytes) {
            Ok(text) => {
                let most = self.precision.unwrap_or(usize::MAX);
                let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
                (text[..end].chars().count(), &bytes[..end])
            }
            Err(_) => {
                let len = self.precision.map_or(bytes.len(), |most| most.min(bytes.len()));
                (len, &bytes[..len])
            }
        };
        let padding = self.width.saturating_sub(len);
        let pad = |out: &mut dyn Write, byte: u8| out.write_all(&vec![byte; padding]);
        match (self.is_left, self.has_zeros) {
            (true, _) => {
                out.write_all(kept)?;
                pad(out, b' ')
            }
            (false, zeros) => {
                pad(out, if zeros { b'0' } else { b' ' })?;
                out.write_all(kept)
            }
        }
    }
}

/// A message as JSON, with the names that mosquitto has given the keys.
#[derive(Serialize)]
struct Json<'a> {
    tst: String,
    topic: &'a str,
    qos: u8,
    retain: u8,
    #[serde(skip_serializing_if = "is_false")]
    dup: bool,
    payloadlen: usize,
    #[serde(skip_serializing_if = "JsonProperties::is_empty")]
    properties: JsonProperties<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<JsonPayload<'a>>,
    #[serde(rename = "payload-hex", skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum JsonPayload<'a> {
    Text(&'a str),
    Json(&'a RawValue),
}

#[derive(Serialize, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
struct JsonProperties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_format_indicator: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_expiry_interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data_hex: Option<String>,
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    subscription_identifiers: &'a [u32],
    /// Pairs: a name may come more than once, and the order counts.
    #[serde(skip_serializing_if = "<[(String, String)]>::is_empty")]
    user_properties: &'a [(String, String)],
}

impl JsonProperties<'_> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The message on one line; with `payload_is_json` its payload is not quoted, if it is JSON.
fn json(message: &Message, payload_is_json: bool) -> io::Result<Vec<u8>> {
    let text = std::str::from_utf8(&message.payload).ok();
    // One line, whatever the publisher's JSON looks like.
    let raw = text.filter(|_| payload_is_json).and_then(|text| {
        let value = serde_json::from_str::<&RawValue>(text).ok()?;
        Some(value).filter(|value| !value.get().contains(['\n', '\r']))
    });
    let payload = raw.map(JsonPayload::Json).or(text.map(JsonPayload::Text));
    let correlation = message.correlation_data.as_deref();
    let correlation_data = correlation.and_then(|data| std::str::from_utf8(data).ok());
    let json = Json {
        tst: now("%Y-%m-%dT%H:%M:%S.%6f%z")?,
        topic: &message.topic,
        qos: message.qos as u8,
        retain: message.retain.into(),
        dup: message.dup,
        payloadlen: message.payload.len(),
        properties: JsonProperties {
            payload_format_indicator: message.payload_format_indicator.map(u8::from),
            message_expiry_interval: message.message_expiry_interval,
            content_type: message.content_type.as_deref(),
            response_topic: message.response_topic.as_deref(),
            correlation_data,
            correlation_data_hex: correlation.filter(|_| correlation_data.is_none()).map(hex),
            subscription_identifiers: &message.subscription_identifiers,
            user_properties: &message.user_properties,
        },
        payload,
        payload_hex: text.is_none().then(|| hex(&message.payload)),
    };
    Ok(serde_json::to_vec(&json)?)
}

/// The topic, then what the message says of itself, then its payload, for eyes: a terminal obeys nothing in it.
fn for_people(message: &Message) -> String {
    let mut lines = format!("{}  QoS {}", message.topic.escape_debug(), message.qos as u8);
    for (flag, word) in [(message.retain, "retained"), (message.dup, "sent again")] {
        if flag {
            lines.push_str(", ");
            lines.push_str(word);
        }
    }
    let mut add = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(lines, "\n  {name}: {value}");
    };
    if let Some(is_text) = message.payload_format_indicator {
        add("Payload Format Indicator", if is_text { &"UTF-8 text" } else { &"bytes" });
    }
    if let Some(seconds) = message.message_expiry_interval {
        add("Message Expiry Interval", &format_args!("{seconds} s"));
    }
    if let Some(content_type) = &message.content_type {
        add("Content Type", &content_type.escape_debug());
    }
    if let Some(topic) = &message.response_topic {
        add("Response Topic", &topic.escape_debug());
    }
    if let Some(data) = &message.correlation_data {
        add("Correlation Data", &visible(data));
    }
    for identifier in &message.subscription_identifiers {
        add("Subscription Identifier", identifier);
    }
    for (name, value) in &message.user_properties {
        add("User Property", &format_args!("{} = {}", name.escape_debug(), value.escape_debug()));
    }
    add("Payload", &format_args!("{} bytes", message.payload.len()));
    if !message.payload.is_empty() {
        lines.push('\n');
        lines.push_str(&visible(&message.payload));
    }
    lines
}

/// Text without control characters other than line ends and tabs; bytes in hex.
fn visible(bytes: &[u8]) -> String {
    let is_visible = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_visible) => text.to_owned(),
        _ => format!("0x{}", hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use mqtt_wasi::{Publish, PublishProperties, QoS};

    use super::*;

    fn message() -> Message {
        let properties = PublishProperties {
            content_type: Some("text/plain"),
            correlation_data: Some(b"\xff"),
            user_properties: (&[("unit", "°C"), ("unit", "K")]).into(),
            ..PublishProperties::default()
        };
        Publish::new("a/ü", "{\"t\":1}").qos(QoS::AtLeastOnce).properties(properties).into()
    }

    fn printed(format: &str) -> String {
        let mut out = Vec::new();
        let printer = Printer { style: Style::Format(parse(format).unwrap()), has_line_end: false };
        printer.print(&message(), &mut out).unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn sequences_stand_for_what_the_message_says() {
        assert_eq!(printed("%t|%p|%q|%r|%l|%C|%P\\n"), "a/ü|{\"t\":1}|1|0|7|text/plain|unit:°C unit:K\n");
        assert_eq!(printed("%x %X %d%%"), "7b2274223a317d 7B2274223A317D 0%");
        assert_eq!(printed("[%E][%F][%R][%S]"), "[][][][]");
        assert_eq!(printed("%@Y"), now("%Y").unwrap());
    }

    #[test]
    fn fields_are_padded_and_cut_by_characters() {
        assert_eq!(printed("%-5t|%5t|%.3t|%05q|%4.2p"), "a/ü  |  a/ü|a/ü|00001|  {\"");
        assert_eq!(printed("%.2t"), "a/");
    }

    #[test]
    fn wrong_formats_are_refused() {
        for (format, why) in
            [("%", "nothing behind"), ("%k", "%k"), ("\\q", "\\q"), ("%m", "%m"), ("%@", "%@"), ("%99999t", "10000")]
        {
            let error = parse(format).unwrap_err();
            assert!(error.contains(why), "{format}: {error}");
        }
    }

    #[test]
    fn payload_that_is_no_text_goes_through_unharmed() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let message = Message::from(Publish::new("t", &every_byte));
        for (style, expected) in
            [(Style::Payload, every_byte.clone()), (Style::WithTopic, [b"t ", &every_byte[..]].concat())]
        {
            let mut out = Vec::new();
            Printer { style, has_line_end: false }.print(&message, &mut out).unwrap();
            assert_eq!(out, expected);
        }
        let json = json(&message, true).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["payload-hex"], hex(&every_byte));
        assert!(json.get("payload").is_none());
    }

    #[test]
    fn json_has_all_that_there_is() {
        let quoted: serde_json::Value = serde_json::from_slice(&json(&message(), false).unwrap()).unwrap();
        assert_eq!(
            (&quoted["topic"], &quoted["payload"], &quoted["qos"]),
            (&"a/ü".into(), &"{\"t\":1}".into(), &1.into())
        );
        assert_eq!(quoted["properties"]["user-properties"], serde_json::json!([["unit", "°C"], ["unit", "K"]]));
        assert_eq!(quoted["properties"]["correlation-data-hex"], "ff");
        let raw: serde_json::Value = serde_json::from_slice(&json(&message(), true).unwrap()).unwrap();
        assert_eq!(raw["payload"]["t"], 1);
    }

    #[test]
    fn what_is_for_people_has_no_control_characters() {
        let message = Message::from(Publish::new("t\u{7f}", "\x1b[2J"));
        let printed = for_people(&message);
        assert!(!printed.contains(['\x1b', '\u{7f}']), "{printed:?}");
        assert!(printed.contains("0x1b5b324a"), "{printed}");
    }
}
