//! Messages that are published as one call: each has a result of its own.

use std::time::Duration;

use mqtt_wasi::codec::{ConnackProperties, QoS, ReasonCode};
use mqtt_wasi::{CallError, Error, Reconnect};

use crate::calls::Came;
use crate::packets::{puback, publish};
use crate::scenario::{ALL, Habits, SECOND, Scenario, a_message, options};

#[test]
fn batch_has_a_result_for_each_message_when_the_connection_ends_half_way() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().in_flight_limit(2), ConnackProperties::default());
        let messages = ["1", "2", "3", "4", "5"].map(|payload| a_message(QoS::AtLeastOnce, "a", payload));
        let batch = s.publish_all(&messages);
        s.expect_sent_all(&[publish(QoS::AtLeastOnce, 1, "a", "1"), publish(QoS::AtLeastOnce, 2, "a", "2")]);
        s.broker_sends(puback(1));
        s.expect_sent(publish(QoS::AtLeastOnce, 3, "a", "3"));
        s.broker_closes();
        s.expect_closed();
        let failed = || Err(Error::ConnectionClosed);
        let results = vec![Ok(ReasonCode::Success), failed(), failed(), failed(), failed()];
        s.expect(batch, Came::Batch(results));
        assert_eq!(s.engine.kept(), 0);
    }
}

#[test]
fn batch_goes_on_over_the_next_connection() {
    for mode in ALL {
        let options = options().in_flight_limit(2).reconnect(Reconnect::default());
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        let messages = ["1", "2", "3"].map(|payload| a_message(QoS::AtLeastOnce, "a", payload));
        let batch = s.publish_all(&messages);
        s.expect_sent_all(&[publish(QoS::AtLeastOnce, 1, "a", "1"), publish(QoS::AtLeastOnce, 2, "a", "2")]);
        s.broker_sends(puback(1));
        s.expect_sent(publish(QoS::AtLeastOnce, 3, "a", "3"));
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.expect_sent_all(&[publish(QoS::AtLeastOnce, 2, "a", "2"), publish(QoS::AtLeastOnce, 3, "a", "3")]);
        s.broker_sends_all(&[puback(3), puback(2)]);
        s.expect(batch, Came::Batch(vec![Ok(ReasonCode::Success); 3]));
    }
}

#[test]
fn batch_at_qos_0_goes_on_over_the_next_connection() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().reconnect(Reconnect::default()), Default::default());
        let messages = ["1", "2", "3"].map(|payload| a_message(QoS::AtMostOnce, "a", payload));
        s.network_takes(7);
        let batch = s.publish_all(&messages);
        s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "1"));
        s.expect_pending(batch);
        s.broker_closes();
        s.expect_closed();
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, ConnackProperties::default());
        s.expect_sent_all(&["2", "3"].map(|payload| publish(QoS::AtMostOnce, 0, "a", payload)));
        s.expect(batch, Came::Batch(vec![Ok(ReasonCode::Success); 3]));
    }
}

#[test]
fn batch_at_qos_0_tells_what_left_from_what_did_not() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options(), ConnackProperties::default());
        let messages = ["1", "2", "3"].map(|payload| a_message(QoS::AtMostOnce, "a", payload));
        let batch = s.publish_all(&messages);
        s.expect_sent_all(&["1", "2", "3"].map(|payload| publish(QoS::AtMostOnce, 0, "a", payload)));
        s.expect(batch, Came::Batch(vec![Ok(ReasonCode::Success); 3]));
        s.network_stalls();
        let batch = s.publish_all(&messages);
        s.broker_closes();
        s.expect_closed();
        s.expect(batch, Came::Batch(vec![Err(Error::ConnectionClosed); 3]));
    }
}

#[test]
fn time_of_a_batch_begins_anew_with_each_answer() {
    for mode in ALL {
        let options = options().response_timeout(10 * SECOND).in_flight_limit(1);
        let mut s = Scenario::connected_with(mode, options, ConnackProperties::default());
        let messages = ["1", "2", "3"].map(|payload| a_message(QoS::AtLeastOnce, "a", payload));
        let batch = s.publish_all(&messages);
        for (packet_id, payload) in [(1, "1"), (2, "2")] {
            s.expect_sent(publish(QoS::AtLeastOnce, packet_id, "a", payload));
            s.wait(8 * SECOND);
            s.broker_sends(puback(packet_id));
        }
        s.expect_sent(publish(QoS::AtLeastOnce, 3, "a", "3"));
        s.wait(Duration::from_millis(9_999));
        s.expect_pending(batch);
        s.wait(Duration::from_millis(1));
        s.expect(batch, Came::Batch(vec![Ok(ReasonCode::Success), Ok(ReasonCode::Success), Err(Error::Timeout)]));
    }
}

#[test]
fn message_that_is_none_fails_and_the_others_do_not() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        let messages = [("a", "1"), ("a/#", "2"), ("a", "3")];
        let batch = s.publish_all(&messages.map(|(topic, payload)| a_message(QoS::AtLeastOnce, topic, payload)));
        s.expect_sent_all(&[publish(QoS::AtLeastOnce, 1, "a", "1"), publish(QoS::AtLeastOnce, 2, "a", "3")]);
        s.broker_sends_all(&[puback(1), puback(2)]);
        let Ok(Came::Batch(results)) = s.take(batch) else { panic!("results") };
        let [Ok(ReasonCode::Success), Err(Error::Call(CallError::Invalid(_))), Ok(ReasonCode::Success)] = results[..]
        else {
            panic!("one of three fails, not {results:?}")
        };
    }
}

#[test]
fn no_messages_have_no_results() {
    for mode in ALL {
        let mut s = Scenario::connected(mode);
        let batch = s.publish_all(&[]);
        s.expect(batch, Came::Batch(Vec::new()));
        assert_eq!(s.engine.kept(), 0);
    }
}

#[test]
fn more_than_fits_into_one_write_is_published() {
    for mode in ALL {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut s = Scenario::connected_with(mode, options().outbound_limit(300_000), Default::default());
            s.look_away(Habits::GOOD);
            let payload = "x".repeat(2_000);
            s.network_stalls();
            let batch = s.publish_all(&[0; 400].map(|_| a_message(qos, "a", &payload)));
            for _ in 0..20 {
                s.network_takes(10_000);
                s.expect_pending(batch);
            }
            s.network_flows();
            s.expect(batch, Came::Batch(vec![Ok(ReasonCode::Success); 400]));
            assert_eq!(s.engine.kept(), 0);
            s.look_back();
        }
    }
}

#[test]
fn qos_may_be_mixed() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().in_flight_limit(1), ConnackProperties::default());
        let messages =
            [(QoS::AtLeastOnce, "1"), (QoS::AtMostOnce, "2"), (QoS::AtLeastOnce, "3"), (QoS::AtMostOnce, "4")];
        let batch = s.publish_all(&messages.map(|(qos, payload)| a_message(qos, "a", payload)));
        s.expect_sent_all(&[publish(QoS::AtLeastOnce, 1, "a", "1"), publish(QoS::AtMostOnce, 0, "a", "2")]);
        s.broker_sends(puback(1));
        s.expect_sent_all(&[publish(QoS::AtLeastOnce, 2, "a", "3"), publish(QoS::AtMostOnce, 0, "a", "4")]);
        s.expect_pending(batch);
        s.broker_closes();
        s.expect_closed();
        let (sent, failed) = (Ok(ReasonCode::Success), Err(Error::ConnectionClosed));
        s.expect(batch, Came::Batch(vec![sent.clone(), sent.clone(), failed, sent]));
    }
}

#[test]
fn batch_of_nothing_is_done_though_there_is_no_room() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options().outbound_limit(64), ConnackProperties::default());
        s.network_stalls();
        let fills_the_buffer = s.publish(QoS::AtMostOnce, "a", &"x".repeat(60));
        let waits = s.publish(QoS::AtMostOnce, "a", "1");
        let batch = s.publish_all(&[]);
        s.expect(batch, Came::Batch(Vec::new()));
        s.network_flows();
        s.expect_sent_all(&[publish(QoS::AtMostOnce, 0, "a", &"x".repeat(60)), publish(QoS::AtMostOnce, 0, "a", "1")]);
        s.expect_published(fills_the_buffer);
        s.expect_published(waits);
    }
}
