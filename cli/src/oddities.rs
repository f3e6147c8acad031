//! What is known of brokers, and what a message to ourselves shows of one.

use std::time::Duration;

use mqtt_wasi::{Client, Error, Message, Publish, PublishProperties, QoS, ReasonCode, Subscription};

/// What mosquitto, and some others, publish their name under.
const VERSION_TOPIC: &str = "$SYS/broker/version";

/// How long to wait for what a broker may not send.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a message to ourselves may take.
const LONGEST: Duration = Duration::from_secs(5);

const USER_PROPERTIES: [(&str, &str); 3] = [("b", "1"), ("a", "2"), ("b", "3")];
const CORRELATION_DATA: &[u8] = b"\x00\xff";
const EXPIRY: u32 = 3600;
const CONTENT_TYPE: &str = "text/plain";

/// The broker's name and version, if it publishes them and lets us read them.
pub(crate) fn software(client: &mut Client) -> Option<String> {
    client.subscribe(&[Subscription::new(VERSION_TOPIC, QoS::AtMostOnce)]).ok()?;
    let version = client.receive_timeout(PATIENCE).ok().flatten().filter(|message| message.topic == VERSION_TOPIC);
    let _ = client.unsubscribe(&[VERSION_TOPIC]);
    version.and_then(|message| String::from_utf8(message.payload).ok())
}

/// What is known of a broker by its name: seen there, and not what one would guess.
pub(crate) fn known(software: &str) -> Vec<&'static str> {
    let mut known = Vec::new();
    if let Some(version) = software.strip_prefix("mosquitto version ") {
        known.push("it publishes the wills of connected clients when it is stopped");
        known.push("with an acl_file it grants every subscription, and then delivers nothing that is not allowed");
        if version.starts_with("2.0.11") {
            known.push(
                "it repeats and reorders messages at QoS 1 and 2 when a connection ends while it sends them again",
            );
        }
    }
    known
}

/// Sends a message to ourselves below `topic`, and tells what came of it.
pub(crate) fn probe(client: &mut Client, topic: &str) -> Result<Vec<String>, Error> {
    let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    let base = format!("{topic}/{random:016x}");
    let filter = format!("{base}/#");
    let sent_to = format!("{base}/a.b");
    let response_topic = format!("{base}/reply");
    let granted = client.subscribe(&[Subscription::new(&filter, QoS::ExactlyOnce)])?;
    let mut odd = Vec::new();
    if let Some(granted) = granted.first().filter(|granted| **granted != QoS::ExactlyOnce) {
        odd.push(format!("it grants QoS {} to a subscription that asks for QoS 2", *granted as u8));
    }
    let highest = client.connection_info().map_or(QoS::AtMostOnce, |info| info.maximum_qos);
    let qos = highest.min(QoS::AtLeastOnce);
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(EXPIRY),
        content_type: Some(CONTENT_TYPE),
        response_topic: Some(&response_topic),
        correlation_data: Some(CORRELATION_DATA),
        user_properties: (&USER_PROPERTIES).into(),
        ..PublishProperties::default()
    };
    client.publish(&Publish::new(&sent_to, "probe").qos(qos).properties(properties))?;
    match client.receive_timeout(LONGEST)? {
        Some(message) => odd.extend(differences(&message, &sent_to, &response_topic)),
        None => odd.push("it accepts a subscription and a message, and delivers nothing".into()),
    }
    client.unsubscribe(&[&filter])?;
    if qos != QoS::AtMostOnce {
        let nobody = client.publish(&Publish::new(&sent_to, "probe").qos(qos))?;
        if nobody != ReasonCode::NoMatchingSubscribers {
            odd.push("it does not tell a publisher that nobody has subscribed (Reason Code 0x10)".into());
        }
    }
    Ok(odd)
}

fn differences(message: &Message, sent_to: &str, response_topic: &str) -> Vec<String> {
    let mut odd = Vec::new();
    if message.topic != sent_to {
        odd.push("it changes a `.` in a topic into something else, as brokers that are for AMQP too".into());
    }
    if message.payload != b"probe" {
        odd.push("it changes the payload".into());
    }
    let mut expect = |name: &str, is_kept: bool, is_there: bool| {
        if !is_kept {
            odd.push(format!("it {} the {name}", if is_there { "changes" } else { "drops" }));
        }
    };
    let indicator = message.payload_format_indicator;
    expect("Payload Format Indicator", indicator == Some(true), indicator.is_some());
    let expiry = message.message_expiry_interval;
    expect("Message Expiry Interval", expiry.is_some_and(|left| left <= EXPIRY), expiry.is_some());
    let content_type = message.content_type.as_deref();
    expect("Content Type", content_type == Some(CONTENT_TYPE), content_type.is_some());
    let response = message.response_topic.as_deref();
    expect("Response Topic", response == Some(response_topic), response.is_some());
    let correlation = message.correlation_data.as_deref();
    expect("Correlation Data", correlation == Some(CORRELATION_DATA), correlation.is_some());
    let is_ours = |(name, value): &(String, String)| USER_PROPERTIES.contains(&(name, value));
    let ours = message.user_properties.iter().filter(|pair| is_ours(pair)).map(|(name, value)| (&**name, &**value));
    let ours: Vec<(&str, &str)> = ours.collect();
    if ours != USER_PROPERTIES {
        let is_complete = USER_PROPERTIES.iter().all(|pair| ours.contains(pair));
        let what = if is_complete { "changes the order of User Properties" } else { "drops User Properties" };
        odd.push(format!("it {what}, which the specification forbids"));
    }
    for (name, _) in message.user_properties.iter().filter(|pair| !is_ours(pair)) {
        odd.push(format!("it adds the User Property {}", name.escape_debug()));
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_changes_is_told() {
        let topic = "t/a.b";
        let properties = PublishProperties {
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(EXPIRY - 1),
            content_type: Some(CONTENT_TYPE),
            response_topic: Some("t/reply"),
            correlation_data: Some(CORRELATION_DATA),
            user_properties: (&USER_PROPERTIES).into(),
            ..PublishProperties::default()
        };
        let kept = Message::from(Publish::new(topic, "probe").properties(properties));
        assert_eq!(differences(&kept, topic, "t/reply"), Vec::<String>::new());

        let mut changed = kept.clone();
        changed.topic = "t/a/b".into();
        changed.content_type = None;
        changed.correlation_data = Some(Vec::new());
        changed.user_properties.swap(0, 1);
        changed.user_properties.push(("x-id".into(), "1".into()));
        let told = differences(&changed, topic, "t/reply");
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[1].contains("drops the Content Type") && told[2].contains("changes the Correlation Data"));
        assert!(told[3].contains("order of User Properties") && told[4].contains("x-id"));
    }

    #[test]
    fn brokers_are_known_by_their_names() {
        assert_eq!(known("mosquitto version 2.0.11").len(), 3);
        assert_eq!(known("mosquitto version 2.0.22").len(), 2);
        assert!(known("another one").is_empty());
    }
}
