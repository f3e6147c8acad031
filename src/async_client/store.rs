//! The async client with a store: without a connection, and what its driver writes.

use alloc::string::ToString;

use tokio::task::JoinHandle;

use super::AsyncClient;
use super::driver::Driver;
use crate::engine::{Engine, OpenStore, Options};
use crate::error::{Error, StoreError, StoreErrorKind};
use crate::session::Changes;

/// A write that is under way, and what it gives back.
pub(super) type Write = JoinHandle<(OpenStore, Changes, Result<(), StoreError>)>;

impl AsyncClient {
    /// A client as [`AsyncClient::connect`] makes it, without a connection yet. With a [store](Options::store),
    /// [`AsyncClient::enqueue`] takes messages at QoS 1 and 2 at once; [`AsyncClient::reconnect`] connects and sends
    /// them.
    ///
    /// # Errors
    /// [`Error::Url`]; [`CallError::InvalidOptions`](crate::CallError::InvalidOptions); [`Error::Store`]; and
    /// [`Error::Transport`] for options of the network that cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without I/O or time.
    ///
    #[doc = async_example!()]
    /// # let folder = std::env::temp_dir().join(format!("mqtt-wasi-doc-async-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("offline.redb");
    /// use mqtt_wasi::{AsyncClient, FileStore, Options, Publish, QoS};
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(3600);
    /// let client = AsyncClient::offline(&url, options.store(FileStore::open(&path)?))?;
    /// client.enqueue(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce)).await?;
    /// // Later, when there is a network:
    /// client.reconnect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn offline(url: &str, options: Options) -> Result<Self, Error> {
        Self::unconnected(url, options)
    }
}

impl Driver {
    /// Has changes written, where that keeps no task from its turn; whether there were any.
    pub(super) fn save(&mut self, engine: &mut Engine) -> bool {
        if self.write.is_some() {
            return false;
        }
        let now = super::runtime::now();
        let Some(changes) = engine.take_changes(now) else { return false };
        let Some(mut store) = self.store.take().or_else(|| engine.take_store()) else {
            engine.stored(changes, Err(lost()), now);
            return true;
        };
        let write = move || {
            let result = store.write(&changes);
            (store, changes, result)
        };
        self.write = Some(if cfg!(target_family = "wasm") {
            tokio::spawn(async { write() })
        } else {
            tokio::task::spawn_blocking(write)
        });
        true
    }

    /// A write is over.
    pub(super) fn saved(
        &mut self,
        engine: &mut Engine,
        written: Result<(OpenStore, Changes, Result<(), StoreError>), tokio::task::JoinError>,
    ) {
        self.write = None;
        let (changes, result) = match written {
            Ok((store, changes, result)) => {
                self.store = Some(store);
                (changes, result)
            }
            Err(_) => (Changes::default(), Err(lost())),
        };
        engine.stored(changes, result, super::runtime::now());
    }

    /// What was not worth a write of its own is written at the end. Nothing is lost without it.
    pub(super) fn save_last(&mut self, engine: &mut Engine) {
        if let Some(mut store) = self.store.take()
            && let Some(changes) = engine.take_last_changes()
        {
            let _ = store.write(&changes);
        }
    }
}

/// The store is gone with a panic of its own, or with the threads of its runtime.
fn lost() -> StoreError {
    StoreError { kind: StoreErrorKind::Failed, message: "the thread that wrote to it has ended".to_string() }
}
