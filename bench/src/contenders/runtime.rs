//! What peers that run on tokio have in common: their runtime, and how their jobs are measured.

use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::Unable;
use crate::job::{Job, Work};
use crate::stage::Stage;

/// What takes longer than this has stalled.
const PATIENCE: Duration = Duration::from_secs(60);

/// A runtime of one thread: with one connection, more threads would only wake up each other.
pub(crate) fn current_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Gives up when it takes a minute.
pub(crate) async fn within<T>(future: impl Future<Output = Result<T, Unable>>) -> Result<T, Unable> {
    timeout(PATIENCE, future).await.map_err(|_| Unable::Failed("stalled".into()))?
}

/// Has `operate` do the operations of the warm-up, and measures it while it does those of the job. What it publishes at
/// QoS 0 is written when it returns.
pub(crate) async fn measure(
    stage: &Stage,
    mut operate: impl AsyncFnMut(u32) -> Result<(), Unable>,
) -> Result<(), Unable> {
    let Job { work, operations, warm_up } = stage.job();
    let is_unacknowledged = matches!(work, Work::Publish { qos: 0, .. });
    within(operate(warm_up)).await?;
    if is_unacknowledged {
        stage.arrived(warm_up).await;
    }
    stage.begin();
    within(operate(operations)).await?;
    if is_unacknowledged {
        stage.arrived(warm_up + operations).await;
    }
    stage.end();
    Ok(())
}

/// The messages of [`Work::Reconnect`], as many as can be in flight: no more than there are Packet Identifiers.
pub(crate) fn messages_in_flight(stage: &Stage) -> Result<u32, Unable> {
    let messages = stage.job().operations;
    if messages > u16::MAX.into() {
        return Err(Unable::Lacks("more Packet Identifiers than there are"));
    }
    Ok(messages)
}

/// [`Work::Reconnect`]: has the connection cut, and measures until `resume` has all messages acknowledged.
pub(crate) fn measure_reconnect(
    stage: &Stage,
    runtime: &Runtime,
    resume: impl Future<Output = Result<(), Unable>>,
) -> Result<(), Unable> {
    thread::scope(|scope| {
        // It blocks until no more messages come, which the runtime may still send.
        scope.spawn(|| stage.cut());
        runtime.block_on(within(resume))
    })?;
    stage.end();
    Ok(())
}
