//! The blocking client with a store: without a connection, and at its end.

#[cfg(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2")))]
use super::TcpTransport;
use super::{Client, Network};
use crate::engine::{Engine, Options};
use crate::error::Error;

#[cfg(any(feature = "std", all(feature = "wasi", target_os = "wasi", target_env = "p2")))]
impl Client<TcpTransport> {
    /// A client as [`Client::connect`] makes it, without a connection yet. With a [store](Options::store),
    /// [`Client::enqueue`] takes messages at QoS 1 and 2 at once; [`Client::reconnect`] connects and sends them.
    ///
    /// # Errors
    /// [`Error::Url`]; [`CallError::InvalidOptions`](crate::CallError::InvalidOptions); [`Error::Store`]; and
    /// [`Error::Transport`] for options of the network that cannot be used.
    ///
    #[doc = example!()]
    /// # let folder = std::env::temp_dir().join(format!("mqtt-wasi-doc-offline-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("offline.redb");
    /// use mqtt_wasi::{Client, FileStore, Options, Publish, QoS};
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(3600);
    /// let mut client = Client::offline(&url, options.store(FileStore::open(&path)?))?;
    /// client.enqueue(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    /// // Later, when there is a network:
    /// client.reconnect()?;
    /// # drop(client);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn offline(url: &str, options: Options) -> Result<Self, Error> {
        Self::unconnected(Self::connector_for(&options)?, url, options)
    }
}

impl<T> Client<T> {
    /// A client over this network, which writes to the store of the options.
    pub(super) fn over(mut engine: Engine, mut network: Network<T>) -> Self {
        network.store = engine.take_store();
        Self { engine, network, responder: None }
    }
}

/// What was not worth a write of its own is written now. Nothing is lost without it: more is sent again by the next
/// process.
impl<T> Drop for Client<T> {
    fn drop(&mut self) {
        self.save_last();
    }
}
