//! Messages that are streamed from the broker.

use std::io::ErrorKind;
use std::time::Duration;

use mqtt_wasi::codec::{Ack, Packet, PacketId, PacketType, Publish, Suback};
use mqtt_wasi::{
    AsyncClient, AsyncPayload, AsyncStreamedMessages, CallError, Error, Options, QoS, ReasonCode, StreamError,
    StreamedMessage, Subscription,
};
use tokio::io::AsyncReadExt;

use crate::heap;
use crate::wire::{Broker, MOST_MEMORY, byte, connected, run};

/// A client that takes everything, and streams what is above 100,000 bytes.
fn options() -> Options {
    Options::new().client_id("c").keep_alive(600).maximum_packet_size(268_435_460).stream_above(100_000)
}

/// What a PUBLISH to the topic `t` at QoS 1 has before its payload.
const HEAD: u64 = 6;

/// The longest payload of such a message.
const LONGEST: u64 = 268_435_455 - HEAD;

impl Broker {
    async fn grants(&mut self) {
        let body = self.take(PacketType::Subscribe).await;
        let packet_id = PacketId::new(u16::from_be_bytes([body[0], body[1]])).unwrap();
        let granted = [ReasonCode::GrantedQos1];
        let properties = Default::default();
        self.send(&Packet::Suback(Suback { packet_id, properties, reason_codes: (&granted[..]).into() })).await;
    }

    /// Sends a message at QoS 1 whose payload is this long.
    async fn sends(&mut self, id: u8, len: u64) {
        self.sends_some(id, len, len).await;
    }

    /// Sends the beginning of it, with so much of its payload.
    async fn sends_some(&mut self, id: u8, len: u64, some: u64) {
        let mut head = vec![0x32];
        let mut remaining = len + HEAD;
        loop {
            let more = remaining >> 7;
            head.push((remaining & 0x7F) as u8 | if more > 0 { 0x80 } else { 0 });
            if more == 0 {
                break;
            }
            remaining = more;
        }
        head.extend_from_slice(&[0, 1, b't', 0, id, 0]);
        self.send_bytes(&head).await;
        let mut place = 0;
        while place < some {
            let piece: Vec<u8> = (place..some.min(place + 8192)).map(byte).collect();
            self.send_bytes(&piece).await;
            place += piece.len() as u64;
        }
    }

    async fn gets_puback(&mut self, id: u8) {
        assert_eq!(self.take(PacketType::Puback).await, [0, id]);
    }
}

async fn listening(client: &AsyncClient, broker: &mut Broker) -> AsyncStreamedMessages {
    let subscription = Subscription::new("t", QoS::AtLeastOnce);
    let (messages, ()) = tokio::join!(client.listen_streamed(subscription), broker.grants());
    messages.unwrap()
}

/// Reads all that is left of a payload, from this place on; how much that was.
async fn read(payload: &mut AsyncPayload, from: u64) -> std::io::Result<u64> {
    let (mut place, mut space) = (from, [0; 8192]);
    loop {
        let len = payload.read(&mut space).await?;
        if len == 0 {
            return Ok(place - from);
        }
        space[..len].iter().for_each(|got| {
            assert_eq!(*got, byte(place), "the byte at {place}");
            place += 1;
        });
    }
}

#[test]
fn messages_of_any_size_are_read_and_acknowledged() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = listening(&client, &mut broker).await;
        let sizes = [0, 1, 99_000, 100_000, 65_536, 1_000_000, 3];
        let sending = async {
            for (id, len) in (1..).zip(sizes) {
                broker.sends(id, len).await;
            }
            for (id, _) in (1..).zip(sizes) {
                broker.gets_puback(id).await;
            }
        };
        let reading = async {
            for len in sizes {
                let StreamedMessage { message, mut payload, .. } = messages.receive().await.unwrap();
                assert_eq!((message.topic.as_str(), message.payload.len()), ("t", 0));
                assert_eq!((payload.total(), payload.left()), (len, len));
                assert_eq!(read(&mut payload, 0).await.unwrap(), len);
                assert_eq!(payload.left(), 0);
            }
        };
        tokio::join!(sending, reading);
    });
}

#[test]
fn largest_message_of_mqtt_takes_less_than_four_mebibytes() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = listening(&client, &mut broker).await;
        let before = heap::begin();
        let reading = async {
            let mut file = messages.receive().await.unwrap();
            assert_eq!(file.payload.total(), LONGEST);
            assert_eq!(read(&mut file.payload, 0).await.unwrap(), LONGEST);
        };
        let sending = async {
            broker.sends(1, LONGEST).await;
            broker.gets_puback(1).await;
        };
        tokio::join!(reading, sending);
        let most = heap::peak() - before;
        println!("{most} bytes at most, for {LONGEST}");
        assert!(most < MOST_MEMORY, "{most} bytes");
    });
}

#[test]
fn broker_waits_while_nobody_reads_and_memory_stays_as_it_is() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = listening(&client, &mut broker).await;
        let before = heap::begin();
        {
            let sending = std::pin::pin!(broker.sends(1, 50_000_000));
            tokio::select! {
                () = sending => panic!("nobody reads"),
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
            }
        }
        assert!(heap::peak() - before < 1024 * 1024, "{} bytes", heap::peak() - before);
        let file = messages.receive().await.unwrap();
        assert_eq!(file.payload.total(), 50_000_000);
    });
}

#[test]
fn payload_that_is_dropped_is_skipped_and_the_message_acknowledged() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = listening(&client, &mut broker).await;
        let sending = async {
            broker.sends(1, 3_000_000).await;
            broker.sends(2, 10).await;
            broker.gets_puback(1).await;
            broker.gets_puback(2).await;
        };
        let reading = async {
            let mut file = messages.receive().await.unwrap();
            file.payload.read_exact(&mut [0; 1000]).await.unwrap();
            drop(file);
            assert_eq!(read(&mut messages.receive().await.unwrap().payload, 0).await.unwrap(), 10);
        };
        tokio::join!(sending, reading);
    });
}

#[test]
fn message_is_acknowledged_by_hand_whenever_that_is() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = listening(&client, &mut broker).await;
        let reading = async {
            let (mut file, delivery) = messages.receive_unacknowledged().await.unwrap();
            assert_eq!(read(&mut file.payload, 0).await.unwrap(), 200_000);
            client.publish(&Publish::new("u", "first")).await.unwrap();
            assert!(client.acknowledge(delivery.unwrap()));
        };
        let sending = async {
            broker.sends(1, 200_000).await;
            assert_eq!(broker.take(PacketType::Publish).await, b"\x00\x01u\x00first");
            broker.gets_puback(1).await;
        };
        tokio::join!(sending, reading);
    });
}

#[test]
fn connection_that_ends_within_the_payload_fails_who_reads() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = listening(&client, &mut broker).await;
        let reading = async {
            let mut file = messages.receive().await.unwrap();
            let error = read(&mut file.payload, 0).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
            let error = error.into_inner().unwrap().downcast::<Error>().unwrap();
            assert_eq!(*error, Error::Stream(StreamError::PayloadLost));
        };
        let sending = async move {
            broker.sends_some(1, 500_000, 400_000).await;
            drop(broker);
        };
        tokio::join!(sending, reading);
        assert!(messages.receive().await.is_err(), "the connection is over");
    });
}

#[test]
fn message_that_others_listen_to_comes_as_a_whole_for_all() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = listening(&client, &mut broker).await;
        let mut others = client.messages();
        let sending = async {
            broker.sends(1, 300_000).await;
            broker.gets_puback(1).await;
        };
        let reading = async {
            let mut file = messages.receive().await.unwrap();
            assert_eq!(read(&mut file.payload, 0).await.unwrap(), 300_000);
            assert_eq!(others.receive().await.unwrap().payload.len(), 300_000);
        };
        tokio::join!(sending, reading);
    });
}

#[test]
fn listener_of_another_kind_gets_messages_as_a_whole() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = client.messages();
        let sending = async {
            broker.sends(1, 300_000).await;
            broker.gets_puback(1).await;
        };
        let (message, ()) = tokio::join!(messages.receive(), sending);
        assert!(message.unwrap().payload.iter().copied().eq((0..300_000).map(byte)));
    });
}

#[test]
fn listener_that_is_dropped_leaves_its_message_to_nobody() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let messages = listening(&client, &mut broker).await;
        let mut others = client.messages();
        drop(others.try_receive());
        drop(others);
        broker.sends_some(1, 300_000, 50_000).await;
        // It waits for the listener, which never takes it.
        client.publish(&Publish::new("u", "1")).await.unwrap();
        assert_eq!(broker.take(PacketType::Publish).await, b"\x00\x01u\x001");
        drop(messages);
        broker.take(PacketType::Unsubscribe).await;
        let rest: Vec<u8> = (50_000..300_000).map(byte).collect();
        broker.send_bytes(&rest).await;
        broker.gets_puback(1).await;
    });
}

#[test]
fn call_whose_answer_is_behind_a_payload_that_nobody_reads_fails() {
    run(async {
        let (client, mut broker) = connected(options().response_timeout(Duration::from_secs(1000))).await;
        let mut messages = listening(&client, &mut broker).await;
        let sending = async {
            broker.sends(1, 500_000).await;
            broker.take(PacketType::Publish).await;
            broker.send(&Packet::Puback(Ack::success(PacketId::new(2).unwrap()))).await;
            broker.gets_puback(1).await;
        };
        let reading = async {
            let mut file = messages.receive().await.unwrap();
            let message = Publish::new("u", "1").qos(QoS::AtLeastOnce);
            let failed = client.publish(&message).await;
            assert!(
                matches!(failed, Err(Error::AnswerBehindMessages | Error::Call(CallError::ReceiveFirst))),
                "{failed:?}"
            );
            assert_eq!(read(&mut file.payload, 0).await.unwrap(), 500_000);
        };
        tokio::join!(sending, reading);
    });
}

#[test]
fn message_is_streamed_in_while_another_is_streamed_out() {
    run(async {
        let (client, mut broker) = connected(options()).await;
        let mut messages = listening(&client, &mut broker).await;
        let source: Vec<u8> = (0..500_000).map(byte).collect();
        let message = Publish::new("o", "");
        let sending = async {
            broker.sends(1, 500_000).await;
            let (first, len) = broker.next_header().await;
            assert_eq!((first, len), (0x30, 500_004));
            broker.bytes(4).await;
            assert_eq!(broker.take_payload(0, 500_000).await, 500_000);
            broker.gets_puback(1).await;
        };
        let reading = async {
            let mut file = messages.receive().await.unwrap();
            assert_eq!(read(&mut file.payload, 0).await.unwrap(), 500_000);
        };
        let publishing = client.publish_stream(&message, 500_000, &source[..]);
        let (result, (), ()) = tokio::join!(publishing, reading, sending);
        assert_eq!(result, Ok(ReasonCode::Success));
    });
}

#[test]
fn futures_go_to_any_thread() {
    fn assert_send<T: Send>(_: T) {}
    run(async {
        let (client, mut broker) = connected(options()).await;
        assert_send(client.listen_streamed(Subscription::new("t", QoS::AtLeastOnce)));
        let mut messages = listening(&client, &mut broker).await;
        assert_send(messages.receive());
        assert_send(messages.receive_unacknowledged());
    });
}
