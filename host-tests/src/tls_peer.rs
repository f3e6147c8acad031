//! Peers that speak TLS wrongly, or not at all, or tell what they saw: for everything that no real broker would do. Each
//! takes one connection, but where it says otherwise, and tells afterwards what came over it.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use host_tests::tls_peer::TlsPeer;
//!
//! let peer = TlsPeer::plain(b"220 mail.example ESMTP\r\n");
//! let mut client = TcpStream::connect(peer.address())?;
//! client.write_all(b"EHLO client.example\r\n")?;
//! client.read_exact(&mut [0; 24])?;
//! drop(client);
//! assert_eq!(peer.finish().wire, b"EHLO client.example\r\n");
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, Packet};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::ring;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientCertVerifierBuilder, NoClientAuth, WebPkiClientVerifier};
use rustls::{
    ALL_VERSIONS, AlertDescription, DigitallySignedStruct, DistinguishedName, HandshakeKind, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use crate::broker::{ANY_PORT, tls_url};
use crate::certificates::Certified;
use crate::packets::{bytes, connack};

/// How long a peer waits for the client, and a test for the peer. What runs into it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A peer on a thread of its own.
pub struct TlsPeer {
    address: SocketAddr,
    thread: JoinHandle<Seen>,
    /// Disconnected once the peer is done.
    is_over: mpsc::Receiver<()>,
}

/// What came from the client.
#[derive(Debug, Default)]
pub struct Seen {
    /// All bytes, as they came over TCP.
    pub wire: Vec<u8>,
    /// What was inside of TLS.
    pub inside: Vec<u8>,
    /// The fatal alert that the client ended it with.
    pub alert: Option<AlertDescription>,
    /// Whether the last handshake resumed a TLS session.
    pub is_resumed: bool,
    /// The host that the client asked for (SNI), of a peer that is [`demanding`](TlsPeer::demanding).
    pub server_name: Option<String>,
}

/// What a peer demands of clients.
#[derive(Debug, Clone, Copy)]
pub struct Demands<'a> {
    /// The application protocol that they have to offer (ALPN).
    pub alpn: &'static str,
    /// The authority that they need a certificate of; without one they need none.
    pub client_ca_pem: Option<&'a str>,
}

/// How a server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With `close_notify`, as TLS wants it.
    CloseNotify,
    /// Without a word: nobody can tell that from an attacker who cuts it short.
    Truncated,
}

/// How a peer ends a connection that it never says anything over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// Resets it, with the client's answer to its first flight unread. That is within the handshake of TLS 1.2, and
    /// after that of 1.3 for the client.
    Reset,
    /// Closes it at the same point, without a word.
    CutEarly,
    /// Has CONNECT, and closes it with `close_notify`.
    CloseNotify,
    /// Has CONNECT, and closes it without a word.
    Cut,
}

impl Parting {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Reset, Self::CutEarly, Self::CloseNotify, Self::Cut];
}

/// The connection, and what came over it.
struct Connection {
    listener: TcpListener,
    stream: TcpStream,
    seen: Seen,
    /// Whether it is closed with what is unread, which resets it.
    resets: bool,
}

impl TlsPeer {
    /// Answers the first that comes with these bytes, and waits for the client to go.
    ///
    /// # Panics
    /// When the system gives no port.
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn plain(answer: &'static [u8]) -> Self {
        Self::start(move |connection| connection.answer(answer))
    }

    /// Answers the first that comes with the fatal alert that has this number, and waits for the client to go.
    ///
    /// # Panics
    /// As [`TlsPeer::plain`].
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn alerting(alert: u8) -> Self {
        // A record of two bytes that holds an alert.
        Self::start(move |connection| connection.answer(&[21, 3, 3, 0, 2, 2, alert]))
    }

    /// Closes the connection once it has ClientHello.
    ///
    /// # Panics
    /// As [`TlsPeer::plain`].
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn cutting() -> Self {
        Self::start(|connection| {
            let mut header = [0; 5];
            connection.read_exact(&mut header).expect("the header of a record");
            let mut record = vec![0; u16::from_be_bytes([header[3], header[4]]).into()];
            connection.read_exact(&mut record).expect("the record");
        })
    }

    /// Closes the connection in the middle of its answer to ClientHello.
    ///
    /// # Panics
    /// As [`TlsPeer::speaking`].
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn cutting_its_answer(certified: &Certified, version: &'static SupportedProtocolVersion) -> Self {
        let mut tls = server(certified, version);
        Self::start(move |connection| {
            connection.hear_hello(&mut tls);
            let mut answer = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut answer).expect("there is room in memory");
            }
            connection.write_all(&answer[..answer.len() / 2]).expect("the client reads");
        })
    }

    /// Speaks this version of TLS until the client ends it, and says nothing inside of it.
    ///
    /// # Panics
    /// As [`TlsPeer::plain`]; when the certificate and its key do not fit.
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn speaking(certified: &Certified, version: &'static SupportedProtocolVersion) -> Self {
        let mut tls = server(certified, version);
        Self::start(move |connection| {
            connection.speak(&mut tls, |_| false);
            connection.drain();
        })
    }

    /// As [`TlsPeer::speaking`], but asks for a client certificate and refuses each with the alert for this error.
    ///
    /// # Panics
    /// As [`TlsPeer::speaking`].
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn refusing_clients(
        certified: &Certified,
        version: &'static SupportedProtocolVersion,
        error: rustls::Error,
    ) -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let config = server_config_with(certified, version, Arc::new(Refuses { algorithms, error }));
        let mut tls = ServerConnection::new(Arc::new(config)).expect("a server");
        Self::start(move |connection| {
            connection.speak(&mut tls, |_| false);
            connection.drain();
        })
    }

    /// Asks for a client certificate of this authority, if there is one, takes clients without one too, and never says
    /// anything.
    ///
    /// # Panics
    /// As [`TlsPeer::speaking`]; when the authority's certificate is none.
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn parting(
        certified: &Certified,
        version: &'static SupportedProtocolVersion,
        client_ca_pem: Option<&str>,
        parting: Parting,
    ) -> Self {
        let mut tls = asking(certified, version, client_ca_pem);
        Self::start(move |connection| connection.part(&mut tls, parting))
    }

    /// Asks for a client certificate as [`TlsPeer::parting`] does, and answers a request in HTTP with this.
    ///
    /// # Panics
    /// As [`TlsPeer::parting`].
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn answering_in_http(certified: &Certified, client_ca_pem: Option<&str>, answer: &'static str) -> Self {
        let mut tls = asking(certified, ALL_VERSIONS[0], client_ca_pem);
        Self::start(move |connection| {
            connection.speak(&mut tls, |inside| inside.ends_with(b"\r\n\r\n"));
            tls.writer().write_all(answer.as_bytes()).expect("there is room in memory");
            tls.send_close_notify();
            connection.flush_tls(&mut tls);
        })
    }

    /// Takes a client as a broker does: answers CONNECT with CONNACK. Ends the connection behind that.
    ///
    /// # Panics
    /// As [`TlsPeer::speaking`].
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn ending(certified: &Certified, version: &'static SupportedProtocolVersion, end: End) -> Self {
        let mut tls = server(certified, version);
        Self::start(move |connection| {
            connection.take_client(&mut tls, end);
        })
    }

    /// As [`TlsPeer::ending`] with `close_notify`, and takes the client a second time when it comes back.
    ///
    /// # Panics
    /// As [`TlsPeer::speaking`].
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn taking_twice(certified: &Certified, version: &'static SupportedProtocolVersion) -> Self {
        let config = server_config(certified, version);
        Self::start(move |connection| {
            for is_first in [true, false] {
                let mut tls = ServerConnection::new(Arc::clone(&config)).expect("a server");
                connection.take_client(&mut tls, End::CloseNotify);
                connection.seen.is_resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
                if is_first {
                    connection.accept_next();
                }
            }
        })
    }

    /// Takes a client that offers what is demanded: answers CONNECT with CONNACK, and waits for the client to go. Any other
    /// client gets no CONNACK.
    ///
    /// # Panics
    /// As [`TlsPeer::speaking`]; when the authority's certificate is none.
    #[must_use = "a peer that is not finished fails unseen"]
    pub fn demanding(certified: &Certified, version: &'static SupportedProtocolVersion, demands: &Demands<'_>) -> Self {
        let mut config = server_config_for(certified, version, demands.client_ca_pem);
        config.alpn_protocols = vec![demands.alpn.into()];
        let mut tls = ServerConnection::new(Arc::new(config)).expect("a server");
        let alpn = demands.alpn.as_bytes();
        Self::start(move |connection| {
            let has_packet = connection.hear_packet(&mut tls);
            connection.seen.server_name = tls.server_name().map(String::from);
            if has_packet && tls.alpn_protocol() == Some(alpn) {
                write_connack(&mut tls);
                connection.speak(&mut tls, |_| false);
            }
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for clients that speak TLS.
    #[must_use]
    pub fn url(&self) -> String {
        tls_url(self.address)
    }

    /// Waits until the client has closed the connection, too.
    ///
    /// # Panics
    /// When the client does not, in time; when it did something else than what the peer waited for.
    pub fn finish(self) -> Seen {
        let over = self.is_over.recv_timeout(PATIENCE);
        assert_eq!(over, Err(RecvTimeoutError::Disconnected), "the peer still waits for the client");
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn start(script: impl FnOnce(&mut Connection) + Send + 'static) -> Self {
        let listener = TcpListener::bind(ANY_PORT).expect("a port of the loopback address");
        let address = listener.local_addr().expect("the port's number");
        let (running, is_over) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _running = running;
            let mut connection = Connection::accept(listener);
            script(&mut connection);
            connection.end()
        });
        Self { address, thread, is_over }
    }
}

impl Seen {
    /// Whether there is anything of MQTT in it: inside of TLS, or in plain sight.
    #[must_use]
    pub fn has_mqtt(&self) -> bool {
        !self.inside.is_empty() || self.wire.windows(4).any(|bytes| bytes == b"MQTT")
    }
}

impl Connection {
    fn accept(listener: TcpListener) -> Self {
        let stream = accept(&listener);
        Self { listener, stream, seen: Seen::default(), resets: false }
    }

    /// Waits for the client to go and to come back, and forgets what it said.
    fn accept_next(&mut self) {
        self.drain();
        self.stream = accept(&self.listener);
        self.seen = Seen::default();
    }

    /// Answers CONNECT with CONNACK.
    fn take_client(&mut self, tls: &mut ServerConnection, end: End) {
        assert!(self.hear_packet(tls), "{:?} instead of CONNECT", self.seen.alert);
        write_connack(tls);
        if end == End::CloseNotify {
            tls.send_close_notify();
        }
        self.flush_tls(tls);
    }

    /// Ends it so.
    fn part(&mut self, tls: &mut ServerConnection, parting: Parting) {
        match parting {
            Parting::Reset | Parting::CutEarly => {
                self.hear_hello(tls);
                self.flush_tls(tls);
                let len = self.stream.peek(&mut [0]).expect("an answer in time");
                assert_ne!(len, 0, "an answer and not the connection's end");
                self.resets = parting == Parting::Reset;
            }
            Parting::CloseNotify | Parting::Cut => {
                assert!(self.hear_packet(tls), "{:?} instead of CONNECT", self.seen.alert);
                if parting == Parting::CloseNotify {
                    tls.send_close_notify();
                }
                self.flush_tls(tls);
            }
        }
    }

    /// Reads ClientHello, and has the answer to it ready.
    fn hear_hello(&mut self, tls: &mut ServerConnection) {
        while !tls.wants_write() {
            let len = tls.read_tls(self).expect("ClientHello in time");
            assert_ne!(len, 0, "ClientHello and not the connection's end");
            tls.process_new_packets().expect("a ClientHello that suits");
        }
    }

    /// Speaks TLS until the client has sent a packet; `false` if it ends before that.
    fn hear_packet(&mut self, tls: &mut ServerConnection) -> bool {
        let is_packet = |inside: &[u8]| matches!(Packet::decode(inside), Ok(Some(_)));
        self.speak(tls, is_packet);
        is_packet(&self.seen.inside)
    }

    /// Answers the first that comes, and leaves the end to the client, who is to see by itself what it got.
    fn answer(&mut self, answer: &[u8]) {
        let len = self.read(&mut [0; 16 * 1024]).expect("something in time");
        assert_ne!(len, 0, "the client closed the connection and said nothing");
        self.write_all(answer).expect("the client reads");
        self.drain();
    }

    /// Speaks TLS until the client ends it, or what came inside is enough.
    fn speak(&mut self, tls: &mut ServerConnection, is_enough: impl Fn(&[u8]) -> bool) {
        while !is_enough(&self.seen.inside) {
            self.flush_tls(tls);
            if tls.read_tls(self).expect("the client goes on in time") == 0 {
                return;
            }
            let processed = tls.process_new_packets();
            // It fails once all there is was read.
            let _ = tls.reader().read_to_end(&mut self.seen.inside);
            if let Err(error) = processed {
                if let rustls::Error::AlertReceived(alert) = error {
                    self.seen.alert = Some(alert);
                }
                // The client is told, unless it was the one who said so.
                return self.flush_tls(tls);
            }
        }
    }

    fn flush_tls(&mut self, tls: &mut ServerConnection) {
        // A client that is gone takes nothing any more, and the next read tells that.
        while tls.wants_write() && tls.write_tls(self).is_ok() {}
    }

    /// Waits until the client closes the connection.
    fn drain(&mut self) {
        io::copy(self, &mut io::sink()).expect("the client closes the connection in time");
    }

    /// Closes it, and waits until the client does: one that is closed with bytes unread would be reset.
    fn end(mut self) -> Seen {
        if self.resets {
            return self.seen;
        }
        // The client may have closed it already.
        let _ = self.stream.shutdown(Shutdown::Write);
        self.drain();
        self.seen
    }
}

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let len = match self.stream.read(bytes) {
            // A client that is gone says nothing more, however it went.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            // On Linux a process that was stopped goes on with this.
            Err(error) if error.kind() == ErrorKind::Interrupted => return self.read(bytes),
            result => result?,
        };
        self.seen.wire.extend_from_slice(&bytes[..len]);
        Ok(len)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => self.write(bytes),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn write_connack(tls: &mut ServerConnection) {
    let connack = bytes(&[connack(ConnackProperties::default())]);
    tls.writer().write_all(&connack).expect("there is room in memory");
}

fn server(certified: &Certified, version: &'static SupportedProtocolVersion) -> ServerConnection {
    ServerConnection::new(server_config(certified, version)).expect("a server")
}

fn server_config(certified: &Certified, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    Arc::new(server_config_for(certified, version, None))
}

/// Of a server that demands client certificates of this authority, if there is one.
fn server_config_for(
    certified: &Certified,
    version: &'static SupportedProtocolVersion,
    client_ca_pem: Option<&str>,
) -> ServerConfig {
    let clients: Arc<dyn ClientCertVerifier> = match client_ca_pem {
        None => Arc::new(NoClientAuth),
        Some(pem) => clients_of(pem).build().expect("an authority"),
    };
    server_config_with(certified, version, clients)
}

/// A server that asks for client certificates of this authority, if there is one, and does without.
fn asking(
    certified: &Certified,
    version: &'static SupportedProtocolVersion,
    client_ca_pem: Option<&str>,
) -> ServerConnection {
    let clients = client_ca_pem.map_or_else(
        || Arc::new(NoClientAuth) as Arc<dyn ClientCertVerifier>,
        |pem| clients_of(pem).allow_unauthenticated().build().expect("an authority"),
    );
    ServerConnection::new(Arc::new(server_config_with(certified, version, clients))).expect("a server")
}

/// What verifies client certificates of this authority.
fn clients_of(pem: &str) -> ClientCertVerifierBuilder {
    let mut roots = RootCertStore::empty();
    roots.add(read_certificate(pem)).expect("an authority");
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
}

fn server_config_with(
    certified: &Certified,
    version: &'static SupportedProtocolVersion,
    clients: Arc<dyn ClientCertVerifier>,
) -> ServerConfig {
    let certificate = read_certificate(&certified.certificate_pem);
    let key = PrivateKeyDer::from_pem_slice(certified.key_pem.as_bytes()).expect("a key");
    let provider = Arc::new(ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("the version is one of the provider's")
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .expect("the certificate's key")
}

fn read_certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// Refuses every client certificate, and takes clients without one no more.
#[derive(Debug)]
struct Refuses {
    algorithms: WebPkiSupportedAlgorithms,
    error: rustls::Error,
}

impl ClientCertVerifier for Refuses {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Err(self.error.clone())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(self.error.clone())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(self.error.clone())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
