//! Requests that are answered over another connection.

use mqtt_wasi::codec::{ConnackProperties, Packet, Publish, ReasonCode, SubscribeProperties, Subscription};
use mqtt_wasi::session::Event;
use mqtt_wasi::{CallError, Error};

use super::{GRANTED, QOS_0, QOS_1, QOS_2, TIMEOUT, WOULD_BLOCK, ask, ask_at, asking, asking_with, replied};
use crate::packets::*;
use crate::scenario::options;

#[test]
fn replies_come_over_the_next_connection_if_the_broker_kept_the_session() {
    let mut s = asking();
    let (one, first) = ask(&mut s, "1");
    let (two, second) = ask_at(&mut s, QOS_1, 2, "2");
    s.reconnected(true);
    let again = s.expect_request(Publish { dup: true, ..request(QOS_1, 2, "q", "2", 10) });
    assert_eq!(again, second);
    s.expect_nothing_sent();
    s.broker_sends_all(&[puback(2), replied(QOS_0, 0, &second, "two"), replied(QOS_1, 7, &first, "one")]);
    s.expect_replied(two, "two");
    s.expect_replied(one, "one");
    s.expect_sent(puback(7));
    ask(&mut s, "3");
}

#[test]
fn response_topic_is_restored_before_requests_are_sent_again_if_the_broker_lost_the_session() {
    for restores in [true, false] {
        let mut s = asking_with(options().restore_subscriptions(restores), ConnackProperties::default());
        let (one, first) = ask(&mut s, "1");
        let (two, second) = ask_at(&mut s, QOS_1, 2, "2");
        s.reconnected(false);
        s.expect_subscribe(3, "replies/c");
        assert_eq!(s.expect_request(request(QOS_1, 2, "q", "2", 10)), second);
        s.broker_sends_all(&[suback(3, &[GRANTED]), puback(2)]);
        s.expect_no_event();
        s.broker_sends_all(&[replied(QOS_0, 0, &second, "two"), replied(QOS_0, 0, &first, "one")]);
        s.expect_replied(two, "two");
        s.expect_replied(one, "one");
        ask(&mut s, "3");
    }
}

#[test]
fn restoring_the_response_topic_goes_on_over_the_next_connection() {
    for session_present in [true, false] {
        let mut s = asking_with(options().restore_subscriptions(false), ConnackProperties::default());
        let (asked, correlation) = ask(&mut s, "1");
        s.reconnected(false);
        s.expect_subscribe(2, "replies/c");
        s.reconnected(session_present);
        s.expect_subscribe(3, "replies/c");
        s.broker_sends_all(&[suback(3, &[GRANTED]), replied(QOS_0, 0, &correlation, "one")]);
        s.expect_replied(asked, "one");
    }
}

#[test]
fn of_all_that_is_restored_the_user_hears_of_its_own_subscriptions() {
    for restores in [true, false] {
        let mut s = asking_with(options().restore_subscriptions(restores), ConnackProperties::default());
        s.subscribe(&["a", "z"]);
        s.take_sent();
        s.broker_sends(suback(2, &[ReasonCode::GrantedQos2; 2]));
        s.take_events();
        s.reconnected(false);
        if restores {
            assert_eq!(s.take_sent().len(), 1);
            // That of the replies comes first.
            s.broker_sends(suback(3, &[GRANTED, ReasonCode::GrantedQos2, ReasonCode::GrantedQos2]));
            for filter in ["a", "z"] {
                s.expect_event(Event::SubscriptionRestored { filter: filter.into(), qos: QOS_2 });
            }
        } else {
            s.expect_subscribe(3, "replies/c");
            for filter in ["a", "z"] {
                s.expect_event(Event::SubscriptionLost { filter: filter.into(), reason_code: None });
            }
            s.broker_sends(suback(3, &[GRANTED]));
        }
        s.expect_no_event();
    }
}

#[test]
fn response_topic_that_is_not_granted_again_fails_the_next_request() {
    let mut s = asking();
    let (asked, _) = ask(&mut s, "1");
    s.reconnected(false);
    s.expect_subscribe(2, "replies/c");
    s.broker_sends(suback(2, &[ReasonCode::QuotaExceeded]));
    s.expect_no_event();
    let refused = CallError::RepliesRefused(ReasonCode::QuotaExceeded);
    assert_eq!(s.try_request(&Publish::new("q", "2"), TIMEOUT), Err(refused));
    assert_eq!(s.try_request(&Publish::new("q", "2"), TIMEOUT), WOULD_BLOCK);
    s.expect_subscribe(3, "replies/c");
    s.wait(TIMEOUT);
    s.expect_unanswered(asked, Error::Timeout);
}

#[test]
fn response_topic_is_restored_before_requests_however_little_room_there_is() {
    let mut s = asking_with(options().outbound_limit(100), ConnackProperties::default());
    for packet_id in 2..=4 {
        let filter = &format!("a/subscription/of/some/length/{packet_id}");
        // Each with an identifier of its own, so that each takes a packet.
        let subscription_identifier = Some(packet_id.into());
        let properties = SubscribeProperties { subscription_identifier, ..Default::default() };
        s.try_subscribe(&[Subscription::new(filter, QOS_1)], properties).unwrap();
        s.take_sent();
        s.broker_sends(suback(packet_id, &[GRANTED]));
    }
    s.take_events();
    ask_at(&mut s, QOS_1, 5, "1");
    s.reconnected(false);
    let mut is_asked_for = false;
    for bytes in s.take_sent() {
        match Packet::decode(&bytes).unwrap().unwrap().0 {
            Packet::Subscribe(subscribe) => {
                is_asked_for |= subscribe.subscriptions.iter().any(|subscription| subscription.filter == "replies/c");
            }
            Packet::Publish(_) => assert!(is_asked_for, "the request is sent before its reply is asked for"),
            other => panic!("nothing else is under way: {other:?}"),
        }
    }
    assert!(is_asked_for);
}
