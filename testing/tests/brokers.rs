//! The brokers do what scripts say, for the blocking and for the async client.

use std::time::Duration;

use mqtt_wasi::codec::Packet;
use mqtt_wasi::{AsyncClient, Client, Error, Event, Options, Publish, QoS, ReasonCode, Reconnect, Subscription};
use mqtt_wasi_testing::{Memory, Scripted, packets};

#[test]
fn page_is_right() -> Result<(), Error> {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        let publish = client.expect_publish();
        assert_eq!((publish.topic.as_str(), &publish.payload[..]), ("sensors/kitchen", &b"21.5"[..]));
        client.send(&[packets::puback(1)]);
        client.expect_disconnect();
    });
    let mut client = Client::connect(&broker.url(), Options::new())?;
    client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    client.disconnect()?;
    broker.finish(); // fails unless all of the script has happened
    Ok(())
}

#[test]
fn page_is_right_about_time() -> Result<(), Error> {
    let broker = Memory::new(|packet, answers| {
        if let Packet::Publish(publish) = packet {
            answers.after(Duration::from_secs(20));
            answers.send(packets::puback(publish.packet_id.unwrap().get()));
        }
    });
    let options = Options::new().client_id("c").response_timeout(Duration::from_secs(10));
    let mut client = Client::connect_over(broker, options)?;
    let late = client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce));
    assert_eq!(late, Err(Error::Timeout));
    assert_eq!(client.transport().unwrap().elapsed(), Duration::from_secs(10));
    Ok(())
}

#[test]
fn async_client_gets_what_the_script_sends() {
    let broker = Scripted::start(|broker| {
        let mut client = broker.accept_client();
        assert_eq!(client.grant(), ["sensors/+"]);
        client.send(&[packets::publish("sensors/kitchen", b"21.5")]);
        client.expect_disconnect();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = AsyncClient::connect(&broker.url(), Options::new()).await.unwrap();
        let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtMostOnce)).await.unwrap();
        assert_eq!(messages.receive().await.unwrap().payload, b"21.5");
        client.disconnect().await.unwrap();
    });
    broker.finish();
}

#[test]
fn broken_connection_is_made_again() {
    let broker = Scripted::start(|broker| {
        broker.accept_client().reset();
        broker.accept_client().expect_disconnect();
    });
    let again = Reconnect { first_delay: Duration::from_millis(1), ..Reconnect::default() };
    let mut client = Client::connect(&broker.url(), Options::new().reconnect(again)).unwrap();
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::Connected { .. })) {
        events.extend(client.next_event(Duration::from_secs(10)).unwrap());
    }
    assert!(matches!(events[0], Event::Disconnected(_)), "{events:?}");
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
#[should_panic(expected = "instead of")]
fn script_that_expects_something_else_fails() {
    let broker = Scripted::start(|broker| {
        broker.accept_client().expect(Packet::Pingreq);
    });
    let mut client = Client::connect(&broker.url(), Options::new()).unwrap();
    client.disconnect().unwrap();
    broker.finish();
}

#[test]
fn broker_in_memory_delays_closes_and_stays_silent() {
    let broker = Memory::new(|packet, answers| match packet {
        Packet::Subscribe(subscribe) => {
            answers.send(packets::suback(subscribe.packet_id.get(), &[ReasonCode::GrantedQos1]));
            for hour in 1..=2 {
                answers.after(Duration::from_secs(3600));
                answers.send(packets::publish("hours", hour.to_string().as_bytes()));
            }
        }
        Packet::Publish(_) => answers.close(),
        _ => {}
    });
    let mut client = Client::connect_over(broker, Options::new().client_id("c")).unwrap();
    client.subscribe(&[Subscription::new("hours", QoS::AtLeastOnce)]).unwrap();
    for hour in ["1", "2"] {
        let message = client.receive_timeout(Duration::from_secs(4000)).unwrap().expect("a message each hour");
        assert_eq!(message.payload, hour.as_bytes());
    }
    assert_eq!(client.transport().unwrap().elapsed(), Duration::from_secs(7200));
    let lost = client.publish(&Publish::new("t", "").qos(QoS::AtLeastOnce));
    assert_eq!(lost, Err(Error::ConnectionClosed));
}

#[test]
fn silence_after_connect_is_found_under_virtual_time() {
    let broker = Memory::new(|packet, answers| {
        if matches!(packet, Packet::Pingreq) {
            answers.stay_silent();
        }
    });
    let mut client = Client::connect_over(broker, Options::new().client_id("c").keep_alive(60)).unwrap();
    assert_eq!(client.receive(), Err(Error::KeepAliveTimeout));
}
