//! Work that instances of the component share by a shared subscription.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mqtt_wasi::{Publish, QoS, Subscription};

use crate::subject::{Component, Failure, Native, Settings, Subject};

/// How long the next message may take to come to anybody.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long workers look for messages that come twice, which they do at once.
const QUIET: Duration = Duration::from_secs(1);

/// How many messages each worker got.
#[derive(Debug)]
pub struct Shares(pub Vec<usize>);

/// Publishes so many messages to a shared subscription of so many instances.
///
/// # Errors
/// When a client fails.
pub fn share_work(url: &str, workers: usize, messages: usize) -> Result<Shares> {
    let topic = "scale/work";
    let mut instances = (0..workers)
        .map(|_| {
            let mut worker = Component::connect(url, &Settings::default())?;
            let filter = format!("$share/workers/{topic}");
            worker.subscribe_as(&[Subscription::new(&filter, QoS::AtLeastOnce)], None)?;
            Ok(worker)
        })
        .collect::<Result<Vec<_>, Failure>>()
        .map_err(|failure| anyhow::anyhow!("{}", failure.message))?;
    let received = AtomicUsize::new(0);
    let shares = thread::scope(|scope| {
        let working: Vec<_> = instances
            .iter_mut()
            .map(|worker| {
                scope.spawn(|| {
                    let (mut count, mut last) = (0, Instant::now());
                    loop {
                        let have_all_come = received.load(SeqCst) >= messages;
                        match worker.receive(QUIET) {
                            Ok(Some(_)) => {
                                received.fetch_add(1, SeqCst);
                                (count, last) = (count + 1, Instant::now());
                            }
                            Ok(None) if !have_all_come && last.elapsed() < PATIENCE => {}
                            _ => return count,
                        }
                    }
                })
            })
            .collect();
        let mut publisher = Native::connect(url, &Settings::default()).ok()?;
        let job = Publish::new(topic, "job").qos(QoS::AtLeastOnce);
        publisher.publish_batch(&vec![job; messages]);
        working.into_iter().map(|working| working.join().ok()).collect::<Option<Vec<_>>>()
    });
    Ok(Shares(shares.context("a client fails")?))
}

impl Shares {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }
}
