//! DISCONNECT, from either side (section 3.14).

use mqtt_wasi::codec::{
    ConnackProperties, Disconnect, DisconnectProperties, EncodeErrorKind, Packet, PacketType, PropertyId, QoS,
    ReasonCode,
};
use mqtt_wasi::session::Status;
use mqtt_wasi::{CallError, Error, ProtocolError, Reason};

use crate::observer::is_for_clients;
use crate::packets::*;
use crate::scenario::{Scenario, options};

#[test]
fn disconnect_is_the_last_that_is_sent_behind_all_that_waits() {
    let mut s = Scenario::connected();
    s.network_stalls();
    s.publish(QoS::AtMostOnce, "a", "1");
    s.disconnect(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
    s.expect_status(Status::Closing);
    s.network_flows();
    s.expect_one_write(&[publish(QoS::AtMostOnce, 0, "a", "1"), disconnect(ReasonCode::NORMAL_DISCONNECTION)]);
    s.connection_is_lost();
    s.expect_no_event();
    s.expect_status(Status::Disconnected);
}

#[test]
fn disconnect_carries_what_the_user_says() {
    let mut s = Scenario::connected_with(options().session_expiry_interval(60), Default::default());
    let farewell = Disconnect {
        reason_code: ReasonCode::DisconnectWithWillMessage,
        properties: DisconnectProperties { session_expiry_interval: Some(0), ..Default::default() },
    };
    s.disconnect(&farewell).unwrap();
    s.expect_sent(Packet::Disconnect(farewell));
}

#[test]
fn disconnect_that_cannot_be_sent_leaves_the_connection_as_it_is() {
    let terms = ConnackProperties { maximum_packet_size: Some(30), ..Default::default() };
    let mut s = Scenario::connected_with(options(), terms);
    let with = |properties| Disconnect { reason_code: ReasonCode::UnspecifiedError, properties };
    let wrong = s.disconnect(&Disconnect::new(ReasonCode::BadUserNameOrPassword)).unwrap_err();
    assert!(matches!(wrong, CallError::Invalid(error) if error.kind == EncodeErrorKind::InvalidReasonCode));
    let reason = "x".repeat(30);
    let wordy = with(DisconnectProperties { reason_string: Some(&reason), ..Default::default() });
    assert_eq!(s.disconnect(&wordy), Err(CallError::PacketTooLarge { size: 37, maximum: 30 }));
    let user_properties = [("why", reason.as_str())];
    let wordy = with(DisconnectProperties { user_properties: (&user_properties).into(), ..Default::default() });
    assert_eq!(s.disconnect(&wordy), Err(CallError::PacketTooLarge { size: 42, maximum: 30 }));
    // CONNECT said that the session ends with the connection (section 3.14.2.2.2).
    let late = with(DisconnectProperties { session_expiry_interval: Some(60), ..Default::default() });
    assert_eq!(s.disconnect(&late), Err(CallError::PropertyNotAllowed(PropertyId::SessionExpiryInterval)));
    s.expect_usable();
}

#[test]
fn messages_in_flight_wait_for_the_next_connection() {
    let mut s = Scenario::connected();
    let message = s.publish(QoS::AtLeastOnce, "a", "1");
    s.disconnect(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).unwrap();
    s.expect_sent_all(&[publish(QoS::AtLeastOnce, 1, "a", "1"), disconnect(ReasonCode::NORMAL_DISCONNECTION)]);
    s.connection_is_lost();
    s.reconnected(true);
    s.expect_sent(resent(QoS::AtLeastOnce, 1, "a", "1"));
    s.broker_sends(puback(1));
    s.expect_published(message, ReasonCode::Success);
}

#[test]
fn every_disconnect_of_the_broker_is_told_with_its_reason() {
    let mut s = Scenario::new(options());
    for &reason_code in ReasonCode::ALL {
        let is_for_clients = reason_code == ReasonCode::DisconnectWithWillMessage;
        if !reason_code.is_valid_in(PacketType::Disconnect) || is_for_clients {
            continue;
        }
        s.reconnected(false);
        s.broker_sends(Packet::Disconnect(Disconnect {
            reason_code,
            properties: DisconnectProperties {
                reason_string: Some("because"),
                server_reference: Some("elsewhere"),
                user_properties: (&[("a", "b")]).into(),
                ..Default::default()
            },
        }));
        s.expect_disconnected(Error::Disconnected(Box::new(Reason {
            reason_code,
            reason_string: Some("because".into()),
            server_reference: Some("elsewhere".into()),
            user_properties: vec![("a".into(), "b".into())],
        })));
        s.expect_nothing_sent();
        s.expect_status(Status::Disconnected);
    }
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn nothing_is_sent_after_the_broker_has_disconnected() {
    let mut s = Scenario::connected();
    s.network_stalls();
    s.publish(QoS::AtMostOnce, "a", "1");
    s.broker_sends(disconnect(ReasonCode::ServerShuttingDown));
    s.network_flows();
    s.expect_nothing_sent();
    assert_eq!(s.take_events().len(), 1);
}

#[test]
fn what_only_clients_say_in_disconnect_is_a_protocol_error() {
    let with_expiry = DisconnectProperties { session_expiry_interval: Some(1), ..Default::default() };
    for (reason_code, properties, error) in [
        (ReasonCode::ServerBusy, with_expiry, ProtocolError::PropertyNotAllowed(PropertyId::SessionExpiryInterval)),
        (
            ReasonCode::DisconnectWithWillMessage,
            Default::default(),
            ProtocolError::UnexpectedPacket(PacketType::Disconnect),
        ),
    ] {
        let mut s = Scenario::connected();
        s.broker_sends(Packet::Disconnect(Disconnect { reason_code, properties }));
        s.expect_disconnected(error);
        s.expect_sent(disconnect(ReasonCode::ProtocolError));
    }
}

#[test]
fn what_the_broker_sends_behind_its_disconnect_is_not_looked_at() {
    let mut s = Scenario::connected();
    s.broker_sends_all(&[disconnect(ReasonCode::ServerBusy), publish(QoS::AtMostOnce, 0, "a", "1")]);
    assert_eq!(s.take_events().len(), 1);
    s.expect_no_message();
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn messages_before_the_brokers_disconnect_can_still_be_received() {
    let mut s = Scenario::connected();
    s.broker_sends_all(&[publish(QoS::AtLeastOnce, 1, "a", "1"), disconnect(ReasonCode::ServerBusy)]);
    assert_eq!(s.take_events().len(), 1);
    s.expect_message("a", "1");
    s.expect_nothing_sent();
}

#[test]
fn broker_that_closes_inside_a_packet_ends_the_connection() {
    let mut s = Scenario::connected();
    s.broker_sends_all(&[publish(QoS::AtMostOnce, 0, "a", "1")]);
    s.broker_sends_bytes(&bytes(&publish(QoS::AtMostOnce, 0, "b", "2"))[..5]);
    s.broker_closes();
    s.expect_disconnected(Error::ConnectionClosed);
    s.expect_message("a", "1");
    s.expect_no_message();
    s.reconnected(false);
    s.expect_usable();
}

#[test]
fn disconnect_has_no_reason_that_is_the_servers_to_give() {
    let mut s = Scenario::connected();
    let codes = ReasonCode::ALL.iter().filter(|code| code.is_valid_in(PacketType::Disconnect));
    for &code in codes.filter(|&&code| !is_for_clients(code)) {
        let wrong = s.disconnect(&Disconnect::new(code)).unwrap_err();
        assert!(matches!(wrong, CallError::Invalid(error) if error.kind == EncodeErrorKind::InvalidReasonCode));
    }
    s.expect_usable();
}
