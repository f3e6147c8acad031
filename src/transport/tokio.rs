//! TCP through tokio, for the async client. Nothing here waits: what would wait has woken the task instead, once it
//! makes sense to try again.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::addresses::Addresses;
use super::stream::{Layers, Stream};
use super::tcp::{broken, now, unknown_host};
use super::{Transferred, Transport};
use crate::error::{Error, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// As far ahead as the clock is asked to look.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A TCP connection of a tokio runtime.
#[derive(Debug)]
pub(crate) struct TokioTcp {
    stream: TcpStream,
    /// Whom to wake when bytes can move.
    waker: Waker,
    /// What reading failed with in a transfer that has sent something: the system tells it once.
    failure: Option<TransportError>,
}

/// The same, with TLS over it where the URL says `mqtts://`.
pub(crate) type TokioConnection = Stream<TokioTcp>;

impl TokioConnection {
    /// From now on wakes this one.
    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        self.inner_mut().waker.clone_from(waker);
    }
}

/// Connects to the broker at this URL, and agrees on TLS if that is wanted, until then at the latest.
pub(crate) async fn connect(mut layers: Layers, url: BrokerUrl, until: Instant) -> Result<TokioConnection, Error> {
    layers.prepare(&url)?;
    let mut addresses =
        Addresses::new(in_time(until, "while looking up the name", resolve(&url.host, url.port)).await?, until);
    let tcp = loop {
        let Some((address, until)) = addresses.next(now()) else { return Err(addresses.into_error().into()) };
        match in_time(until, "no answer", open(address)).await {
            Ok(tcp) => break tcp,
            Err(error) => addresses.failed(address, &error),
        }
    };
    // One write holds all there is to say, so waiting for more (Nagle's algorithm) only delays it.
    tcp.set_nodelay(true).map_err(TransportError::from)?;
    let tcp = TokioTcp { stream: tcp, waker: Waker::noop().clone(), failure: None };
    let mut stream = layers.begin(&url, tcp)?;
    let handshake = poll_fn(|context| {
        stream.set_waker(context.waker());
        match stream.advance_handshake(now()) {
            Ok(false) => Poll::Pending,
            Ok(true) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    });
    in_time(until, "during the TLS handshake", handshake).await?;
    Ok(stream)
}

/// Waits for a step of connecting, until then.
async fn in_time<R>(
    until: Instant,
    when: &str,
    step: impl Future<Output = Result<R, TransportError>>,
) -> Result<R, TransportError> {
    match tokio::time::timeout(until.saturating_duration_since(now()).min(FAR), step).await {
        Ok(done) => done,
        Err(_) => Err(TransportErrorKind::ConnectTimeout.because(when)),
    }
}

impl Transport for TokioTcp {
    fn now(&self) -> Instant {
        now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        _: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let mut context = Context::from_waker(&self.waker);
        let mut moved = Transferred::default();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if !outgoing.is_empty()
            && let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(&mut context, outgoing)
        {
            moved.sent = written.map_err(broken)?;
        }
        if !incoming.is_empty() {
            let mut buffer = ReadBuf::new(incoming);
            if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer) {
                moved.received = buffer.filled().len();
                match read {
                    Ok(()) => moved.closed = moved.received == 0,
                    // What was sent has left this side: the next transfer fails.
                    Err(error) if moved.sent > 0 => self.failure = Some(broken(error)),
                    Err(error) => return Err(broken(error)),
                }
            }
        }
        Ok(moved)
    }

    fn close(&mut self) {
        // The rest is done when it is dropped. It may be closed from the other side by now, which is as good.
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(not(target_family = "wasm"))]
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, TransportError> {
    Ok(tokio::net::lookup_host((host, port)).await.map_err(unknown_host)?.collect())
}

#[cfg(not(target_family = "wasm"))]
async fn open(address: SocketAddr) -> Result<TcpStream, TransportError> {
    Ok(TcpStream::connect(address).await?)
}

/// There are no threads in WASI 0.2 to look a name up meanwhile, nor can tokio connect there by itself: the host does
/// both while everything else waits.
#[cfg(target_family = "wasm")]
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, TransportError> {
    use std::net::ToSocketAddrs;
    Ok((host, port).to_socket_addrs().map_err(unknown_host)?.collect())
}

#[cfg(target_family = "wasm")]
async fn open(address: SocketAddr) -> Result<TcpStream, TransportError> {
    let stream = std::net::TcpStream::connect(address)?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream)?)
}
