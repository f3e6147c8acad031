//! A broker that is restarted again and again while each form of the client publishes and receives at QoS 1: what it
//! has acknowledged has to arrive.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mqtt_wasi::{Publish, QoS};

use super::stage::{Form, SOON, Stage, said, subscribe, with_a_session};
use super::{FORMS, Server};
use crate::subject::{Async, Component, Happening, Native, Settings, Subject};

/// How long the broker runs between two restarts, beside what it takes to start.
const BETWEEN: Duration = Duration::from_millis(700);

/// How long a client may take to be back after the last restart.
const BACK: Duration = Duration::from_secs(60);

/// How a broker comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// By SIGTERM, as its operator would.
    Stopped,
    /// By SIGKILL.
    Killed,
    /// By SIGTERM, once, in the first connection, which began with Clean Start, as connections do by default.
    StoppedAtFirst,
}

/// What came of it in one form.
#[derive(Debug, Default)]
pub struct Restarts {
    acknowledged: BTreeSet<u32>,
    received: BTreeSet<u32>,
    /// How often CONNACK told the subscriber that there was a session, and that there was none.
    sessions: [u32; 2],
    /// Acknowledged with the Reason Code that nobody has subscribed.
    nobody: u32,
}

/// Tells the clients that it is over, also where the broker does not start again.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Counts the forms whose clients are connected, or cannot be: at the latest when it is dropped.
struct Ready<'a>(&'a AtomicUsize);

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the clients of one form go by.
struct Orders<'a> {
    begins_clean: bool,
    is_over: &'a AtomicBool,
}

impl Restart {
    /// Its name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "acknowledged_messages_survive_restarts",
            Self::Killed => "acknowledged_messages_survive_kills",
            Self::StoppedAtFirst => "session_begun_clean_survives_a_restart",
        }
    }

    /// What a user gets from it.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Stopped => "no acknowledged QoS 1 message is lost over 20 restarts (SIGTERM)",
            Self::Killed => "no acknowledged QoS 1 message is lost over 20 kills (SIGKILL)",
            Self::StoppedAtFirst => "a session that began with Clean Start survives a restart",
        }
    }
}

impl Restarts {
    /// Restarts the broker so often, and tells what came of it in each form.
    pub fn run(server: &mut Server, restart: Restart, times: u32) -> Vec<(Form, Result<(), String>)> {
        let (is_over, ready, url) = (AtomicBool::new(false), AtomicUsize::new(0), server.url());
        thread::scope(|scope| {
            let clients = FORMS.map(|form| {
                let stage = Stage::new(&url, restart.name(), form);
                let orders = Orders { begins_clean: restart == Restart::StoppedAtFirst, is_over: &is_over };
                let ready = Ready(&ready);
                let client = move || match form {
                    Form::Blocking => Self::publish_and_receive::<Native>(&stage, &orders, ready),
                    Form::Async => Self::publish_and_receive::<Async>(&stage, &orders, ready),
                    Form::Component => Self::publish_and_receive::<Component>(&stage, &orders, ready),
                };
                (form, scope.spawn(client))
            });
            let over = Over(&is_over);
            // The first connection is made once, so it has to find the broker.
            while ready.load(Ordering::SeqCst) < FORMS.len() {
                thread::sleep(Duration::from_millis(20));
            }
            for _ in 0..times {
                thread::sleep(BETWEEN);
                match restart {
                    Restart::Stopped | Restart::StoppedAtFirst => server.stop(),
                    Restart::Killed => server.kill(),
                }
                server.start_again();
            }
            thread::sleep(BETWEEN);
            drop(over);
            clients
                .into_iter()
                .map(|(form, client)| {
                    let outcome = match client.join() {
                        Ok(seen) => seen.and_then(|seen| seen.check(restart)).map_err(|error| format!("{error:#}")),
                        Err(_) => Err("the client panics".into()),
                    };
                    (form, outcome)
                })
                .collect()
        })
    }

    fn publish_and_receive<S: Subject + Send>(stage: &Stage, orders: &Orders<'_>, ready: Ready<'_>) -> Result<Self> {
        let is_over = orders.is_over;
        let reconnect = Some((Duration::from_millis(50), Duration::from_millis(500)));
        let clean_start = Some(orders.begins_clean);
        let settings = Settings { reconnect, clean_start, connect_timeout: Some(SOON), ..with_a_session() };
        let mut subscriber: S = stage.connect_with("subscriber", settings.clone())?;
        let topic = stage.topic("numbers");
        subscribe(&mut subscriber, &topic, QoS::AtLeastOnce)?;
        thread::scope(|scope| {
            let receiving = thread::Builder::new().spawn_scoped(scope, {
                let mut seen = Self::default();
                move || {
                    while !is_over.load(Ordering::SeqCst) {
                        seen.take_message(&mut subscriber, Duration::from_millis(200));
                    }
                    (seen, subscriber)
                }
            });
            let mut publisher: S = stage.connect_with("publisher", settings)?;
            drop(ready);
            let (mut acknowledged, mut nobody) = (BTreeSet::new(), 0);
            for number in 0_u32.. {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                match publisher.publish(&Publish::new(&topic, &number.to_be_bytes()).qos(QoS::AtLeastOnce)) {
                    Ok(mqtt_wasi::ReasonCode::NoMatchingSubscribers) => nobody += 1,
                    Ok(_) => drop(acknowledged.insert(number)),
                    // It was not acknowledged, so it may be lost.
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
                thread::sleep(Duration::from_millis(2));
            }
            let (mut seen, mut subscriber) = receiving?.join().map_err(|_| anyhow::anyhow!("the subscriber panics"))?;
            (seen.acknowledged, seen.nobody) = (acknowledged, nobody);
            seen.drain(&mut subscriber)?;
            Ok(seen)
        })
    }

    fn take_message<S: Subject>(&mut self, subscriber: &mut S, timeout: Duration) -> bool {
        let message = subscriber.receive(timeout);
        while let Ok(Some(event)) = subscriber.next_event(Duration::ZERO) {
            if let Happening::Reconnected { session_present } = event {
                self.sessions[usize::from(!session_present)] += 1;
            }
        }
        match message {
            Ok(Some(message)) => {
                self.received.extend(message.payload.try_into().map(u32::from_be_bytes));
                true
            }
            Ok(None) => false,
            Err(_) => {
                thread::sleep(Duration::from_millis(20));
                false
            }
        }
    }

    /// Takes what is there, until nothing comes any more from a broker that is there.
    fn drain<S: Subject>(&mut self, subscriber: &mut S) -> Result<()> {
        let end = Instant::now() + BACK;
        let mut quiet = 0;
        while quiet < 30 && !self.acknowledged.is_subset(&self.received) {
            ensure!(Instant::now() < end || subscriber.is_connected(), "the client is not back after {BACK:?}");
            let got = self.take_message(subscriber, Duration::from_millis(300));
            quiet = if got || !subscriber.is_connected() { 0 } else { quiet + 1 };
        }
        said(subscriber.disconnect()).context("disconnecting")
    }

    fn check(&self, restart: Restart) -> Result<()> {
        let Self { acknowledged, received, sessions: [kept, lost], nobody } = self;
        ensure!(acknowledged.len() > 20, "only {} messages were acknowledged", acknowledged.len());
        let missing = acknowledged.difference(received).count();
        let holds = missing == 0 && *nobody == 0 && (*lost == 0 || restart != Restart::StoppedAtFirst);
        ensure!(
            holds,
            "lost {missing} of {} messages that the broker acknowledged, and acknowledged {nobody} more with No \
             matching subscribers; CONNACK said Session Present {kept} times, and none {lost} times",
            acknowledged.len()
        );
        Ok(())
    }
}
