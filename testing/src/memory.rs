//! A connection to a broker in memory, under virtual time.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use mqtt_wasi::codec::{Connack, Packet};
use mqtt_wasi::transport::{Transferred, Transport};
use mqtt_wasi::{Instant, TransportError, TransportErrorKind};

/// What answers the packets of a client.
type Broker = dyn FnMut(&Packet<'_>, &mut Answers) + Send;

/// A transport whose other end is a function: it is given each packet of the client, and answers. Waiting takes no
/// time: the clock goes to when something happens, or to when the client wants to wait no longer.
///
/// ```
/// use std::time::Duration;
/// use mqtt_wasi::codec::Packet;
/// use mqtt_wasi::transport::Transport;
/// use mqtt_wasi::{Client, Error, Options, Publish, QoS};
/// use mqtt_wasi_testing::{Memory, packets};
///
/// // It acknowledges after 20 s, and the client waits for 10.
/// let broker = Memory::new(|packet, answers| {
///     if let Packet::Publish(publish) = packet {
///         answers.after(Duration::from_secs(20));
///         answers.send(packets::puback(publish.packet_id.unwrap().get()));
///     }
/// });
/// let options = Options::new().client_id("c").response_timeout(Duration::from_secs(10));
/// let mut client = Client::connect_over(broker, options)?;
/// let late = client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce));
/// assert_eq!(late, Err(Error::Timeout));
/// assert_eq!(client.transport().unwrap().elapsed(), Duration::from_secs(10));
/// # Ok::<(), Error>(())
/// ```
pub struct Memory {
    broker: Box<Broker>,
    answers: Answers,
    now: Instant,
    /// Bytes of the client that are no whole packet yet.
    partial: Vec<u8>,
    is_closed: bool,
}

/// What the broker of a [`Memory`] says, and when.
///
/// ```
/// use mqtt_wasi::codec::Packet;
/// use mqtt_wasi::{Client, Error, Options, ReasonCode};
/// use mqtt_wasi_testing::{Memory, packets};
///
/// let broker = Memory::new(|packet, answers| {
///     if matches!(packet, Packet::Connect(_)) {
///         answers.send(packets::refusal(ReasonCode::ServerBusy, Default::default()));
///         answers.close();
///     }
/// });
/// let refused = Client::connect_over(broker, Options::new()).unwrap_err();
/// assert_eq!(refused.reason_code(), Some(ReasonCode::ServerBusy));
/// ```
#[derive(Debug, Default)]
pub struct Answers {
    /// What is sent when, in order of time; without bytes it is the end of the connection.
    queue: VecDeque<(Instant, Option<Vec<u8>>)>,
    /// When the next answer is sent.
    at: Instant,
    has_answered: bool,
}

impl Memory {
    /// A connection to this broker. CONNECT and PINGREQ are answered as by a broker that accepts all, and DISCONNECT
    /// ends the connection, unless the function answers them itself.
    ///
    /// ```
    /// use mqtt_wasi::{Client, Options};
    /// use mqtt_wasi_testing::Memory;
    ///
    /// let client = Client::connect_over(Memory::new(|_, _| {}), Options::new().client_id("c"))?;
    /// assert!(client.is_connected());
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn new(broker: impl FnMut(&Packet<'_>, &mut Answers) + Send + 'static) -> Self {
        Self {
            broker: Box::new(broker),
            answers: Answers::default(),
            now: Instant::ZERO,
            partial: Vec::new(),
            is_closed: false,
        }
    }

    /// How much virtual time has passed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options};
    /// use mqtt_wasi_testing::Memory;
    ///
    /// let mut client = Client::connect_over(Memory::new(|_, _| {}), Options::new().client_id("c"))?;
    /// // An hour, with the pings that it takes.
    /// assert_eq!(client.receive_timeout(Duration::from_secs(3600))?, None);
    /// assert_eq!(client.transport().unwrap().elapsed(), Duration::from_secs(3600));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(Instant::ZERO)
    }

    /// Has the broker read what the client sends.
    fn read(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let partial = std::mem::take(&mut self.partial);
        let mut rest = &partial[..];
        while let Some((packet, len)) = Packet::decode(rest).expect("the client sends valid packets") {
            self.answers.at = self.answers.at.max(self.now);
            self.answers.has_answered = false;
            (self.broker)(&packet, &mut self.answers);
            if !self.answers.has_answered {
                self.answers.usual(&packet);
            }
            self.answers.at = self.now;
            rest = &rest[len..];
        }
        self.partial = rest.to_vec();
    }
}

impl Answers {
    /// Sends a packet.
    ///
    /// # Panics
    /// When the specification has no bytes for it.
    pub fn send(&mut self, packet: Packet<'_>) {
        self.send_bytes(&crate::packets::bytes(&[packet]));
    }

    /// Sends bytes, MQTT or not.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.push(Some(bytes.to_vec()));
    }

    /// Sends what follows for this packet so much later.
    pub fn after(&mut self, time: Duration) {
        self.at = self.at + time;
        self.has_answered = true;
    }

    /// Closes the connection, behind what was sent.
    pub fn close(&mut self) {
        self.push(None);
    }

    /// Answers nothing, not even what is answered by itself.
    pub fn stay_silent(&mut self) {
        self.has_answered = true;
    }

    fn push(&mut self, what: Option<Vec<u8>>) {
        self.has_answered = true;
        // One that is sent later holds up no other.
        let place = self.queue.partition_point(|(at, _)| *at <= self.at);
        self.queue.insert(place, (self.at, what));
    }

    fn usual(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Connect(connect) => {
                let mut connack = Connack::default();
                if connect.client_id.is_empty() {
                    connack.properties.assigned_client_identifier = Some("assigned");
                }
                self.send(Packet::Connack(connack));
            }
            Packet::Pingreq => self.send(Packet::Pingresp),
            Packet::Disconnect(_) => self.close(),
            _ => {}
        }
    }
}

impl Transport for Memory {
    fn now(&self) -> Instant {
        self.now
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        until: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        let mut moved = Transferred { closed: self.is_closed, ..Transferred::default() };
        if self.is_closed {
            return Ok(moved);
        }
        self.read(outgoing);
        moved.sent = outgoing.len();
        if moved.sent == 0 && !incoming.is_empty() {
            match (self.answers.queue.front(), until) {
                (Some((at, _)), until) => {
                    let at = until.map_or(*at, |until| until.min(*at));
                    self.now = self.now.max(at);
                }
                (None, Some(until)) => self.now = self.now.max(until),
                (None, None) => {
                    let message = "the broker in memory has nothing more to say, and the client waits for ever".into();
                    return Err(TransportError { kind: TransportErrorKind::Other, message });
                }
            }
        }
        while moved.received < incoming.len() {
            let Some((_, what)) = self.answers.queue.front_mut().filter(|(at, _)| *at <= self.now) else { break };
            let Some(bytes) = what else {
                self.is_closed = true;
                moved.closed = moved.received == 0;
                break;
            };
            let len = bytes.len().min(incoming.len() - moved.received);
            incoming[moved.received..][..len].copy_from_slice(&bytes[..len]);
            bytes.drain(..len);
            moved.received += len;
            if bytes.is_empty() {
                self.answers.queue.pop_front();
            }
        }
        Ok(moved)
    }

    fn close(&mut self) {
        self.is_closed = true;
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}
