//! TCP through tokio, for the async client. Nothing here waits: what would wait has woken the task instead, once it
//! makes sense to try again.

use alloc::string::ToString;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tcp::now;
use super::{Transferred, Transport};
use crate::error::{TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// A TCP connection of a tokio runtime.
#[derive(Debug)]
pub(crate) struct TokioTcp {
    stream: TcpStream,
    /// Whom to wake when bytes can move.
    waker: Waker,
}

impl TokioTcp {
    /// Connects to the first address of the URL's host that takes the connection.
    pub(crate) async fn connect(url: &BrokerUrl) -> Result<Self, TransportError> {
        let stream = open(&url.host, url.port).await?;
        // One write holds all there is to say, so waiting for more (Nagle's algorithm) only delays it.
        stream.set_nodelay(true)?;
        Ok(Self { stream, waker: Waker::noop().clone() })
    }

    /// From now on wakes this one.
    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        self.waker.clone_from(waker);
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
        if !outgoing.is_empty()
            && let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(&mut context, outgoing)
        {
            moved.sent = written?;
        }
        if !incoming.is_empty() {
            let mut buffer = ReadBuf::new(incoming);
            if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer) {
                moved.received = buffer.filled().len();
                match read {
                    Ok(()) => moved.closed = moved.received == 0,
                    // What was sent has left this side, and the next transfer fails the same way.
                    Err(_) if moved.sent > 0 => {}
                    Err(error) => return Err(error.into()),
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
async fn open(host: &str, port: u16) -> Result<TcpStream, TransportError> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(unknown_host)?;
    let mut failure = no_address();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = TransportError { message: alloc::format!("{address}: {error}"), ..error.into() },
        }
    }
    Err(failure)
}

/// There are no threads in WASI 0.2 to look a name up meanwhile, nor can tokio connect there by itself: the host does
/// both while everything else waits.
#[cfg(target_family = "wasm")]
async fn open(host: &str, port: u16) -> Result<TcpStream, TransportError> {
    use std::net::ToSocketAddrs;
    let mut failure = no_address();
    for address in (host, port).to_socket_addrs().map_err(unknown_host)? {
        match std::net::TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                return Ok(TcpStream::from_std(stream)?);
            }
            Err(error) => failure = TransportError { message: alloc::format!("{address}: {error}"), ..error.into() },
        }
    }
    Err(failure)
}

fn no_address() -> TransportError {
    TransportError { kind: TransportErrorKind::UnknownHost, message: "no address for this name".into() }
}

fn unknown_host(error: std::io::Error) -> TransportError {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied => TransportErrorKind::AccessDenied,
        _ => TransportErrorKind::UnknownHost,
    };
    TransportError { kind, message: error.to_string() }
}
