//! TLS between a client and any transport: rustls without I/O and a pure-Rust provider, so that one piece of code
//! serves every form of the client.
//!
//! ```text
//!   outgoing ──► encrypt ──► records ──► inner transport
//!   incoming ◄── plain ◄── decrypt ◄── records ◄──┘
//! ```

mod der;
mod exchange;
mod failure;
mod given;
mod options;
mod pem;
mod provider;
mod sessions;
mod signature;
mod verify;

use alloc::borrow::ToOwned;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};

pub(crate) use self::options::TlsConnector;
pub use self::options::{SkippedCertificate, TlsOptions};
use self::verify::Notes;
use super::{Transferred, Transport};
use crate::error::{TlsFailure, TransportError, TransportErrorKind};
use crate::time::Instant;

/// As many bytes are encrypted at once: a few records, which leave in one write.
const MOST_ENCRYPTED: usize = 64 * 1024;

/// The longest record, and some room to read more than one at once.
const READ_SIZE: usize = 32 * 1024;

/// What a record takes beside what is in it: header, explicit nonce, content type and tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;

/// A transport with TLS over another transport.
///
#[doc = example!()]
/// # let address = broker.address();
/// use std::time::Duration;
/// use mqtt_wasi::transport::{TlsTransport, Transport};
/// use mqtt_wasi::{TcpTransport, TlsFailure, TlsOptions, TransportErrorKind};
///
/// let tcp = TcpTransport::connect(&address, Duration::from_secs(10))?;
/// let until = tcp.now() + Duration::from_secs(10);
/// let tls = TlsTransport::connect(tcp, "broker.local", TlsOptions::new(), until);
/// // With a broker that speaks TLS: `Client::connect_over(tls?, Options::new())`. This one does not.
/// assert_eq!(tls.unwrap_err().kind, TransportErrorKind::Tls(TlsFailure::Cut));
/// # Ok::<(), mqtt_wasi::TransportError>(())
/// ```
pub struct TlsTransport<T> {
    inner: T,
    tls: Tls,
}

/// The TLS connection, without I/O.
struct Tls {
    connection: UnbufferedClientConnection,
    notes: Arc<Notes>,
    is_established: bool,
    /// Whether something came over the connection that TLS has made.
    has_heard: bool,
    /// Whether the peer has said that nothing more will come.
    has_ended: bool,
    /// Whether the connection ended without that.
    is_cut: bool,
    /// How the transport below was reset, if it was. What came before that is still read: it may tell why.
    reset: Option<TransportError>,
    /// Why TLS failed, if it did. After that there is nothing but this.
    failure: Option<TransportError>,
    /// Whether there is an alert that tells the peer so.
    has_alert: bool,
    /// Records that came: `incoming[start..end]` are not taken apart yet.
    incoming: Vec<u8>,
    start: usize,
    end: usize,
    /// What was in them, from `taken` on not handed out yet.
    plain: Vec<u8>,
    taken: usize,
    /// Records to be sent, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// How many bytes of the caller's are in those.
    in_transit: usize,
}

impl<T> TlsTransport<T> {
    const fn new(inner: T, connection: UnbufferedClientConnection, notes: Arc<Notes>) -> Self {
        Self { inner, tls: Tls::new(connection, notes) }
    }

    /// The transport under TLS.
    ///
    #[doc = std_no_run_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::{TlsTransport, Transport};
    /// use mqtt_wasi::{TcpTransport, TlsOptions};
    ///
    /// let tcp = TcpTransport::connect("broker.local:8883", Duration::from_secs(10))?;
    /// let until = tcp.now() + Duration::from_secs(10);
    /// let tls = TlsTransport::connect(tcp, "broker.local", TlsOptions::new(), until)?;
    /// println!("{:?}", tls.inner().stream().peer_addr());
    /// # Ok::<(), mqtt_wasi::TransportError>(())
    /// ```
    #[must_use]
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// Whether the handshake is done.
    #[cfg(feature = "ws")]
    pub(crate) const fn is_established(&self) -> bool {
        self.tls.is_established
    }

    /// What became of a client certificate, if the broker asked for one.
    #[cfg(feature = "ws")]
    pub(crate) fn asked(&self) -> &'static str {
        self.tls.asked()
    }

    #[cfg(any(feature = "component-p3", feature = "proxy", feature = "tokio"))]
    pub(crate) const fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: Transport> TlsTransport<T> {
    /// Does the TLS handshake with the broker at the other end of a transport, until `until`. The certificate of the
    /// broker must be for `host`, unless [`TlsOptions::server_name`] names another.
    ///
    /// # Errors
    /// [`TransportErrorKind::Tls`]; [`TransportErrorKind::ConnectTimeout`]; and what the transport fails with.
    ///
    #[doc = std_no_run_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::transport::{TlsTransport, Transport};
    /// use mqtt_wasi::{Client, Options, TcpTransport, TlsOptions};
    ///
    /// let tcp = TcpTransport::connect("broker.local:8883", Duration::from_secs(10))?;
    /// let until = tcp.now() + Duration::from_secs(10);
    /// let tls = TlsTransport::connect(tcp, "broker.local", TlsOptions::new(), until)?;
    /// let client = Client::connect_over(tls, Options::new())?;
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn connect(inner: T, host: &str, options: TlsOptions, until: Instant) -> Result<Self, TransportError> {
        let mut transport = options.connector()?.begin(inner, host)?;
        transport.shake_hands(until)?;
        Ok(transport)
    }

    /// Shakes hands, until then at the latest.
    fn shake_hands(&mut self, until: Instant) -> Result<(), TransportError> {
        while !self.advance_handshake(until)? {
            if self.inner.now() >= until {
                self.inner.close();
                let message = "during the TLS handshake".to_owned();
                return Err(TransportError { kind: TransportErrorKind::ConnectTimeout, message });
            }
        }
        Ok(())
    }

    /// Continues the handshake until nothing moves any more, waiting for that until then; whether it is done.
    pub(crate) fn advance_handshake(&mut self, until: Instant) -> Result<bool, TransportError> {
        let advanced = self.try_handshake(until);
        if advanced.is_err() {
            self.inner.close();
        }
        advanced
    }

    fn try_handshake(&mut self, until: Instant) -> Result<bool, TransportError> {
        loop {
            self.process_records(&[])?;
            // The last records of the handshake leave with CONNECT, in one write: WASI has no TCP_NODELAY, and the second of two
            // small ones could wait 40 ms for the peer to acknowledge the first.
            if self.tls.is_established {
                return Ok(true);
            }
            if self.tls.is_cut {
                return Err(self.tls.ended(TlsFailure::Cut.because("")));
            }
            if self.move_records(true, Some(until))? == Transferred::default() {
                return Ok(false);
            }
        }
    }

    /// Takes records apart and makes new ones. When that fails, the peer is told, as far as it listens.
    fn process_records(&mut self, application: &[u8]) -> Result<(), TransportError> {
        if let Some(failure) = &self.tls.failure {
            return Err(failure.clone());
        }
        let result = self.tls.process(application);
        if let Err(failure) = &result {
            self.tls.failure = Some(failure.clone());
            // Worth a try.
            self.tls.make_alert();
            let _ = self.inner.transfer(&self.tls.outgoing[self.tls.sent..], &mut [], Some(self.inner.now()));
        }
        result
    }

    /// Moves records both ways once.
    fn move_records(&mut self, wants_input: bool, until: Option<Instant>) -> Result<Transferred, TransportError> {
        let tls = &mut self.tls;
        if tls.reset.is_some() {
            return self.read_what_is_left();
        }
        let room = if wants_input && !tls.has_ended { tls.room() } else { 0..0 };
        let is_reading = !room.is_empty();
        let moved = match self.inner.transfer(&tls.outgoing[tls.sent..], &mut tls.incoming[room], until) {
            Err(error) if error.kind == TransportErrorKind::ConnectionReset => {
                tls.reset = Some(error.clone());
                return if is_reading { self.read_what_is_left() } else { Err(self.tls.ended(error)) };
            }
            moved => moved?,
        };
        tls.sent += moved.sent;
        tls.end += moved.received;
        tls.is_cut |= moved.closed && !tls.has_ended;
        Ok(moved)
    }

    /// Reads what came before the transport was reset. A peer that closes a connection with bytes unread resets it, and
    /// may have sent an alert before that.
    fn read_what_is_left(&mut self) -> Result<Transferred, TransportError> {
        let tls = &mut self.tls;
        let room = if tls.has_ended { 0..0 } else { tls.room() };
        let now = self.inner.now();
        let received = match self.inner.transfer(&[], &mut tls.incoming[room], Some(now)) {
            Ok(Transferred { received: received @ 1.., .. }) => received,
            _ => {
                let reset = tls.reset.clone().unwrap_or_else(|| TlsFailure::Cut.because(""));
                return Err(tls.ended(reset));
            }
        };
        tls.end += received;
        Ok(Transferred { received, ..Transferred::default() })
    }
}

impl<T: Transport> Transport for TlsTransport<T> {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        loop {
            // What came is handed out before its connection's end is told.
            self.process_records(outgoing)?;
            let received = self.tls.take_plain(incoming);
            if received > 0 {
                return Ok(Transferred { received, ..Transferred::default() });
            }
            if self.tls.has_ended && !incoming.is_empty() {
                return match self.tls.unsaid() {
                    None => Ok(Transferred { closed: true, ..Transferred::default() }),
                    Some(failure) => Err(failure),
                };
            }
            if self.tls.is_cut {
                return Err(self.tls.ended(TlsFailure::Truncated.because("")));
            }
            let moved = self.move_records(!incoming.is_empty(), until)?;
            let sent = self.tls.take_sent();
            if sent > 0 || moved == Transferred::default() {
                return Ok(Transferred { sent, ..Transferred::default() });
            }
        }
    }

    fn now_after_transfer(&self) -> Instant {
        self.inner.now_after_transfer()
    }

    fn close(&mut self) {
        if self.tls.failure.is_none() {
            self.tls.say_goodbye();
        }
        // Whatever still waits to be sent need not arrive.
        let now = self.inner.now();
        let _ = self.move_records(false, Some(now));
        self.inner.close();
    }
}

impl<T: fmt::Debug> fmt::Debug for TlsTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Tls {
    const fn new(connection: UnbufferedClientConnection, notes: Arc<Notes>) -> Self {
        Self {
            connection,
            notes,
            is_established: false,
            has_heard: false,
            has_ended: false,
            is_cut: false,
            reset: None,
            failure: None,
            has_alert: false,
            incoming: Vec::new(),
            start: 0,
            end: 0,
            plain: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            in_transit: 0,
        }
    }

    /// Takes apart what came, and encrypts what is to be sent, unless what was encrypted before still waits.
    fn process(&mut self, application: &[u8]) -> Result<(), TransportError> {
        self.make_records()?;
        if !application.is_empty() && self.is_established && self.in_transit == 0 {
            self.encrypt(&application[..application.len().min(MOST_ENCRYPTED)])?;
        }
        Ok(())
    }

    /// Continues until more bytes are needed or nothing is left to do.
    fn make_records(&mut self) -> Result<(), TransportError> {
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.connection.process_tls_records(&mut self.incoming[self.start..self.end]);
            let is_waiting = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                self.has_heard = true;
                                self.plain.extend_from_slice(record.payload);
                            }
                            Err(error) => return Err(self.failure(&error)),
                        }
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.outgoing);
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is in the buffer, which is sent before anything else.
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.has_ended = true;
                    false
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.is_established = true;
                    true
                }
                Ok(_) => true,
                Err(error) => {
                    self.discard(discard);
                    self.has_alert = !matches!(error, rustls::Error::AlertReceived(_));
                    return Err(self.failure(&error));
                }
            };
            self.discard(discard);
            if is_waiting {
                return Ok(());
            }
        }
    }

    /// Tells the peer why TLS failed. Asked for more than that, a connection that has failed would fail again.
    fn make_alert(&mut self) {
        if core::mem::take(&mut self.has_alert) {
            let status = self.connection.process_tls_records(&mut self.incoming[self.start..self.end]);
            if let Ok(ConnectionState::EncodeTlsData(data)) = status.state {
                encode(data, &mut self.outgoing);
            }
        }
    }

    fn encrypt(&mut self, application: &[u8]) -> Result<(), TransportError> {
        let status = self.connection.process_tls_records(&mut self.incoming[self.start..self.end]);
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else { return Ok(()) };
        let start = self.outgoing.len();
        let records = application.len() / 16_384 + 1;
        self.outgoing.resize(start + application.len() + records * RECORD_OVERHEAD, 0);
        let mut written = traffic.encrypt(application, &mut self.outgoing[start..]);
        if let Err(EncryptError::InsufficientSize(needed)) = &written {
            self.outgoing.resize(start + needed.required_size, 0);
            written = traffic.encrypt(application, &mut self.outgoing[start..]);
        }
        self.outgoing.truncate(start + *written.as_ref().unwrap_or(&0));
        self.in_transit = application.len();
        written.map(drop).map_err(|_| TlsFailure::Other.because("the keys of this connection are used up"))
    }

    /// Notes that nothing more will come.
    fn say_goodbye(&mut self) {
        let status = self.connection.process_tls_records(&mut self.incoming[self.start..self.end]);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            let start = self.outgoing.len();
            self.outgoing.resize(start + 2 + RECORD_OVERHEAD, 0);
            let written = traffic.queue_close_notify(&mut self.outgoing[start..]).unwrap_or(0);
            self.outgoing.truncate(start + written);
        }
    }

    const fn is_all_sent(&self) -> bool {
        self.sent == self.outgoing.len()
    }

    /// How many bytes of the caller's are sent now, if all of their records are.
    fn take_sent(&mut self) -> usize {
        if !self.is_all_sent() {
            return 0;
        }
        self.outgoing.clear();
        self.sent = 0;
        core::mem::take(&mut self.in_transit)
    }

    /// Hands out what was received.
    fn take_plain(&mut self, incoming: &mut [u8]) -> usize {
        let len = incoming.len().min(self.plain.len() - self.taken);
        incoming[..len].copy_from_slice(&self.plain[self.taken..][..len]);
        self.taken += len;
        if self.taken == self.plain.len() {
            self.plain.clear();
            self.taken = 0;
        }
        len
    }

    /// Where the next records go.
    fn room(&mut self) -> core::ops::Range<usize> {
        if self.start > 0 {
            self.incoming.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // A record has to fit as a whole, and no peer may send a longer one; handshake messages may be longer.
        if self.incoming.len() - self.end < READ_SIZE / 2 {
            self.incoming.resize(self.end + READ_SIZE, 0);
        }
        self.end..self.incoming.len()
    }

    fn discard(&mut self, len: usize) {
        self.start += len;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}

fn encode(mut data: EncodeTlsData<'_, ClientConnectionData>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outgoing.resize(start + needed.required_size, 0);
        // There is as much room as was asked for.
        let written = data.encode(&mut outgoing[start..]).unwrap_or(0);
        outgoing.truncate(start + written);
    }
}

fn configuration(why: &str) -> TransportError {
    TlsFailure::Configuration.because(why)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use alloc::string::String;
    use core::time::Duration;

    use super::*;

    /// Resets the connection at the first write, after the peer has said this.
    #[derive(Debug)]
    struct Resetting {
        said: &'static [u8],
        is_reset: bool,
    }

    impl Transport for Resetting {
        fn now(&self) -> Instant {
            Instant::ZERO
        }

        fn transfer(
            &mut self,
            _: &[u8],
            incoming: &mut [u8],
            _: Option<Instant>,
        ) -> Result<Transferred, TransportError> {
            if !core::mem::replace(&mut self.is_reset, true) {
                return Err(TransportError { kind: TransportErrorKind::ConnectionReset, message: String::new() });
            }
            let received = self.said.len();
            incoming[..received].copy_from_slice(core::mem::take(&mut self.said));
            Ok(Transferred { received, closed: received == 0, ..Transferred::default() })
        }

        fn close(&mut self) {}
    }

    fn failure(said: &'static [u8]) -> TransportErrorKind {
        let inner = Resetting { said, is_reset: false };
        let until = Instant::ZERO + Duration::from_secs(10);
        TlsTransport::connect(inner, "broker.example", TlsOptions::new(), until).unwrap_err().kind
    }

    #[test]
    fn alert_before_a_reset_is_read() {
        let handshake_failure = &[21, 3, 3, 0, 2, 2, 40];
        assert_eq!(failure(handshake_failure), TransportErrorKind::Tls(TlsFailure::NothingInCommon));
        assert_eq!(failure(&[]), TransportErrorKind::ConnectionReset);
    }
}
