//! Messages that the user acknowledges by hand (sections 4.3, 4.6 and 4.9).

use mqtt_wasi::codec::{QoS, ReasonCode};
use mqtt_wasi::session::{Delivery, Event};
use mqtt_wasi::{Error, ProtocolError};

use crate::packets::*;
use crate::scenario::{Scenario, options};

const QOS_0: QoS = QoS::AtMostOnce;
const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

/// The next message is this, and waits to be acknowledged.
#[track_caller]
fn held(s: &mut Scenario, payload: &str) -> Delivery {
    match s.receive_unacknowledged() {
        Some((received, Some(delivery))) if received == payload => delivery,
        other => panic!("{payload} should wait to be acknowledged, not {other:?}"),
    }
}

#[test]
fn message_is_acknowledged_when_the_user_says_so() {
    let mut s = Scenario::connected();
    s.broker_sends_all(&[publish(QOS_1, 5, "a", "1"), publish(QOS_2, 6, "a", "2")]);
    let (one, two) = (held(&mut s, "1"), held(&mut s, "2"));
    s.expect_nothing_sent();
    assert!(s.acknowledge(one));
    s.expect_sent(puback(5));
    assert!(s.acknowledge(two));
    s.expect_sent(pubrec(6));
    s.broker_sends(pubrel(6));
    s.expect_sent(pubcomp(6));
}

#[test]
fn acknowledgements_leave_in_the_order_of_the_messages() {
    let mut s = Scenario::connected();
    s.broker_sends_all(&[
        publish(QOS_1, 1, "a", "1"),
        publish(QOS_1, 2, "a", "2"),
        publish(QOS_2, 3, "a", "3"),
        publish(QOS_1, 4, "a", "4"),
        publish(QOS_1, 5, "a", "5"),
    ]);
    let [one, two, three] = ["1", "2", "3"].map(|payload| held(&mut s, payload));
    // What is acknowledged by itself waits for those before it.
    s.expect_message("a", "4");
    assert!(s.acknowledge(three));
    assert!(s.acknowledge(two));
    s.expect_nothing_sent();
    assert!(s.acknowledge(one));
    s.expect_one_write(&[puback(1), puback(2), pubrec(3), puback(4)]);
    s.expect_message("a", "5");
    s.expect_sent(puback(5));
}

#[test]
fn message_is_acknowledged_once() {
    let mut s = Scenario::connected();
    s.broker_sends_all(&[publish(QOS_1, 1, "a", "1"), publish(QOS_1, 2, "a", "2")]);
    let (one, two) = (held(&mut s, "1"), held(&mut s, "2"));
    assert!(s.acknowledge(two));
    assert!(!s.acknowledge(two));
    assert!(s.acknowledge(one));
    s.expect_one_write(&[puback(1), puback(2)]);
    assert!(!s.acknowledge(one));
    assert!(!s.acknowledge(two));
}

#[test]
fn message_at_qos_0_has_nothing_to_acknowledge() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_0, 0, "a", "1"));
    assert_eq!(s.receive_unacknowledged(), Some(("1".into(), None)));
    assert_eq!(s.receive_unacknowledged(), None);
}

#[test]
fn receive_maximum_counts_what_is_not_acknowledged() {
    let mut s = Scenario::connected_with(options().receive_maximum(2), Default::default());
    s.broker_sends_all(&[publish(QOS_1, 1, "a", "1"), publish(QOS_1, 2, "a", "2")]);
    let one = held(&mut s, "1");
    let _two = held(&mut s, "2");
    assert!(s.acknowledge(one));
    s.expect_sent(puback(1));
    s.broker_sends(publish(QOS_1, 3, "a", "3"));
    let _three = held(&mut s, "3");
    s.broker_sends(publish(QOS_1, 4, "a", "4"));
    assert_eq!(s.receive_unacknowledged(), None);
    s.expect_disconnected(ProtocolError::ReceiveMaximumExceeded);
    s.expect_sent(disconnect(ReasonCode::ReceiveMaximumExceeded));
}

#[test]
fn message_that_was_not_acknowledged_comes_again_over_the_next_connection() {
    for qos in [QOS_1, QOS_2] {
        let mut s = Scenario::connected();
        s.broker_sends(publish(qos, 5, "a", "1"));
        let stale = held(&mut s, "1");
        s.connection_is_lost();
        s.expect_disconnected(Error::ConnectionClosed);
        s.reconnected(true);
        assert!(!s.acknowledge(stale), "another connection");
        s.broker_sends(resent(qos, 5, "a", "1"));
        let delivery = held(&mut s, "1");
        assert!(!s.acknowledge(stale), "another delivery");
        s.expect_nothing_sent();
        assert!(s.acknowledge(delivery));
        s.expect_sent(if qos == QOS_1 { puback(5) } else { pubrec(5) });
    }
}

#[test]
fn message_acknowledged_between_connections_does_not_come_again_at_qos_2() {
    for qos in [QOS_1, QOS_2] {
        let mut s = Scenario::connected();
        s.broker_sends(publish(qos, 5, "a", "1"));
        let delivery = held(&mut s, "1");
        s.connection_is_lost();
        s.expect_disconnected(Error::ConnectionClosed);
        assert_eq!(s.acknowledge(delivery), qos == QOS_2);
        assert!(!s.acknowledge(delivery), "it was done before");
        s.reconnected(true);
        s.broker_sends(resent(qos, 5, "a", "1"));
        if qos == QOS_2 {
            s.expect_sent(pubrec(5));
            assert_eq!(s.receive_unacknowledged(), None);
        } else {
            held(&mut s, "1");
        }
    }
}

#[test]
fn message_at_qos_2_acknowledged_behind_another_does_not_come_again() {
    let mut s = Scenario::connected();
    s.broker_sends_all(&[publish(QOS_1, 1, "a", "1"), publish(QOS_2, 2, "a", "2")]);
    let _one = held(&mut s, "1");
    let two = held(&mut s, "2");
    assert!(s.acknowledge(two));
    s.reconnected(true);
    s.broker_sends_all(&[resent(QOS_1, 1, "a", "1"), resent(QOS_2, 2, "a", "2")]);
    s.expect_sent(pubrec(2));
    let one = held(&mut s, "1");
    assert_eq!(s.receive_unacknowledged(), None);
    assert!(s.acknowledge(one));
    s.expect_sent(puback(1));
}

#[test]
fn acknowledged_message_at_qos_2_does_not_come_again() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_2, 5, "a", "1"));
    let delivery = held(&mut s, "1");
    assert!(s.acknowledge(delivery));
    s.expect_sent(pubrec(5));
    s.reconnected(true);
    s.broker_sends(resent(QOS_2, 5, "a", "1"));
    s.expect_sent(pubrec(5));
    assert_eq!(s.receive_unacknowledged(), None);
}

#[test]
fn message_of_an_earlier_connection_has_nothing_to_acknowledge() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_1, 5, "a", "1"));
    s.reconnected(false);
    assert_eq!(s.receive_unacknowledged(), Some(("1".into(), None)));
}

#[test]
fn what_is_not_acknowledged_does_not_hold_up_the_user() {
    let mut s = Scenario::connected();
    s.broker_sends(publish(QOS_1, 1, "a", "1"));
    let one = held(&mut s, "1");
    let message = s.publish(QOS_1, "b", "2");
    s.expect_sent(publish(QOS_1, 1, "b", "2"));
    s.broker_sends(puback(1));
    s.expect_event(Event::Published { id: message.unwrap(), result: Ok(ReasonCode::Success.into()) });
    assert!(s.acknowledge(one));
    s.expect_sent(puback(1));
}
