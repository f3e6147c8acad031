//! A session as bytes, to outlive the process or the component instance that it is in (section 4.1).
//!
//! ```text
//! snapshot  = "MQSS" version:u8  client-id:binary  response-topic:binary  count:u16 received:u16*  count:u16 given-up:u16*
//!             count:u16 released:u16*  in-flight:binary  unsent:binary  attempts*  count:u32 subscription*  crc:u32
//! binary    = len:u32 byte*
//! in-flight = PUBLISH*                         at QoS 1 and 2, in the order they were sent
//! unsent    = PUBLISH*                         at QoS 0, that wait
//! attempts  = sent:u32 connections:u32         of those in flight, then of those released: how often each was sent, and
//!                                              how many connections ended at it
//! subscription = filter:binary options:u8 identifier:u32
//! ```
//!
//! Numbers are big-endian. The version changes whenever anything else does, and others are refused.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::in_flight::{InFlight, State};
use super::machine::Machine;
use super::outbound::{message, packets};
use super::received_ids::ReceivedIds;
use super::request::Requests;
use super::subscriptions::{Granted, Subscriptions};
use crate::codec::{self, PacketId, Publish, QoS};
use crate::error::{SNAPSHOT_VERSION, SnapshotError};

const MAGIC: &[u8; 4] = b"MQSS";

/// The highest Subscription Identifier (section 3.8.2.1.2).
const MOST_IDENTIFIER: u32 = 268_435_455;

/// A session of an earlier process, made of the bytes of [`Session::snapshot`](super::Session::snapshot), and checked:
/// what [`Options::resume`](crate::Options::resume) takes.
///
/// ```
/// use mqtt_wasi::session::{Session, Snapshot};
/// use mqtt_wasi::{Options, SnapshotError};
///
/// let options = Options::new().client_id("thermometer-7").session_expiry_interval(3600);
/// let bytes = Session::new(options.clone()).snapshot();
/// // Days later, in another process:
/// let session = Session::new(options.resume(Snapshot::from_bytes(&bytes)?));
/// assert_eq!(session.client_id(), "thermometer-7");
/// # Ok::<(), SnapshotError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub(super) client_id: String,
    /// Of requests; empty if there was none.
    response_topic: String,
    pub(super) received: Vec<PacketId>,
    pub(super) given_up: Vec<PacketId>,
    pub(super) released: Vec<PacketId>,
    /// Messages in flight, one packet behind the other.
    pub(super) sent: Vec<u8>,
    /// Messages at QoS 0.
    unsent: Vec<u8>,
    /// Of messages in flight, then of those released: how often each was sent, and how many connections ended at it.
    pub(super) attempts: Vec<[u32; 2]>,
    subscriptions: Vec<Granted>,
}

impl Snapshot {
    /// Reads a snapshot from its bytes.
    ///
    /// # Errors
    /// [`SnapshotError::Corrupt`] for bytes that are not a whole snapshot, and [`SnapshotError::Version`] for a
    /// snapshot of a version of this crate that uses another format. Then start without it.
    ///
    /// ```
    /// use mqtt_wasi::session::{Session, Snapshot};
    /// use mqtt_wasi::{Options, SnapshotError};
    ///
    /// let bytes = Session::new(Options::new()).snapshot();
    /// assert!(Snapshot::from_bytes(&bytes).is_ok());
    /// assert_eq!(Snapshot::from_bytes(&bytes[1..]), Err(SnapshotError::Corrupt));
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut reader = Reader(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(SnapshotError::Corrupt);
        }
        match reader.take(1)? {
            [SNAPSHOT_VERSION] => {}
            other => return Err(SnapshotError::Version(other[0])),
        }
        let (content, crc) = bytes.split_last_chunk().ok_or(SnapshotError::Corrupt)?;
        if crc32(content) != u32::from_be_bytes(*crc) {
            return Err(SnapshotError::Corrupt);
        }
        reader.0 = &reader.0[..reader.0.len().checked_sub(crc.len()).ok_or(SnapshotError::Corrupt)?];
        let snapshot = reader.snapshot()?;
        // What it says must fit together: no Packet Identifier is used for two things.
        let is_whole = reader.0.is_empty() && snapshot.in_flight().is_some();
        if is_whole { Ok(snapshot) } else { Err(SnapshotError::Corrupt) }
    }

    /// The bytes of a session; `undelivered` are QoS 2 messages that came and that the user has not got or not worked
    /// through: the broker sends them again.
    pub(super) fn write(machine: &Machine, client_id: &str, undelivered: &[PacketId]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.push(SNAPSHOT_VERSION);
        binary(&mut bytes, client_id.as_bytes());
        binary(&mut bytes, machine.requests.topic().unwrap_or_default().as_bytes());
        let mut received = Vec::new();
        for id in machine.received.iter() {
            if !undelivered.contains(&id) {
                received.push(id);
            }
        }
        ids(&mut bytes, &received);
        #[cfg(not(feature = "stream"))]
        ids(&mut bytes, &machine.in_flight.given_up());
        #[cfg(feature = "stream")]
        ids(&mut bytes, &machine.in_flight.given_up_after_this());
        ids(&mut bytes, &machine.in_flight.released().collect::<Vec<_>>());
        let mut sent = Vec::new();
        machine.in_flight.sent_packets().for_each(|packet| sent.extend_from_slice(packet));
        binary(&mut bytes, &sent);
        let mut unsent = machine.unsent.clone();
        let mut outbound = machine.outbound.clone();
        outbound.gather();
        unsent.extend_from_slice(&outbound.unsent_messages());
        binary(&mut bytes, &unsent);
        for id in machine.in_flight.kept().chain(machine.in_flight.released()) {
            bytes.extend_from_slice(&machine.in_flight.attempts(id).to_be_bytes());
            bytes.extend_from_slice(&machine.in_flight.suspicions(id).to_be_bytes());
        }
        let (mut list, mut count) = (Vec::new(), 0_u32);
        for Granted { filter, options, identifier, .. } in machine.subscriptions.iter() {
            binary(&mut list, filter.as_bytes());
            list.push(*options);
            list.extend_from_slice(&identifier.unwrap_or(0).to_be_bytes());
            count += 1;
        }
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&list);
        let crc = crc32(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Puts the session into a machine that has had none.
    pub(super) fn restore(self, machine: &mut Machine) {
        machine.in_flight = self.in_flight().unwrap_or_default();
        machine.skip_operations(machine.in_flight.messages().into());
        machine.received = ReceivedIds::default();
        for &id in &self.received {
            machine.received.insert(id);
            machine.received.answer(id);
        }
        machine.subscriptions = Subscriptions::restored(self.subscriptions);
        machine.requests = Requests::restored(self.response_topic, &machine.subscriptions);
        machine.unsent = self.unsent;
        machine.assigned_client_id = Some(self.client_id).filter(|client_id| !client_id.is_empty());
        machine.has_session = true;
    }

    /// What is in flight; `None` if that does not fit together.
    fn in_flight(&self) -> Option<InFlight> {
        let mut in_flight = InFlight::default();
        let mut len = 0;
        for packet in packets(&self.sent) {
            let message = stored(packet)?;
            let id = message.packet_id?;
            in_flight.take_over(id, State::after_publish(message.qos), packet).then_some(())?;
            len += packet.len();
        }
        for packet in packets(&self.unsent) {
            stored(packet).filter(|message| message.qos == QoS::AtMostOnce)?;
            len += packet.len();
        }
        for (&id, state) in self.released.iter().map(|id| (id, State::AwaitingPubcomp)) {
            in_flight.take_over(id, state, &[]).then_some(())?;
        }
        for (&id, state) in self.given_up.iter().map(|id| (id, State::GivenUp)) {
            in_flight.take_over(id, state, &[]).then_some(())?;
        }
        let ids: Vec<_> = in_flight.sent().chain(in_flight.released()).collect();
        for (id, &[attempts, suspicions]) in ids.into_iter().zip(&self.attempts) {
            in_flight.set_attempts(id, attempts, suspicions);
        }
        in_flight.free_the_rest();
        (len == self.sent.len() + self.unsent.len()).then_some(in_flight)
    }
}

/// What a store needs of it.
#[cfg(feature = "store")]
impl Snapshot {
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether the messages in flight are these, in this order, and everything fits together.
    pub(super) fn has_messages(&self, mut ids: impl Iterator<Item = PacketId>) -> bool {
        packets(&self.sent).all(|packet| stored(packet).and_then(|message| message.packet_id) == ids.next())
            && ids.next().is_none()
            && self.in_flight().is_some()
    }
}

/// A snapshot of a session with nothing in flight.
#[cfg(feature = "store")]
pub(super) fn write_head(machine: &Machine, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.extend_from_slice(MAGIC);
    bytes.push(SNAPSHOT_VERSION);
    binary(bytes, machine.client_id().as_bytes());
    binary(bytes, machine.requests.topic().unwrap_or_default().as_bytes());
    (0..3).for_each(|_| ids(bytes, &[]));
    (0..2).for_each(|_| binary(bytes, &[]));
    let count = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    let mut subscriptions = 0_u32;
    for Granted { filter, options, identifier, .. } in machine.subscriptions.iter() {
        binary(bytes, filter.as_bytes());
        bytes.push(*options);
        bytes.extend_from_slice(&identifier.unwrap_or(0).to_be_bytes());
        subscriptions += 1;
    }
    bytes[count..count + 4].copy_from_slice(&subscriptions.to_be_bytes());
    let crc = crc32(&bytes[start..]);
    bytes.extend_from_slice(&crc.to_be_bytes());
}

/// Names the client alone: messages may be private.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A message as it is kept from one connection to the next: with its full Topic Name, and nothing in it that a client
/// must not send.
fn stored(packet: &[u8]) -> Option<Publish<'_>> {
    message(packet).filter(|message| {
        let properties = &message.properties;
        properties.topic_alias.is_none()
            && properties.subscription_identifiers.is_empty()
            && message.encoded_len().is_ok_and(|len| len == packet.len())
            && (properties.payload_format_indicator != Some(true) || core::str::from_utf8(message.payload).is_ok())
    })
}

fn binary(bytes: &mut Vec<u8>, content: &[u8]) {
    bytes.extend_from_slice(&(content.len() as u32).to_be_bytes());
    bytes.extend_from_slice(content);
}

fn ids(bytes: &mut Vec<u8>, ids: &[PacketId]) {
    bytes.extend_from_slice(&(ids.len() as u16).to_be_bytes());
    ids.iter().for_each(|id| bytes.extend_from_slice(&id.get().to_be_bytes()));
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        let client_id = self.text()?.to_owned();
        let response_topic = self.text()?.to_owned();
        // What CONNECT and SUBSCRIBE could not carry.
        if client_id.len() > usize::from(u16::MAX)
            || client_id.contains('\0')
            || (!response_topic.is_empty() && codec::validate_topic_name(&response_topic).is_err())
        {
            return Err(SnapshotError::Corrupt);
        }
        let (received, given_up, released) = (self.ids()?, self.ids()?, self.ids()?);
        let (sent, unsent) = (self.binary()?.to_owned(), self.binary()?.to_owned());
        let mut attempts = Vec::new();
        for _ in 0..packets(&sent).count() + released.len() {
            attempts.push([self.u32()?, self.u32()?]);
        }
        let mut subscriptions: Vec<Granted> = Vec::new();
        for _ in 0..self.u32()? {
            let filter: Box<str> = self.text()?.into();
            let options = self.take(1)?[0];
            let identifier = Some(self.u32()?).filter(|&identifier| identifier != 0);
            let granted = Granted { filter, options, identifier, may_do_without: false };
            let is_valid = codec::validate_topic_filter(&granted.filter).is_ok()
                && granted
                    .lend()
                    .is_some_and(|subscription| !(subscription.no_local && codec::is_shared(&granted.filter)))
                && identifier.is_none_or(|identifier| identifier <= MOST_IDENTIFIER);
            subscriptions.push(Some(granted).filter(|_| is_valid).ok_or(SnapshotError::Corrupt)?);
        }
        Ok(Snapshot { client_id, response_topic, received, given_up, released, sent, unsent, attempts, subscriptions })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], SnapshotError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(SnapshotError::Corrupt)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        self.take(4).map(|bytes| bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    fn binary(&mut self) -> Result<&'a [u8], SnapshotError> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn text(&mut self) -> Result<&'a str, SnapshotError> {
        core::str::from_utf8(self.binary()?).map_err(|_| SnapshotError::Corrupt)
    }

    fn ids(&mut self) -> Result<Vec<PacketId>, SnapshotError> {
        let count = self.take(2)?;
        let bytes = self.take(2 * usize::from(u16::from_be_bytes([count[0], count[1]])))?;
        let ids = bytes.chunks_exact(2).map(|id| PacketId::new(u16::from_be_bytes([id[0], id[1]])));
        ids.collect::<Option<_>>().ok_or(SnapshotError::Corrupt)
    }
}

/// The checksum of Ethernet and PNG: a snapshot may have been written to its end or not.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}
