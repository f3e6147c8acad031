//! A peer that speaks just enough MQTT to keep a client busy: it takes every message, acknowledges it, and sends
//! messages when it is told to. It runs in two threads, which the stage leaves out of what a contender costs: one reads
//! and acknowledges, one sends messages. It does so by TLS or over WebSocket if it is told to.

mod tls;
mod websocket;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::Duration;

use mqtt_wasi::codec::{AckProperties, Packet, Publish, QoS, ReasonCode, Suback};
use nix::unistd::gettid;
use tokio::sync::Notify;

use self::tls::{Server, Tls};
use self::websocket::WebSocket;
use crate::counting;
use crate::job::{TOPIC, Work};
use crate::target::Target;

/// As many messages at QoS 1 and 2 are sent before the first is acknowledged, if the client takes as many.
const WINDOW: u16 = 256;

/// What is read at once, in bytes; as large as the largest packet at least.
const READ_SIZE: usize = (1 << 20) + (1 << 16);

/// What is read at once of TLS or WebSocket, in bytes: what was in it has room behind the first part of a packet.
const READ_SIZE_WRAPPED: usize = READ_SIZE / 2;

/// Messages are written in pieces of about this many bytes.
const WRITE_SIZE: usize = 1 << 16;

/// When nothing arrived for as long as this, the client does not send more for now.
const SILENCE: Duration = Duration::from_millis(200);

/// How long a contender may take until what is waited for has arrived.
const PATIENCE: Duration = Duration::from_secs(60);

/// The handle of a sink, which lives as long as the process.
pub(crate) struct Sink {
    address: SocketAddr,
    threads: Vec<i32>,
    shared: Arc<Shared>,
}

/// What went over a sink's connections, as the sink sees it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Traffic {
    /// Bytes that the client sent.
    pub(crate) received: u64,
    /// Bytes that the client received.
    pub(crate) sent: u64,
    /// Handshakes in which a TLS session was resumed.
    pub(crate) resumed: u64,
}

struct Shared {
    work: Work,
    way: Way,
    received: AtomicU64,
    sent: AtomicU64,
    resumed: AtomicU64,
    /// PUBLISH packets that arrived, over all connections.
    messages: AtomicU64,
    /// Who waits, waits for so many of them.
    wanted: AtomicU64,
    /// No message is acknowledged for now.
    holds: AtomicBool,
    sending: Mutex<Sending>,
    /// There is more to send, or room for it.
    may_send: Condvar,
    /// What was wanted has arrived.
    arrived: Condvar,
    arrived_too: Notify,
}

/// What the thread that sends messages goes by.
#[derive(Default)]
struct Sending {
    /// Where to.
    connection: Option<Arc<Connection>>,
    /// Messages that are left to send.
    left: u64,
    /// Messages without an acknowledgement.
    in_flight: u16,
    window: u16,
}

/// How clients come.
enum Way {
    Plain,
    Tls(Server),
    WebSocket,
}

/// The connection of a client.
struct Connection {
    stream: TcpStream,
    /// Held by who writes, and by who takes apart what was read.
    writing: Mutex<Wrapping>,
}

/// What packets are in on a connection.
enum Wrapping {
    Nothing,
    Tls(Box<Tls>),
    WebSocket(WebSocket),
}

impl Sink {
    /// Listens at a port of its own, for clients that come as this says.
    pub(crate) fn start(work: Work, target: Target) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            work,
            way: match target {
                Target::Sink | Target::Mosquitto(_) => Way::Plain,
                Target::Tls(suite) => Way::Tls(Server::new(suite)),
                Target::WebSocket => Way::WebSocket,
            },
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            wanted: AtomicU64::new(u64::MAX),
            holds: AtomicBool::new(work == Work::Reconnect),
            sending: Mutex::default(),
            may_send: Condvar::new(),
            arrived: Condvar::new(),
            arrived_too: Notify::new(),
        });
        let threads = vec![
            uncounted_thread({
                let shared = Arc::clone(&shared);
                move || shared.serve(&listener)
            }),
            uncounted_thread({
                let shared = Arc::clone(&shared);
                move || shared.send()
            }),
        ];
        Self { address, threads, shared }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who says that the sink is the sink, in PEM, where there is TLS.
    pub(crate) fn ca(&self) -> Option<&str> {
        match &self.shared.way {
            Way::Tls(server) => Some(server.ca()),
            Way::Plain | Way::WebSocket => None,
        }
    }

    /// Whether it speaks WebSocket.
    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.shared.way, Way::WebSocket)
    }

    /// The threads that are the sink's, by their numbers in the system.
    pub(crate) fn threads(&self) -> &[i32] {
        &self.threads
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let Shared { received, sent, resumed, .. } = &*self.shared;
        let [received, sent, resumed] = [received, sent, resumed].map(|count| count.load(Ordering::Relaxed));
        Traffic { received, sent, resumed }
    }

    /// Sends so many messages more to the client that is connected.
    pub(crate) fn send(&self, messages: u32) {
        self.shared.sending().left += u64::from(messages);
        self.shared.may_send.notify_one();
    }

    /// Waits until no more messages arrive.
    pub(crate) fn wait_for_silence(&self) {
        let mut before = u64::MAX;
        while before != self.messages() {
            before = self.messages();
            thread::sleep(SILENCE);
        }
    }

    /// Cuts the connection. The next one has its session, and every message acknowledged.
    pub(crate) fn cut(&self) {
        self.shared.holds.store(false, Ordering::Relaxed);
        if let Some(connection) = self.shared.sending().connection.take() {
            // It may be gone already.
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until so many messages have arrived.
    ///
    /// # Panics
    /// When they do not, for a minute.
    pub(crate) fn wait_for(&self, messages: u64) {
        self.shared.wanted.store(messages, Ordering::SeqCst);
        let mut guard = self.shared.sending();
        while self.messages() < messages {
            let (next, timeout) = self.shared.arrived.wait_timeout(guard, PATIENCE).expect("no thread panics");
            assert!(!timeout.timed_out(), "stalled: {} of {messages} messages arrived", self.messages());
            guard = next;
        }
    }

    /// Completes when so many messages have arrived.
    ///
    /// # Panics
    /// When they do not, for a minute.
    pub(crate) async fn arrived(&self, messages: u64) {
        self.shared.wanted.store(messages, Ordering::SeqCst);
        let notified = self.shared.arrived_too.notified();
        if self.messages() < messages {
            let waited = tokio::time::timeout(PATIENCE, notified).await;
            assert!(waited.is_ok(), "stalled: {} of {messages} messages arrived", self.messages());
        }
    }

    fn messages(&self) -> u64 {
        self.shared.messages.load(Ordering::SeqCst)
    }
}

/// Starts a thread whose allocations do not count; returns its number.
fn uncounted_thread(run: impl FnOnce() + Send + 'static) -> i32 {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        counting::leave_out_this_thread();
        tell.send(gettid().as_raw()).expect("it is waited for");
        run();
    });
    told.recv().expect("the thread tells")
}

impl Shared {
    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().expect("no thread panics")
    }

    /// Serves one connection after the other.
    fn serve(&self, listener: &TcpListener) {
        let mut has_session = false;
        for stream in listener.incoming().flatten() {
            // A client that goes away is no fault of the sink.
            let _ = self.serve_one(stream, has_session);
            self.sending().connection = None;
            has_session = true;
        }
    }

    fn serve_one(&self, stream: TcpStream, has_session: bool) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let wrapping = match &self.way {
            Way::Plain => Wrapping::Nothing,
            Way::Tls(server) => Wrapping::Tls(Box::new(server.accept())),
            Way::WebSocket => Wrapping::WebSocket(WebSocket::default()),
        };
        let mut wrapped = (!matches!(wrapping, Wrapping::Nothing)).then(|| Input::new(READ_SIZE_WRAPPED));
        let mut input = Input::new(READ_SIZE);
        let connection = Arc::new(Connection { stream, writing: Mutex::new(wrapping) });
        let mut answers = Vec::new();
        loop {
            let len = match &mut wrapped {
                None => input.read(&connection.stream)?,
                Some(wrapped) => self.read_wrapped(&connection, wrapped, &mut input)?,
            };
            if len == 0 {
                return Ok(());
            }
            self.received.fetch_add(len as u64, Ordering::Relaxed);
            let mut tally = Tally::default();
            let mut rest = &input.buffer[..input.filled];
            while let Some((packet, behind)) = split(rest) {
                self.answer(packet, &connection, has_session, &mut answers, &mut tally);
                rest = behind;
            }
            let left = rest.len();
            input.discard(input.filled - left);
            self.write(&connection, &answers)?;
            answers.clear();
            self.settle(&tally);
        }
    }

    /// Reads what packets are in, puts them behind the input, and says what TLS and WebSocket have to say themselves.
    /// How many bytes came.
    fn read_wrapped(&self, connection: &Connection, wrapped: &mut Input, input: &mut Input) -> io::Result<usize> {
        let len = wrapped.read(&connection.stream)?;
        if len == 0 {
            return Ok(0);
        }
        let bytes = &mut wrapped.buffer[..wrapped.filled];
        let mut writing = connection.writing();
        let (done, answers) = match &mut *writing {
            Wrapping::Nothing => (0, &[][..]),
            Wrapping::Tls(tls) => {
                let was_handshaking = tls.is_handshaking();
                let done = tls.decrypt(bytes, input)?;
                if was_handshaking && !tls.is_handshaking() {
                    self.resumed.fetch_add(tls.is_resumed().into(), Ordering::Relaxed);
                }
                (done, tls.answers())
            }
            Wrapping::WebSocket(websocket) => (websocket.take(bytes, input)?, websocket.answers()),
        };
        self.write_out(&connection.stream, answers)?;
        drop(writing);
        wrapped.discard(done);
        Ok(len)
    }

    /// Answers a packet, as the type in its first byte asks for.
    fn answer(
        &self,
        packet: &[u8],
        connection: &Arc<Connection>,
        has_session: bool,
        answers: &mut Vec<u8>,
        tally: &mut Tally,
    ) {
        let body = body(packet);
        match packet[0] >> 4 {
            3 => {
                tally.messages += 1;
                let qos = packet[0] >> 1 & 3;
                if qos > 0 && !self.holds.load(Ordering::Relaxed) {
                    let topic_len = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let id = &body[2 + topic_len..4 + topic_len];
                    answers.extend([if qos == 1 { 0x40 } else { 0x50 }, 2, id[0], id[1]]);
                }
            }
            4 | 7 => tally.acknowledged += 1,
            5 => answers.extend([0x62, 2, body[0], body[1]]),
            6 => answers.extend([0x70, 2, body[0], body[1]]),
            12 => answers.extend([0xD0, 0]),
            _ => match Packet::decode(packet) {
                Ok(Some((Packet::Connect(connect), _))) => {
                    let receive_maximum = connect.properties.receive_maximum.map_or(u16::MAX, Into::into);
                    *self.sending() = Sending {
                        connection: Some(Arc::clone(connection)),
                        window: WINDOW.min(receive_maximum),
                        ..Sending::default()
                    };
                    let session_present = has_session && !connect.clean_start;
                    answers.extend([0x20, 3, session_present.into(), 0, 0]);
                }
                Ok(Some((Packet::Subscribe(subscribe), _))) => {
                    let granted: Vec<_> = subscribe.subscriptions.iter().map(|one| granted(one.maximum_qos)).collect();
                    let (packet_id, properties) = (subscribe.packet_id, AckProperties::default());
                    Packet::Suback(Suback { packet_id, properties, reason_codes: (&granted[..]).into() })
                        .encode(answers)
                        .expect("a valid packet");
                }
                // DISCONNECT, behind which the client closes the connection.
                _ => {}
            },
        }
    }

    fn settle(&self, tally: &Tally) {
        if tally.acknowledged > 0 {
            let mut sending = self.sending();
            sending.in_flight = sending.in_flight.saturating_sub(tally.acknowledged);
            self.may_send.notify_one();
        }
        if tally.messages == 0 {
            return;
        }
        let messages = self.messages.fetch_add(tally.messages, Ordering::SeqCst) + tally.messages;
        if let Work::Mixed { .. } = self.work {
            self.sending().left += tally.messages;
            self.may_send.notify_one();
        }
        if messages >= self.wanted.load(Ordering::SeqCst) {
            // Who is about to wait holds it until it does.
            drop(self.sending());
            self.arrived.notify_all();
            self.arrived_too.notify_waiters();
        }
    }

    /// Sends what there is to send, for ever.
    fn send(&self) {
        let qos = QoS::from_u8(self.work.qos()).expect("jobs have 0, 1 or 2");
        let mut message = Vec::new();
        let payload = vec![b'x'; self.work.size()];
        let packet_id = (qos != QoS::AtMostOnce).then_some(std::num::NonZero::<u16>::MIN);
        Publish { packet_id, ..Publish::new(TOPIC, &payload).qos(qos) }.encode(&mut message).expect("a valid packet");
        // Behind fixed header and Topic Name.
        let id_place = message.len() - payload.len() - 1 - 2;
        let mut next_id = 1;
        let mut piece = Vec::new();
        loop {
            let (connection, count) = self.next_piece(message.len(), packet_id.is_some());
            piece.clear();
            for _ in 0..count {
                let start = piece.len();
                piece.extend_from_slice(&message);
                if packet_id.is_some() {
                    piece[start + id_place..][..2].copy_from_slice(&u16::to_be_bytes(next_id));
                    next_id = next_id.checked_add(1).unwrap_or(1);
                }
            }
            // A client that goes away is no fault of the sink.
            let _ = self.write(&connection, &piece);
        }
    }

    /// Waits until messages can be sent; to whom, and how many.
    fn next_piece(&self, len: usize, counts: bool) -> (Arc<Connection>, u64) {
        let most = (WRITE_SIZE / len).max(1) as u64;
        let mut sending = self.sending();
        loop {
            let room = if counts { (sending.window - sending.in_flight).into() } else { u64::MAX };
            let count = sending.left.min(room).min(most);
            if let Some(connection) = sending.connection.clone().filter(|_| count > 0) {
                sending.left -= count;
                if counts {
                    sending.in_flight += count as u16;
                }
                return (connection, count);
            }
            sending = self.may_send.wait(sending).expect("no thread panics");
        }
    }

    fn write(&self, connection: &Connection, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        // Packets of two threads must not run into one another where the socket takes only a part.
        let mut writing = connection.writing();
        let bytes = match &mut *writing {
            Wrapping::Nothing => bytes,
            Wrapping::Tls(tls) => tls.encrypt(bytes)?,
            Wrapping::WebSocket(websocket) => websocket.frame(bytes),
        };
        self.write_out(&connection.stream, bytes)
    }

    /// Writes what goes over the wire, by who may write.
    fn write_out(&self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        stream.write_all(bytes)
    }
}

impl Connection {
    fn writing(&self) -> MutexGuard<'_, Wrapping> {
        self.writing.lock().expect("no thread panics")
    }
}

/// What is read and not yet understood.
struct Input {
    buffer: Vec<u8>,
    filled: usize,
}

impl Input {
    fn new(size: usize) -> Self {
        Self { buffer: vec![0; size], filled: 0 }
    }

    fn read(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        let len = stream.read(&mut self.buffer[self.filled..])?;
        self.filled += len;
        Ok(len)
    }

    /// Puts bytes behind those that are there.
    fn push(&mut self, bytes: &[u8]) {
        self.buffer[self.filled..][..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// So many of the first bytes are understood.
    fn discard(&mut self, len: usize) {
        self.buffer.copy_within(len..self.filled, 0);
        self.filled -= len;
    }
}

/// What came with one read.
#[derive(Default)]
struct Tally {
    messages: u64,
    acknowledged: u16,
}

/// The first packet, and what is behind it; `None` while it is not all there.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut len, mut place) = (0, 1);
    loop {
        let byte = usize::from(*bytes.get(place)?);
        len |= (byte & 0x7F) << (7 * (place - 1));
        place += 1;
        if byte < 0x80 {
            return bytes.split_at_checked(place + len);
        }
    }
}

/// What is behind the fixed header.
fn body(packet: &[u8]) -> &[u8] {
    let end = packet[1..].iter().position(|byte| *byte < 0x80).expect("a whole packet");
    &packet[end + 2..]
}

const fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQos1,
        QoS::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}
