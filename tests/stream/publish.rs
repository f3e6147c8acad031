//! Messages that are streamed to the broker.

use std::pin::pin;

use mqtt_wasi::codec::{Ack, Packet, PacketId, PacketType, Publish};
use mqtt_wasi::{AsyncClient, Error, Event, Options, QoS, ReasonCode, StreamError};

use crate::heap;
use crate::wire::{Broker, MOST_MEMORY, Source, connected, run};

/// A client that pings seldom.
fn options() -> Options {
    Options::new().client_id("c").keep_alive(600)
}

/// What a PUBLISH to the topic `t` at QoS 1 has before its payload.
const HEAD: u64 = 6;

/// The longest payload of such a message.
const LONGEST: u64 = 268_435_455 - HEAD;

fn message() -> Publish<'static> {
    Publish::new("t", "").qos(QoS::AtLeastOnce)
}

impl Broker {
    /// Gets the message up to its payload: its Packet Identifier, and how long its payload is.
    async fn gets_head(&mut self) -> (PacketId, u64) {
        let (first, len) = self.next_header().await;
        assert_eq!(first, 0x32, "PUBLISH at QoS 1");
        let head = self.bytes(HEAD as usize).await;
        assert_eq!((&head[..3], head[5]), (&b"\x00\x01t"[..], 0));
        (PacketId::new(u16::from_be_bytes([head[3], head[4]])).unwrap(), len - HEAD)
    }

    async fn acknowledges(&mut self, id: PacketId) {
        self.send(&Packet::Puback(Ack::success(id))).await;
    }
}

/// Publishes from a source to a broker that takes all of it.
async fn published(client: &AsyncClient, broker: &mut Broker, source: &mut Source, len: u64) {
    let taking = async {
        let (id, came) = broker.gets_head().await;
        assert_eq!(came, len);
        assert_eq!(broker.take_payload(0, len).await, len);
        broker.acknowledges(id).await;
    };
    let message = message();
    let (result, ()) = tokio::join!(client.publish_stream(&message, len, source), taking);
    assert_eq!(result, Ok(ReasonCode::Success));
}

#[test]
fn payload_arrives_in_whatever_pieces_it_is_read() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        for (len, piece) in [(0, 1), (1, 1), (1000, 7), (32_768, 32_768), (65_537, 65_536), (1_000_000, 999)] {
            let mut source = Source { piece, ..Source::new(len) };
            published(&client, &mut broker, &mut source, len).await;
        }
    });
}

#[test]
fn what_is_behind_the_payload_stays_in_the_source() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut source = Source::new(100_000);
        published(&client, &mut broker, &mut source, 40_000).await;
        assert_eq!(source.taken, 40_000);
    });
}

#[test]
fn largest_message_of_mqtt_takes_less_than_four_mebibytes() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let before = heap::begin();
        published(&client, &mut broker, &mut Source::new(LONGEST), LONGEST).await;
        let most = heap::peak() - before;
        println!("{most} bytes at most, for {LONGEST}");
        assert!(most < MOST_MEMORY, "{most} bytes");
        // And the connection lives.
        published(&client, &mut broker, &mut Source::new(10), 10).await;
    });
}

#[test]
fn message_that_is_longer_than_mqtt_allows_is_refused_and_nothing_is_read() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        for len in [LONGEST + 1, u64::MAX] {
            let mut source = Source::new(u64::from(u32::MAX));
            let error = client.publish_stream(&message(), len, &mut source).await.unwrap_err();
            assert!(matches!(error, Error::Call(_)), "{error:?}");
            assert_eq!(source.taken, 0, "what is refused costs nothing");
        }
        published(&client, &mut broker, &mut Source::new(10), 10).await;
    });
}

#[test]
fn source_that_has_nothing_costs_no_connection() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        for failure in [None, Some("no permission")] {
            let mut source = Source { failure, ..Source::new(0) };
            let error = client.publish_stream(&message(), 10, &mut source).await.unwrap_err();
            let Error::Stream(StreamError::SourceUnreadable(why)) = &error else { panic!("{error:?}") };
            assert!(why.contains(failure.unwrap_or("10 bytes")), "{why}");
            assert!(!error.is_fatal());
        }
        published(&client, &mut broker, &mut Source::new(10), 10).await;
    });
}

#[test]
fn source_that_ends_early_or_fails_ends_the_connection_within_the_packet() {
    for failure in [None, Some("the disk is gone")] {
        run(async {
            let (client, mut broker) = connected(options()).await;
            let mut source = Source { failure, ..Source::new(100_000) };
            let expected = match failure {
                None => StreamError::SourceTooShort { missing: 50_000 },
                Some(why) => StreamError::SourceFailed(why.into()),
            };
            let message = message();
            let (result, came) = tokio::join!(client.publish_stream(&message, 150_000, &mut source), async {
                broker.gets_head().await;
                broker.take_payload(0, 150_000).await
            });
            assert_eq!(result, Err(Error::Stream(expected.clone())));
            assert!(came <= 100_000, "no byte of anything else, and no DISCONNECT");
            assert_eq!(client.next_event().await, Ok(Event::Disconnected(Error::Stream(expected))));
            assert!(!client.is_connected());
        });
    }
}

#[test]
fn call_that_is_dropped_within_the_message_ends_the_connection() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        {
            let (message, mut source) = (message(), Source::new(u64::from(u32::MAX)));
            let publishing = pin!(client.publish_stream(&message, 1_000_000, &mut source));
            let taking = pin!(async {
                broker.gets_head().await;
                broker.take_payload(0, 1000).await
            });
            tokio::select! {
                result = publishing => panic!("the broker takes no more: {result:?}"),
                _ = taking => {}
            }
        }
        let ended = Event::Disconnected(Error::Stream(StreamError::Abandoned));
        assert_eq!(client.next_event().await, Ok(ended));
    });
}

#[test]
fn connection_that_ends_within_the_message_fails_the_call() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let (message, mut source) = (message(), Source::new(1_000_000));
        let (result, ()) = tokio::join!(client.publish_stream(&message, 1_000_000, &mut source), async move {
            broker.gets_head().await;
            broker.take_payload(0, 10_000).await;
            drop(broker);
        });
        let Err(Error::Stream(StreamError::Cut { may_have_arrived: false, .. })) = result else { panic!("{result:?}") };
    });
}

#[test]
fn connection_that_ends_before_the_acknowledgement_fails_the_call_which_may_have_arrived() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let (message, mut source) = (message(), Source::new(100));
        let (result, ()) = tokio::join!(client.publish_stream(&message, 100, &mut source), async move {
            broker.gets_head().await;
            broker.take_payload(0, 100).await;
            drop(broker);
        });
        let Err(Error::Stream(StreamError::Cut { may_have_arrived: true, .. })) = result else { panic!("{result:?}") };
    });
}

#[test]
fn other_tasks_publish_behind_the_message_and_receive_meanwhile() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = client.messages();
        let (message, mut source) = (message(), Source::new(200_000));
        let other = Publish::new("o", "1");
        let broker_does = async {
            let (id, len) = broker.gets_head().await;
            broker.take_payload(0, 100_000).await;
            client.enqueue(&other).await.unwrap();
            broker.send(&Packet::Publish(Publish::new("n", "news"))).await;
            let came = messages.receive().await.unwrap();
            assert_eq!(came.payload, b"news");
            broker.take_payload(100_000, len - 100_000).await;
            assert_eq!(broker.take(PacketType::Publish).await, b"\x00\x01o\x001");
            broker.acknowledges(id).await;
        };
        let streaming = client.publish_stream(&message, 200_000, &mut source);
        let (streamed, ()) = tokio::join!(streaming, broker_does);
        assert_eq!(streamed, Ok(ReasonCode::Success));
    });
}

#[test]
fn future_goes_to_any_thread() {
    fn assert_send<T: Send>(_: T) {}
    run(async {
        let (client, _broker) = connected(options()).await;
        assert_send(client.publish_stream(&message(), 1, &b"1"[..]));
    });
}
