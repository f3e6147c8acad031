//! What an idle connection costs this process, in each form of the client.

use std::fs;

use anyhow::{Context as _, Result};
use mqtt_wasi::{AsyncClient, Client, Options};

use crate::interop::Form;
use crate::subject::{Component, Settings, Subject};

/// The memory of idle connections.
#[derive(Debug)]
pub struct Idle {
    /// The form of the client.
    pub form: Form,
    /// How many connections there were.
    pub connections: usize,
    /// By how many bytes each made the resident memory grow.
    pub bytes: u64,
}

/// Connects so many clients of this form to the broker, which is another process, and keeps them until the memory is read.
///
/// # Errors
/// When a client does not connect, or the system does not tell the memory.
pub fn idle_connections(form: Form, url: &str, connections: usize) -> Result<Idle> {
    let settings = Settings { keep_alive: Some(0), ..Settings::default() };
    let options = || Options::new().keep_alive(0);
    let bytes = match form {
        Form::Blocking => growth(connections, || Ok(Client::connect(url, options())?))?,
        Form::Async => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            // Every client's task has run once the next one is connected.
            growth(connections, || Ok(runtime.block_on(AsyncClient::connect(url, options()))?))?
        }
        Form::Component => growth(connections, || {
            Component::connect(url, &settings).map_err(|failure| anyhow::anyhow!("{}", failure.message))
        })?,
    };
    Ok(Idle { form, connections, bytes })
}

/// By how many bytes the resident memory grows with each; the first few pay for what all share.
fn growth<T>(count: usize, mut make: impl FnMut() -> Result<T>) -> Result<u64> {
    let mut kept = Vec::with_capacity(count + 10);
    for _ in 0..10 {
        kept.push(make()?);
    }
    let before = resident_bytes()?;
    for _ in 0..count {
        kept.push(make()?);
    }
    let after = resident_bytes()?;
    Ok(after.saturating_sub(before) / count as u64)
}

fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
