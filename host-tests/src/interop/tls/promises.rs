//! What a user may expect of a client and a TLS server together.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use mqtt_wasi::{Publish, QoS};

use super::super::matrix::Tried;
use super::super::promises::within_reason;
use super::super::stage::{Form, publish, receive, said, subscribe};
use super::peer::Server;
use super::table::Peer;
use crate::broker::tls_url;
use crate::certificates::{Authority, Certified, OpenSsl};
use crate::subject::{Async, Component, ErrorKind, Native, Settings, Subject, TlsSettings};

/// The versions, as settings of a server.
const VERSIONS: [&str; 2] = ["version=1.2", "version=1.3"];

/// A group that the client has, but not the one whose key it sends unasked.
const OTHER_GROUP: &str = "group=P-384";

/// Into how many records 64 KiB go at least, if these are small.
const MANY_RECORDS: usize = 60;

/// Something that has to hold in every form of the client.
pub(super) struct Promise {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// What stands above its column.
    pub(super) says: &'static str,
    /// Which table it is in.
    pub(super) about: About,
    tries: [fn(&Stage) -> Result<Tried>; 3],
}

/// What a promise is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// Versions, records and sessions.
    Connections,
    /// The key of the server's certificate.
    ServerKeys,
    /// Client certificates.
    Clients,
}

/// A server to start as often as a promise needs it, and what it is in front of.
#[derive(Debug, Clone, Copy)]
struct Stage {
    peer: &'static Peer,
    backend: u16,
}

impl Promise {
    /// Tries it; fails with what was seen instead.
    pub(super) fn try_in(&self, form: Form, peer: &'static Peer, backend: SocketAddr) -> Result<Tried, String> {
        let (promised, stage) = (self.tries[form as usize], Stage { peer, backend: backend.port() });
        within_reason(move || promised(&stage))
    }
}

macro_rules! promises {
    ($($about:ident { $($name:ident = $says:literal,)+ })+) => {
        /// All of them.
        pub(super) const PROMISES: &[Promise] = &[$($(Promise {
            name: stringify!($name),
            says: $says,
            about: About::$about,
            tries: [$name::<Native>, $name::<Async>, $name::<Component>],
        },)+)+];
    };
}

promises! {
    Connections {
        speaks_1_3 = "1.3",
        speaks_1_2 = "1.2",
        is_asked_again = "HelloRetryRequest",
        resumes_1_3 = "resumed, 1.3",
        resumes_1_2 = "resumed, 1.2",
        takes_small_records = "small records",
        a_mebibyte_comes_back = "1 MiB both ways",
    }
    ServerKeys {
        trusts_rsa_2048 = "RSA 2048",
        trusts_rsa_3072 = "RSA 3072",
        trusts_rsa_4096 = "RSA 4096",
        trusts_p_256 = "P-256",
        trusts_p_384 = "P-384",
        trusts_ed25519 = "Ed25519",
        tells_rsa_4104 = "RSA 4104",
        tells_p_521 = "P-521",
        tells_ed448 = "Ed448",
    }
    Clients {
        shows_rsa_2048 = "RSA 2048",
        shows_rsa_3072 = "RSA 3072",
        shows_rsa_4096 = "RSA 4096",
        shows_p_256 = "P-256",
        shows_p_384 = "P-384",
        shows_ed25519 = "Ed25519",
        missing_certificate_is_told = "none",
        refused_certificate_is_told = "a stranger's",
    }
}

fn speaks_1_3<S: Subject>(stage: &Stage) -> Result<Tried> {
    speaks::<S>(stage, "version=1.3", true)
}

fn speaks_1_2<S: Subject>(stage: &Stage) -> Result<Tried> {
    speaks::<S>(stage, "version=1.2", false)
}

fn speaks<S: Subject>(stage: &Stage, version: &str, is_1_3: bool) -> Result<Tried> {
    let Some(server) = stage.serve(&[version], None)? else { return Ok(Tried::Unset) };
    echo::<S>(&mut stage.connect(&server, None)?, 10)?;
    let handshake = server.handshakes()[0];
    ensure!(handshake.is_1_3 == is_1_3, "it is another version");
    ensure!(!handshake.is_retried, "there is a HelloRetryRequest, for no reason");
    Ok(Tried::Holds)
}

fn is_asked_again<S: Subject>(stage: &Stage) -> Result<Tried> {
    let Some(server) = stage.serve(&["version=1.3", OTHER_GROUP], None)? else { return Ok(Tried::Unset) };
    echo::<S>(&mut stage.connect(&server, None)?, 10)?;
    ensure!(server.handshakes()[0].is_retried, "there is no HelloRetryRequest");
    Ok(Tried::Holds)
}

fn resumes_1_3<S: Subject>(stage: &Stage) -> Result<Tried> {
    resumes::<S>(stage, "version=1.3")
}

fn resumes_1_2<S: Subject>(stage: &Stage) -> Result<Tried> {
    resumes::<S>(stage, "version=1.2")
}

fn resumes<S: Subject>(stage: &Stage, version: &str) -> Result<Tried> {
    let Some(server) = stage.serve(&[version], None)? else { return Ok(Tried::Unset) };
    let mut client: S = stage.connect(&server, None)?;
    echo(&mut client, 10)?;
    said(client.disconnect()).context("disconnecting")?;
    said(client.reconnect()).context("connecting again")?;
    echo(&mut client, 10)?;
    let handshakes = server.handshakes();
    ensure!(!handshakes[0].is_resumed, "the first handshake resumes something");
    ensure!(handshakes.last().is_some_and(|last| last.is_resumed), "the second handshake is a whole one");
    Ok(Tried::Holds)
}

fn takes_small_records<S: Subject>(stage: &Stage) -> Result<Tried> {
    let Some(server) = stage.serve(&["records=small"], None)? else { return Ok(Tried::Unset) };
    echo::<S>(&mut stage.connect(&server, None)?, 64 * 1024)?;
    let records = server.handshakes()[0].records;
    ensure!(records > MANY_RECORDS, "there are {records} records only");
    Ok(Tried::Holds)
}

fn a_mebibyte_comes_back<S: Subject>(stage: &Stage) -> Result<Tried> {
    let Some(server) = stage.serve(&[], None)? else { return Ok(Tried::Unset) };
    echo::<S>(&mut stage.connect(&server, None)?, 1024 * 1024)?;
    Ok(Tried::Holds)
}

/// A server's certificate with a key that `openssl req -newkey` makes with these words.
macro_rules! server_with {
    ($new_key:literal) => {{
        static SERVER: LazyLock<Option<Issued>> = LazyLock::new(|| Issued::to_server($new_key));
        SERVER.as_ref().context("openssl is not installed")
    }};
}

macro_rules! trusts {
    ($($name:ident = $new_key:literal,)+) => {
        $(fn $name<S: Subject>(stage: &Stage) -> Result<Tried> {
            stage.with_key(stringify!($name), server_with!($new_key)?, |server, issued| {
                let settings = settings_for(&issued.authority, None);
                let mut client = said(S::connect(&stage.url(server), &settings)).context("connecting")?;
                echo(&mut client, 10)
            })
        })+
    };
}

trusts! {
    trusts_rsa_2048 = "rsa:2048",
    trusts_rsa_3072 = "rsa:3072",
    trusts_rsa_4096 = "rsa:4096",
    trusts_p_256 = "ec -pkeyopt ec_paramgen_curve:P-256",
    trusts_p_384 = "ec -pkeyopt ec_paramgen_curve:P-384",
    trusts_ed25519 = "ed25519",
}

/// What the client says that it has, to a server that has no key of these kinds.
const KEYS: &str = "RSA keys up to 4,096 bits, ECDSA for P-256 and P-384, and Ed25519";

macro_rules! tells {
    ($($name:ident = $new_key:literal, $kind:literal;)+) => {
        $(fn $name<S: Subject>(stage: &Stage) -> Result<Tried> {
            stage.with_key(stringify!($name), server_with!($new_key)?, |server, issued| {
                let settings = settings_for(&issued.authority, None);
                let Err(failure) = S::connect(&stage.url(server), &settings) else {
                    anyhow::bail!("the client is connected");
                };
                let words = match failure.kind {
                    // The server goes on with a key that the client did not ask for.
                    ErrorKind::TlsBadCertificate => $kind,
                    // It cannot tell more than that it has none.
                    _ => KEYS,
                };
                let kinds = [ErrorKind::TlsBadCertificate, ErrorKind::TlsNothingInCommon];
                let is_told = kinds.contains(&failure.kind) && failure.message.contains(words);
                ensure!(is_told, "{:?}: {}", failure.kind, failure.message);
                Ok(())
            })
        })+
    };
}

tells! {
    tells_rsa_4104 = "rsa:4104", "RSA with 4104 bits";
    tells_p_521 = "ec -pkeyopt ec_paramgen_curve:P-521", "ECDSA with P-521";
    tells_ed448 = "ed448", "Ed448";
}

macro_rules! shows {
    ($($name:ident = $new_key:literal,)+) => {
        $(fn $name<S: Subject>(stage: &Stage) -> Result<Tried> {
            static CLIENT: LazyLock<Option<Issued>> = LazyLock::new(|| Issued::to_client($new_key));
            shows::<S>(stage, CLIENT.as_ref().context("openssl is not installed")?)
        })+
    };
}

shows! {
    shows_rsa_2048 = "rsa:2048",
    shows_rsa_3072 = "rsa:3072",
    shows_rsa_4096 = "rsa:4096",
    shows_p_256 = "ec -pkeyopt ec_paramgen_curve:P-256",
    shows_p_384 = "ec -pkeyopt ec_paramgen_curve:P-384",
    shows_ed25519 = "ed25519",
}

fn shows<S: Subject>(stage: &Stage, client: &Issued) -> Result<Tried> {
    for version in VERSIONS {
        let Some(server) = stage.serve(&[version], Some(&client.authority))? else { return Ok(Tried::Unset) };
        let mut connected: S = stage.connect(&server, Some(&client.certified)).context(version)?;
        echo(&mut connected, 10).context(version)?;
    }
    Ok(Tried::Holds)
}

fn missing_certificate_is_told<S: Subject>(stage: &Stage) -> Result<Tried> {
    refuses::<S>(stage, None, ErrorKind::TlsClientCertificateRequired)
}

fn refused_certificate_is_told<S: Subject>(stage: &Stage) -> Result<Tried> {
    // Of another authority than the one whose clients are taken.
    refuses::<S>(stage, Some(&Authority::new().client("stranger")), ErrorKind::TlsClientCertificateRefused)
}

fn refuses<S: Subject>(stage: &Stage, client: Option<&Certified>, kind: ErrorKind) -> Result<Tried> {
    let authority = Authority::new();
    for version in VERSIONS {
        let Some(server) = stage.serve(&[version], Some(authority.pem()))? else { return Ok(Tried::Unset) };
        let Err(failure) = S::connect(&stage.url(&server), &settings(client)) else {
            anyhow::bail!("{version}: the client is connected");
        };
        ensure!(failure.kind == kind, "{version}: {:?}: {}", failure.kind, failure.message);
    }
    Ok(Tried::Holds)
}

/// The authority of all servers.
static SERVERS: LazyLock<Authority> = LazyLock::new(Authority::new);

/// A certificate, and the authority that issued it.
struct Issued {
    authority: String,
    certified: Certified,
}

/// The key of those authorities.
const AUTHORITY_KEY: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

impl Issued {
    /// One of a client whose key `openssl req -newkey` makes with these words.
    fn to_client(new_key: &str) -> Option<Self> {
        let (authority, certified) = OpenSsl::start()?.issued_client(AUTHORITY_KEY, new_key);
        Some(Self { authority, certified })
    }

    /// The same of a server.
    fn to_server(new_key: &str) -> Option<Self> {
        let (authority, certified) = OpenSsl::start()?.issued(AUTHORITY_KEY, new_key, "-sha256");
        Some(Self { authority, certified })
    }
}

impl Stage {
    fn serve(&self, settings: &[&str], clients: Option<&str>) -> Result<Option<Server>> {
        static CERTIFIED: LazyLock<Certified> = LazyLock::new(|| SERVERS.server());
        Server::start(self.peer.name, &CERTIFIED, clients, settings, self.backend)
    }

    /// Starts servers with this certificate, over each version of TLS, unless there are none with such a key.
    fn with_key(
        &self,
        promise: &str,
        issued: &Issued,
        holds: impl Fn(&Server, &Issued) -> Result<()>,
    ) -> Result<Tried> {
        if self.peer.keyless.contains(&promise) {
            return Ok(Tried::Unset);
        }
        for version in VERSIONS {
            let server = Server::start(self.peer.name, &issued.certified, None, &[version], self.backend)?;
            holds(&server.context("it has no such version")?, issued).context(version)?;
        }
        Ok(Tried::Holds)
    }

    fn url(&self, server: &Server) -> String {
        if self.peer.is_web { format!("wss://{}/mqtt", server.address()) } else { tls_url(server.address()) }
    }

    fn connect<S: Subject>(&self, server: &Server, client: Option<&Certified>) -> Result<S> {
        said(S::connect(&self.url(server), &settings(client))).context("connecting")
    }
}

fn settings(client: Option<&Certified>) -> Settings {
    settings_for(SERVERS.pem(), client)
}

/// Trusting this authority.
fn settings_for(ca_pem: &str, client: Option<&Certified>) -> Settings {
    let client = client.map(|client| (client.certificate_pem.clone(), client.key_pem.clone()));
    let tls = TlsSettings { ca_pem: ca_pem.into(), client, ..TlsSettings::default() };
    // A broker may echo a message before it acknowledges it, so there must be room for the largest.
    let room = Some(2 * 1024 * 1024);
    Settings { tls: Some(tls), backlog_limit: room, maximum_packet_size: room, ..Settings::default() }
}

/// Publishes so many bytes to a topic of its own, and gets them back.
fn echo<S: Subject>(client: &mut S, bytes: usize) -> Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let topic = format!("tls/{}", COUNT.fetch_add(1, Ordering::Relaxed));
    subscribe(client, &topic, QoS::AtLeastOnce)?;
    let payload: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
    publish(client, &Publish::new(&topic, &payload).qos(QoS::AtLeastOnce))?;
    ensure!(receive(client)?.payload == payload, "it comes back changed");
    Ok(())
}
