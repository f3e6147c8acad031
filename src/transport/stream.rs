//! The stream to a broker: with TLS where its URL demands that. Without it, a peer that speaks TLS is an error.

#[cfg(feature = "tls")]
use super::tls::{TlsConnector, TlsOptions, TlsTransport};
use super::{Transferred, Transport};
use crate::error::{Error, TlsFailure, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;
#[cfg(feature = "tls")]
use crate::url::Scheme;
#[cfg(feature = "tls")]
use alloc::boxed::Box;

/// A stream, with or without TLS over it.
#[derive(Debug)]
pub(crate) struct Stream<T>(Layer<T>);

#[derive(Debug)]
enum Layer<T> {
    Plain {
        inner: T,
        /// Whether something has come.
        has_received: bool,
    },
    #[cfg(feature = "tls")]
    Tls(Box<TlsTransport<T>>),
}

/// Puts TLS over streams, to `mqtts://` brokers: with the options of a client, or the defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    #[cfg(feature = "tls")]
    tls: Option<TlsConnector>,
}

impl Layers {
    /// With these options.
    #[cfg(feature = "tls")]
    pub(crate) fn new(tls: Option<TlsOptions>) -> Result<Self, Error> {
        Ok(Self { tls: tls.map(TlsOptions::connector).transpose()? })
    }

    /// Without options.
    #[cfg(any(feature = "std", not(feature = "tls")))]
    pub(crate) const fn none() -> Self {
        Self {
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Fails for a broker that there is no speaking to, before there is a connection.
    pub(crate) fn prepare(&mut self, url: &BrokerUrl) -> Result<(), Error> {
        #[cfg(feature = "tls")]
        if url.scheme == Scheme::Mqtts {
            return self.tls().map(drop).map_err(Error::from);
        }
        Ok(url.require_plain()?)
    }

    /// Makes the stream to the broker at this URL over one that is connected, with the handshake still to be done:
    /// [`Stream::advance_handshake`].
    pub(crate) fn begin<T: Transport>(&mut self, url: &BrokerUrl, inner: T) -> Result<Stream<T>, Error> {
        #[cfg(feature = "tls")]
        if url.scheme == Scheme::Mqtts {
            return Ok(Stream(Layer::Tls(self.tls()?.begin(inner, &url.host)?.into())));
        }
        url.require_plain()?;
        Ok(Stream::plain(inner))
    }

    #[cfg(feature = "tls")]
    fn tls(&mut self) -> Result<&TlsConnector, TransportError> {
        Ok(match &mut self.tls {
            Some(tls) => tls,
            none => none.insert(TlsOptions::new().connector()?),
        })
    }
}

impl<T> Stream<T> {
    pub(crate) const fn plain(inner: T) -> Self {
        Self(Layer::Plain { inner, has_received: false })
    }

    pub(crate) const fn inner(&self) -> &T {
        match &self.0 {
            Layer::Plain { inner, .. } => inner,
            #[cfg(feature = "tls")]
            Layer::Tls(tls) => tls.inner(),
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) const fn inner_mut(&mut self) -> &mut T {
        match &mut self.0 {
            Layer::Plain { inner, .. } => inner,
            #[cfg(feature = "tls")]
            Layer::Tls(tls) => tls.inner_mut(),
        }
    }
}

impl<T: Transport> Stream<T> {
    /// Continues the handshake, waiting no longer than `until`; whether it is done.
    pub(crate) fn advance_handshake(&mut self, until: Instant) -> Result<bool, TransportError> {
        match &mut self.0 {
            Layer::Plain { .. } => {
                let _ = until;
                Ok(true)
            }
            #[cfg(feature = "tls")]
            Layer::Tls(tls) => tls.advance_handshake(until),
        }
    }
}

impl<T: Transport> Transport for Stream<T> {
    fn now(&self) -> Instant {
        self.inner().now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        match &mut self.0 {
            Layer::Plain { inner, has_received } => {
                let moved = inner.transfer(outgoing, incoming, until)?;
                if moved.received > 0 && !core::mem::replace(has_received, true) {
                    require_no_tls_alert(&incoming[..moved.received])?;
                }
                Ok(moved)
            }
            #[cfg(feature = "tls")]
            Layer::Tls(tls) => tls.transfer(outgoing, incoming, until),
        }
    }

    fn close(&mut self) {
        match &mut self.0 {
            Layer::Plain { inner, .. } => inner.close(),
            #[cfg(feature = "tls")]
            Layer::Tls(tls) => tls.close(),
        }
    }
}

/// Fails for what a peer says first that speaks TLS, to somebody who does not: an alert. No MQTT packet begins so.
fn require_no_tls_alert(first: &[u8]) -> Result<(), TransportError> {
    match first {
        [0x15, 0x03, 0..=4, ..] => Err(TransportError {
            kind: TransportErrorKind::Tls(TlsFailure::Expected),
            message: alloc::string::String::new(),
        }),
        _ => Ok(()),
    }
}
