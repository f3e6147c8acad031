//! The store of a session: it is loaded when an engine is made, and what it has not taken yet holds back what is sent.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use super::calls::{Outcome, Resource};
use super::timers::Timer;
use super::{Engine, Options};
use crate::codec::Publish;
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::session::{Changes, Loaded, Store};
use crate::time::Instant;

/// How long what nothing waits for may wait to be written, so that it is written with something else.
const LAZY: Duration = Duration::from_millis(100);

/// A store among options, which may be cloned: one client at a time has it.
#[derive(Clone)]
pub(super) struct Handle(Arc<Mutex<Option<Box<dyn Store>>>>);

impl Handle {
    fn open(&self) -> Result<OpenStore, StoreError> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let in_use = || StoreError { kind: StoreErrorKind::InUse, message: "another client has it".into() };
        Ok(OpenStore { store: Some(store.ok_or_else(in_use)?), handle: self.clone() })
    }
}

/// A [store](Options::store) that an engine has loaded. What drives the engine writes to it. When this is dropped,
/// another engine may have the store.
///
/// ```
/// use mqtt_wasi::engine::{Engine, OpenStore};
/// use mqtt_wasi::Instant;
///
/// /// What a driver does at each turn, before it moves bytes.
/// fn save(engine: &mut Engine, store: &mut OpenStore, now: Instant) {
///     while let Some(changes) = engine.take_changes(now) {
///         let result = store.write(&changes);
///         engine.stored(changes, result, now);
///     }
/// }
/// # let _ = save;
/// ```
pub struct OpenStore {
    /// `None` once this is dropped.
    store: Option<Box<dyn Store>>,
    handle: Handle,
}

impl OpenStore {
    /// Writes changes: see [`Store::write`].
    ///
    /// # Errors
    /// As [`Store::write`].
    ///
    /// ```
    /// use mqtt_wasi::engine::OpenStore;
    /// use mqtt_wasi::session::Changes;
    ///
    /// fn is_written(store: &mut OpenStore, changes: &Changes) -> bool {
    ///     store.write(changes).is_ok()
    /// }
    /// # let _ = is_written;
    /// ```
    pub fn write(&mut self, changes: &Changes) -> Result<(), StoreError> {
        self.store.as_mut().map_or(Ok(()), |store| store.write(changes))
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        *self.handle.0.lock().unwrap_or_else(PoisonError::into_inner) = self.store.take();
    }
}

impl fmt::Debug for OpenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStore").finish_non_exhaustive()
    }
}

impl Options {
    /// Keeps messages at QoS 1 and 2 and the state of QoS 2 in a store, at every moment: a process that is killed loses
    /// nothing of it. The next one continues where it was, as with [`Options::resume`], with the Client Identifier that
    /// the store has. `docs/staying-connected.md` has the whole of it. Takes the feature `store`.
    ///
    /// Messages at QoS 1 and 2 are then taken while there is no connection, too, as many as
    /// [`Options::in_flight_limit`] and [`Options::outbound_limit`] say, and sent when there is one.
    ///
    /// The store is loaded when a client is made, which fails with [`Error::Store`] if that is not possible. One client
    /// at a time can have it.
    ///
    #[doc = example!()]
    /// # let folder = std::env::temp_dir().join(format!("mqtt-wasi-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("options.redb");
    /// use mqtt_wasi::{Client, FileStore, Options, Publish, QoS};
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(3600);
    /// let mut client = Client::connect(&url, options.store(FileStore::open(&path)?))?;
    /// client.enqueue(&Publish::new("sensors/kitchen", "21.5").qos(QoS::ExactlyOnce))?;
    /// // From here on it arrives once, whatever happens to this process.
    /// # drop(client);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Handle(Arc::new(Mutex::new(Some(Box::new(store))))));
        self
    }

    /// Loads the store, for the session to continue from.
    pub(super) fn open_store(&mut self) -> Result<Option<OpenStore>, Error> {
        let Some(handle) = &self.store else { return Ok(None) };
        let mut opened = handle.open().map_err(Error::Store)?;
        let mut loaded = Loaded::default();
        if let Some(store) = &mut opened.store {
            store.load(&mut |key, value| loaded.entry(key, value)).map_err(Error::Store)?;
        }
        let (stored, snapshot) = loaded.finish().map_err(Error::Store)?;
        if let Some(snapshot) = snapshot {
            let (own, other) = (&self.session.client_id, snapshot.client_id());
            if !own.is_empty() && !other.is_empty() && own != other {
                let message = format!("it has that of {other:?}, and the options say {own:?}");
                return Err(Error::Store(StoreError { kind: StoreErrorKind::OtherClient, message }));
            }
            self.session.resume = Some(snapshot);
        }
        self.session.stored = Some(stored);
        Ok(Some(opened))
    }
}

/// What may be sent while something is being written.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Everything before this place in the stream.
    open_until: u64,
    /// Everything before this one, once what is being written is.
    opens_until: u64,
    /// Counts what was handed out to be written.
    round: u64,
}

impl Engine {
    /// The [store](Options::store) of the options, once: for the driver, which writes to it.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::Options;
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert!(engine.take_store().is_none(), "the options have none");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub const fn take_store(&mut self) -> Option<OpenStore> {
        self.store.take()
    }

    /// What has to be written to the store now. The driver asks before each [`Engine::turn`], writes it, and tells with
    /// [`Engine::stored`] how that went; meanwhile it may turn, and nothing is sent that has to wait. `None`: nothing.
    ///
    /// ```
    /// use mqtt_wasi::engine::Engine;
    /// use mqtt_wasi::{Instant, Options};
    ///
    /// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
    /// assert!(engine.take_changes(Instant::ZERO).is_none(), "the options have no store");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn take_changes(&mut self, now: Instant) -> Option<Changes> {
        self.now = now;
        let changes = self.session.take_changes();
        let changes = changes.or_else(|| {
            let is_due = self.timers.take_due(Timer::Store, now);
            is_due.then(|| self.session.take_all_changes()).flatten()
        });
        if changes.is_some() {
            self.note_taken();
        }
        changes
    }

    /// Everything that the store does not have, also what may wait: where no more will come.
    pub(crate) fn take_last_changes(&mut self) -> Option<Changes> {
        let changes = self.session.take_all_changes();
        if changes.is_some() {
            self.note_taken();
        }
        changes
    }

    fn note_taken(&mut self) {
        self.timers.stop(Timer::Store);
        self.gate.opens_until = self.session.outbound_end();
        self.gate.round += 1;
    }

    /// Tells whether [changes](Engine::take_changes) are written. If they are not, calls fail whose messages were among
    /// them, the connection ends, and what else was among them is written before there is another.
    ///
    /// ```
    /// use mqtt_wasi::Instant;
    /// use mqtt_wasi::engine::{Engine, OpenStore};
    ///
    /// fn save(engine: &mut Engine, store: &mut OpenStore, now: Instant) {
    ///     if let Some(changes) = engine.take_changes(now) {
    ///         let result = store.write(&changes);
    ///         engine.stored(changes, result, now);
    ///     }
    /// }
    /// # let _ = save;
    /// ```
    pub fn stored(&mut self, changes: Changes, result: Result<(), StoreError>, now: Instant) {
        self.now = now;
        let failure = result.as_ref().err().cloned();
        self.session.stored(changes, result);
        match failure {
            None => {
                self.gate.open_until = self.gate.opens_until;
                while let Some(id) = self.calls.next_stored(self.gate.round) {
                    self.complete(id, Outcome::Done);
                }
            }
            Some(error) => {
                self.pump();
                while let Some(id) = self.calls.next_stored(u64::MAX) {
                    self.complete(id, Outcome::Failed(Error::Store(error.clone())));
                }
            }
        }
        self.watch_store();
        self.admit();
    }

    /// Another connection begins: nothing of the last one is in its stream.
    pub(super) fn close_gate(&mut self) {
        let start = self.session.outbound_end() - self.session.transmit().len() as u64;
        (self.gate.open_until, self.gate.opens_until) = (start, start);
    }

    /// Whether [`Engine::take_changes`] has something that others wait for.
    #[cfg(feature = "tokio")]
    pub(crate) const fn needs_store(&self) -> bool {
        self.session.needs_store()
    }

    /// How many bytes of what waits may be sent now.
    pub(super) fn may_send(&self) -> usize {
        let waiting = self.session.transmit().len();
        if !self.session.awaits_store() {
            return waiting;
        }
        let sent = self.session.outbound_end() - waiting as u64;
        usize::try_from(self.gate.open_until.saturating_sub(sent)).map_or(waiting, |open| open.min(waiting))
    }

    /// How much may be sent in a turn, of what has come by now, too; and until when it may take, where changes wait for
    /// the driver.
    pub(super) fn behind_gate(&mut self, is_due: bool, until: Option<Instant>) -> (usize, Option<Instant>) {
        if !self.session.has_store() {
            return (usize::MAX, until);
        }
        if is_due || !self.holds_back() {
            self.session.settle();
        }
        (self.may_send(), if self.session.needs_store() { Some(self.now) } else { until })
    }

    /// What nothing waits for is written some time.
    pub(super) fn watch_store(&mut self) {
        if self.session.awaits_store() || !self.session.has_changes() {
            self.timers.stop(Timer::Store);
        } else if self.timers.get(Timer::Store).is_none() {
            self.timers.set(Timer::Store, self.now + LAZY);
        }
    }

    /// Whether the store takes a message at once, connected or not, and nobody came before it.
    pub(super) fn accepts(&self, publish: &Publish<'_>) -> bool {
        self.session.may_store(publish) && self.calls.first(Resource::Quota).is_none()
    }

    /// Which changes a message is among that the session has just taken.
    pub(super) const fn next_round(&self) -> u64 {
        self.gate.round + 1
    }
}
