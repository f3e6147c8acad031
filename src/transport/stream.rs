//! The stream to a broker: with TLS and WebSocket where its URL demands that, and a proxy below. Without TLS, a peer
//! that speaks it is an error.
//!
//! ```text
//!   engine ◄──► WebSocket (ws://, wss://) ◄──► TLS (mqtts://, wss://) ◄──► proxy ◄──► TCP
//! ```

#[cfg(any(feature = "tls", feature = "ws"))]
use alloc::boxed::Box;
#[cfg(feature = "ws")]
use alloc::{string::String, vec::Vec};

#[cfg(feature = "proxy")]
use super::proxy::{Proxy, Tunneled};
#[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
use super::socket::SocketOptions;
#[cfg(feature = "tls")]
use super::tls::{TlsConnector, TlsOptions, TlsTransport};
#[cfg(feature = "ws")]
use super::websocket::{self, WebSocket};
use super::{Transferred, Transport};
use crate::error::{Error, TlsFailure, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// A stream, with or without WebSocket over it.
#[derive(Debug)]
pub(crate) struct Stream<T> {
    secured: Secured<T>,
    #[cfg(feature = "ws")]
    websocket: Option<Box<WebSocket>>,
}

/// A stream, with or without TLS over it.
#[derive(Debug)]
enum Secured<T> {
    Plain {
        inner: Base<T>,
        /// Whether something has come.
        has_received: bool,
    },
    #[cfg(feature = "tls")]
    Tls(Box<TlsTransport<Base<T>>>),
}

/// A stream, that may have a proxy at its other end.
#[cfg(feature = "proxy")]
type Base<T> = Tunneled<T>;
#[cfg(not(feature = "proxy"))]
type Base<T> = T;

/// The longest name of a host that SOCKS takes.
#[cfg(feature = "proxy")]
const MOST_HOST: usize = 255;

/// Puts TLS and WebSocket over streams, as the URLs of brokers demand: with the options of a client, or the defaults.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    #[cfg(feature = "tls")]
    tls: Option<TlsConnector>,
    #[cfg(feature = "ws")]
    websocket_headers: Vec<(String, String)>,
    #[cfg(feature = "proxy")]
    proxy: Option<Proxy>,
    #[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
    pub(crate) sockets: SocketOptions,
}

impl Layers {
    /// Without options.
    pub(crate) const fn none() -> Self {
        Self {
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "ws")]
            websocket_headers: Vec::new(),
            #[cfg(feature = "proxy")]
            proxy: None,
            #[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
            sockets: SocketOptions::NONE,
        }
    }

    /// Uses these options for TLS from now on.
    #[cfg(feature = "tls")]
    pub(crate) fn use_tls(&mut self, tls: Option<TlsOptions>) -> Result<(), Error> {
        self.tls = tls.map(TlsOptions::connector).transpose()?;
        Ok(())
    }

    /// Sends these headers in the opening request of WebSocket from now on.
    #[cfg(feature = "ws")]
    pub(crate) fn use_websocket_headers(&mut self, headers: Vec<(String, String)>) -> Result<(), Error> {
        websocket::check(&headers)?;
        self.websocket_headers = headers;
        Ok(())
    }

    /// Connects through this proxy from now on.
    #[cfg(feature = "proxy")]
    pub(crate) fn use_proxy(&mut self, proxy: Option<Proxy>) {
        self.proxy = proxy;
    }

    /// Where to connect to: the broker at this URL, or the proxy on the way to it.
    pub(crate) fn place<'a>(&'a self, url: &'a BrokerUrl) -> (&'a str, u16) {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = self.proxy_for(url) {
            return (&proxy.url.host, proxy.url.port);
        }
        (&url.host, url.port)
    }

    /// An error of connecting there.
    pub(crate) fn failed(&self, url: &BrokerUrl, error: TransportError) -> TransportError {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = self.proxy_for(url) {
            return proxy.failed(error);
        }
        let _ = url;
        error
    }

    #[cfg(feature = "proxy")]
    fn proxy_for(&self, url: &BrokerUrl) -> Option<&Proxy> {
        #[cfg(all(feature = "std", unix))]
        if url.scheme == crate::url::Scheme::Unix {
            return None;
        }
        self.proxy.as_ref().filter(|proxy| proxy.is_for(url))
    }

    fn base<T: Transport>(&self, url: &BrokerUrl, inner: T) -> Base<T> {
        #[cfg(feature = "proxy")]
        return match self.proxy_for(url) {
            Some(proxy) => Tunneled::through(inner, proxy, url),
            None => Tunneled::direct(inner),
        };
        #[cfg(not(feature = "proxy"))]
        {
            let _ = url;
            inner
        }
    }

    /// Fails for a broker that there is no speaking to, before there is a connection.
    pub(crate) fn prepare(&mut self, url: &BrokerUrl) -> Result<(), Error> {
        #[cfg(feature = "proxy")]
        if self.proxy_for(url).is_some() && url.host.len() > MOST_HOST {
            return Err(crate::url::UrlError::Host.into());
        }
        #[cfg(feature = "tls")]
        if url.scheme.is_encrypted() {
            return self.tls().map(drop).map_err(Error::from);
        }
        require_possible(url)
    }

    /// Makes the stream to the broker at this URL over one that is connected, with the handshakes still to be done:
    /// [`Stream::advance_handshake`].
    pub(crate) fn begin<T: Transport>(&mut self, url: &BrokerUrl, inner: T) -> Result<Stream<T>, Error> {
        require_possible(url)?;
        Ok(Stream {
            #[cfg(feature = "ws")]
            websocket: match url.scheme.is_websocket() {
                true => Some(WebSocket::begin(url, &self.websocket_headers)?.into()),
                false => None,
            },
            secured: self.secure(url, inner)?,
        })
    }

    fn secure<T: Transport>(&mut self, url: &BrokerUrl, inner: T) -> Result<Secured<T>, Error> {
        let inner = self.base(url, inner);
        #[cfg(feature = "tls")]
        if url.scheme.is_encrypted() {
            return Ok(Secured::Tls(self.tls()?.begin(inner, &url.host)?.into()));
        }
        Ok(Secured::Plain { inner, has_received: false })
    }

    #[cfg(feature = "tls")]
    fn tls(&mut self) -> Result<&TlsConnector, TransportError> {
        Ok(match &mut self.tls {
            Some(tls) => tls,
            none => none.insert(TlsOptions::new().connector()?),
        })
    }
}

/// Fails for a URL that wants TLS in a build without.
fn require_possible(url: &BrokerUrl) -> Result<(), Error> {
    if cfg!(not(any(feature = "tls", feature = "host-tls"))) && url.scheme.is_encrypted() {
        return Err(crate::url::UrlError::TlsNotSupported.into());
    }
    Ok(())
}

/// Shows neither keys nor headers.
impl core::fmt::Debug for Layers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Layers").finish_non_exhaustive()
    }
}

impl<T> Stream<T> {
    #[cfg(feature = "std")]
    pub(crate) const fn plain(inner: T) -> Self {
        Self {
            #[cfg(feature = "proxy")]
            secured: Secured::Plain { inner: Tunneled::direct(inner), has_received: false },
            #[cfg(not(feature = "proxy"))]
            secured: Secured::Plain { inner, has_received: false },
            #[cfg(feature = "ws")]
            websocket: None,
        }
    }

    pub(crate) const fn inner(&self) -> &T {
        let base = self.secured.base();
        #[cfg(feature = "proxy")]
        let base = &base.inner;
        base
    }

    #[cfg(any(feature = "component-p3", feature = "tokio"))]
    pub(crate) const fn inner_mut(&mut self) -> &mut T {
        let base = self.secured.base_mut();
        #[cfg(feature = "proxy")]
        let base = &mut base.inner;
        base
    }

    /// Whether more may have come, though the last transfer ended with nothing.
    #[cfg(any(feature = "component-p3", feature = "tokio"))]
    pub(crate) fn is_behind(&self) -> bool {
        #[cfg(feature = "ws")]
        return self.websocket.as_ref().is_some_and(|websocket| websocket.is_behind());
        #[cfg(not(feature = "ws"))]
        false
    }
}

impl<T> Secured<T> {
    const fn base(&self) -> &Base<T> {
        match self {
            Self::Plain { inner, .. } => inner,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.inner(),
        }
    }

    #[cfg(any(feature = "component-p3", feature = "proxy", feature = "tokio"))]
    const fn base_mut(&mut self) -> &mut Base<T> {
        match self {
            Self::Plain { inner, .. } => inner,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.inner_mut(),
        }
    }
}

#[cfg(all(feature = "tls", feature = "ws"))]
impl<T> Secured<T> {
    /// A refusal in HTTP, which may be one of the client certificate: nginx answers 400, and others 403.
    fn with_certificate(&self, mut error: TransportError) -> TransportError {
        use crate::error::WebSocketFailure::{NotAuthorized, Status};
        let TransportErrorKind::WebSocket(NotAuthorized(_) | Status(400 | 495 | 496)) = error.kind else {
            return error;
        };
        let Self::Tls(tls) = self else { return error };
        let asked = tls.asked();
        if !asked.is_empty() {
            error.message.push_str("; ");
            error.message.push_str(asked);
        }
        error
    }
}

impl<T: Transport> Stream<T> {
    /// Continues the handshakes, waiting no longer than `until`; whether they are done.
    pub(crate) fn advance_handshake(&mut self, until: Instant) -> Result<bool, TransportError> {
        #[cfg(feature = "proxy")]
        if !self.secured.base_mut().advance(until)? {
            return Ok(false);
        }
        let is_secured = match &mut self.secured {
            Secured::Plain { .. } => {
                let _ = until;
                true
            }
            #[cfg(feature = "tls")]
            Secured::Tls(tls) => tls.advance_handshake(until)?,
        };
        #[cfg(feature = "ws")]
        if is_secured && let Some(websocket) = &mut self.websocket {
            let advanced = websocket.advance_handshake(&mut self.secured, until);
            #[cfg(feature = "tls")]
            return advanced.map_err(|error| self.secured.with_certificate(error));
            #[cfg(not(feature = "tls"))]
            return advanced;
        }
        Ok(is_secured)
    }

    /// What there was no time for: the words of an error.
    pub(crate) fn handshake(&self) -> &'static str {
        #[cfg(feature = "proxy")]
        if self.secured.base().is_asking() {
            return "the proxy did not answer";
        }
        #[cfg(feature = "ws")]
        if self.websocket.is_some() {
            return match &self.secured {
                Secured::Plain { .. } => "during the WebSocket handshake",
                #[cfg(feature = "tls")]
                Secured::Tls(tls) if !tls.is_established() => "during the TLS handshake",
                #[cfg(feature = "tls")]
                Secured::Tls(_) => "during the WebSocket handshake",
            };
        }
        "during the TLS handshake"
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
        #[cfg(feature = "ws")]
        if let Some(websocket) = &mut self.websocket {
            return websocket.transfer(&mut self.secured, outgoing, incoming, until);
        }
        self.secured.transfer(outgoing, incoming, until)
    }

    fn now_after_transfer(&self) -> Instant {
        self.inner().now_after_transfer()
    }

    fn close(&mut self) {
        #[cfg(feature = "ws")]
        if let Some(websocket) = &mut self.websocket {
            return websocket.close(&mut self.secured);
        }
        self.secured.close();
    }
}

impl<T: Transport> Transport for Secured<T> {
    fn now(&self) -> Instant {
        match self {
            Self::Plain { inner, .. } => inner.now(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.now(),
        }
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        match self {
            Self::Plain { inner, has_received } => {
                let moved = inner.transfer(outgoing, incoming, until)?;
                if moved.received > 0 && !core::mem::replace(has_received, true) {
                    require_no_tls_alert(&incoming[..moved.received])?;
                }
                Ok(moved)
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.transfer(outgoing, incoming, until),
        }
    }

    fn now_after_transfer(&self) -> Instant {
        match self {
            Self::Plain { inner, .. } => inner.now_after_transfer(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.now_after_transfer(),
        }
    }

    fn close(&mut self) {
        match self {
            Self::Plain { inner, .. } => inner.close(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.close(),
        }
    }
}

/// Fails for what a peer says first that speaks TLS, to somebody who does not: an alert. Nothing else here begins so.
fn require_no_tls_alert(first: &[u8]) -> Result<(), TransportError> {
    match first {
        [0x15, 0x03, 0..=4, ..] => Err(TransportError {
            kind: TransportErrorKind::Tls(TlsFailure::Expected),
            message: alloc::string::String::new(),
        }),
        _ => Ok(()),
    }
}

#[cfg(feature = "ws")]
impl core::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}
