//! `mqtt.wasm` in wasmtime: an instance for each client, and one instance for all of them.

use std::thread;
use std::time::{Duration, Instant};

use host_tests::subject::{Beside, Component, Failure, Settings, Subject};

use super::attend::{self, Attended};
use super::hall::{FIRST, Hall, SETTLING};
use super::{Contender, KEEP_ALIVE};
use crate::contenders::Unable;

pub(super) const ALL: &[Contender] = &[
    Contender { name: "mqtt.wasm, an instance each", run: instances },
    Contender { name: "mqtt.wasm, one instance for all", run: one_instance },
];

fn settings() -> Settings {
    Settings { keep_alive: Some(KEEP_ALIVE), ..Settings::default() }
}

fn connect(hall: &Hall) -> Result<Component, Unable> {
    Component::connect(&hall.url(), &settings()).map_err(told)
}

fn told(failure: Failure) -> Unable {
    Unable::Failed(failure.message)
}

/// Connects the first client on another thread, with the heap that it has for itself: what compiling frees there does
/// not pass for memory that clients do not need.
fn connect_first(hall: &Hall) -> Result<Component, Unable> {
    thread::scope(|scope| scope.spawn(|| connect(hall)).join().unwrap_or_else(|_| Err("compiling panicked".into())))
}

/// All are attended by one thread, each at its deadline.
fn instances(hall: &mut Hall) -> Result<(), Unable> {
    let _compiled = connect_first(hall)?;
    attend::gather(hall, connect)
}

impl Attended for Component {
    fn left(&mut self) -> Option<Duration> {
        self.deadline()
    }

    fn serve(&mut self) -> Result<(), Unable> {
        self.receive(Duration::ZERO).map(drop).map_err(told)
    }
}

/// One thread waits for all of them by `wait`, as a program would that they belong to.
fn one_instance(hall: &mut Hall) -> Result<(), Unable> {
    let mut component = connect_first(hall)?;
    let mut others = Vec::with_capacity(hall.all());
    let url = hall.url();
    for _ in 1..FIRST {
        others.push(component.connect_beside(&url, &settings()).map_err(told)?);
    }
    hall.begin();
    while hall.has_room() {
        others.push(component.connect_beside(&url, &settings()).map_err(told)?);
    }
    hall.connected();
    wait(&mut component, &others, SETTLING)?;
    hall.settled();
    wait(&mut component, &others, hall.idle())?;
    hall.end();
    Ok(())
}

/// Waits for messages, of which none comes.
fn wait(component: &mut Component, others: &[Beside], time: Duration) -> Result<(), Unable> {
    let end = Instant::now() + time;
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        if !component.wait_for_all(others, left).is_empty() {
            return Err("a connection was lost".into());
        }
    }
    Ok(())
}
