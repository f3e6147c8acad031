//! A broker on loopback that does what a script says.

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mqtt_wasi::codec::{ConnackProperties, Packet, PacketType};
use mqtt_wasi::{Message, Publish, QoS, ReasonCode};

use crate::packets::{self, connack, disconnect, puback};

/// The loopback address, and a port that the system chooses.
const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// How long a script waits for the client, and a test for the script. What runs into it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A script that runs on a thread of its own.
pub struct Scripted {
    address: SocketAddr,
    thread: JoinHandle<()>,
    /// Disconnected once the script is over.
    is_over: mpsc::Receiver<()>,
}

/// What a script is given: the place where clients connect to.
pub struct Broker(TcpListener);

/// A client's connection, seen from the broker.
pub struct Peer {
    stream: TcpStream,
    /// Bytes of packets that the script has not asked for.
    unread: Vec<u8>,
}

/// A packet that a client sent.
pub struct Received(Vec<u8>);

impl Scripted {
    /// Listens on loopback, at a port that the system chooses, and runs the script.
    ///
    /// # Panics
    /// When the system gives no port.
    #[must_use = "a script that is not finished fails unseen"]
    pub fn start(script: impl FnOnce(&Broker) + Send + 'static) -> Self {
        let listener = TcpListener::bind(ANY_PORT).expect("a port of the loopback address");
        let address = listener.local_addr().expect("the port's number");
        let (running, is_over) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _running = running;
            script(&Broker(listener));
        });
        Self { address, thread, is_over }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Waits for the script's end.
    ///
    /// # Panics
    /// When the script did, or is not over in time.
    pub fn finish(self) {
        let over = self.is_over.recv_timeout(PATIENCE);
        assert_eq!(over, Err(RecvTimeoutError::Disconnected), "the script still waits for a client");
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Broker {
    /// The next connection, before its first byte.
    ///
    /// # Panics
    /// When the system fails.
    #[must_use]
    pub fn accept(&self) -> Peer {
        let (stream, _) = self.0.accept().expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Peer { stream, unread: Vec::new() }
    }

    /// The next connection, after CONNECT was answered with CONNACK.
    ///
    /// # Panics
    /// When something else than CONNECT comes.
    #[must_use]
    pub fn accept_client(&self) -> Peer {
        self.accept_client_with(ConnackProperties::default())
    }

    /// As [`Broker::accept_client`], on these terms.
    ///
    /// # Panics
    /// As [`Broker::accept_client`].
    #[must_use]
    pub fn accept_client_with(&self, properties: ConnackProperties<'_>) -> Peer {
        let mut peer = self.accept();
        peer.expect_type(PacketType::Connect);
        peer.send(&[connack(properties)]);
        peer
    }
}

impl Peer {
    /// The next packet of the client; none when it closed the connection.
    ///
    /// # Panics
    /// When the bytes are no packet, or none come in time.
    pub fn next_packet(&mut self) -> Option<Received> {
        loop {
            if let Some((_, len)) = Packet::decode(&self.unread).expect("the client sends valid packets") {
                return Some(Received(self.unread.drain(..len).collect()));
            }
            let mut bytes = [0; 64 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    assert!(self.unread.is_empty(), "the client closed the connection inside a packet");
                    return None;
                }
                Ok(len) => self.unread.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                // On Linux a process that was stopped goes on with this.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the client says nothing: {error}"),
            }
        }
    }

    /// The next packet, which must be this one.
    ///
    /// # Panics
    /// When it is not.
    pub fn expect(&mut self, expected: Packet<'_>) {
        let received = self.next_packet();
        let received = received.as_ref().map(Received::packet);
        assert!(received == Some(expected), "{} instead of {}", brief(&received), brief(&Some(expected)));
    }

    /// The next packet, which must be of this type.
    ///
    /// # Panics
    /// When it is not.
    pub fn expect_type(&mut self, expected: PacketType) -> Received {
        let received = self.next_packet().unwrap_or_else(|| panic!("{expected} and not the connection's end"));
        assert_eq!(received.packet().packet_type(), expected, "{}", brief(&received.packet()));
        received
    }

    /// The next packet, which must be PUBLISH.
    ///
    /// # Panics
    /// When it is not.
    pub fn expect_publish(&mut self) -> Message {
        let received = self.expect_type(PacketType::Publish);
        match received.packet() {
            Packet::Publish(publish) => publish.into(),
            other => unreachable!("{other:?} is of this type"),
        }
    }

    /// Waits for a normal DISCONNECT, and for the end of the connection.
    ///
    /// # Panics
    /// When something else comes.
    pub fn expect_disconnect(mut self) {
        self.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
        self.expect_end();
    }

    /// Waits for SUBSCRIBE, and grants every Topic Filter the QoS that it asks for. Returns the filters.
    ///
    /// # Panics
    /// When something else comes.
    pub fn grant(&mut self) -> Vec<String> {
        let received = self.expect_type(PacketType::Subscribe);
        let Packet::Subscribe(subscribe) = received.packet() else { unreachable!("it is of this type") };
        let code = |qos| match qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQos1,
            QoS::ExactlyOnce => ReasonCode::GrantedQos2,
        };
        let codes: Vec<_> = subscribe.subscriptions.iter().map(|one| code(one.maximum_qos)).collect();
        let filters = subscribe.subscriptions.iter().map(|one| one.filter.to_owned()).collect();
        self.send(&[packets::suback(subscribe.packet_id.get(), &codes)]);
        filters
    }

    /// Waits until the client closes the connection, without another packet, and closes it too.
    ///
    /// # Panics
    /// When there is another packet.
    pub fn expect_end(mut self) {
        let received = self.next_packet();
        assert!(received.is_none(), "{} behind the last", brief(&received.as_ref().map(Received::packet)));
    }

    /// Says no more, whatever the client sends, until that closes the connection.
    ///
    /// # Panics
    /// When it does not, in time.
    pub fn stay_silent(mut self) {
        while self.next_packet().is_some() {}
    }

    /// Cuts the connection with a reset, as a machine does that has crashed meanwhile.
    ///
    /// # Panics
    /// When the system fails.
    pub fn reset(self) {
        let socket = socket2::Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("no lingering");
    }

    /// Does what a client expects: acknowledges messages at QoS 1, until the client disconnects.
    ///
    /// # Panics
    /// When something else than such messages and a normal DISCONNECT comes.
    pub fn serve(mut self) {
        loop {
            let received = self.next_packet().expect("DISCONNECT before the connection's end");
            let Packet::Publish(Publish { packet_id: Some(id), .. }) = received.packet() else {
                assert_eq!(received.packet(), disconnect(ReasonCode::NORMAL_DISCONNECTION));
                return self.expect_end();
            };
            self.send(&[puback(id.get())]);
        }
    }

    /// Answers pings until the client disconnects; returns how many there were. Each must come within one and a half
    /// times the Keep Alive, which is as long as a broker waits `[MQTT-3.1.2-22]`.
    ///
    /// # Panics
    /// When one is late, and when something else than pings and a normal DISCONNECT comes.
    #[must_use]
    pub fn answer_pings(mut self, keep_alive: Duration) -> u32 {
        let mut pings = 0;
        loop {
            let waiting_since = Instant::now();
            let received = self.next_packet().expect("DISCONNECT before the connection's end");
            assert!(waiting_since.elapsed() < keep_alive * 3 / 2, "after {:?}", waiting_since.elapsed());
            if received.packet() != Packet::Pingreq {
                assert_eq!(received.packet(), disconnect(ReasonCode::NORMAL_DISCONNECTION));
                return pings;
            }
            pings += 1;
            self.send(&[Packet::Pingresp]);
        }
    }

    /// Sends packets in one write.
    ///
    /// # Panics
    /// When the client does not take them in time.
    pub fn send(&mut self, packets: &[Packet<'_>]) {
        self.send_bytes(&packets::bytes(packets));
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the client does not take them in time.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the client reads");
    }
}

/// What a packet says, without the whole of a long payload.
fn brief(packet: &impl Debug) -> String {
    format!("{packet:?}").chars().take(300).collect()
}

impl Received {
    /// What it says.
    ///
    /// # Panics
    /// Never: it was decoded before.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        Packet::decode(&self.0).ok().flatten().expect("it was decoded before").0
    }
}
