//! `wasi:keyvalue` as a host has it: one bucket in memory, which outlives the instances that use it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime::{Result, bail};

use self::bindings::wasi::keyvalue::store::{self, Error};
use crate::runtime::Host;

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../examples/guests/rust/keyvalue.wit",
        inline: "
            package mqtt-wasi:host-tests;

            world key-value {
                import wasi:keyvalue/store@0.2.0-draft;
            }
        ",
        world: "mqtt-wasi:host-tests/key-value",
        imports: { default: trappable },
        with: { "wasi:keyvalue/store.bucket": super::KeyValue },
    });
}

/// A bucket. Whoever has a clone has the same one.
#[derive(Debug, Clone, Default)]
pub struct KeyValue(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<String, Vec<u8>>,
    /// How many more values are taken before an instance ends with one.
    left: Option<u32>,
}

impl KeyValue {
    /// Ends an instance in the call that sets the value after so many others: it has that, and the instance does not
    /// get to know.
    pub fn end_after(&self, values: u32) {
        self.state().left = Some(values);
    }

    /// Ends none any more.
    pub fn end_none(&self) {
        self.state().left = None;
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.state().values.get(key).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a linker the interface.
///
/// # Errors
/// When it has one.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    store::add_to_linker::<_, HasSelf<Host>>(linker, |host| host)
}

impl store::Host for Host {
    fn open(&mut self, identifier: String) -> Result<Result<Resource<KeyValue>, Error>> {
        match self.key_value() {
            _ if !identifier.is_empty() => Ok(Err(Error::NoSuchStore)),
            None => Ok(Err(Error::AccessDenied)),
            Some(bucket) => Ok(Ok(self.table().push(bucket)?)),
        }
    }
}

impl store::HostBucket for Host {
    fn get(&mut self, bucket: Resource<KeyValue>, key: String) -> Result<Result<Option<Vec<u8>>, Error>> {
        Ok(Ok(self.table().get(&bucket)?.get(&key)))
    }

    fn set(&mut self, bucket: Resource<KeyValue>, key: String, value: Vec<u8>) -> Result<Result<(), Error>> {
        let bucket = self.table().get(&bucket)?;
        let mut state = bucket.state();
        state.values.insert(key, value);
        match &mut state.left {
            Some(0) => bail!("the instance ends here, as the test has said"),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(Ok(()))
    }

    fn drop(&mut self, bucket: Resource<KeyValue>) -> Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}
