//! Many requests at once, to a broker with responders behind it.

use std::collections::BTreeMap;

use mqtt_wasi::Error;
use mqtt_wasi::codec::{Packet, QoS};
use mqtt_wasi::session::Event;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{GRANTED, QOS_0, QOS_1, QOS_2, TIMEOUT, asking, dropped};
use crate::packets::*;
use crate::scenario::Scenario;

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered { qos: QoS, times: usize },
    Late { qos: QoS },
    Forgotten,
}

fn fate() -> impl Strategy<Value = Fate> {
    let qos = || select(&[QOS_0, QOS_1, QOS_2][..]);
    prop_oneof![
        4 => (qos(), 1..3_usize).prop_map(|(qos, times)| Fate::Answered { qos, times }),
        1 => qos().prop_map(|qos| Fate::Late { qos }),
        1 => Just(Fate::Forgotten),
    ]
}

/// A broker with responders behind it.
#[derive(Default)]
struct Broker {
    /// What each request said, and its Correlation Data.
    asked: BTreeMap<String, Vec<u8>>,
    /// Whether it lets acknowledgements wait.
    is_slow: bool,
    /// The acknowledgements that wait.
    late: Vec<Packet<'static>>,
    last_id: u16,
}

impl Broker {
    /// Does its part until the client has nothing more to say.
    fn serve(&mut self, s: &mut Scenario) {
        loop {
            let sent = s.take_sent();
            if sent.is_empty() {
                return;
            }
            for bytes in sent {
                self.answer(s, Packet::decode(&bytes).expect("valid").expect("whole").0);
            }
        }
    }

    fn answer(&mut self, s: &mut Scenario, packet: Packet<'_>) {
        let answer = match packet {
            Packet::Publish(request) => {
                let correlation = request.properties.correlation_data.expect("only requests are sent");
                self.asked.insert(String::from_utf8_lossy(request.payload).into(), correlation.to_owned());
                match (request.qos, request.packet_id) {
                    (QOS_1, Some(id)) => puback(id.get()),
                    (_, Some(id)) => pubrec(id.get()),
                    _ => return,
                }
            }
            Packet::Pubrel(ack) => pubcomp(ack.packet_id.get()),
            Packet::Pubrec(ack) => return s.broker_sends(pubrel(ack.packet_id.get())),
            Packet::Subscribe(subscribe) => return s.broker_sends(suback(subscribe.packet_id.get(), &[GRANTED])),
            Packet::Puback(_) | Packet::Pubcomp(_) => return,
            other => panic!("nothing else is under way: {other:?}"),
        };
        if self.is_slow { self.late.push(answer) } else { s.broker_sends(answer) }
    }

    /// A responder answers this request with its number.
    fn replies(&mut self, s: &mut Scenario, qos: QoS, number: usize) {
        self.last_id += 1;
        let packet_id = if qos == QOS_0 { 0 } else { self.last_id };
        let payload = number.to_string();
        s.broker_sends(Packet::Publish(reply(qos, packet_id, &self.asked[&payload], &payload)));
        self.serve(s);
    }

    /// Acknowledges what it has let wait.
    fn catches_up(&mut self, s: &mut Scenario) {
        self.is_slow = false;
        self.late.drain(..).for_each(|packet| s.broker_sends(packet));
        self.serve(s);
    }
}

proptest! {
    #![proptest_config(crate::support::config())]

    #[test]
    fn every_request_gets_its_own_reply_or_runs_out_of_time(
        requests in proptest::collection::vec((select(&[QOS_0, QOS_1, QOS_2][..]), fate()), 24..60),
        mut order in any::<u64>(),
        reconnects_after in any::<Index>(),
        session_present in any::<bool>(),
        is_slow in any::<bool>(),
        is_receiving in any::<bool>(),
    ) {
        let mut s = if is_receiving { asking().receiving_at_once() } else { asking() };
        let mut broker = Broker { is_slow, ..Broker::default() };
        let mut ids = Vec::new();
        let mut ask_some = |s: &mut Scenario, broker: &mut Broker, most: usize| {
            while ids.len() < most {
                ids.push(s.request(requests[ids.len()].0, "q", &ids.len().to_string(), TIMEOUT));
            }
            broker.serve(s);
        };
        let half = requests.len() / 2;
        ask_some(&mut s, &mut broker, half);

        // Which requests are answered, in any order, those of the first half before the connection is lost or after.
        let mut replies: Vec<(usize, QoS)> = (0..).zip(&requests).flat_map(|(number, (_, fate))| match *fate {
            Fate::Answered { qos, times } => vec![(number, qos); times],
            _ => Vec::new(),
        }).collect();
        replies.sort_by_cached_key(|_| {
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order >> 32
        });
        let (first, second): (Vec<_>, Vec<_>) = replies.into_iter().partition(|(number, _)| *number < half);
        let before = reconnects_after.index(first.len() + 1);
        for &(number, qos) in &first[..before] {
            broker.replies(&mut s, qos, number);
        }
        let mut events = s.take_events();
        broker.late.clear();
        s.reconnected(session_present);
        broker.serve(&mut s);
        ask_some(&mut s, &mut broker, requests.len());
        for &(number, qos) in first[before..].iter().chain(&second) {
            broker.replies(&mut s, qos, number);
        }
        s.wait(TIMEOUT);
        for (number, (_, fate)) in requests.iter().enumerate() {
            if let Fate::Late { qos } = *fate {
                broker.replies(&mut s, qos, number);
            }
        }
        broker.catches_up(&mut s);

        events.extend(s.take_events());
        let mut results: BTreeMap<_, _> = events.into_iter().map(|event| match event {
            Event::Replied { id, result } => (id, result.map(|reply| String::from_utf8(reply.payload).unwrap())),
            other => panic!("nothing else happens: {other:?}"),
        }).collect();
        let mut dropped_replies = 0;
        for (number, (id, (_, fate))) in ids.iter().zip(&requests).enumerate() {
            let expected = match fate {
                Fate::Answered { times, .. } => {
                    dropped_replies += times - 1;
                    Ok(number.to_string())
                }
                Fate::Late { .. } => {
                    dropped_replies += 1;
                    Err(Error::Timeout)
                }
                Fate::Forgotten => Err(Error::Timeout),
            };
            prop_assert_eq!(results.remove(id), Some(expected), "request {}", number);
        }
        prop_assert_eq!(dropped(&s), (dropped_replies as u64, 0));
        prop_assert_eq!((s.session.stats().pending_requests, s.session.in_flight()), (0, 0));
        s.expect_usable();
    }
}
