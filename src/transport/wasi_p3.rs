//! TCP through `wasi:sockets` of WASI 0.3, for its component. Nothing here waits: what would wait has woken the task
//! instead, once it makes sense to try again.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use wit_bindgen_p3::rt::async_support::{FutureReader, StreamReader, StreamResult, StreamWriter};

use super::addresses::Addresses;
use super::stream::{Layers, Stream};
use super::{Transferred, Transport};
use crate::error::{Error, TransportError, TransportErrorKind};
use crate::time::Instant;
use crate::url::BrokerUrl;
use crate::wit::wasi::clocks::monotonic_clock;
use crate::wit::wasi::sockets::ip_name_lookup::{self, resolve_addresses};
use crate::wit::wasi::sockets::types::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};
use crate::wit::wit_stream;

/// How many bytes wait here for the host to take them. It is where bytes wait that are sent while others leave.
const MOST_OUTGOING: usize = 256 * 1024;

/// How many bytes are read at once. While they are taken, as many are read again.
const MOST_READ: usize = 64 * 1024;

/// How long the last bytes may take to leave the host, and the peer to close too.
const LINGER: Duration = Duration::from_millis(500);

/// A TCP connection of the host.
pub(crate) struct WasiStream {
    buffers: Rc<RefCell<Buffers>>,
    /// `None`: it is closed.
    pump: Option<Pump>,
    /// Woken when it makes sense to transfer again.
    waker: Waker,
}

/// A TCP connection of the host, with TLS over it as the URL says.
pub(crate) type WasiConnection = Stream<WasiStream>;

/// What lies between the host, which keeps a buffer for as long as it moves bytes, and a transport, which does not
/// wait.
#[derive(Default)]
struct Buffers {
    /// To be sent.
    outgoing: Vec<u8>,
    /// Received, and how much of it is taken.
    incoming: Vec<u8>,
    taken: usize,
    /// Whether the peer closed the connection.
    has_ended: bool,
    /// How the connection broke.
    failure: Option<TransportError>,
    /// Whether nothing is to be sent behind what is there.
    closes: bool,
    /// Whether all of that is done, and who waits for it.
    is_closed: bool,
    waits_for_close: Option<Waker>,
}

/// The end of a connection that is being closed: what was sent has left, or its time is over.
pub(crate) struct Closing(Rc<RefCell<Buffers>>);

impl Future for Closing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut buffers = self.0.borrow_mut();
        if buffers.is_closed {
            return Poll::Ready(());
        }
        buffers.waits_for_close = Some(context.waker().clone());
        Poll::Pending
    }
}

/// What moves bytes between the buffers and the host, while it is polled. A direction is gone when it has ended.
struct Pump {
    reading: Option<Pin<Box<dyn Future<Output = ()>>>>,
    writing: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl WasiStream {
    fn new(socket: TcpSocket) -> Self {
        let buffers: Rc<RefCell<Buffers>> = Rc::default();
        let (writer, outgoing) = wit_stream::new();
        let sent = socket.send(outgoing);
        let (incoming, received) = socket.receive();
        let reading = Box::pin(read(Rc::clone(&buffers), incoming, received));
        let writing = Box::pin(write(Rc::clone(&buffers), writer, sent, socket));
        let pump = Pump { reading: Some(reading), writing: Some(writing) };
        Self { buffers, pump: Some(pump), waker: Waker::noop().clone() }
    }
}

impl core::fmt::Debug for WasiStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WasiStream").finish_non_exhaustive()
    }
}

impl WasiConnection {
    /// Has this woken when it makes sense to transfer again.
    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        self.inner_mut().waker.clone_from(waker);
    }

    /// What to wait for once it is closed.
    pub(crate) fn closing(&self) -> Closing {
        Closing(Rc::clone(&self.inner().buffers))
    }
}

/// Connects to the broker at this URL, TLS included, until then at the latest.
pub(crate) async fn connect(mut layers: Layers, url: BrokerUrl, until: Instant) -> Result<WasiConnection, Error> {
    layers.prepare(&url)?;
    let (host, port) = layers.place(&url);
    let socket = dial(host, port, until).await.map_err(|error| layers.failed(&url, error))?;
    let mut stream = layers.begin(&url, WasiStream::new(socket))?;
    let handshake = poll_fn(|context| {
        stream.set_waker(context.waker());
        match stream.advance_handshake(now()) {
            Ok(false) => Poll::Pending,
            Ok(true) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    });
    match in_time(until, handshake).await {
        Some(done) => Ok(done.map(|()| stream)?),
        None => Err(TransportErrorKind::ConnectTimeout.because(stream.handshake()).into()),
    }
}

/// One clock for all connections, so that time continues from one to the next.
pub(crate) fn now() -> Instant {
    Instant::from_nanos(monotonic_clock::now())
}

/// Waits for this point in time.
pub(crate) async fn sleep_until(until: Instant) {
    monotonic_clock::wait_until(until.nanos()).await;
}

/// Runs this beside the call that is under way, also when that has returned.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    drop(wit_bindgen_p3::spawn_local(work));
}

/// The date, as the host has it.
#[cfg(feature = "tls")]
#[derive(Debug)]
pub(super) struct WallClock;

#[cfg(feature = "tls")]
impl rustls::time_provider::TimeProvider for WallClock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let seconds = u64::try_from(crate::wit::wasi::clocks::system_clock::now().seconds).ok()?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl Transport for WasiStream {
    fn now(&self) -> Instant {
        now()
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        _: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let Some(pump) = &mut self.pump else {
            return Err(TransportErrorKind::ConnectionReset.because("it is closed"));
        };
        let mut context = Context::from_waker(&self.waker);
        let mut sent = 0;
        loop {
            sent += self.buffers.borrow_mut().put(&outgoing[sent..]);
            pump.poll(&mut context);
            // The host may have taken all of it at once. Then nothing is under way that would wake the task, and what is
            // left has to follow now.
            if sent == outgoing.len() || !self.buffers.borrow().has_room() {
                break;
            }
        }
        let received = self.buffers.borrow_mut().take(incoming);
        if received > 0 {
            // There is room for more.
            pump.poll(&mut context);
        }
        let buffers = self.buffers.borrow();
        let is_empty = buffers.incoming.is_empty();
        match &buffers.failure {
            Some(failure) if sent == 0 && received == 0 && is_empty => Err(failure.clone()),
            _ => Ok(Transferred { sent, received, closed: received == 0 && is_empty && buffers.has_ended }),
        }
    }

    fn close(&mut self) {
        if let Some(pump) = self.pump.take() {
            let buffers = Rc::clone(&self.buffers);
            buffers.borrow_mut().closes = true;
            spawn(async move {
                let _ = in_time(now() + LINGER, pump.finish(&buffers)).await;
                let mut buffers = buffers.borrow_mut();
                buffers.is_closed = true;
                buffers.waits_for_close.take().into_iter().for_each(Waker::wake);
            });
        }
    }
}

impl Buffers {
    /// Whether more can be put here.
    const fn has_room(&self) -> bool {
        self.failure.is_none() && self.outgoing.len() < MOST_OUTGOING
    }

    /// Takes over what there is room for.
    fn put(&mut self, outgoing: &[u8]) -> usize {
        if !self.has_room() {
            return 0;
        }
        let len = outgoing.len().min(MOST_OUTGOING - self.outgoing.len());
        self.outgoing.extend_from_slice(&outgoing[..len]);
        len
    }

    /// Hands over what has come.
    fn take(&mut self, incoming: &mut [u8]) -> usize {
        let left = &self.incoming[self.taken..];
        let len = left.len().min(incoming.len());
        incoming[..len].copy_from_slice(&left[..len]);
        self.taken += len;
        if self.taken == self.incoming.len() {
            self.drop_incoming();
        }
        len
    }

    fn drop_incoming(&mut self) {
        self.incoming.clear();
        self.taken = 0;
    }
}

impl Pump {
    fn poll(&mut self, context: &mut Context<'_>) {
        for direction in [&mut self.writing, &mut self.reading] {
            direction.take_if(|work| work.as_mut().poll(context).is_ready());
        }
    }

    /// Sends what is left, and reads to the end: closing with bytes unread would make the system take back what was
    /// sent.
    async fn finish(mut self, buffers: &RefCell<Buffers>) {
        let finished = poll_fn(|context| {
            loop {
                self.poll(context);
                let mut buffers = buffers.borrow_mut();
                if self.reading.is_none() && self.writing.is_none() {
                    return Poll::Ready(());
                }
                if buffers.incoming.is_empty() {
                    return Poll::Pending;
                }
                buffers.drop_incoming();
            }
        });
        finished.await;
    }
}

/// Reads until the end. Waits, without being woken, while nobody takes what was read: the one who does polls again.
async fn read(buffers: Rc<RefCell<Buffers>>, mut stream: StreamReader<u8>, ended: FutureReader<Result<(), ErrorCode>>) {
    let mut bytes = Vec::with_capacity(MOST_READ);
    loop {
        let (result, read) = stream.read(bytes).await;
        bytes = read;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
        let has_room = poll_fn(|_| if buffers.borrow().incoming.is_empty() { Poll::Ready(()) } else { Poll::Pending });
        has_room.await;
        core::mem::swap(&mut bytes, &mut buffers.borrow_mut().incoming);
        bytes.reserve(MOST_READ);
    }
    drop(stream);
    let ended = ended.await;
    let mut buffers = buffers.borrow_mut();
    buffers.has_ended = true;
    if let Err(error) = ended {
        buffers.failure.get_or_insert_with(|| error.into());
    }
}

/// Sends what there is, until that is all. Waits, without being woken, while there is nothing: the one who puts
/// something there polls again.
async fn write(
    buffers: Rc<RefCell<Buffers>>,
    mut stream: StreamWriter<u8>,
    sent: FutureReader<Result<(), ErrorCode>>,
    socket: TcpSocket,
) {
    let mut bytes = Vec::new();
    let next = |bytes: &mut Vec<u8>| {
        let mut buffers = buffers.borrow_mut();
        core::mem::swap(bytes, &mut buffers.outgoing);
        match (bytes.is_empty(), buffers.closes) {
            (false, _) => Poll::Ready(true),
            (true, true) => Poll::Ready(false),
            (true, false) => Poll::Pending,
        }
    };
    let mut is_broken = false;
    while !is_broken && poll_fn(|_| next(&mut bytes)).await {
        bytes = stream.write_all(bytes).await;
        // What the host did not take.
        is_broken = !bytes.is_empty();
    }
    drop(stream);
    let error = match sent.await {
        Err(error) => error.into(),
        Ok(()) if is_broken => TransportErrorKind::ConnectionReset.because("the stream is closed"),
        Ok(()) => return,
    };
    drop(socket);
    buffers.borrow_mut().failure.get_or_insert(error);
}

/// Connects to the first address of this host that takes the connection.
async fn dial(host: &str, port: u16, until: Instant) -> Result<TcpSocket, TransportError> {
    // An address needs no look-up, which the host may not allow.
    let resolved = match host.parse::<IpAddr>() {
        Ok(address) => Vec::from([address]),
        Err(_) => match in_time(until, resolve_addresses(host.into())).await {
            Some(resolved) => resolved.map_err(look_up_error)?.into_iter().map(ip_address).collect(),
            None => return Err(TransportErrorKind::ConnectTimeout.because("while looking up the name")),
        },
    };
    let mut addresses = Addresses::new(resolved.into_iter().map(|address| SocketAddr::new(address, port)), until);
    loop {
        let Some((address, until)) = addresses.next(now()) else { return Err(addresses.into_error()) };
        match in_time(until, open(address)).await.unwrap_or(Err(ErrorCode::Timeout)) {
            Ok(socket) => return Ok(socket),
            Err(error) => addresses.failed(address, &error.into()),
        }
    }
}

async fn open(address: SocketAddr) -> Result<TcpSocket, ErrorCode> {
    let (family, remote) = match address {
        SocketAddr::V4(address) => {
            let (port, octets) = (address.port(), address.ip().octets().into());
            (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: octets }))
        }
        SocketAddr::V6(address) => {
            let (port, segments) = (address.port(), address.ip().segments().into());
            let address = Ipv6SocketAddress { port, flow_info: 0, address: segments, scope_id: 0 };
            (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(address))
        }
    };
    let socket = TcpSocket::create(family)?;
    socket.connect(remote).await?;
    Ok(socket)
}

/// What this comes to; `None` if that is not known by `until`.
async fn in_time<R>(until: Instant, step: impl Future<Output = R>) -> Option<R> {
    let (mut step, mut over) = (pin!(step), pin!(sleep_until(until)));
    let first = poll_fn(|context| match step.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => over.as_mut().poll(context).map(|()| None),
    });
    first.await
}

fn ip_address(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).into(),
    }
}

fn look_up_error(error: ip_name_lookup::ErrorCode) -> TransportError {
    use ip_name_lookup::ErrorCode;
    let why = match error {
        // What a host says that allows no look-ups at all.
        ErrorCode::AccessDenied | ErrorCode::PermanentResolverFailure => {
            return TransportErrorKind::AccessDenied.because("name look-up is not allowed (an IP address needs none)");
        }
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::NameUnresolvable => "name-unresolvable",
        ErrorCode::TemporaryResolverFailure => "temporary-resolver-failure",
        ErrorCode::Other(why) => return other(TransportErrorKind::UnknownHost, why),
    };
    TransportErrorKind::UnknownHost.because(why)
}

impl From<ErrorCode> for TransportError {
    fn from(error: ErrorCode) -> Self {
        use TransportErrorKind as Kind;
        let (kind, name) = match error {
            ErrorCode::AccessDenied => (Kind::AccessDenied, "access-denied"),
            ErrorCode::ConnectionRefused => (Kind::ConnectionRefused, "connection-refused"),
            ErrorCode::RemoteUnreachable => (Kind::Unreachable, "remote-unreachable"),
            ErrorCode::Timeout => (Kind::ConnectTimeout, "timeout"),
            ErrorCode::ConnectionBroken => (Kind::ConnectionReset, "connection-broken"),
            ErrorCode::ConnectionReset => (Kind::ConnectionReset, "connection-reset"),
            ErrorCode::ConnectionAborted => (Kind::ConnectionReset, "connection-aborted"),
            ErrorCode::NotSupported => (Kind::Other, "not-supported"),
            ErrorCode::InvalidArgument => (Kind::Other, "invalid-argument"),
            ErrorCode::OutOfMemory => (Kind::Other, "out-of-memory"),
            ErrorCode::InvalidState => (Kind::Other, "invalid-state"),
            ErrorCode::AddressNotBindable => (Kind::Other, "address-not-bindable"),
            ErrorCode::AddressInUse => (Kind::Other, "address-in-use"),
            ErrorCode::DatagramTooLarge => (Kind::Other, "datagram-too-large"),
            ErrorCode::Other(why) => return other(Kind::Other, why),
        };
        kind.because(name)
    }
}

/// An error that WASI has no name for, in the host's words.
fn other(kind: TransportErrorKind, why: Option<String>) -> TransportError {
    TransportError { kind, message: why.unwrap_or_else(|| "other".into()) }
}
