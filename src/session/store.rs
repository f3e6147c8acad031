//! A session that outlives its process at any moment (section 4.1): what has changed of it, for a store to write before
//! anything that depends on it is sent.
//!
//! ```text
//! entry     = key:u32 value
//! head      = 0                        has-session:u8 snapshot     with Client Identifier, Response Topic and
//!                                                                  subscriptions, and nothing in flight
//! sent      = 0x0001_0000 + identifier state:u8 order:u64 sent:u32 connections:u32 PUBLISH?
//! delivered = 0x0002_0000 + identifier
//! ```
//!
//! State is `P` for a message that is not acknowledged, `R` for one that was released, and `G` for one that was given
//! up. Only the first has its PUBLISH. Numbers are big-endian. The version is that of the snapshot.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::event::OperationId;
use super::in_flight::State;
use super::machine::Machine;
use super::snapshot::{self, Snapshot};
use super::{Session, Status};
use crate::codec::{PacketId, Publish, QoS};
use crate::error::{CallError, Error, SnapshotError, StoreError, StoreErrorKind};

const HEAD: u32 = 0;
const SENT: u32 = 0x0001_0000;
const DELIVERED: u32 = 0x0002_0000;

const PUBLISHED: u8 = b'P';
const RELEASED: u8 = b'R';
const GIVEN_UP: u8 = b'G';

/// Where a session is kept while its process is not there: entries, each a number with bytes. What they mean is the
/// session's business. See [`Options::store`](crate::Options::store), and [`FileStore`](crate::FileStore) for one in a
/// file.
///
/// ```
/// use std::collections::BTreeMap;
/// use mqtt_wasi::StoreError;
/// use mqtt_wasi::session::{Changes, Store};
///
/// /// Forgets everything with its process: for tests.
/// #[derive(Default)]
/// struct InMemory(BTreeMap<u32, Vec<u8>>);
///
/// impl Store for InMemory {
///     fn load(&mut self, entry: &mut dyn FnMut(u32, &[u8])) -> Result<(), StoreError> {
///         self.0.iter().for_each(|(&key, value)| entry(key, value));
///         Ok(())
///     }
///
///     fn write(&mut self, changes: &Changes) -> Result<(), StoreError> {
///         for (key, value) in changes.iter() {
///             match value {
///                 Some(value) => self.0.insert(key, value.to_vec()),
///                 None => self.0.remove(&key),
///             };
///         }
///         Ok(())
///     }
/// }
///
/// let options = mqtt_wasi::Options::new().client_id("thermometer-7").store(InMemory::default());
/// ```
pub trait Store: Send {
    /// Hands every entry to `entry`, each once, in any order. Called when a client is made.
    ///
    /// # Errors
    /// [`StoreError`], and no client is made.
    fn load(&mut self, entry: &mut dyn FnMut(u32, &[u8])) -> Result<(), StoreError>;

    /// Writes all of these or none. When this returns, they are kept, whatever happens to the process. May take its
    /// time: [`AsyncClient`](crate::AsyncClient) calls it where it keeps no task from its turn.
    ///
    /// # Errors
    /// [`StoreError`], and nothing was changed. Then calls fail whose messages were among the changes, and the
    /// connection ends: what the broker may know depends on what the store knows.
    fn write(&mut self, changes: &Changes) -> Result<(), StoreError>;
}

/// What has changed of a session since it was written last. Made by [`Session::take_changes`].
///
/// ```
/// use mqtt_wasi::Options;
/// use mqtt_wasi::session::{Changes, Session};
///
/// let mut session = Session::new(Options::new());
/// assert!(session.take_changes().is_none(), "it has no store");
/// ```
#[derive(Default)]
pub struct Changes {
    entries: Vec<(u32, Option<Range<usize>>)>,
    bytes: Vec<u8>,
}

impl Changes {
    /// Every key that has changed, each once, with its bytes; `None`: it is to be removed, if it is there.
    ///
    /// ```
    /// use mqtt_wasi::session::Changes;
    ///
    /// fn bytes(changes: &Changes) -> usize {
    ///     changes.iter().map(|(_, value)| value.map_or(0, <[u8]>::len)).sum()
    /// }
    /// # let _ = bytes;
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (u32, Option<&[u8]>)> {
        self.entries.iter().map(|(key, value)| (*key, value.clone().map(|value| &self.bytes[value])))
    }

    /// Appends an entry, whose bytes `write` appends.
    fn put(&mut self, key: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.entries.push((key, Some(start..self.bytes.len())));
    }
}

/// Shows no bytes: messages may be private.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

/// A set of Packet Identifiers. Takes 8 KiB from the first one on, and none before.
#[derive(Debug, Default)]
struct IdSet(Option<Box<[u64]>>);

impl IdSet {
    /// Whether it was not in there.
    fn insert(&mut self, id: PacketId) -> bool {
        let words = self.0.get_or_insert_with(|| alloc::vec![0; 1024].into_boxed_slice());
        let (word, bit) = (usize::from(id.get() / 64), 1 << (id.get() % 64));
        let is_new = words[word] & bit == 0;
        words[word] |= bit;
        is_new
    }

    /// Whether it was in there.
    fn remove(&mut self, id: PacketId) -> bool {
        let (word, bit) = (usize::from(id.get() / 64), 1 << (id.get() % 64));
        let was_there = self.contains(id);
        self.0.iter_mut().for_each(|words| words[word] &= !bit);
        was_there
    }

    fn contains(&self, id: PacketId) -> bool {
        self.0.as_ref().is_some_and(|words| words[usize::from(id.get() / 64)] & 1 << (id.get() % 64) != 0)
    }
}

/// Packet Identifiers whose entries have changed.
#[derive(Debug, Default)]
pub(super) struct Noted {
    is_on: bool,
    ids: Vec<PacketId>,
    set: IdSet,
    /// Whether something must not be sent before they are written.
    is_urgent: bool,
    /// Those of messages that the store has never had.
    fresh: Vec<PacketId>,
}

impl Noted {
    /// Notes what may be written some time later: without it more is sent again than has to be.
    pub(super) fn note(&mut self, id: PacketId) {
        if self.is_on && self.set.insert(id) {
            self.ids.push(id);
        }
    }

    /// Notes what has to be written before anything more is sent.
    pub(super) fn note_at_once(&mut self, id: PacketId) {
        self.note(id);
        self.is_urgent |= self.is_on;
    }

    /// The same of a message that is new.
    pub(super) fn note_new(&mut self, id: PacketId) {
        self.note_at_once(id);
        if self.is_on {
            self.fresh.push(id);
        }
    }
}

/// What has to be written of a session that has a store.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Messages at QoS 2 that the user has got, until they are released: their Packet Identifiers.
    delivered: IdSet,
    noted: Noted,
    /// Whether the head has changed.
    head: bool,
    /// Whether what was not written has to be, before there is another connection.
    owes: bool,
    /// What is being written; and the identifiers in it, to note them again if that fails.
    is_writing: bool,
    writing: [Vec<PacketId>; 2],
    writing_fresh: Vec<PacketId>,
    writing_head: bool,
    /// The buffers, for next time.
    spare: Option<Changes>,
}

impl Journal {
    /// The user has got a message at QoS 2.
    pub(super) fn delivered(&mut self, id: PacketId) {
        if self.noted.is_on && self.delivered.insert(id) {
            self.noted.note_at_once(id);
        }
    }

    /// A message at QoS 2 was released: its identifier may be used for another.
    pub(super) fn released(&mut self, id: PacketId) {
        if self.delivered.remove(id) {
            self.noted.note_at_once(id);
        }
    }

    /// The Client Identifier, the Response Topic or the subscriptions have changed.
    pub(super) const fn head_changed(&mut self) {
        self.head |= self.noted.is_on;
    }
}

/// A session as a store had it.
#[derive(Clone)]
pub(crate) struct Stored {
    /// Whether a broker has ever had the session.
    has_session: bool,
    /// The places of messages among those that are sent, or released.
    orders: Vec<(PacketId, u64)>,
}

/// Entries that were loaded, and what they come to.
#[derive(Default)]
pub(crate) struct Loaded {
    head: Option<Vec<u8>>,
    sent: Vec<(PacketId, Vec<u8>)>,
    delivered: Vec<PacketId>,
    is_torn: bool,
}

impl Loaded {
    pub(crate) fn entry(&mut self, key: u32, value: &[u8]) {
        match (key & 0xFFFF_0000, PacketId::new(key as u16)) {
            (HEAD, None) => self.head = Some(value.into()),
            (SENT, Some(id)) => self.sent.push((id, value.into())),
            (DELIVERED, Some(id)) if value.is_empty() => self.delivered.push(id),
            _ => self.is_torn = true,
        }
    }

    /// What to continue from: nothing in a store that is new.
    pub(crate) fn finish(mut self) -> Result<(Stored, Option<Snapshot>), StoreError> {
        let torn = || StoreError { kind: StoreErrorKind::Torn, message: "its entries do not fit together".into() };
        let Some(head) = self.head else {
            let is_new = self.sent.is_empty() && self.delivered.is_empty() && !self.is_torn;
            return is_new.then(|| (Stored { has_session: false, orders: Vec::new() }, None)).ok_or_else(torn);
        };
        let (&flags, head) = head.split_first().ok_or_else(torn)?;
        let mut snapshot = Snapshot::from_bytes(head).map_err(|error| match error {
            SnapshotError::Version(version) => {
                StoreError { kind: StoreErrorKind::Version, message: alloc::format!("version {version} of a session") }
            }
            SnapshotError::Corrupt => torn(),
        })?;
        let has_session = flags == 1;
        let mut records = Vec::new();
        for (id, value) in &self.sent {
            records.push((Record::read(value).ok_or_else(torn)?, *id));
        }
        records.sort_by_key(|(record, _)| record.order);
        for wanted in [PUBLISHED, RELEASED] {
            for (record, id) in records.iter().filter(|(record, _)| record.state == wanted) {
                // Whether it has left is not known: it may be sent again now.
                snapshot.attempts.push([record.attempts.max(has_session.into()), record.suspicions]);
                if wanted == PUBLISHED {
                    snapshot.sent.extend_from_slice(record.packet);
                } else {
                    snapshot.released.push(*id);
                }
            }
        }
        snapshot.given_up = records.iter().filter(|(record, _)| record.state == GIVEN_UP).map(|(_, id)| *id).collect();
        snapshot.received = core::mem::take(&mut self.delivered);
        let sent = records.iter().filter(|(record, _)| record.state == PUBLISHED);
        let is_whole = !self.is_torn && flags <= 1 && snapshot.has_messages(sent.map(|(_, id)| *id));
        let orders = records.iter().map(|(record, id)| (*id, record.order)).collect();
        if is_whole { Ok((Stored { has_session, orders }, Some(snapshot))) } else { Err(torn()) }
    }
}

/// The value of a message.
struct Record<'a> {
    state: u8,
    order: u64,
    attempts: u32,
    suspicions: u32,
    packet: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(value: &'a [u8]) -> Option<Self> {
        let (&state, rest) = value.split_first()?;
        let (order, rest) = rest.split_first_chunk()?;
        let (attempts, rest) = rest.split_first_chunk()?;
        let (suspicions, packet) = rest.split_first_chunk()?;
        let is_known = matches!(state, PUBLISHED) || (matches!(state, RELEASED | GIVEN_UP) && packet.is_empty());
        let order = u64::from_be_bytes(*order);
        let (attempts, suspicions) = (u32::from_be_bytes(*attempts), u32::from_be_bytes(*suspicions));
        is_known.then_some(Self { state, order, attempts, suspicions, packet })
    }
}

impl Machine {
    /// Continues from a store, whose changes are noted from now on.
    pub(super) fn keep_in_store(&mut self, stored: &Stored) {
        self.has_session = stored.has_session;
        self.in_flight.set_orders(&stored.orders);
        self.in_flight.noted.is_on = true;
        self.journal.noted.is_on = true;
        let ids: Vec<_> = self.received.iter().collect();
        for id in ids {
            self.journal.delivered.insert(id);
        }
        self.journal.head = true;
    }

    pub(super) const fn has_store(&self) -> bool {
        self.journal.noted.is_on
    }

    /// The session has a broker, which keeps it: a later process must not begin another.
    pub(super) const fn note_session(&mut self) {
        if !self.has_session && self.has_store() {
            self.journal.head = true;
            self.journal.noted.is_urgent = true;
        }
    }

    /// The broker has lost the session, with all that it had sent.
    pub(super) fn forget_delivered(&mut self) {
        let ids: Vec<_> = self.received.iter().collect();
        ids.into_iter().for_each(|id| self.journal.released(id));
    }

    /// Whether one more message at QoS 1 or 2 may be stored.
    pub(super) fn has_store_room(&self) -> bool {
        let bytes = self.in_flight.bytes();
        self.in_flight.messages() < self.options.in_flight_limit.max(1)
            && (bytes == 0 || bytes < self.options.outbound_limit)
    }

    /// Takes a message that cannot be sent now: it is sent in its turn, over this connection or a later one.
    pub(super) fn store_message(&mut self, publish: &Publish<'_>) -> Result<Option<OperationId>, CallError> {
        if !self.has_store_room() {
            return Err(CallError::WouldBlock);
        }
        let id = self.in_flight.next_id().ok_or(CallError::WouldBlock)?;
        let mut packet = Publish { dup: false, packet_id: Some(id), ..*publish };
        let known_topic = packet.properties.topic_alias.take().map(|alias| (alias, self.outbound_aliases.topic(alias)));
        if let Some((alias, topic)) = known_topic
            && packet.topic.is_empty()
        {
            packet.topic = topic.ok_or(CallError::UnknownTopicAlias(alias))?;
        }
        let measured = packet.measure().map_err(CallError::Invalid)?;
        if self.status == Status::Connected {
            self.terms.check_size(measured.len())?;
        }
        let stored = self.in_flight.bytes();
        if stored > 0 && stored + measured.len() > self.options.outbound_limit {
            return Err(CallError::WouldBlock);
        }
        let mut bytes = Vec::with_capacity(measured.len());
        measured.write(&mut bytes);
        let operation = self.next_operation();
        self.in_flight.keep(id, State::after_publish(publish.qos), operation, &bytes);
        if self.status == Status::Connected {
            self.resend = self.resend.or(Some(id));
            self.send_again();
        }
        Ok(Some(operation))
    }

    fn write_head(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.has_session.into());
        snapshot::write_head(self, bytes);
    }

    fn write_sent(&self, id: PacketId, changes: &mut Changes) {
        let state = match self.in_flight.state(id) {
            // Nothing of it can be sent again, but the broker may have it, and take another message for the same.
            #[cfg(feature = "stream")]
            State::AwaitingPubrec if self.in_flight.is_streamed(id) => GIVEN_UP,
            #[cfg(feature = "stream")]
            State::AwaitingPuback if self.in_flight.is_streamed(id) => {
                return changes.entries.push((SENT + u32::from(id.get()), None));
            }
            State::AwaitingPuback | State::AwaitingPubrec => PUBLISHED,
            State::AwaitingPubcomp => RELEASED,
            State::GivenUp => GIVEN_UP,
            _ => return changes.entries.push((SENT + u32::from(id.get()), None)),
        };
        changes.put(SENT + u32::from(id.get()), |bytes| {
            bytes.push(state);
            bytes.extend_from_slice(&self.in_flight.order(id).to_be_bytes());
            bytes.extend_from_slice(&self.in_flight.attempts(id).to_be_bytes());
            bytes.extend_from_slice(&self.in_flight.suspicions(id).to_be_bytes());
            if state != GIVEN_UP {
                bytes.extend_from_slice(self.in_flight.packet(id));
            }
        });
    }

    /// Whether something must not be sent before it is written.
    const fn has_urgent_changes(&self) -> bool {
        self.in_flight.noted.is_urgent || self.journal.noted.is_urgent
    }

    const fn has_any_changes(&self) -> bool {
        self.journal.head || !self.in_flight.noted.ids.is_empty() || !self.journal.noted.ids.is_empty()
    }

    fn take_changes(&mut self) -> Changes {
        let mut changes = self.journal.spare.take().unwrap_or_default();
        changes.entries.clear();
        changes.bytes.clear();
        if self.journal.head {
            changes.put(HEAD, |bytes| self.write_head(bytes));
        }
        for &id in &self.in_flight.noted.ids {
            self.write_sent(id, &mut changes);
        }
        for &id in &self.journal.noted.ids {
            let key = DELIVERED + u32::from(id.get());
            changes.entries.push((key, self.journal.delivered.contains(id).then_some(0..0)));
        }
        let journal = &mut self.journal;
        for (noted, writing) in [&mut self.in_flight.noted, &mut journal.noted].into_iter().zip(&mut journal.writing) {
            writing.clear();
            core::mem::swap(&mut noted.ids, writing);
            for &id in writing.iter() {
                noted.set.remove(id);
            }
            noted.is_urgent = false;
        }
        journal.writing_fresh.clear();
        core::mem::swap(&mut self.in_flight.noted.fresh, &mut journal.writing_fresh);
        journal.writing_head = core::mem::take(&mut journal.head);
        (journal.is_writing, journal.owes) = (true, false);
        changes
    }

    /// What was to be written is not: it is once more, and new messages are none.
    fn not_stored(&mut self, error: &StoreError) {
        for id in core::mem::take(&mut self.journal.writing[0]) {
            self.in_flight.noted.note(id);
        }
        for id in core::mem::take(&mut self.journal.writing[1]) {
            self.journal.noted.note(id);
        }
        self.journal.head |= self.journal.writing_head;
        self.journal.owes = true;
        let mut fresh = core::mem::take(&mut self.journal.writing_fresh);
        fresh.append(&mut self.in_flight.noted.fresh);
        for id in fresh {
            self.drop_message(id, Error::Store(error.clone()));
        }
        (self.in_flight.noted.is_urgent, self.journal.noted.is_urgent) = (false, false);
    }

    /// Before another connection is made: what a store has refused has to be written first.
    pub(super) const fn owe_changes(&mut self) {
        if self.journal.owes && self.has_any_changes() {
            self.journal.noted.is_urgent = true;
        }
    }
}

impl Session {
    /// What a [store](crate::Options::store) has to write now, since something waits for it: nothing that depends on it
    /// may be sent before [`Session::stored`] says that it is written. `None`: nothing, or something is being written.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::session::Session;
    ///
    /// let mut session = Session::new(Options::new());
    /// assert!(session.take_changes().is_none(), "it has no store");
    /// ```
    pub fn take_changes(&mut self) -> Option<Changes> {
        self.needs_store().then(|| self.machine.take_changes())
    }

    /// Everything that has changed, also what may wait: where no more will come.
    pub(crate) fn take_all_changes(&mut self) -> Option<Changes> {
        let machine = &mut self.machine;
        (machine.has_any_changes() && !machine.journal.is_writing).then(|| machine.take_changes())
    }

    /// Tells whether [`Session::take_changes`] are written. If they are not, messages that were new among them are in
    /// flight no more, and the connection ends.
    ///
    /// ```
    /// use mqtt_wasi::Options;
    /// use mqtt_wasi::session::{Session, Store};
    ///
    /// fn write(session: &mut Session, store: &mut dyn Store) {
    ///     if let Some(changes) = session.take_changes() {
    ///         let result = store.write(&changes);
    ///         session.stored(changes, result);
    ///     }
    /// }
    /// # let _ = write;
    /// ```
    pub fn stored(&mut self, changes: Changes, result: Result<(), StoreError>) {
        self.machine.journal.spare = Some(changes);
        self.machine.journal.is_writing = false;
        if let Err(error) = result {
            self.connection_closed(Error::Store(error.clone()));
            self.machine.not_stored(&error);
        }
    }

    /// Whether [`Session::take_changes`] has something.
    pub(crate) const fn needs_store(&self) -> bool {
        self.machine.has_urgent_changes() && !self.machine.journal.is_writing
    }

    /// Whether something has to be written before all that waits is sent.
    pub(crate) const fn awaits_store(&self) -> bool {
        self.machine.has_urgent_changes() || self.machine.journal.is_writing
    }

    /// Whether something may be written that nothing waits for.
    pub(crate) const fn has_changes(&self) -> bool {
        self.machine.has_any_changes() && !self.machine.journal.owes
    }

    /// Whether the session has a store.
    pub(crate) const fn has_store(&self) -> bool {
        self.machine.has_store()
    }

    /// Has to be called before a connection is made.
    pub(crate) const fn owe_changes(&mut self) {
        self.machine.owe_changes();
    }

    /// Whether the message is taken now, connected or not.
    pub(crate) fn may_store(&self, publish: &Publish<'_>) -> bool {
        let bytes = self.machine.in_flight.bytes();
        // What has no valid bytes is refused, and waits for nothing.
        let len = || Publish { packet_id: PacketId::new(1), ..*publish }.measure().map_or(0, |measured| measured.len());
        publish.qos != QoS::AtMostOnce
            && self.has_store()
            && self.machine.has_store_room()
            && (bytes == 0 || bytes + len() <= self.machine.options.outbound_limit)
    }

    /// Takes the packets that came, so that what they change is known.
    pub(crate) fn settle(&mut self) {
        self.take_all();
    }
}
