//! Byte streams that the blocking client runs over. They know no MQTT.

#[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
mod addresses;
#[cfg(any(feature = "std", all(feature = "component", target_arch = "wasm32")))]
mod stream;
#[cfg(feature = "std")]
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(all(feature = "component", target_arch = "wasm32"))]
mod wasi;

#[cfg(feature = "tokio")]
pub(crate) use self::{
    stream::Layers,
    tcp::now,
    tokio::{TokioConnection, connect},
};
#[cfg(feature = "std")]
pub use tcp::{TcpConnector, TcpTransport};
#[cfg(feature = "tls")]
pub use tls::{SkippedCertificate, TlsOptions, TlsTransport};
#[cfg(all(feature = "component", target_arch = "wasm32"))]
pub(crate) use wasi::{ComponentTransport, Interest, WasiConnector, WasiTransport, wait_for_any};

use crate::error::{Error, TransportError};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// A connected byte stream, and the clock that goes with it.
pub trait Transport {
    /// What time it is. Never goes back, and goes on over the next transport of the same client.
    fn now(&self) -> Instant;

    /// Moves bytes both ways: sends what it can of `outgoing` and puts what has come into `incoming`. Waits until at
    /// least one byte moved, the peer closed, or `until` has passed; forever if that is `None`.
    ///
    /// An `until` that has passed already means not to wait at all. An empty `incoming` means to read nothing.
    /// Sending must not wait for a peer that itself waits to be read from.
    ///
    /// # Errors
    /// [`TransportError`] when the stream broke. That the time ran out is no error.
    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError>;

    /// Closes the stream such that what was sent arrives. Harmless when closed already.
    fn close(&mut self);
}

/// Makes transports, for a client that connects by itself, step by step, and all that it takes to wait meanwhile.
pub trait Connector {
    /// What it makes.
    type Transport: Transport;

    /// What time it is, by the clock of the transports.
    fn now(&self) -> Instant;

    /// Begins to connect to the broker at this URL, until then at the latest. An attempt that is under way is given up.
    fn start(&mut self, url: BrokerUrl, until: Instant);

    /// Goes on with that, waiting no longer than `until`; for ever if that is `None`. Comes back before then when there is a
    /// connection, or there will be none: `None` otherwise.
    ///
    /// # Errors
    /// [`Error::Transport`]; [`Error::Url`] for a scheme that it does not know.
    fn advance(&mut self, until: Option<Instant>) -> Option<Result<Self::Transport, Error>>;

    /// Gives up an attempt that is under way.
    fn cancel(&mut self);

    /// Waits, where nothing is under way.
    fn wait(&mut self, until: Instant);

    /// A random number, with all bits as likely to be set as not. It spreads attempts and keeps no secret.
    fn random(&mut self) -> u64;

    /// The connector itself, for who knows its type and has more to ask of it.
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        None
    }
}

/// What [`Transport::transfer`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transferred {
    /// How many bytes of `outgoing` were sent.
    pub sent: usize,
    /// How many bytes of `incoming` were filled.
    pub received: usize,
    /// Whether the peer closed the stream; nothing more will come.
    pub closed: bool,
}
