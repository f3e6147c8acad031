//! Connections, brokers and clients that end at any moment, under load: everything arrives as its QoS promises, in order,
//! nothing stalls and nothing is left over.
//!
//! Each test says the seed that what it does at random follows from. `CHAOS_SEED` in the environment replays it, as far
//! as that goes with threads and a network.

mod killed;
mod load;
mod witness;

use std::sync::Arc;
use std::thread;

use host_tests::broker::Mosquitto;
use host_tests::proxy::{Random, seed};
use host_tests::subject::Subject;
use host_tests::{each_subject, each_subject_over_websocket};
use load::{Load, Peer, Terms};
use mqtt_wasi::QoS;
use witness::Witness;

each_subject!(
    messages_arrive_through_a_connection_that_is_cut_500_times,
    messages_arrive_though_the_broker_is_stopped_and_started_50_times,
    messages_arrive_though_the_broker_is_killed,
    messages_in_flight_to_a_broker_that_is_killed_arrive,
);

each_subject_over_websocket!(
    messages_arrive_through_a_connection_that_is_cut_500_times,
    messages_arrive_though_the_broker_is_stopped_and_started_50_times,
);

const CUTS: u32 = 500;
const STOPS: u32 = 50;
const KILLS: u32 = 20;

fn messages_arrive_through_a_connection_that_is_cut_500_times<S: Subject + 'static>() {
    let Some(broker) = Mosquitto::start() else { return };
    let seed = seed();
    let (proxy, witness) = Witness::proxy(broker.address(), seed);
    let mut load = Load::start::<S>(&proxy.url(), Terms::EXCHANGE, seed, &witness);
    proxy.start_harming();
    for cut in 1..=CUTS {
        load.wait_until(|| proxy.harms() >= cut);
    }
    proxy.go_easy();
    load.finish();
}

fn messages_arrive_though_the_broker_is_stopped_and_started_50_times<S: Subject + 'static>() {
    let Some(mut broker) = Mosquitto::start_persistent() else { return };
    let seed = seed();
    let mut random = Random::new(seed);
    let (proxy, witness) = Witness::proxy(broker.address(), seed);
    let mut load = Load::start::<S>(&proxy.url(), Terms::EXCHANGE, seed, &witness);
    for _ in 0..STOPS {
        thread::sleep(random.millis(100));
        broker.stop();
        thread::sleep(random.millis(30));
        broker.start_again();
        load.wait_for_progress();
    }
    load.finish();
}

/// A broker that is killed has saved nothing, and loses with each session what it had acknowledged and not delivered.
/// Clients cannot know that, so this holds:
/// - They recover from each kill: what they publish then is acknowledged before the next.
/// - What they begin to publish after the last kill arrives, all of it.
/// - What was not acknowledged when a kill came is sent again and arrives. Those that are lost were acknowledged before,
///   in order, so on each topic they are one run of numbers a kill.
///
/// Each client hears itself and not the other, which may be subscribed again only after this one publishes. A client alone
/// makes its subscriptions again before it sends its messages again, so none of them meets a broker without subscribers.
fn messages_arrive_though_the_broker_is_killed<S: Subject + 'static>() {
    let Some(mut broker) = Mosquitto::start_persistent() else { return };
    let seed = seed();
    let mut random = Random::new(seed);
    let terms = Terms {
        qos: [QoS::AtLeastOnce; load::TOPICS],
        hears_itself: true,
        keeps_session: false,
        keeps_messages: false,
        ..Terms::EXCHANGE
    };
    let mut load = Load::start::<S>(&broker.url(), terms, seed, &Arc::default());
    for _ in 0..KILLS {
        thread::sleep(random.millis(200));
        broker.kill();
        load.count_kill();
        thread::sleep(random.millis(50));
        broker.start_again();
        load.wait_for_progress();
    }
    load.finish();
}

/// The same without chance: all that was acknowledged has arrived when the kill comes, and what is sent then stays
/// unacknowledged, since the broker stands still. So nothing may be lost, at either QoS, nor what is published while
/// there is no broker.
fn messages_in_flight_to_a_broker_that_is_killed_arrive<S: Subject>() {
    /// As many as the broker takes at once, or fewer: more would have to wait for it.
    const IN_FLIGHT: usize = 10;
    let Some(mut broker) = Mosquitto::start_persistent() else { return };
    let mut random = Random::new(seed());
    let terms = Terms { hears_itself: true, keeps_session: false, ..Terms::EXCHANGE };
    let mut peer = Peer::<S>::connect(&broker.url(), 0, terms, random.clone(), Arc::default());
    for _ in 0..KILLS {
        peer.publish_batch();
        peer.receive_up_to(peer.sent());
        broker.pause();
        peer.send(IN_FLIGHT);
        assert_eq!(peer.in_flight(), IN_FLIGHT);
        broker.kill();
        let down = random.millis(100);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(down);
                broker.start_again();
            });
            peer.publish_batch();
        });
        peer.receive_up_to(peer.sent());
    }
    peer.finish();
}
