//! The async client over byte streams that its user brings: in memory, a Unix socket, and one that holds what it is
//! given until it is flushed.

use std::time::Duration;

use async_compat::CompatExt as _;
use host_tests::broker::{Mosquitto, each_broker};
use host_tests::packets::{bytes, connack, publish};
use mqtt_wasi::codec::{ConnackProperties, Packet};
use mqtt_wasi::{AsyncClient, Error, Options, Publish, QoS, ReasonCode, Subscription};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, duplex};
use tokio::time::timeout;

/// The example, which is a program of its own.
#[path = "../../examples/smol.rs"]
#[allow(dead_code, reason = "its main function is for its users")]
mod smol_example;

const SOON: Duration = Duration::from_secs(60);

/// A broker at the other end of a stream: takes the connection, sends a message, and acknowledges one.
async fn serve(mut stream: DuplexStream) -> Vec<u8> {
    let mut heard = Vec::new();
    read_packet(&mut stream, &mut heard).await;
    stream.write_all(&bytes(&[connack(ConnackProperties::default()), publish("a", b"hello")])).await.unwrap();
    read_packet(&mut stream, &mut heard).await;
    stream.write_all(&[0x40, 2, 0, 1]).await.unwrap();
    while stream.read_buf(&mut heard).await.unwrap() > 0 {}
    heard
}

async fn read_packet(stream: &mut DuplexStream, heard: &mut Vec<u8>) {
    let start = heard.len();
    while !matches!(Packet::decode(&heard[start..]), Ok(Some(_))) {
        assert_ne!(stream.read_buf(heard).await.unwrap(), 0, "a packet and not the end");
    }
}

#[tokio::test]
async fn client_runs_over_a_pair_in_memory_of_any_size() {
    for size in [1, 7, 64 * 1024] {
        let (near, far) = duplex(size);
        let broker = tokio::spawn(serve(far));
        let client = AsyncClient::connect_over(near, Options::new().client_id("c")).await.unwrap();
        let mut messages = client.messages();
        assert_eq!(timeout(SOON, messages.receive()).await.unwrap().unwrap().payload, b"hello");
        let published = client.publish(&Publish::new("b", "hi").qos(QoS::AtLeastOnce)).await;
        assert_eq!(published, Ok(ReasonCode::Success));
        client.disconnect().await.unwrap();
        let heard = timeout(SOON, broker).await.expect("the stream is closed").unwrap();
        assert_eq!(heard.last_chunk(), Some(&[0xE0, 0]), "DISCONNECT is the last");
    }
}

#[tokio::test]
async fn stream_that_buffers_is_flushed() {
    let (near, far) = duplex(64 * 1024);
    let broker = tokio::spawn(serve(far));
    let buffered = BufWriter::with_capacity(64 * 1024, near);
    let connecting = AsyncClient::connect_over(buffered, Options::new());
    let client = timeout(SOON, connecting).await.expect("CONNECT has left").unwrap();
    client.publish(&Publish::new("b", "hi").qos(QoS::AtLeastOnce)).await.unwrap();
    client.disconnect().await.unwrap();
    let heard = timeout(SOON, broker).await.expect("the stream is closed").unwrap();
    assert_eq!(heard.last_chunk(), Some(&[0xE0, 0]), "DISCONNECT is the last");
}

#[tokio::test]
async fn session_goes_on_over_another_stream() {
    let (near, far) = duplex(1024);
    let broker = tokio::spawn(serve(far));
    let client = AsyncClient::connect_over(near, Options::new().client_id("c")).await.unwrap();
    broker.abort();
    let mut messages = client.messages();
    while timeout(SOON, messages.receive()).await.unwrap().is_ok() {}
    assert!(!client.is_connected());
    assert!(matches!(client.reconnect().await, Err(Error::Call(_))), "there is no URL");
    let (near, far) = duplex(1024);
    let broker = tokio::spawn(serve(far));
    assert_eq!(client.reconnect_over(near).await, Ok(false));
    client.publish(&Publish::new("b", "hi").qos(QoS::AtLeastOnce)).await.unwrap();
    client.disconnect().await.unwrap();
    timeout(SOON, broker).await.expect("the stream is closed").unwrap();
}

#[test]
fn example_receives_its_words_back_by_smol() {
    each_broker(|broker| {
        let lines = smol::block_on(smol_example::run(&broker.to_string()).compat()).unwrap();
        let word = |word: &str| format!("mqtt-wasi/example/smol/{word}: {word}");
        assert_eq!(lines, ["small", "fast", "elsewhere"].map(word));
    });
}

/// Outside of tokio there is but what the adapter brings: the timers, and the task that drives the client.
#[test]
fn session_goes_on_over_another_stream_of_smol() {
    let Some(broker) = Mosquitto::start() else { return };
    let session = async {
        let stream = || smol::net::TcpStream::connect(broker.address());
        let options = Options::new().client_id("smol").session_expiry_interval(60).keep_alive(1);
        let client = AsyncClient::connect_over(stream().await.unwrap().compat(), options).await.unwrap();
        // Keep Alive needs a timer.
        let since = std::time::Instant::now();
        while client.stats().ping_round_trip.is_none() {
            assert!(since.elapsed() < Duration::from_secs(60), "no PINGREQ is answered");
            smol::Timer::after(Duration::from_millis(50)).await;
        }
        assert_eq!(client.reconnect_over(stream().await.unwrap().compat()).await, Ok(true));
        let mut messages = client.listen(Subscription::new("a", QoS::AtLeastOnce)).await.unwrap();
        client.publish(&Publish::new("a", "again").qos(QoS::AtLeastOnce)).await.unwrap();
        assert_eq!(messages.receive().await.unwrap().payload, b"again");
        client.disconnect().await.unwrap();
    };
    smol::block_on(session.compat());
}

#[test]
fn client_connects_from_the_address_that_it_is_told() {
    use host_tests::subject::SOON as PATIENCE;
    use mqtt_wasi::Client;
    use std::net::TcpListener;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let options = || Options::new().bind_address([127, 0, 0, 3]).connect_timeout(Duration::from_secs(2));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(Client::connect(&url, options()).is_err(), "nobody answers CONNECT");
    assert!(runtime.block_on(AsyncClient::connect(&url, options())).is_err());
    for _ in 0..2 {
        assert_eq!(listener.accept().unwrap().1.ip().to_string(), "127.0.0.3");
    }
    let Some(mosquitto) = Mosquitto::start() else { return };
    let options = || Options::new().tcp_keep_alive(Duration::from_secs(30)).socket_buffers(16 * 1024, 16 * 1024);
    Client::connect(&mosquitto.url(), options().connect_timeout(PATIENCE)).unwrap().disconnect().unwrap();
    runtime.block_on(async {
        AsyncClient::connect(&mosquitto.url(), options()).await.unwrap().disconnect().await.unwrap();
    });
}
