//! Topics and routing keys, as RabbitMQ's MQTT plugin translates one into the other.
//!
//! A message that is published to `sensors/kitchen` over MQTT reaches AMQP 0.9.1 consumers with a queue that is bound
//! to the exchange `amq.topic` with `sensors.kitchen`, and the other way round. `docs/rabbitmq.md` has more.

use alloc::string::String;

/// The routing key of a Topic Name, or the binding key of a Topic Filter.
///
/// ```
/// use mqtt_wasi::rabbitmq::routing_key;
///
/// assert_eq!(routing_key("sensors/kitchen"), "sensors.kitchen");
/// assert_eq!(routing_key("sensors/+/temperature"), "sensors.*.temperature");
/// ```
#[must_use]
pub fn routing_key(topic: &str) -> String {
    topic
        .chars()
        .map(|c| {
            if c == '/' {
                '.'
            } else if c == '+' {
                '*'
            } else {
                c
            }
        })
        .collect()
}

/// The Topic Name of a routing key, or the Topic Filter of a binding key.
///
/// ```
/// use mqtt_wasi::rabbitmq::topic;
///
/// assert_eq!(topic("sensors.kitchen"), "sensors/kitchen");
/// ```
#[must_use]
pub fn topic(routing_key: &str) -> String {
    routing_key
        .chars()
        .map(|c| {
            if c == '.' {
                '/'
            } else if c == '*' {
                '+'
            } else {
                c
            }
        })
        .collect()
}

/// Whether a Topic Name is the same after a way through AMQP 0.9.1: it has neither `.` nor `*`.
///
/// ```
/// use mqtt_wasi::rabbitmq::survives;
///
/// assert!(survives("sensors/kitchen"));
/// assert!(!survives("sensors/v1.2"), "it comes back as sensors/v1/2");
/// ```
#[must_use]
pub fn survives(topic: &str) -> bool {
    !topic.contains(['.', '*'])
}
