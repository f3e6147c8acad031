//! The TLS servers, and what is known not to hold at each.

use super::super::table::{Exception, fails};

/// A TLS server.
#[derive(Debug)]
pub struct Peer {
    /// As `host-tests/brokers/tls-peer` knows it.
    pub name: &'static str,
    /// As its users know it.
    pub title: &'static str,
    /// Whether MQTT goes over WebSocket within TLS, since the server is one for the web.
    pub is_web: bool,
    /// Which promises do not hold.
    pub exceptions: &'static [Exception],
    /// The promises about keys that such a server cannot have: it does not start with one.
    pub keyless: &'static [&'static str],
}

const fn peer(name: &'static str, title: &'static str, exceptions: &'static [Exception]) -> Peer {
    Peer { name, title, is_web: false, exceptions, keyless: &[] }
}

const fn web(name: &'static str, title: &'static str, exceptions: &'static [Exception]) -> Peer {
    Peer { is_web: true, ..peer(name, title, exceptions) }
}

const fn without(keyless: &'static [&'static str], peer: Peer) -> Peer {
    Peer { keyless, ..peer }
}

const CLOSES_LATER: &str = "nginx as a proxy of TCP finishes the handshake, and only then closes the connection, \
    without an alert: `ClosedAfterCertificateRequest`, with words that say whether it got a certificate.";

const NGINX: &[Exception] = &[
    fails("missing_certificate_is_told", "TlsClosedAfterCertificateRequest", CLOSES_LATER),
    fails("refused_certificate_is_told", "TlsClosedAfterCertificateRequest", CLOSES_LATER),
];

const ENDS_SILENTLY: &str = "lighttpd closes the connection in the handshake, and sends no alert, over one of the two \
    versions: `Cut`. Over the other it is told.";

const GNUTLS: &[Exception] = &[
    fails("tells_p_521", "version=1.3: TlsCut", ENDS_SILENTLY),
    fails("tells_ed448", "version=1.2: TlsCut", ENDS_SILENTLY),
    fails(
        "missing_certificate_is_told",
        "version=1.3: TlsClosedAfterCertificateRequest",
        "Over TLS 1.3, lighttpd finishes the handshake, and then closes the connection without an alert: \
         `ClosedAfterCertificateRequest`, with words that say that it got none.",
    ),
];

const WOLFSSL: &[Exception] = &[fails("tells_rsa_4104", "version=1.2: TlsCut", ENDS_SILENTLY)];

const INTERNAL_ERROR: &str = "Over one of the two versions, Java sends the alert internal_error (80) where it can make \
    no signature that the client checks: `Other`, with the alert. Over the other it is told.";

const JAVA: &[Exception] = &[
    fails("tells_p_521", "version=1.3: TlsFailed", INTERNAL_ERROR),
    fails("tells_ed448", "version=1.2: TlsFailed", INTERNAL_ERROR),
];

const ERLANG: &[Exception] = &[
    fails(
        "trusts_ed25519",
        "version=1.2: connecting: TlsNothingInCommon",
        "Over TLS 1.2, it makes no signature with Ed25519, as it is set by default: `NothingInCommon`. Over TLS 1.3 it \
         does.",
    ),
    fails(
        "shows_ed25519",
        "version=1.2: connecting: TlsClientCertificateRequired",
        "Over TLS 1.2, it takes no client's signature with Ed25519, as it is set by default: \
         `ClientCertificateRequired`, with words that name the cause. Over TLS 1.3 it does.",
    ),
];

/// The promises about keys that servers without EdDSA cannot have.
const NO_EDDSA: &[&str] = &["trusts_ed25519", "tells_ed448"];

/// All of them.
pub const PEERS: &[Peer] = &[
    peer("openssl-3.0", "OpenSSL, oldest (stunnel)", &[]),
    peer("openssl-new", "OpenSSL, newest (stunnel)", &[]),
    peer("haproxy", "haproxy", &[]),
    peer("nginx", "nginx", NGINX),
    web("gnutls", "GnuTLS (lighttpd)", GNUTLS),
    without(NO_EDDSA, web("mbedtls", "mbedTLS (lighttpd)", &[])),
    without(NO_EDDSA, web("nss", "NSS (lighttpd)", &[])),
    web("wolfssl", "wolfSSL (lighttpd)", WOLFSSL),
    without(&["tells_ed448"], peer("go", "Go", &[])),
    peer("java", "Java", JAVA),
    peer("erlang", "Erlang", ERLANG),
];
