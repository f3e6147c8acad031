//! The sink's side of TLS, without I/O: rustls with ring and one cipher suite. Its other settings are as they are, so
//! that clients can resume TLS sessions.

use std::io;
use std::sync::Arc;

use host_tests::certificates::Authority;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{HandshakeKind, ServerConfig, SupportedCipherSuite};

use super::Input;
use crate::target::Suite;

/// The most that a record holds, in bytes.
const MOST_IN_RECORD: usize = 1 << 14;

/// What a record takes beside what is in it: header, explicit nonce, content type and tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;

/// What all connections have in common.
pub(super) struct Server {
    ca: String,
    config: Arc<ServerConfig>,
}

/// The TLS of a connection.
pub(super) struct Tls {
    connection: UnbufferedServerConnection,
    /// Records that TLS itself has to say.
    answers: Vec<u8>,
    /// Room for records with what the caller has to say.
    records: Vec<u8>,
}

impl Server {
    /// With an authority of its own, and a certificate for this machine, whose key is one of ECDSA over P-256.
    pub(super) fn new(suite: Suite) -> Self {
        let authority = Authority::new();
        let server = authority.server();
        let certificate = CertificateDer::from_pem_slice(server.certificate_pem.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).expect("a key");
        let suite = supported(suite);
        let provider = CryptoProvider { cipher_suites: vec![suite], ..ring::default_provider() };
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[suite.version()])
            .expect("it is the version of the suite")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the certificate's key");
        Self { ca: authority.pem().to_owned(), config: Arc::new(config) }
    }

    /// The authority's certificate, in PEM.
    pub(super) fn ca(&self) -> &str {
        &self.ca
    }

    /// The TLS of a connection that begins.
    pub(super) fn accept(&self) -> Tls {
        let connection = UnbufferedServerConnection::new(Arc::clone(&self.config)).expect("the config suits servers");
        Tls { connection, answers: Vec::new(), records: Vec::new() }
    }
}

fn supported(suite: Suite) -> SupportedCipherSuite {
    match suite {
        Suite::Tls13Chacha20Poly1305 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        Suite::Tls13Aes128Gcm => cipher_suite::TLS13_AES_128_GCM_SHA256,
        Suite::Tls13Aes256Gcm => cipher_suite::TLS13_AES_256_GCM_SHA384,
        Suite::Tls12Aes128Gcm => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    }
}

impl Tls {
    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the handshake resumed a TLS session of an earlier connection.
    pub(super) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Takes records apart, and puts what was in them behind the input. How many bytes of them are done with; the rest
    /// waits for more. Behind it, [`Tls::answers`] has to be written.
    pub(super) fn decrypt(&mut self, records: &mut [u8], input: &mut Input) -> io::Result<usize> {
        self.answers.clear();
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(&mut records[done..]);
            done += discard;
            match state.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        input.push(record.payload);
                        done += record.discard;
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.answers),
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => {}
                _ => return Ok(done),
            }
        }
    }

    /// What TLS itself had to say to the records that were taken apart last.
    pub(super) fn answers(&self) -> &[u8] {
        &self.answers
    }

    /// The records that these bytes go in.
    pub(super) fn encrypt(&mut self, bytes: &[u8]) -> io::Result<&[u8]> {
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
        let ConnectionState::WriteTraffic(mut traffic) = state.map_err(io::Error::other)? else {
            return Err(io::Error::other("there is something else to be said first"));
        };
        let room = bytes.len() + (bytes.len() / MOST_IN_RECORD + 1) * RECORD_OVERHEAD;
        if self.records.len() < room {
            self.records.resize(room, 0);
        }
        let len = traffic.encrypt(bytes, &mut self.records).map_err(io::Error::other)?;
        Ok(&self.records[..len])
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, answers: &mut Vec<u8>) {
    let start = answers.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        answers.resize(start + needed.required_size, 0);
        data.encode(&mut answers[start..]).expect("there is as much room as it asked for");
    }
}
