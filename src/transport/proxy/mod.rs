//! Proxies between a client and its broker: HTTP by CONNECT (RFC 9110, section 9.3.6), and SOCKS 5 (RFC 1928, 1929).
//! Both are asked for the broker by its name, which they look up. After that, bytes go through as they are.

mod bypass;
mod socks;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::bypass::is_bypassed;
use self::socks::Socks;
use super::http::{Answer, NoAnswer, shown};
use super::{Transferred, Transport};
use crate::error::{ProxyFailure, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::{BrokerUrl, ProxyScheme, ProxyUrl};

/// A proxy, and who is reached without it.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(super) url: ProxyUrl,
    bypass: String,
}

/// Asks a proxy for a connection to a broker. Sans-IO, except that it moves the bytes.
pub(super) struct Tunnel {
    protocol: Protocol,
    proxy: String,
    outgoing: Vec<u8>,
    sent: usize,
}

#[allow(clippy::large_enum_variant, reason = "there is one at a time, behind a pointer")]
enum Protocol {
    Http(Answer),
    Socks(Socks),
}

/// A transport, with a proxy at its other end for a while.
#[derive(Debug)]
pub(crate) struct Tunneled<T> {
    pub(super) inner: T,
    tunnel: Option<alloc::boxed::Box<Tunnel>>,
    /// What came behind the proxy's answer.
    early: Vec<u8>,
}

impl Proxy {
    /// The proxy at this URL; `bypass` is a list as in the variable `NO_PROXY`.
    pub(crate) fn new(url: &str, bypass: &str) -> Result<Self, crate::url::UrlError> {
        Ok(Self { url: url.parse()?, bypass: bypass.into() })
    }

    /// Whether the broker is reached through it.
    pub(super) fn is_for(&self, broker: &BrokerUrl) -> bool {
        !is_bypassed(&broker.host, broker.port, &self.bypass)
    }

    /// An error of connecting to the proxy.
    pub(super) fn failed(&self, error: TransportError) -> TransportError {
        let separator = if error.message.is_empty() { "" } else { ": " };
        TransportError { message: format!("at the proxy {}{separator}{}", self.url, error.message), ..error }
    }
}

/// Shows no login.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("url", &self.url).field("bypass", &self.bypass).finish()
    }
}

impl<T> Tunneled<T> {
    pub(super) const fn direct(inner: T) -> Self {
        Self { inner, tunnel: None, early: Vec::new() }
    }

    pub(super) fn through(inner: T, proxy: &Proxy, broker: &BrokerUrl) -> Self {
        Self { inner, tunnel: Some(Tunnel::begin(&proxy.url, broker).into()), early: Vec::new() }
    }

    /// Whether the proxy has still to answer.
    pub(super) const fn is_asking(&self) -> bool {
        self.tunnel.is_some()
    }
}

impl<T: Transport> Tunneled<T> {
    /// Continues until nothing moves any more, waiting for that until then; whether there is a connection to the
    /// broker.
    pub(super) fn advance(&mut self, until: Instant) -> Result<bool, TransportError> {
        let Some(tunnel) = &mut self.tunnel else { return Ok(true) };
        match tunnel.advance(&mut self.inner, until) {
            Ok(false) => Ok(false),
            Ok(true) => {
                self.early = self.tunnel.take().map_or_else(Vec::new, |tunnel| tunnel.into_rest());
                Ok(true)
            }
            Err(error) => {
                self.inner.close();
                Err(error)
            }
        }
    }
}

impl<T: Transport> Transport for Tunneled<T> {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        if self.early.is_empty() || incoming.is_empty() {
            return self.inner.transfer(outgoing, incoming, until);
        }
        let received = self.early.len().min(incoming.len());
        incoming[..received].copy_from_slice(&self.early[..received]);
        self.early.drain(..received);
        Ok(Transferred { received, ..Transferred::default() })
    }

    fn now_after_transfer(&self) -> Instant {
        self.inner.now_after_transfer()
    }

    fn close(&mut self) {
        self.inner.close();
    }
}

impl Tunnel {
    fn begin(proxy: &ProxyUrl, broker: &BrokerUrl) -> Self {
        let (protocol, outgoing) = match proxy.scheme {
            ProxyScheme::Http => (Protocol::Http(Answer::default()), connect_request(proxy, broker)),
            ProxyScheme::Socks5 => {
                let (socks, greeting) = Socks::begin(proxy, broker);
                (Protocol::Socks(socks), greeting)
            }
        };
        Self { protocol, proxy: format!("{proxy}"), outgoing, sent: 0 }
    }

    fn advance(&mut self, below: &mut impl Transport, until: Instant) -> Result<bool, TransportError> {
        loop {
            let room = match &mut self.protocol {
                Protocol::Http(answer) => answer.room(),
                Protocol::Socks(socks) => socks.room(),
            };
            let moved = match below.transfer(&self.outgoing[self.sent..], room, Some(until)) {
                Ok(moved) => moved,
                // What closes a connection without reading it to its end resets it.
                Err(TransportError { kind: TransportErrorKind::ConnectionReset, .. }) => {
                    Transferred { closed: true, ..Transferred::default() }
                }
                Err(error) => return Err(error),
            };
            self.sent += moved.sent;
            if self.received(moved.received)? {
                return Ok(true);
            }
            if moved.closed {
                return Err(self.refused(ProxyFailure::InvalidAnswer, "it closed the connection instead of answering"));
            }
            if moved == Transferred::default() {
                return Ok(false);
            }
        }
    }

    /// As many bytes have come; whether there is a connection to the broker.
    fn received(&mut self, len: usize) -> Result<bool, TransportError> {
        let answered = match &mut self.protocol {
            Protocol::Http(answer) => http_answer(answer, len),
            Protocol::Socks(socks) => socks.received(len).map(|answer| {
                self.outgoing.extend_from_slice(&answer);
                socks.is_done()
            }),
        };
        answered.map_err(|(failure, words)| self.refused(failure, &words))
    }

    fn refused(&self, failure: ProxyFailure, words: &str) -> TransportError {
        let separator = if words.is_empty() { "" } else { ": " };
        failure.because(&format!("{}{separator}{words}", self.proxy))
    }

    fn into_rest(self) -> Vec<u8> {
        match self.protocol {
            Protocol::Http(answer) => answer.into_rest(),
            // It has read no further than its answer.
            Protocol::Socks(_) => Vec::new(),
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

fn connect_request(proxy: &ProxyUrl, broker: &BrokerUrl) -> Vec<u8> {
    let (open, close) = if broker.host.contains(':') { ("[", "]") } else { ("", "") };
    let place = format!("{open}{}{close}:{}", broker.host, broker.port);
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some((user_name, password)) = &proxy.login {
        let login = [user_name.as_bytes(), b":", password].concat();
        request.push_str("Proxy-Authorization: Basic ");
        STANDARD.encode_string(login, &mut request);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

fn http_answer(answer: &mut Answer, len: usize) -> Result<bool, (ProxyFailure, String)> {
    let read = answer.received(len, |head| (head.status, format!("HTTP {} {}", head.status, shown(head.reason))));
    match read {
        Ok(None) => Ok(false),
        Ok(Some((200..=299, _))) => Ok(true),
        // Some proxies answer 401, which is for servers.
        Ok(Some((401 | 407, words))) => Err((ProxyFailure::NotAuthorized, words.trim_end().into())),
        Ok(Some((status, words))) => Err((ProxyFailure::Status(status), words.trim_end().into())),
        Err(NoAnswer::NotHttp) => Err((ProxyFailure::InvalidAnswer, "it does not answer in HTTP".into())),
        Err(NoAnswer::TooLong) => Err((ProxyFailure::InvalidAnswer, "the head of its answer is too long".into())),
    }
}

#[cfg(test)]
mod tests;
