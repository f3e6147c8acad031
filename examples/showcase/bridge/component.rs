//! The bridge as a component: it imports the client twice, and waits for both connections at the same time.

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "bridge/wit"],
        world: "example:bridge/bridge",
        generate_all,
    });
}

use bindings::example::bridge::{far, far_readiness, near, near_readiness};
use bindings::mqtt_wasi::client::mqtt::{
    Event, Failure, FailureKind, Message, Publication, Qos, Subscription, SubscriptionOptions,
};
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::io::poll::{Pollable, poll};

use crate::{BATCH, Bridge, CLIENT_ID, SESSION};

/// A call may keep the other connection waiting for so long.
const PATIENCE_MS: u32 = 2_000;

/// It looks at both at least so often.
const IDLE_MS: u32 = 60_000;

pub(crate) fn run(bridge: &Bridge) -> Result<(), String> {
    let near = near::Client::open(&bridge.near).map_err(|failure| failure.message)?;
    let far = far::Client::open(&bridge.far).map_err(|failure| failure.message)?;
    println!("{} goes from {} to {}, and {} comes back", bridge.out, bridge.near, bridge.far, bridge.back);
    forward_all(&near, &far, bridge).map_err(|failure| failure.message)
}

/// What is on its way in one direction: published, and not acknowledged yet.
type Way = Vec<(Publication, Option<u64>)>;

fn forward_all(near: &near::Client, far: &far::Client, bridge: &Bridge) -> Result<(), Failure> {
    near.listen(&bridge.out)?;
    far.listen(&bridge.back)?;
    let (mut out, mut back) = (Way::new(), Way::new());
    loop {
        let moved = forward(near, &mut out, far)? + forward(far, &mut back, near)?;
        near.tell("near")?;
        far.tell("far")?;
        if moved == 0 {
            wait(near, far, !(out.is_empty() && back.is_empty()));
        }
    }
}

/// Forwards what is there, and returns how much. What is not published stays for the next time.
fn forward(from: &impl Side, way: &mut Way, to: &impl Side) -> Result<usize, Failure> {
    if way.is_empty() {
        way.extend(from.receive()?.into_iter().map(|message| (publication(&message), message.delivery)));
    }
    let publications: Vec<_> = way.iter().map(|(publication, _)| publication.clone()).collect();
    let mut moved = 0;
    for ((publication, delivery), result) in std::mem::take(way).into_iter().zip(to.publish(&publications)) {
        match result {
            Ok(_) => {}
            Err(Failure { kind: FailureKind::Refused | FailureKind::WrongCall, message, .. }) => {
                eprintln!("{} is not forwarded: {message}", publication.topic);
            }
            // It may have arrived. At QoS 1 it may arrive twice.
            Err(Failure { kind: FailureKind::TimedOut | FailureKind::TryLater, .. }) => {
                way.push((publication, delivery));
                continue;
            }
            Err(failure) => return Err(failure),
        }
        delivery.map(|delivery| from.acknowledge_message(delivery));
        moved += 1;
    }
    Ok(moved)
}

/// The message as it came.
fn publication(message: &Message) -> Publication {
    Publication {
        topic: message.topic.clone(),
        payload: message.payload.clone(),
        qos: message.qos,
        retain: message.retain,
        properties: message.properties.clone().unwrap_or_default(),
    }
}

/// Waits until something comes from either broker, or one of the clients has to be called to keep its connection.
fn wait(near: &near::Client, far: &far::Client, is_behind: bool) {
    let mut pollables: Vec<Pollable> = [near.readiness(), far.readiness()].into_iter().flatten().collect();
    let retry = if is_behind { PATIENCE_MS } else { IDLE_MS };
    let deadlines = [near.deadline_ms(), far.deadline_ms()].into_iter().flatten();
    let nanoseconds = u64::from(deadlines.fold(retry, u32::min)) * 1_000_000;
    pollables.push(monotonic_clock::subscribe_instant(monotonic_clock::now() + nanoseconds));
    poll(&pollables.iter().collect::<Vec<_>>());
}

/// A client of either instance. They are two types, with the same functions.
trait Side: Sized {
    fn open(url: &str) -> Result<Self, Failure>;
    fn listen(&self, filter: &str) -> Result<(), Failure>;
    fn receive(&self) -> Result<Vec<Message>, Failure>;
    fn acknowledge_message(&self, delivery: u64);
    fn publish(&self, publications: &[Publication]) -> Vec<Result<u8, Failure>>;
    fn event(&self) -> Result<Option<Event>, Failure>;
    fn readiness(&self) -> Option<Pollable>;

    /// Prints what happened to the connection.
    fn tell(&self, name: &str) -> Result<(), Failure> {
        while let Some(event) = self.event()? {
            eprintln!("{name}: {}", event.message);
        }
        Ok(())
    }
}

macro_rules! side {
    ($interface:ident, $readiness:ident) => {
        impl Side for $interface::Client {
            fn open(url: &str) -> Result<Self, Failure> {
                let options = $interface::ConnectOptions::new();
                options.set_client_id(CLIENT_ID);
                options.set_clean_start(false);
                options.set_adopt_session(true);
                options.set_session_expiry_interval_seconds(SESSION);
                options.set_acknowledge_by_hand(true);
                options.set_reconnect(true);
                options.set_response_timeout_ms(PATIENCE_MS);
                $interface::connect(url, Some(&options))
            }

            fn listen(&self, filter: &str) -> Result<(), Failure> {
                // What the bridge itself published does not go back, also if both filters match it.
                let options = SubscriptionOptions::NO_LOCAL | SubscriptionOptions::RETAIN_AS_PUBLISHED;
                let subscription = Subscription { filter: filter.into(), maximum_qos: Qos::AtLeastOnce, options };
                let answer = self.subscribe_with(&[subscription], None, &[])?;
                match answer.codes.iter().find(|code| **code >= 0x80) {
                    None => Ok(()),
                    Some(&code) => Err(Failure {
                        kind: FailureKind::Refused,
                        name: "subscribe-refused".into(),
                        message: format!("the broker refused {filter}: Reason Code {code:#04x}"),
                        code: Some(code),
                    }),
                }
            }

            fn receive(&self) -> Result<Vec<Message>, Failure> {
                self.receive_batch(BATCH as u32, 0)
            }

            fn acknowledge_message(&self, delivery: u64) {
                // If its connection is over, the broker sends it again.
                self.acknowledge(delivery);
            }

            fn publish(&self, publications: &[Publication]) -> Vec<Result<u8, Failure>> {
                self.publish_batch(publications)
            }

            fn event(&self) -> Result<Option<Event>, Failure> {
                self.next_event(0)
            }

            fn readiness(&self) -> Option<Pollable> {
                $readiness::readiness(self)
            }
        }
    };
}

side!(near, near_readiness);
side!(far, far_readiness);
