//! MQTT over WebSocket (section 6), over any transport: the handshake in HTTP, then frames in both directions.
//!
//! ```text
//!   outgoing ──► one masked frame ──► inner transport
//!   incoming ◄── payloads, in place ◄──┘
//! ```

mod frames;
mod handshake;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use edge_ws::FrameType;

use self::frames::{End, Unframer, code};
use self::handshake::Handshake;
pub(crate) use self::handshake::check;
use super::{Transferred, Transport};
use crate::error::{TransportError, TransportErrorKind};
use crate::random;
use crate::time::Instant;
use crate::url::BrokerUrl;

/// As many bytes are put into a frame at most.
const MOST_FRAMED: usize = 64 * 1024;

/// How often bytes may move within one transfer after its time is over, and none for the caller among them.
const LATE_ROUNDS: u32 = 16;

/// A transport with WebSocket over another transport.
///
#[doc = std_example!()]
/// use std::time::Duration;
/// use mqtt_wasi::transport::{Transport, WebSocketTransport};
/// use mqtt_wasi::{TcpTransport, TransportErrorKind, WebSocketFailure};
///
/// // Answers, but not with what was asked for.
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let url = format!("ws://{}/mqtt", listener.local_addr()?).parse()?;
/// let tcp = TcpTransport::connect(listener.local_addr()?, Duration::from_secs(10))?;
/// std::io::Write::write_all(&mut listener.accept()?.0, b"HTTP/1.1 404 Not Found\r\n\r\n")?;
///
/// let until = tcp.now() + Duration::from_secs(10);
/// // Over this: `Client::connect_over(websocket?, Options::new())`.
/// let websocket = WebSocketTransport::connect(tcp, &url, &[], until);
/// assert_eq!(websocket.unwrap_err().kind, TransportErrorKind::WebSocket(WebSocketFailure::Status(404)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WebSocketTransport<T> {
    inner: T,
    websocket: WebSocket,
}

/// The WebSocket, without I/O.
pub(super) struct WebSocket {
    handshake: Option<Handshake>,
    unframer: Unframer,
    /// Frames that came with the answer of the handshake, and were not looked at yet.
    early: Vec<u8>,
    /// What is to be sent, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// How many bytes of the caller's are in that.
    in_transit: usize,
    /// Whether a Close frame was sent.
    has_said_goodbye: bool,
    /// Whether the last transfer ended though more may have come.
    is_behind: bool,
}

impl<T> WebSocketTransport<T> {
    /// The transport under WebSocket.
    ///
    #[doc = std_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::{Transport, WebSocketTransport};
    /// use mqtt_wasi::{BrokerUrl, TcpTransport};
    ///
    /// fn connect(url: &BrokerUrl) -> Result<WebSocketTransport<TcpTransport>, mqtt_wasi::TransportError> {
    ///     let tcp = TcpTransport::connect((url.host.as_str(), url.port), Duration::from_secs(10))?;
    ///     let until = tcp.now() + Duration::from_secs(10);
    ///     let websocket = WebSocketTransport::connect(tcp, url, &[], until)?;
    ///     println!("{:?}", websocket.inner());
    ///     Ok(websocket)
    /// }
    /// assert!(connect(&"ws://127.0.0.1:1/mqtt".parse().unwrap()).is_err(), "nothing listens there");
    /// ```
    #[must_use]
    pub const fn inner(&self) -> &T {
        &self.inner
    }
}

impl<T: Transport> WebSocketTransport<T> {
    /// Does the opening handshake with the server at the other end of a transport, until `until`: asks for the path of
    /// `url` at its host, with these headers besides those that WebSocket has. Whether the scheme is `ws://` or
    /// `wss://` matters for the header `Host` alone: put a `TlsTransport` under it for the latter.
    ///
    /// # Errors
    /// [`TransportErrorKind::WebSocket`]; [`TransportErrorKind::ConnectTimeout`]; and what the transport fails with.
    ///
    #[doc = std_no_run_websocket_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::{Transport, WebSocketTransport};
    /// use mqtt_wasi::{Client, Options, TcpTransport};
    ///
    /// let tcp = TcpTransport::connect("broker.local:80", Duration::from_secs(10))?;
    /// let until = tcp.now() + Duration::from_secs(10);
    /// let headers = [("Authorization".to_string(), "Bearer a-token".to_string())];
    /// let websocket = WebSocketTransport::connect(tcp, &"ws://broker.local/mqtt".parse()?, &headers, until)?;
    /// let client = Client::connect_over(websocket, Options::new())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect(
        inner: T,
        url: &BrokerUrl,
        headers: &[(String, String)],
        until: Instant,
    ) -> Result<Self, TransportError> {
        let mut transport = Self { inner, websocket: WebSocket::begin(url, headers)? };
        let Self { inner, websocket } = &mut transport;
        while !websocket.advance_handshake(inner, until)? {
            if inner.now() >= until {
                inner.close();
                return Err(TransportErrorKind::ConnectTimeout.because("during the WebSocket handshake"));
            }
        }
        Ok(transport)
    }
}

impl<T: Transport> Transport for WebSocketTransport<T> {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        self.websocket.transfer(&mut self.inner, outgoing, incoming, until)
    }

    fn now_after_transfer(&self) -> Instant {
        self.inner.now_after_transfer()
    }

    fn close(&mut self) {
        self.websocket.close(&mut self.inner);
    }
}

impl<T: fmt::Debug> fmt::Debug for WebSocketTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketTransport").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl WebSocket {
    /// Makes the request for the path of this URL.
    pub(super) fn begin(url: &BrokerUrl, headers: &[(String, String)]) -> Result<Self, TransportError> {
        let mut nonce = [0; 16];
        let (first, second) = nonce.split_at_mut(8);
        first.copy_from_slice(&random::nonce()?.to_ne_bytes());
        second.copy_from_slice(&random::nonce()?.to_ne_bytes());
        let (handshake, outgoing) = Handshake::begin(url, headers, nonce)?;
        Ok(Self {
            handshake: Some(handshake),
            unframer: Unframer::default(),
            early: Vec::new(),
            outgoing,
            sent: 0,
            in_transit: 0,
            has_said_goodbye: false,
            is_behind: false,
        })
    }

    /// Continues the handshake until nothing moves any more, waiting for that until then; whether it is done.
    pub(super) fn advance_handshake(
        &mut self,
        below: &mut impl Transport,
        until: Instant,
    ) -> Result<bool, TransportError> {
        let advanced = self.try_handshake(below, until);
        if advanced.is_err() {
            below.close();
        }
        advanced
    }

    fn try_handshake(&mut self, below: &mut impl Transport, until: Instant) -> Result<bool, TransportError> {
        while let Some(handshake) = &mut self.handshake {
            let moved = match below.transfer(&self.outgoing[self.sent..], handshake.room(), Some(until)) {
                Ok(moved) => moved,
                // What closes a connection without reading it to its end resets it.
                Err(TransportError { kind: TransportErrorKind::ConnectionReset, .. }) => return Err(handshake.closed()),
                Err(error) => return Err(error),
            };
            self.sent += moved.sent;
            let is_done = handshake.received(moved.received)?;
            if is_done {
                self.early = self.handshake.take().map_or_else(Vec::new, Handshake::into_rest);
            } else if moved.closed {
                return Err(handshake.closed());
            } else if moved == Transferred::default() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether more may have come, though the last transfer ended with nothing.
    #[cfg(any(feature = "tokio", test))]
    pub(super) const fn is_behind(&self) -> bool {
        self.is_behind
    }

    pub(super) fn transfer(
        &mut self,
        below: &mut impl Transport,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        self.is_behind = false;
        let mut late_rounds = 0;
        loop {
            if let Some(end) = self.unframer.end().cloned() {
                return self.ended(below, &end);
            }
            if !self.early.is_empty() && !incoming.is_empty() {
                let received = self.take_early(incoming);
                if received > 0 {
                    return Ok(Transferred { received, ..Transferred::default() });
                }
                continue;
            }
            self.make_frames(outgoing)?;
            let moved = below.transfer(&self.outgoing[self.sent..], incoming, until)?;
            self.sent += moved.sent;
            let received = self.unframer.strip(&mut incoming[..moved.received]);
            let sent = self.take_sent();
            if sent > 0 || received > 0 || moved.closed || moved == Transferred::default() {
                return Ok(Transferred { sent, received, closed: moved.closed });
            }
            // What moved was none of the caller's, who does not wait for ever because of that.
            if until.is_some_and(|until| below.now() >= until) {
                late_rounds += 1;
                if late_rounds >= LATE_ROUNDS {
                    self.is_behind = true;
                    return Ok(Transferred::default());
                }
            }
        }
    }

    pub(super) fn close(&mut self, below: &mut impl Transport) {
        self.say_goodbye(below, Some(code::NORMAL));
        below.close();
    }

    /// Reports that nothing more comes, and why.
    fn ended(&mut self, below: &mut impl Transport, end: &End) -> Result<Transferred, TransportError> {
        self.say_goodbye(below, end.code);
        match &end.error {
            Some(error) => Err(error.clone()),
            None => Ok(Transferred { closed: true, ..Transferred::default() }),
        }
    }

    /// Sends a Close frame, if none was sent and it can be sent at once.
    fn say_goodbye(&mut self, below: &mut impl Transport, code: Option<u16>) {
        if self.handshake.is_some() || core::mem::replace(&mut self.has_said_goodbye, true) {
            return;
        }
        if let Ok(key) = key() {
            frames::frame(FrameType::Close, &frames::close(code), key, &mut self.outgoing);
        }
        // It closes anyway.
        while self.sent < self.outgoing.len()
            && let Ok(Transferred { sent: sent @ 1.., .. }) =
                below.transfer(&self.outgoing[self.sent..], &mut [], Some(below.now()))
        {
            self.sent += sent;
        }
    }

    /// Makes frames of a Pong that is due, and of what is to be sent, unless what was made before still waits.
    fn make_frames(&mut self, payload: &[u8]) -> Result<(), TransportError> {
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
            if let Some(data) = self.unframer.take_pong() {
                frames::frame(FrameType::Pong, &data, key()?, &mut self.outgoing);
            }
        }
        if !payload.is_empty() && self.in_transit == 0 {
            let payload = &payload[..payload.len().min(MOST_FRAMED)];
            frames::frame(FrameType::Binary(false), payload, key()?, &mut self.outgoing);
            self.in_transit = payload.len();
        }
        Ok(())
    }

    /// How many bytes of the caller's are sent now, if the frame that they are in is.
    fn take_sent(&mut self) -> usize {
        if self.sent < self.outgoing.len() { 0 } else { core::mem::take(&mut self.in_transit) }
    }

    /// Takes the frames off what came with the handshake.
    fn take_early(&mut self, incoming: &mut [u8]) -> usize {
        let len = self.early.len().min(incoming.len());
        incoming[..len].copy_from_slice(&self.early[..len]);
        self.early.drain(..len);
        self.unframer.strip(&mut incoming[..len])
    }
}

/// A key to mask a frame with, which nobody can guess (RFC 6455, section 10.3).
fn key() -> Result<u32, TransportError> {
    Ok((random::nonce()? >> 32) as u32)
}

#[cfg(test)]
mod tests;
