//! The opening handshake of WebSocket (RFC 6455, section 4.1), from the client's side. Sans-IO.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::error::{TransportError, WebSocketFailure};
use crate::transport::http::{Answer, Head, NoAnswer, is_field_name, is_field_value, shown};
use crate::url::{BrokerUrl, Scheme};

/// What the server puts behind the client's key (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The subprotocol \[MQTT-6.0.0-3\].
const SUBPROTOCOL: &str = "mqtt";

/// The fields that the handshake itself has.
const OWN_FIELDS: [&str; 8] = [
    "Upgrade",
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
];

/// Waits for what the server answers.
pub(super) struct Handshake {
    answer: Answer,
    accept: String,
    has_begun: bool,
}

impl Handshake {
    /// Makes the request, and what waits for the answer to it.
    pub(super) fn begin(
        url: &BrokerUrl,
        headers: &[(String, String)],
        nonce: [u8; 16],
    ) -> Result<(Self, Vec<u8>), TransportError> {
        check(headers)?;
        let key = STANDARD.encode(nonce);
        let mut request = format!("GET {} HTTP/1.1\r\n", url.path);
        let mut add = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                request.push_str(part);
            }
        };
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Host")) {
            add("Host", &host(url));
        }
        add("Upgrade", "websocket");
        add("Connection", "Upgrade");
        add("Sec-WebSocket-Key", &key);
        add("Sec-WebSocket-Version", "13");
        add("Sec-WebSocket-Protocol", SUBPROTOCOL);
        for (name, value) in headers {
            add(name, value);
        }
        request.push_str("\r\n");
        let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize());
        Ok((Self { answer: Answer::default(), accept, has_begun: false }, request.into_bytes()))
    }

    /// Where the next bytes go.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.answer.room()
    }

    /// As many bytes have come; whether the handshake is done.
    pub(super) fn received(&mut self, len: usize) -> Result<bool, TransportError> {
        self.has_begun |= len > 0;
        let accept = &self.accept;
        match self.answer.received(len, |head| accepted(head, accept)) {
            Ok(checked) => checked.transpose().map(|checked| checked.is_some()),
            Err(NoAnswer::NotHttp) => Err(WebSocketFailure::NotHttp.because("")),
            Err(NoAnswer::TooLong) => Err(WebSocketFailure::NotHttp.because("the head of its answer is too long")),
        }
    }

    /// The peer closed the connection.
    pub(super) fn closed(&self) -> TransportError {
        let message = if self.has_begun {
            "it closed the connection within its answer"
        } else {
            "it closed the connection instead of answering"
        };
        WebSocketFailure::NotHttp.because(message)
    }

    /// What came behind the answer.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.answer.into_rest()
    }
}

/// Fails for headers that cannot be sent. Their values may be secret.
pub(crate) fn check(headers: &[(String, String)]) -> Result<(), TransportError> {
    for (name, value) in headers {
        let why = if !is_field_name(name) {
            return Err(
                WebSocketFailure::Configuration.because("its name has characters that no header's name may have")
            );
        } else if !is_field_value(value) {
            "its value has characters that no header's value may have"
        } else if OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            "the handshake sets it itself"
        } else {
            continue;
        };
        return Err(WebSocketFailure::Configuration.because(&format!("{name}: {why}")));
    }
    Ok(())
}

/// The place, as the request names it: without the port where that is the scheme's.
fn host(url: &BrokerUrl) -> String {
    let (open, close) = if url.host.contains(':') { ("[", "]") } else { ("", "") };
    match (url.scheme, url.port) {
        (Scheme::Ws, 80) | (Scheme::Wss, 443) => format!("{open}{}{close}", url.host),
        (_, port) => format!("{open}{}{close}:{port}", url.host),
    }
}

/// Whether the server took the request as it had to (RFC 6455, section 4.1).
fn accepted(head: &Head<'_>, accept: &str) -> Result<(), TransportError> {
    let status = format!("HTTP {} {}", head.status, shown(head.reason));
    let status = status.trim_end();
    match head.status {
        101 => {}
        300..=399 => {
            // What the query had may be a token.
            let place = head.field("Location").unwrap_or_default().split(['?', '#']).next().map(without_login);
            let to = place.filter(|place| !place.is_empty()).map_or_else(String::new, |place| format!(", to {place}"));
            return Err(WebSocketFailure::Redirect(head.status).because(&format!("{status}{to}")));
        }
        401 | 403 => return Err(WebSocketFailure::NotAuthorized(head.status).because(status)),
        _ => return Err(WebSocketFailure::Status(head.status).because(status)),
    }
    if !head.lists("Upgrade", "websocket") || !head.lists("Connection", "upgrade") {
        return Err(WebSocketFailure::NoUpgrade.because("its answer lacks Upgrade: websocket and Connection: Upgrade"));
    }
    if head.field("Sec-WebSocket-Accept") != Some(accept) {
        return Err(WebSocketFailure::WrongAccept.because(""));
    }
    if let Some(extension) = head.fields("Sec-WebSocket-Extensions").find(|extension| !extension.is_empty()) {
        return Err(WebSocketFailure::Extension.because(&shown(extension)));
    }
    match head.field("Sec-WebSocket-Protocol") {
        Some(SUBPROTOCOL) => Ok(()),
        Some(other) => Err(WebSocketFailure::Subprotocol.because(&format!("it chose {}", shown(other)))),
        None => Err(WebSocketFailure::Subprotocol.because("it chose none")),
    }
}

/// A place without the login that may be in it.
fn without_login(place: &str) -> String {
    let (scheme, rest) = place.split_once("//").unwrap_or(("", place));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let slashes = if place.contains("//") { "//" } else { "" };
    shown(&format!("{scheme}{slashes}{authority}{path}"))
}
