//! The component for WASI 0.3: several calls at once over one client, calls that are given up, and what a client does
//! while nobody calls. What it has in common with the other forms is tested with them.

use std::net::TcpListener;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use host_tests::bindings_p3::exports::mqtt_wasi::client::mqtt::{Payload, Qos};
use host_tests::broker::{Embedded, Mosquitto, each_broker, url};
use host_tests::components::{compose, load};
use host_tests::packets::publish_qos1;
use host_tests::runtime::{Permissions, Runtime};
use host_tests::scripted::Scripted;
use host_tests::subject::{ComponentP3, SOON, Settings, Subject};
use host_tests::timing::undisturbed;
use mqtt_wasi::QoS;
use mqtt_wasi::codec::{Ack, ConnackProperties, Packet, PacketType, Publish};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The guest of `host-tests/guests-p3`, composed with the component.
static GUEST: LazyLock<Runtime> = LazyLock::new(|| {
    let composed = compose(&load("guests/p3.wasm").unwrap(), &load("mqtt-p3.wasm").unwrap());
    Runtime::p3(&composed.unwrap_or_else(|error| panic!("{error:?}"))).unwrap_or_else(|error| panic!("{error:?}"))
});

/// Has the guest run one of its stories to its end. Returns how much memory both components had then.
fn tell(story: &str, url: &str, permissions: &Permissions) -> usize {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let told: wasmtime::Result<_> = runtime.block_on(async {
        let mut store = GUEST.store(permissions);
        store.limiter(|host| host);
        let instance = GUEST.linker().instantiate_async(&mut store, GUEST.component()).await?;
        let run = instance.get_typed_func::<(String, String), (Result<(), String>,)>(&mut store, "run")?;
        let arguments = (story.to_owned(), url.to_owned());
        let told = store.run_concurrent(async |host| run.call_concurrent(host, arguments).await).await??;
        Ok((told, store.data().memory_bytes()))
    });
    let ((told,), memory_bytes) = told.unwrap_or_else(|trap| panic!("{story} trapped: {trap:?}"));
    told.unwrap_or_else(|failure| panic!("{story}: {failure}"));
    memory_bytes
}

fn tell_at_each_broker(story: &str) {
    each_broker(|broker| {
        tell(story, &url(broker), &Permissions::to(broker));
    });
}

#[test]
fn largest_message_goes_from_a_stream_into_a_stream() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let broker = mosquitto.address();
    // Its Keep Alive is short, and moving so much takes the processor for long.
    undisturbed(|| {
        let memory_bytes = tell("stream", &url(broker), &Permissions::to(broker));
        println!("{memory_bytes} bytes of memory at most, for 256 MiB");
        assert!(memory_bytes < 4 * 1024 * 1024, "{memory_bytes} bytes");
    });
}

#[test]
fn streams_may_end_early_and_be_dropped() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let broker = mosquitto.address();
    tell("stream-edges", &url(broker), &Permissions::to(broker));
}

#[test]
fn streamed_message_is_acknowledged_when_it_was_read() {
    let broker = Scripted::start(|broker| {
        for _ in 0..2 {
            let mut peer = broker.accept_client();
            peer.grant();
            for (id, len) in [(1, 100), (2, 30_000), (3, 0)] {
                // As the guest expects it.
                let byte = |place: u64| (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
                peer.send(&[publish_qos1(id, "f", &(0..len).map(byte).collect::<Vec<_>>())]);
                if len > 0 {
                    let told = peer.expect_publish();
                    assert_eq!(told.payload, b"it has come", "before it is acknowledged");
                }
                // It is read by then, and in which of two turns the client tells so is its own business.
                let mut came = [(); 2].map(|()| peer.next_packet().expect("a packet").packet().packet_type());
                came.sort();
                assert_eq!(came, [PacketType::Publish, PacketType::Puback]);
            }
            peer.expect_disconnect();
        }
    });
    tell("stream-acknowledged", &broker.url(), &Permissions::to(address_of(&broker.url())));
    broker.finish();
}

#[test]
fn calls_of_all_kinds_are_under_way_at_once() {
    tell_at_each_broker("at-once");
}

#[test]
fn message_goes_to_nobody_who_has_given_up() {
    tell_at_each_broker("receive");
}

#[test]
fn reply_to_a_request_that_was_given_up_is_dropped() {
    tell_at_each_broker("request");
}

#[test]
fn client_that_is_dropped_leaves_its_will() {
    tell_at_each_broker("drop");
}

#[test]
fn message_that_was_not_sent_is_taken_back() {
    let broker = Scripted::start(|broker| {
        let terms = ConnackProperties { receive_maximum: Some(1), ..ConnackProperties::default() };
        let mut peer = broker.accept_client_with(terms);
        let mut payloads = Vec::new();
        for _ in 0..2 {
            let received = peer.expect_type(PacketType::Publish);
            let Packet::Publish(Publish { packet_id: Some(id), payload, .. }) = received.packet() else {
                panic!("QoS 1")
            };
            payloads.push(String::from_utf8_lossy(payload).into_owned());
            if payloads.len() == 1 {
                // What is given up is the second.
                assert_eq!(peer.expect_publish().topic, "p3/given-up");
            }
            peer.send(&[Packet::Puback(Ack::success(id))]);
        }
        assert_eq!(payloads, ["first", "third"]);
        peer.expect_disconnect();
    });
    tell("publish", &broker.url(), &Permissions::to(address_of(&broker.url())));
    broker.finish();
}

#[test]
fn attempt_to_connect_can_be_given_up() {
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let broker = Embedded::start().unwrap();
    let mut permissions = Permissions::to(address_of(&broker.url()));
    permissions.addresses.push(silent.local_addr().unwrap());
    let urls = format!("{} {}", url(silent.local_addr().unwrap()), broker.url());
    tell("connect", &urls, &permissions);
}

#[test]
fn keep_alive_goes_on_while_nobody_calls() {
    undisturbed(|| {
        let broker = Scripted::start(|broker| {
            let pings = broker.accept_client().answer_pings(Duration::from_secs(1));
            assert!((2..=4).contains(&pings), "{pings} pings in 2.5 seconds");
        });
        let settings = Settings { keep_alive: Some(1), ..Settings::default() };
        let mut client = ComponentP3::connect(&broker.url(), &settings).unwrap();
        client.concurrently(async |_, _, _| sleep(Duration::from_millis(2_500)).await);
        client.disconnect().unwrap();
        broker.finish();
    });
}

#[test]
fn lost_connection_is_made_again_while_nobody_calls() {
    let (connect, is_connecting) = oneshot::channel();
    let broker = Scripted::start(move |broker| {
        broker.accept_client().reset();
        let peer = broker.accept_client();
        connect.send(()).unwrap();
        peer.expect_disconnect();
    });
    let soon = Duration::from_millis(1);
    let settings = Settings { reconnect: Some((soon, soon)), ..Settings::default() };
    let mut client = ComponentP3::connect(&broker.url(), &settings).unwrap();
    let accepted = client.concurrently(async |_, _, _| timeout(SOON, is_connecting).await);
    assert_eq!(accepted, Ok(Ok(())), "nobody calls, and there is a new connection");
    let start = Instant::now();
    while !client.is_connected() {
        assert!(start.elapsed() < SOON, "CONNACK is not read");
        client.concurrently(async |_, _, _| sleep(Duration::from_millis(10)).await);
    }
    assert_eq!(client.stats().reconnects, 1);
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn host_has_several_calls_under_way_at_once() {
    each_broker(|broker| {
        let mut client = ComponentP3::connect(&url(broker), &Settings::default()).unwrap();
        client.subscribe("p3/host", QoS::AtLeastOnce);
        let (received, sent) = client.concurrently(async |host, guest, client| {
            let payload = Payload::Text("to myself".to_owned());
            let receive = guest.call_receive(host, client, 1, None);
            let publish = guest.call_publish(host, client, "p3/host".to_owned(), payload, Qos::AtLeastOnce, false);
            futures::future::join(receive, publish).await
        });
        assert_eq!(sent.unwrap().unwrap(), 0);
        let received = received.unwrap().unwrap();
        assert!(matches!(&received[..], [message] if message.topic == "p3/host"), "{received:?}");
        client.disconnect().unwrap();
    });
}

fn address_of(url: &str) -> std::net::SocketAddr {
    url.strip_prefix("mqtt://").unwrap().parse().unwrap()
}
