//! The async client under schedules chosen at random: its tasks, those of its users and the broker's take turns in every
//! order, and whoever holds a lock may have to let others wait. Where nothing but a wake-up that was lost keeps a task from
//! going on, all tasks sleep, and that is found.
//!
//! `cargo xtask schedules` runs these, and many more of them than the tests do.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

use self::runtime::{Peer, task};
use super::AsyncClient;
use crate::codec::{Ack, Connack, ConnackProperties, Packet, Publish, QoS, ReasonCode, Suback, Subscription, Unsuback};
use crate::engine::{Options, Overflow, Reconnect};
use crate::error::{CallError, Error};
use crate::respond::{Reply, Responder};

pub(super) mod runtime;

/// How many schedules each test goes through; `SCHEDULES` says otherwise.
const SCHEDULES: usize = 400;

/// Goes through schedules, those that are purely random and those that hold some tasks back for long.
fn explore(scene: impl AsyncFn() + Copy + Send + Sync + 'static) {
    let schedules = std::env::var("SCHEDULES").ok().and_then(|number| number.parse().ok()).unwrap_or(SCHEDULES);
    let run = move || {
        runtime::begin_anew();
        shuttle::future::block_on(scene());
    };
    let config = || {
        let mut config = Config::new();
        // A schedule that is not over by then never will be.
        config.max_steps = MaxSteps::FailAfter(200_000);
        config.stack_size = 1024 * 1024;
        config
    };
    Runner::new(RandomScheduler::new(schedules), config()).run(run);
    Runner::new(PctScheduler::new(3, schedules), config()).run(run);
}

/// Options of a client that no time ends anything for.
fn endless() -> Options {
    let policy = Reconnect { first_delay: Duration::ZERO, longest_delay: Duration::ZERO, ..Reconnect::default() };
    Options::new()
        .keep_alive(0)
        .connect_timeout(Duration::MAX)
        .response_timeout(Duration::MAX)
        .response_topic("replies")
        .reconnect(policy)
}

/// A broker of one client that gets what it publishes, as far as it has subscribed to the very topic. Closes connections
/// behind so many packets of the client, if it is to, and takes so many messages at once.
async fn broker(connections: Arc<AtomicUsize>, closes_behind: Option<usize>, receive_maximum: u16) {
    loop {
        let peer = Peer::accept().await;
        connections.fetch_add(1, Ordering::Relaxed);
        let mut packets = 0;
        let mut filters: Vec<Vec<u8>> = Vec::new();
        let mut unread = Vec::new();
        'connection: loop {
            let came = peer.read().await;
            if came.is_empty() {
                break;
            }
            unread.extend(came);
            let mut answers = Vec::new();
            let mut read = 0;
            while let Ok(Some((packet, len))) = Packet::decode(&unread[read..]) {
                read += len;
                packets += 1;
                if closes_behind.is_some_and(|most| packets > most) {
                    break 'connection;
                }
                if matches!(packet, Packet::Disconnect(_)) {
                    break 'connection;
                }
                answer(&packet, receive_maximum, &mut filters, &mut answers);
            }
            unread.drain(..read);
            peer.write(&answers).await;
        }
    }
}

fn answer(packet: &Packet<'_>, receive_maximum: u16, filters: &mut Vec<Vec<u8>>, answers: &mut Vec<u8>) {
    let codes = [ReasonCode::GrantedQos1];
    let answer = match packet {
        Packet::Connect(_) => {
            // Messages are told by their topics.
            let properties = ConnackProperties {
                receive_maximum: Some(receive_maximum),
                subscription_identifier_available: Some(false),
                ..ConnackProperties::default()
            };
            Packet::Connack(Connack { properties, ..Connack::default() })
        }
        Packet::Publish(publish) => {
            if filters.iter().any(|filter| filter == publish.topic.as_bytes()) {
                let again = Publish { packet_id: None, qos: QoS::AtMostOnce, dup: false, ..*publish };
                Packet::Publish(again).encode(answers).unwrap();
            }
            let Some(id) = publish.packet_id else { return };
            Packet::Puback(Ack::success(id))
        }
        Packet::Subscribe(subscribe) => {
            filters.extend(subscribe.subscriptions.iter().map(|subscription| subscription.filter.into()));
            Packet::Suback(Suback {
                packet_id: subscribe.packet_id,
                properties: Default::default(),
                reason_codes: codes[..].into(),
            })
        }
        Packet::Unsubscribe(unsubscribe) => {
            for filter in unsubscribe.filters.iter() {
                filters.retain(|other| other != filter.as_bytes());
            }
            let codes = [ReasonCode::Success];
            return Packet::Unsuback(Unsuback {
                packet_id: unsubscribe.packet_id,
                properties: Default::default(),
                reason_codes: codes[..].into(),
            })
            .encode(answers)
            .unwrap();
        }
        _ => return,
    };
    answer.encode(answers).unwrap();
}

fn start_broker(closes_behind: Option<usize>, receive_maximum: u16) -> Arc<AtomicUsize> {
    let connections = Arc::new(AtomicUsize::new(0));
    runtime::spawn(broker(Arc::clone(&connections), closes_behind, receive_maximum));
    connections
}

async fn connect() -> AsyncClient {
    AsyncClient::connect("mqtt://broker", endless()).await.unwrap()
}

fn message(topic: &'static str, qos: QoS) -> Publish<'static> {
    Publish::new(topic, "some bytes").qos(qos)
}

/// Polls a future so often, and gives it up.
async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
        shuttle::future::yield_now().await;
    }
    None
}

#[test]
fn messages_that_wait_for_the_window_all_get_their_turn() {
    explore(async || {
        start_broker(None, 1);
        let client = connect().await;
        let publishers: Vec<_> = (0..4)
            .map(|number| {
                let client = client.clone();
                task(async move {
                    let qos = if number == 3 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                    for _ in 0..2 {
                        assert_eq!(client.publish(&message("a", qos)).await, Ok(ReasonCode::Success));
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.await;
        }
    });
}

#[test]
fn messages_that_are_given_up_make_way() {
    explore(async || {
        start_broker(None, 1);
        let client = connect().await;
        let publishers: Vec<_> = (0..4)
            .map(|number| {
                let client = client.clone();
                task(async move {
                    let message = message("a", QoS::AtLeastOnce);
                    if number % 2 == 0 {
                        let polls = shuttle::rand::thread_rng().gen_range(0..6);
                        give_up_after(polls, client.publish(&message)).await;
                    } else {
                        assert_eq!(client.publish(&message).await, Ok(ReasonCode::Success));
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.await;
        }
    });
}

#[test]
fn listeners_hear_what_is_published_and_make_way_when_they_are_slow() {
    explore(async || {
        start_broker(None, 10);
        let client = connect().await;
        let listeners: Vec<_> = ["a", "b"]
            .map(|topic| {
                let client = client.clone();
                task(async move {
                    let subscription = Subscription::new(topic, QoS::AtLeastOnce);
                    let mut messages = client.listen_with(subscription, Overflow::Wait(1)).await.unwrap();
                    for _ in 0..3 {
                        client.publish(&message(topic, QoS::AtLeastOnce)).await.unwrap();
                    }
                    for _ in 0..3 {
                        assert_eq!(messages.receive().await.unwrap().topic, topic);
                    }
                    // One that is given up leaves the others as they are.
                    drop(messages);
                    client.publish(&message(topic, QoS::AtLeastOnce)).await.unwrap();
                })
            })
            .into();
        for listener in listeners {
            listener.await;
        }
    });
}

#[test]
fn requests_are_answered_and_those_given_up_make_way() {
    explore(async || {
        start_broker(None, 10);
        let client = AsyncClient::connect("mqtt://broker", endless().pending_request_limit(1)).await.unwrap();
        let mut requests =
            client.listen(Subscription::new("ask", QoS::AtLeastOnce)).await.unwrap().into_requests(Responder::new());
        let server = task(async move {
            while let Ok(request) = requests.receive().await {
                let _ = request.reply(Reply::new("yes")).await;
            }
        });
        let requesters: Vec<_> = (0..3)
            .map(|number| {
                let client = client.clone();
                task(async move {
                    let question = Publish::new("ask", "?").qos(QoS::AtLeastOnce);
                    if number == 0 {
                        let polls = shuttle::rand::thread_rng().gen_range(0..4);
                        give_up_after(polls, client.request(&question, Duration::MAX)).await;
                    }
                    assert_eq!(client.request(&question, Duration::MAX).await.unwrap().payload, b"yes");
                })
            })
            .collect();
        for requester in requesters {
            requester.await;
        }
        client.disconnect().await.unwrap();
        server.await;
    });
}

#[test]
fn calls_go_on_over_connections_that_are_lost() {
    explore(async || {
        let connections = start_broker(Some(4), 1);
        let client = connect().await;
        let publishers: Vec<_> = (0..3)
            .map(|_| {
                let client = client.clone();
                task(async move {
                    for _ in 0..3 {
                        // The broker forgets the session, and the message is sent again.
                        assert_eq!(client.publish(&message("a", QoS::AtLeastOnce)).await, Ok(ReasonCode::Success));
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.await;
        }
        assert!(connections.load(Ordering::Relaxed) > 1);
    });
}

#[test]
fn everything_ends_when_the_client_disconnects() {
    explore(async || {
        start_broker(None, 1);
        let client = connect().await;
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let client = client.clone();
            tasks.push(task(async move {
                for _ in 0..3 {
                    let done = client.publish(&message("a", QoS::AtLeastOnce)).await;
                    assert!(matches!(done, Ok(_) | Err(Error::Call(CallError::NotConnected))), "{done:?}");
                }
            }));
        }
        let events = client.clone();
        tasks.push(task(async move { while events.next_event().await.is_ok() {} }));
        let mut messages = client.messages();
        tasks.push(task(async move { while messages.receive().await.is_ok() {} }));
        let other = client.clone();
        tasks.push(task(async move { other.disconnect().await.unwrap() }));
        client.disconnect().await.unwrap();
        for task in tasks {
            task.await;
        }
    });
}

#[test]
fn calls_end_in_time_whatever_else_happens() {
    explore(async || {
        // It answers CONNECT and nothing else.
        runtime::spawn(async {
            let peer = Peer::accept().await;
            let mut answers = Vec::new();
            answer(&Packet::Connect(Default::default()), 1, &mut Vec::new(), &mut answers);
            peer.read().await;
            peer.write(&answers).await;
            while !peer.read().await.is_empty() {}
        });
        let options = endless().response_timeout(Duration::from_secs(5));
        let client = AsyncClient::connect("mqtt://broker", options).await.unwrap();
        let publishers: Vec<_> = (0..3)
            .map(|_| {
                let client = client.clone();
                task(async move {
                    let done = client.publish(&message("a", QoS::AtLeastOnce)).await;
                    assert_eq!(done, Err(Error::Timeout));
                })
            })
            .collect();
        let are_over = Arc::new(AtomicBool::new(false));
        let see_end = Arc::clone(&are_over);
        let clock = task(async move {
            while !see_end.load(Ordering::Relaxed) {
                runtime::pass(Duration::from_secs(1));
                shuttle::future::yield_now().await;
            }
        });
        for publisher in publishers {
            publisher.await;
        }
        are_over.store(true, Ordering::Relaxed);
        clock.await;
    });
}
