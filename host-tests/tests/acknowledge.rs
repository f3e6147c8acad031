//! Messages that are acknowledged by hand.

use host_tests::packets::{disconnect, puback};
use host_tests::scripted::Scripted;
use host_tests::subject::{SOON, Settings, Subject};
use host_tests::{each_subject, each_subject_over_websocket};
use mqtt_wasi::codec::{Packet, PacketId, Publish, QoS, ReasonCode};

each_subject!(acknowledgements_reach_the_broker_in_the_order_of_the_messages);

each_subject_over_websocket!(acknowledgements_reach_the_broker_in_the_order_of_the_messages);

fn acknowledgements_reach_the_broker_in_the_order_of_the_messages<S: Subject>() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        let message = |id, payload| Publish {
            packet_id: PacketId::new(id),
            ..Publish::new("work", payload).qos(QoS::AtLeastOnce)
        };
        client.send(&[
            Packet::Publish(message(7, "first")),
            Packet::Publish(message(8, "second")),
            Packet::Publish(Publish::new("work", "third")),
        ]);
        client.expect(puback(7));
        client.expect(puback(8));
        client.expect(disconnect(ReasonCode::NORMAL_DISCONNECTION));
    });
    let settings = Settings { acknowledge_by_hand: true, ..Settings::default() };
    let mut client = S::connect(&broker.url(), &settings).unwrap();
    let mut next = || client.receive_unacknowledged(SOON).unwrap().expect("a message within seconds");
    let [(first, one), (second, two), (third, none)] = [next(), next(), next()];
    assert_eq!([&first.payload, &second.payload, &third.payload], [&b"first"[..], b"second", b"third"]);
    assert!(none.is_none(), "nothing to acknowledge at QoS 0");
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(client.acknowledge(two));
    assert!(!client.acknowledge(two), "it was done before");
    assert!(client.acknowledge(one));
    client.flush().unwrap();
    client.disconnect().unwrap();
    broker.finish();
}
