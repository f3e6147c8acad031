//! The brokers, and what is known not to hold at each.

use super::{Cell, Form, Tried};

/// The name of the broker that runs in this process.
pub(super) const EMBEDDED: &str = "mqtt5";

/// Which MQTT a broker speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Version 5.0, and maybe older ones.
    V5,
    /// Version 3.1.1 at most.
    V3,
}

/// A broker.
#[derive(Debug)]
pub struct Broker {
    /// As `host-tests/brokers/broker` knows it.
    pub name: &'static str,
    /// As its users know it.
    pub title: &'static str,
    /// Which MQTT it speaks.
    pub speaks: Speaks,
    /// Whether it is among those that every test run has.
    pub is_quick: bool,
    /// Which promises do not hold.
    pub exceptions: &'static [Exception],
}

/// A promise that does not hold at a broker.
#[derive(Debug)]
pub struct Exception {
    /// The promise.
    pub promise: &'static str,
    /// A part of what is seen instead.
    pub seen: &'static str,
    /// Why, for the page.
    pub why: &'static str,
    /// Whether it fails each time, and in each form.
    pub is_certain: bool,
}

impl Broker {
    /// Whether it can be restarted and speaks the language.
    #[must_use]
    pub fn is_restarted(&self) -> bool {
        self.speaks == Speaks::V5 && self.name != EMBEDDED
    }

    /// What came of a promise in a form, beside what the table says.
    pub(super) fn cell(&self, promise: &'static str, form: Form, outcome: Result<Tried, String>) -> Cell {
        Cell::of(self.name, self.exceptions, promise, form, outcome)
    }
}

/// One that fails each time, with this.
pub(super) const fn fails(promise: &'static str, seen: &'static str, why: &'static str) -> Exception {
    Exception { promise, seen, why, is_certain: true }
}

/// One that may fail, with this: whether it does is a matter of time.
const fn may_fail(promise: &'static str, seen: &'static str, why: &'static str) -> Exception {
    Exception { promise, seen, why, is_certain: false }
}

const SHARING: &str = "CONNACK says that there are no shared subscriptions. The client fails with \
    `SharedSubscriptionsNotSupported`, and sends nothing.";
const CLOSES: &str = "The first client sees its connection closed, without a DISCONNECT that tells why.";

const BEGUN_CLEAN: Exception = fails(
    "session_begun_clean_survives_a_restart",
    "and none",
    "A session that began with Clean Start is not saved, whatever its expiry interval: set `clean_start(false)`.",
);

const SAVED_LATE: Exception = may_fail(
    "acknowledged_messages_survive_kills",
    "lost",
    "It acknowledges a message before it saves it, also with `autosave_on_changes`: what it acknowledged in the \
     moment before it is killed may be lost.",
);

const MOSQUITTO_2_0: &[Exception] =
    &[fails("server_tells_who_took_over", "ConnectionClosed", CLOSES), BEGUN_CLEAN, SAVED_LATE];

const MOSQUITTO_2_1: &[Exception] = &[
    fails(
        "ten_mebibytes_come_back",
        "PacketTooLarge",
        "CONNACK says a Maximum Packet Size of 2,000,000 bytes: `max_packet_size` in its configuration sets another.",
    ),
    BEGUN_CLEAN,
    SAVED_LATE,
];

const FORGETS: &str = "Sessions are in memory only: after a restart CONNACK says that there is none. The client subscribes \
    again and sends again what was not acknowledged, but what came for it meanwhile was acknowledged with 0x10, or is \
    lost.";
const NO_SESSION: &str = "Session Present 0 times";

const QOS_1_AT_MOST: Exception = fails(
    "qos_2_comes_back",
    "granted [Ok(AtLeastOnce)]",
    "CONNACK says QoS 1 at most, and a subscription for QoS 2 is granted QoS 1.",
);
const ROUTING_KEYS: Exception = fails(
    "every_topic_comes_back",
    "must not have the wildcards",
    "Topics are AMQP routing keys, where `.` stands for `/` and `*` for `+`: a `.` comes back as `/`, and a topic \
     with `*` as one with `+`, which is not valid MQTT.",
);
const RETAINED_BY_TOPIC: Exception = fails(
    "retained_message_waits_for_a_wildcard",
    "no message comes",
    "A retained message comes to a subscription of its topic only, not to one with wildcards.",
);
const NOT_SHARED: Exception = fails("work_is_shared", "SharedSubscriptionsNotSupported", SHARING);

const RABBITMQ_4_0: &[Exception] = &[
    QOS_1_AT_MOST,
    ROUTING_KEYS,
    RETAINED_BY_TOPIC,
    NOT_SHARED,
    // What was acknowledged without 0x10 has to come here, too.
    may_fail(
        "acknowledged_messages_survive_kills",
        "lost 0 of",
        "Killed in the first seconds of a new node, it may lose a subscription that SUBACK has granted. CONNACK says \
         Session Present 1 all the same, and messages for that subscription are acknowledged with 0x10.",
    ),
];

const RABBITMQ_4_3: &[Exception] = &[QOS_1_AT_MOST, ROUTING_KEYS, RETAINED_BY_TOPIC, NOT_SHARED];

const UNSUBSCRIBED: &str = "UNSUBACK says Success for a filter that nobody subscribed to, and not 0x11.";

const EJABBERD: &[Exception] = &[
    fails("unsubscribed_messages_stay_away", "UNSUBACK has [Success, Success]", UNSUBSCRIBED),
    NOT_SHARED,
    fails("session_begun_clean_survives_a_restart", NO_SESSION, FORGETS),
    may_fail("acknowledged_messages_survive_restarts", NO_SESSION, FORGETS),
    may_fail("acknowledged_messages_survive_kills", NO_SESSION, FORGETS),
];

const RUMQTTD: &[Exception] = &[
    fails(
        "messages_stay_in_order",
        "Timeout",
        "A client that publishes to itself gets no PUBACK while 100 messages wait for its own: take messages while \
         publishing.",
    ),
    fails(
        "topics_are_aliased",
        "a message comes under",
        "It has one Topic Alias for each subscription: messages that come by a wildcard all have the topic of the first. \
         Leave `topic_alias_maximum` at 0.",
    ),
    fails(
        "unsubscribed_messages_stay_away",
        "not one Reason Code for each Topic Filter",
        "UNSUBACK has one Reason Code however many filters UNSUBSCRIBE has, which ends the connection: unsubscribe from \
         one at a time.",
    ),
    fails("own_messages_stay_away", "a message comes that should not", "No Local is granted and has no effect."),
    fails(
        "session_is_resumed",
        "no message comes",
        "A session ends with its connection, whatever its expiry interval.",
    ),
    fails("server_tells_who_took_over", "ConnectionClosed", CLOSES),
    fails("session_begun_clean_survives_a_restart", NO_SESSION, FORGETS),
    may_fail("acknowledged_messages_survive_restarts", NO_SESSION, FORGETS),
    may_fail("acknowledged_messages_survive_kills", NO_SESSION, FORGETS),
];

const RETAINED_LATE: &str = "It stores a retained message after PUBACK: a subscription in the next moment does not get \
    it, and one a second later does.";
const STORED_LATE: &str = "It acknowledges a message before it stores it: what it acknowledged in the moment before it \
    ends may be lost, also at SIGTERM.";

const RMQTT: &[Exception] = &[
    fails(
        "every_topic_comes_back",
        "granted [Err(UnspecifiedError)]",
        "A subscription to a topic with `$` at the start of another level than the first is refused with 0x80.",
    ),
    may_fail("retained_message_waits", "no message comes", RETAINED_LATE),
    may_fail("retained_message_waits_for_a_wildcard", "no message comes", RETAINED_LATE),
    fails("unsubscribed_messages_stay_away", "UNSUBACK has [Success, Success]", UNSUBSCRIBED),
    NOT_SHARED,
    fails("server_tells_who_took_over", "ConnectionClosed", CLOSES),
    BEGUN_CLEAN,
    may_fail("acknowledged_messages_survive_restarts", "lost", STORED_LATE),
    may_fail("acknowledged_messages_survive_kills", "lost", STORED_LATE),
];

const AMQTT: &[Exception] = &[fails(
    "old_version_is_told",
    "ConnectTimeout",
    "It neither answers a CONNECT of version 5 nor closes the connection: connecting fails after the connect timeout.",
)];

const EMBEDDED_MQTT5: &[Exception] = &[
    fails(
        "every_property_comes_back",
        "x-mqtt-client-id",
        "Each message gets a User Property `x-mqtt-client-id`, and one with that name is dropped.",
    ),
    fails("will_waits_for_its_delay", "and not 2 s", "The Will Delay Interval has no effect: the will comes at once."),
    fails(
        "session_is_resumed",
        "no message comes",
        "Started without storage, as here, it keeps no messages for a client that is away.",
    ),
];

/// All of them.
pub const BROKERS: &[Broker] = &[
    Broker {
        name: "mosquitto-2.0",
        title: "mosquitto 2.0",
        speaks: Speaks::V5,
        is_quick: true,
        exceptions: MOSQUITTO_2_0,
    },
    Broker {
        name: "mosquitto-2.1",
        title: "mosquitto 2.1",
        speaks: Speaks::V5,
        is_quick: false,
        exceptions: MOSQUITTO_2_1,
    },
    Broker {
        name: "rabbitmq-4.0",
        title: "RabbitMQ 4.0",
        speaks: Speaks::V5,
        is_quick: true,
        exceptions: RABBITMQ_4_0,
    },
    Broker {
        name: "rabbitmq-4.3",
        title: "RabbitMQ 4.3",
        speaks: Speaks::V5,
        is_quick: false,
        exceptions: RABBITMQ_4_3,
    },
    Broker {
        name: "ejabberd-24.12",
        title: "ejabberd 24.12",
        speaks: Speaks::V5,
        is_quick: true,
        exceptions: EJABBERD,
    },
    Broker {
        name: "ejabberd-26.07",
        title: "ejabberd 26.07",
        speaks: Speaks::V5,
        is_quick: false,
        exceptions: EJABBERD,
    },
    Broker { name: "rumqttd", title: "rumqttd", speaks: Speaks::V5, is_quick: false, exceptions: RUMQTTD },
    Broker { name: "rmqtt", title: "rmqtt", speaks: Speaks::V5, is_quick: false, exceptions: RMQTT },
    Broker { name: EMBEDDED, title: "mqtt5", speaks: Speaks::V5, is_quick: true, exceptions: EMBEDDED_MQTT5 },
    Broker { name: "aedes", title: "aedes", speaks: Speaks::V3, is_quick: false, exceptions: &[] },
    Broker { name: "amqtt", title: "amqtt", speaks: Speaks::V3, is_quick: false, exceptions: AMQTT },
];
