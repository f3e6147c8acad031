//! Any bytes as the server's side of a TLS handshake: it ends, and not well, since nobody can say the right thing to a
//! client whose randomness they have not seen. Until then not a byte of MQTT is sent.
//!
//! ```text
//! input = piece:u8 byte*        as many bytes come at once, at least one; then the connection ends
//! ```

use std::time::Duration;

use mqtt_wasi::transport::{TlsTransport, Transferred, Transport};
use mqtt_wasi::{Instant, TlsOptions, TransportError, TransportErrorKind};

/// The client's side may take no more than this to tell that something is wrong: a hello, some answers, an alert.
const MOST_SENT: usize = 64 * 1024;

/// A peer that says what the input says.
struct Peer<'a> {
    stream: &'a [u8],
    piece: usize,
    sent: usize,
    now: Instant,
}

impl Transport for Peer<'_> {
    fn now(&self) -> Instant {
        self.now
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        _: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        self.now = self.now + Duration::from_millis(1);
        self.sent += outgoing.len();
        assert!(self.sent <= MOST_SENT, "the client talks on and on");
        let received = self.piece.min(self.stream.len()).min(incoming.len());
        let (piece, rest) = self.stream.split_at(received);
        incoming[..received].copy_from_slice(piece);
        self.stream = rest;
        Ok(Transferred { sent: outgoing.len(), received, closed: received == 0 && !incoming.is_empty() })
    }

    fn close(&mut self) {}
}

/// Shakes hands with a peer that says what the input says.
pub(crate) fn check(input: &[u8]) {
    let Some((&piece, stream)) = input.split_first() else { return };
    let peer = Peer { stream, piece: usize::from(piece).max(1), sent: 0, now: Instant::ZERO };
    let until = Instant::ZERO + Duration::from_secs(3600);
    let failure = TlsTransport::connect(peer, "broker.example", TlsOptions::new(), until).err();
    let failure = failure.expect("nobody can agree on keys without having listened");
    assert!(matches!(failure.kind, TransportErrorKind::Tls(_)), "{failure}");
}
