//! Who is at the other end of a contender's connection.

use std::fmt;
use std::net::{AddrParseError, SocketAddr};
use std::str::FromStr;

use crate::job::{Pace, Work};

/// What is done by TLS.
pub(crate) const BY_TLS: [Work; 5] = [
    Work::Connect,
    Work::Resume,
    Work::Publish { qos: 0, size: 64, pace: Pace::Pipelined },
    Work::Publish { qos: 0, size: 65_536, pace: Pace::Pipelined },
    Work::Receive { qos: 0, size: 65_536 },
];

/// What is done over WebSocket.
pub(crate) const BY_WEBSOCKET: [Work; 7] = [
    Work::Connect,
    Work::Publish { qos: 0, size: 64, pace: Pace::Pipelined },
    Work::Publish { qos: 1, size: 64, pace: Pace::Pipelined },
    Work::Publish { qos: 1, size: 64, pace: Pace::Awaited },
    Work::Publish { qos: 0, size: 65_536, pace: Pace::Pipelined },
    Work::Receive { qos: 0, size: 64 },
    Work::Receive { qos: 0, size: 65_536 },
];

/// The peer that a job is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The sink.
    Sink,
    /// The sink, by TLS with this cipher suite and no other.
    Tls(Suite),
    /// The sink, over WebSocket.
    WebSocket,
    /// A mosquitto, which listens at this address.
    Mosquitto(SocketAddr),
}

/// A cipher suite, with the version of TLS that it is for. The key exchange is X25519 where the contender has it, and
/// the certificate's key one of ECDSA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    Tls13Chacha20Poly1305,
    Tls13Aes128Gcm,
    Tls13Aes256Gcm,
    Tls12Aes128Gcm,
}

impl Target {
    /// What a process that measures takes as its argument.
    pub(crate) fn argument(self) -> String {
        match self {
            Self::Sink | Self::Tls(_) | Self::WebSocket => self.to_string(),
            Self::Mosquitto(address) => address.to_string(),
        }
    }
}

/// As results have it: `sink`, `sink, TLS 1.3, CHACHA20-POLY1305` and the like, `sink, WebSocket`, or `mosquitto`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sink => f.write_str("sink"),
            Self::Tls(suite) => write!(f, "sink, {suite}"),
            Self::WebSocket => f.write_str("sink, WebSocket"),
            Self::Mosquitto(_) => f.write_str("mosquitto"),
        }
    }
}

/// Of an argument.
impl FromStr for Target {
    type Err = AddrParseError;

    fn from_str(argument: &str) -> Result<Self, AddrParseError> {
        let mut sinks = [Self::Sink, Self::WebSocket].into_iter().chain(Suite::ALL.map(Self::Tls));
        match sinks.find(|target| target.to_string() == argument) {
            Some(target) => Ok(target),
            None => argument.parse().map(Self::Mosquitto),
        }
    }
}

impl Suite {
    pub(crate) const ALL: [Self; 4] =
        [Self::Tls13Chacha20Poly1305, Self::Tls13Aes128Gcm, Self::Tls13Aes256Gcm, Self::Tls12Aes128Gcm];

    /// The version of TLS.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Tls13Chacha20Poly1305 | Self::Tls13Aes128Gcm | Self::Tls13Aes256Gcm => "TLS 1.3",
            Self::Tls12Aes128Gcm => "TLS 1.2",
        }
    }

    /// What messages are encrypted with.
    pub(crate) const fn cipher(self) -> &'static str {
        match self {
            Self::Tls13Chacha20Poly1305 => "CHACHA20-POLY1305",
            Self::Tls13Aes128Gcm | Self::Tls12Aes128Gcm => "AES-128-GCM",
            Self::Tls13Aes256Gcm => "AES-256-GCM",
        }
    }
}

/// For example `TLS 1.3, CHACHA20-POLY1305`.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.version(), self.cipher())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_is_read_as_it_was_written() {
        let mosquitto = Target::Mosquitto(SocketAddr::from(([127, 0, 0, 1], 1883)));
        let targets = [Target::Sink, Target::WebSocket, mosquitto].into_iter().chain(Suite::ALL.map(Target::Tls));
        for target in targets {
            assert_eq!(target.argument().parse::<Target>(), Ok(target));
        }
    }
}
