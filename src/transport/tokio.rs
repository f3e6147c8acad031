//! TCP through tokio, for the async client. Nothing here waits: what would wait has woken the task instead, once it
//! makes sense to try again.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::addresses::Addresses;
use super::stream::{Layers, Stream};
#[cfg(unix)]
use super::tcp::of_socket;
use super::tcp::{broken, now, unknown_host};
use super::{Transferred, Transport};
use crate::error::{Error, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;

/// What is set of sockets.
#[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
type Sockets = super::SocketOptions;
#[cfg(not(all(feature = "socket-options", not(target_family = "wasm"))))]
type Sockets = ();

/// As far ahead as the clock is asked to look.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long an attempt is alone before the next address is tried beside it (RFC 8305, section 5).
#[cfg(not(target_family = "wasm"))]
const HEAD_START: Duration = Duration::from_millis(250);

/// How long a stream of the user's may take to close.
const LINGER: Duration = Duration::from_millis(500);

/// A byte stream of a tokio runtime.
pub(crate) struct TokioStream {
    /// `None` once it is closed.
    stream: Option<Socket>,
    /// Whether the stream may still hold what it was given.
    needs_flush: bool,
    /// Whom to wake when bytes can move.
    waker: Waker,
    /// What reading failed with in a transfer that has sent something: the system tells it once.
    failure: Option<TransportError>,
}

/// What bytes move over.
enum Socket {
    Tcp(TcpStream),
    /// Behind a pointer, so that programs which bring no stream do not link any.
    Any(Box<dyn AnyStream>),
}

trait AnyStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> AnyStream for T {}

/// The same, with TLS and WebSocket over it as the URL says.
pub(crate) type TokioConnection = Stream<TokioStream>;

impl TokioStream {
    fn new(stream: Socket) -> Self {
        Self { stream: Some(stream), needs_flush: false, waker: Waker::noop().clone(), failure: None }
    }
}

impl core::fmt::Debug for TokioStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TokioStream").finish_non_exhaustive()
    }
}

impl TokioConnection {
    /// Over a stream that the user has connected.
    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::plain(TokioStream::new(Socket::Any(Box::new(stream))))
    }

    /// From now on wakes this one.
    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        self.inner_mut().waker.clone_from(waker);
    }
}

/// Connects to the broker at this URL, and agrees on TLS and WebSocket if they are wanted, until then at the latest.
pub(crate) async fn connect(mut layers: Layers, url: BrokerUrl, until: Instant) -> Result<TokioConnection, Error> {
    layers.prepare(&url)?;
    #[cfg(unix)]
    if url.scheme == crate::url::Scheme::Unix {
        let connected = in_time(until, "no answer", async {
            UnixStream::connect(&url.host).await.map_err(|error| of_socket(&url.host, error))
        });
        return Ok(TokioConnection::over(connected.await?));
    }
    let (host, port) = layers.place(&url);
    #[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
    let sockets = layers.sockets;
    #[cfg(not(all(feature = "socket-options", not(target_family = "wasm"))))]
    let sockets = ();
    let tcp = dial(host, port, sockets, until).await.map_err(|error| layers.failed(&url, error))?;
    // One write holds all there is to say, so waiting for more (Nagle's algorithm) only delays it.
    tcp.set_nodelay(true).map_err(TransportError::from)?;
    let mut stream = layers.begin(&url, TokioStream::new(Socket::Tcp(tcp)))?;
    let handshake = poll_fn(|context| {
        stream.set_waker(context.waker());
        match stream.advance_handshake(now()) {
            Ok(false) => Poll::Pending,
            Ok(true) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    });
    match in_time(until, "", handshake).await {
        Err(TransportError { kind: TransportErrorKind::ConnectTimeout, message }) if message.is_empty() => {
            Err(TransportErrorKind::ConnectTimeout.because(stream.handshake()).into())
        }
        done => Ok(done.map(|()| stream)?),
    }
}

/// Connects to an address of this host: to the first that takes the connection, of those that were begun. Each has a
/// head start before the next, IPv6 first ("Happy Eyeballs", RFC 8305). The others are closed.
#[cfg(not(target_family = "wasm"))]
async fn dial(host: &str, port: u16, sockets: Sockets, until: Instant) -> Result<TcpStream, TransportError> {
    let resolved = in_time(until, "while looking up the name", resolve(host, port)).await?;
    race(Addresses::to_race(resolved, until), sockets, until).await
}

#[cfg(not(target_family = "wasm"))]
async fn race(mut addresses: Addresses, sockets: Sockets, until: Instant) -> Result<TcpStream, TransportError> {
    // One alone races nobody, and needs no task.
    if let Some(address) = addresses.take_only() {
        return in_time(until, "no answer", open(address, sockets)).await.map_err(|error| {
            addresses.failed(address, &error);
            addresses.into_error()
        });
    }
    // Those that are left end with the set.
    let mut attempts = tokio::task::JoinSet::new();
    let mut running = Vec::new();
    let mut is_next_due = true;
    loop {
        if is_next_due && let Some(address) = addresses.start_next() {
            running.push(address);
            attempts.spawn(async move { (address, open(address, sockets).await) });
        }
        let wakes_at = if addresses.has_next() { until.min(now() + HEAD_START) } else { until };
        let patience = wakes_at.saturating_duration_since(now()).min(FAR);
        match tokio::time::timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok((_, Ok(stream))))) => return Ok(stream),
            Ok(Some(Ok((address, Err(error))))) => {
                running.retain(|one| *one != address);
                addresses.failed(address, &error);
                is_next_due = true;
            }
            // An attempt that panicked has said so.
            Ok(Some(Err(_))) => is_next_due = true,
            Ok(None) if addresses.has_next() => is_next_due = true,
            Ok(None) => return Err(addresses.into_error()),
            Err(_) if now() < until => is_next_due = true,
            Err(_) => {
                let no_answer = TransportErrorKind::ConnectTimeout.because("no answer");
                running.into_iter().for_each(|address| addresses.failed(address, &no_answer));
                while let Some(address) = addresses.start_next() {
                    let untried = TransportErrorKind::ConnectTimeout.because("not tried, no time was left");
                    addresses.failed(address, &untried);
                }
                return Err(addresses.into_error());
            }
        }
    }
}

/// Connects to the first address of this host that takes the connection.
#[cfg(target_family = "wasm")]
async fn dial(host: &str, port: u16, (): Sockets, until: Instant) -> Result<TcpStream, TransportError> {
    let mut addresses = Addresses::new(in_time(until, "while looking up the name", resolve(host, port)).await?, until);
    loop {
        let Some((address, until)) = addresses.next(now()) else { return Err(addresses.into_error()) };
        match in_time(until, "no answer", open(address)).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => addresses.failed(address, &error),
        }
    }
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

async fn read_to_the_end(mut stream: TcpStream) {
    let mut unread = [0; 1024];
    let read = |context: &mut Context<'_>| {
        loop {
            let mut buffer = ReadBuf::new(&mut unread);
            match Pin::new(&mut stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    };
    poll_fn(read).await;
}

impl Transport for TokioStream {
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
        let Some(stream) = &mut self.stream else {
            return Err(TransportErrorKind::ConnectionReset.because("it is closed"));
        };
        if !outgoing.is_empty()
            && let Poll::Ready(written) = stream.as_pin().poll_write(&mut context, outgoing)
        {
            moved.sent = written.map_err(broken)?;
            self.needs_flush = moved.sent > 0;
        }
        if self.needs_flush
            && let Poll::Ready(flushed) = stream.as_pin().poll_flush(&mut context)
        {
            flushed.map_err(broken)?;
            self.needs_flush = false;
        }
        if !incoming.is_empty() {
            let mut buffer = ReadBuf::new(incoming);
            if let Poll::Ready(read) = stream.as_pin().poll_read(&mut context, &mut buffer) {
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
        match self.stream.take() {
            Some(Socket::Tcp(mut stream)) => {
                // It may be closed from the other side by now, which is as good.
                let _ = Pin::new(&mut stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
                // Closing with bytes unread would make the system take back what was sent, so they are read.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(tokio::time::timeout(LINGER, read_to_the_end(stream)));
                }
            }
            // It may have something to say first, as TLS does.
            Some(Socket::Any(mut stream)) => {
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    let close = async move { poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await };
                    runtime.spawn(tokio::time::timeout(LINGER, close));
                }
            }
            None => {}
        }
    }
}

impl Socket {
    fn as_pin(&mut self) -> Pin<&mut dyn AnyStream> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Any(stream) => Pin::new(&mut **stream),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, TransportError> {
    Ok(tokio::net::lookup_host((host, port)).await.map_err(unknown_host)?.collect())
}

#[cfg(all(feature = "socket-options", not(target_family = "wasm")))]
async fn open(address: SocketAddr, sockets: Sockets) -> Result<TcpStream, TransportError> {
    // Without any, tokio makes the socket itself, which asks the system less.
    if sockets == Sockets::NONE {
        return Ok(TcpStream::connect(address).await?);
    }
    let socket = sockets.socket(address)?;
    socket.set_nonblocking(true)?;
    Ok(tokio::net::TcpSocket::from_std_stream(socket.into()).connect(address).await?)
}

#[cfg(not(any(feature = "socket-options", target_family = "wasm")))]
async fn open(address: SocketAddr, (): Sockets) -> Result<TcpStream, TransportError> {
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

#[cfg(all(test, not(target_family = "wasm"), not(shuttle)))]
mod tests {
    use alloc::string::ToString;
    use std::net::TcpListener;

    use super::*;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address where nobody listens, nor anybody else can.
    fn refusing() -> (tokio::net::TcpSocket, SocketAddr) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    /// An address that takes no more connections: connecting there waits.
    struct Full(SocketAddr, #[allow(dead_code, reason = "they fill it")] Vec<TcpStream>, tokio::net::TcpListener);

    impl Full {
        async fn new() -> Self {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = socket.listen(0).unwrap();
            let address = listener.local_addr().unwrap();
            let mut waiting = Vec::new();
            while let Ok(Ok(stream)) =
                tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
            {
                waiting.push(stream);
                assert!(waiting.len() < 100, "a queue of no length is never full here");
            }
            Self(address, waiting, listener)
        }
    }

    async fn raced(addresses: &[SocketAddr], time: Duration) -> Result<SocketAddr, TransportError> {
        let until = now() + time;
        let stream = race(Addresses::to_race(addresses.iter().copied(), until), Sockets::default(), until).await?;
        Ok(stream.peer_addr().unwrap())
    }

    #[tokio::test]
    async fn address_that_does_not_answer_costs_a_head_start() {
        let full = Full::new().await;
        let (_listener, good) = listener();
        let begin = now();
        assert_eq!(raced(&[full.0, good], Duration::from_secs(30)).await, Ok(good));
        let took = now().saturating_duration_since(begin);
        assert!(took >= HEAD_START && took < Duration::from_secs(20), "{took:?}");
        drop(full.2);
    }

    #[tokio::test]
    async fn address_that_fails_costs_nothing() {
        let (_socket, refused) = refusing();
        let (_listener, good) = listener();
        let begin = now();
        assert_eq!(raced(&[refused, good], Duration::from_secs(30)).await, Ok(good));
        assert!(now().saturating_duration_since(begin) < Duration::from_secs(20));
    }

    #[tokio::test]
    async fn every_address_is_named_where_none_takes_the_connection() {
        let full = Full::new().await;
        let (_socket, refused) = refusing();
        let error = raced(&[full.0, refused], Duration::from_secs(4)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&refused.to_string()) && text.contains(&std::format!("{}: no answer", full.0)), "{text}");
        assert_eq!(raced(&[], Duration::from_secs(1)).await.unwrap_err().kind, TransportErrorKind::UnknownHost);
    }

    #[tokio::test]
    async fn only_address_fails_as_one_of_several() {
        let (_socket, refused) = refusing();
        let error = raced(&[refused], Duration::from_secs(4)).await.unwrap_err();
        assert_eq!(error.kind, TransportErrorKind::ConnectionRefused);
        assert!(error.message.starts_with(&std::format!("{refused}: ")), "{error}");
        let full = Full::new().await;
        let error = raced(&[full.0], Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(error.kind, TransportErrorKind::ConnectTimeout);
        assert_eq!(error.message, std::format!("{}: no answer", full.0));
    }

    #[test]
    fn ipv6_comes_first_and_then_families_take_turns() {
        let all = ["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "[::2]:1"].map(|address| address.parse().unwrap());
        let mut addresses = Addresses::to_race(all, Instant::MAX);
        let order: Vec<_> = core::iter::from_fn(|| addresses.start_next().map(|address| address.to_string())).collect();
        assert_eq!(order, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"]);
    }
}
