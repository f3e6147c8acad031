//! The properties of `-D`: `COMMAND NAME VALUE`, and where each belongs.

use mqtt_wasi::codec::UserProperty;
use mqtt_wasi::{Disconnect, Options, PublishProperties, ReasonCode, WillMessage};

use crate::args;
use crate::failure::Failure;

/// A packet that properties are for, as `-D` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Connect,
    Publish,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Will,
}

/// Each packet's name, and the names of its properties.
const SCOPES: [(&str, Scope, &[&str]); 6] = [
    (
        "connect",
        Scope::Connect,
        &[
            "authentication-data",
            "authentication-method",
            "maximum-packet-size",
            "receive-maximum",
            "request-problem-information",
            "request-response-information",
            "session-expiry-interval",
            "topic-alias-maximum",
            USER_PROPERTY,
        ],
    ),
    (
        "publish",
        Scope::Publish,
        &[
            "content-type",
            "correlation-data",
            "message-expiry-interval",
            "payload-format-indicator",
            "response-topic",
            "topic-alias",
            USER_PROPERTY,
        ],
    ),
    ("subscribe", Scope::Subscribe, &["subscription-identifier", USER_PROPERTY]),
    ("unsubscribe", Scope::Unsubscribe, &[USER_PROPERTY]),
    ("disconnect", Scope::Disconnect, &["reason-string", "session-expiry-interval", USER_PROPERTY]),
    (
        "will",
        Scope::Will,
        &[
            "content-type",
            "correlation-data",
            "message-expiry-interval",
            "payload-format-indicator",
            "response-topic",
            USER_PROPERTY,
            "will-delay-interval",
        ],
    ),
];

const USER_PROPERTY: &str = "user-property";

/// One property of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    scope: Scope,
    name: &'static str,
    value: String,
    /// The value of a User Property, whose name is `value`.
    second: String,
}

/// The properties of a PUBLISH that own what they say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MessageProperties {
    payload_format_indicator: Option<bool>,
    message_expiry_interval: Option<u32>,
    topic_alias: Option<u16>,
    content_type: Option<String>,
    response_topic: Option<String>,
    correlation_data: Option<Vec<u8>>,
    user_properties: Vec<(String, String)>,
}

/// What of SUBSCRIBE, UNSUBSCRIBE and DISCONNECT can be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OtherProperties {
    pub(crate) subscription_identifier: Option<u32>,
    pub(crate) session_expiry_interval: Option<u32>,
    pub(crate) reason_string: Option<String>,
    pub(crate) user_properties: Vec<(String, String)>,
}

/// Reads the values of all `-D` in a row. Fails for one that does not exist, or is not for any of `scopes`.
pub(crate) fn parse(values: &[String], scopes: &[Scope]) -> Result<Vec<Property>, Failure> {
    let mut values = values.iter().map(String::as_str);
    let mut properties = Vec::new();
    while let Some(command) = values.next() {
        let Some(&(_, scope, names)) = SCOPES.iter().find(|(name, ..)| *name == command) else {
            let known: Vec<_> = SCOPES.iter().map(|(name, ..)| *name).collect();
            return Err(Failure::Usage(format!(
                "-D {command}: the commands that have properties are {}",
                known.join(", ")
            )));
        };
        if !scopes.contains(&scope) {
            return Err(Failure::Usage(format!("-D {command}: this command sends no {}", command.to_uppercase())));
        }
        let given = values.next().unwrap_or_default();
        let Some(name) = names.iter().find(|name| **name == given) else {
            return Err(Failure::Usage(format!("-D {command} {given}: the properties are {}", names.join(", "))));
        };
        let missing = || Failure::Usage(format!("-D {command} {name}: there is no value"));
        let value = values.next().ok_or_else(missing)?.to_owned();
        let second = match *name {
            USER_PROPERTY => values.next().ok_or_else(missing)?.to_owned(),
            _ => String::new(),
        };
        properties.push(Property { scope, name, value, second });
    }
    Ok(properties)
}

impl Property {
    /// As a number within what its type holds.
    fn number<T: std::str::FromStr>(&self) -> Result<T, Failure> {
        self.value.parse().map_err(|_| {
            let bytes = size_of::<T>();
            let most = u32::MAX >> (32 - 8 * bytes.min(4));
            Failure::Usage(format!("-D … {} {}: a number from 0 to {most} is needed", self.name, self.value))
        })
    }

    fn flag(&self) -> Result<bool, Failure> {
        match self.value.as_str() {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(Failure::Usage(format!("-D … {} {}: 0 or 1 is needed", self.name, self.value))),
        }
    }

    fn pair(&self) -> (String, String) {
        (self.value.clone(), self.second.clone())
    }
}

fn of(properties: &[Property], scope: Scope) -> impl Iterator<Item = &Property> {
    properties.iter().filter(move |property| property.scope == scope)
}

/// The options with the properties of CONNECT.
pub(crate) fn connect(mut options: Options, properties: &[Property]) -> Result<Options, Failure> {
    let (mut method, mut data) = (None, None);
    for property in of(properties, Scope::Connect) {
        options = match property.name {
            "maximum-packet-size" => options.maximum_packet_size(property.number()?),
            "receive-maximum" => options.receive_maximum(property.number()?),
            "request-problem-information" => options.request_problem_information(property.flag()?),
            "request-response-information" => options.request_response_information(property.flag()?),
            "session-expiry-interval" => options.session_expiry_interval(property.number()?),
            "topic-alias-maximum" => options.topic_alias_maximum(property.number()?),
            "authentication-method" => {
                method = Some(property.value.clone());
                options
            }
            "authentication-data" => {
                data = Some(property.value.clone().into_bytes());
                options
            }
            _ => options.user_property(&property.value, &property.second),
        };
    }
    match (method, data) {
        (Some(method), data) => Ok(options.authentication(method, data)),
        (None, Some(_)) => Err(Failure::Usage("-D connect authentication-data needs authentication-method".into())),
        (None, None) => Ok(options),
    }
}

impl MessageProperties {
    /// Those of the options that have names, and of `-D publish`.
    pub(crate) fn new(args: &args::Properties, properties: &[Property]) -> Result<Self, Failure> {
        let pairs = args.user_property.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        let mut own = Self {
            payload_format_indicator: args.text.then_some(true),
            message_expiry_interval: args.expiry,
            content_type: args.content_type.clone(),
            user_properties: pairs.collect(),
            ..Self::default()
        };
        own.add(of(properties, Scope::Publish))?;
        Ok(own)
    }

    pub(crate) fn response_topic(&mut self, topic: Option<&String>) {
        self.response_topic = topic.cloned().or(self.response_topic.take());
    }

    fn add<'a>(&mut self, properties: impl Iterator<Item = &'a Property>) -> Result<(), Failure> {
        for property in properties {
            match property.name {
                "payload-format-indicator" => self.payload_format_indicator = Some(property.flag()?),
                "message-expiry-interval" => self.message_expiry_interval = Some(property.number()?),
                "topic-alias" => self.topic_alias = Some(property.number()?),
                "content-type" => self.content_type = Some(property.value.clone()),
                "response-topic" => self.response_topic = Some(property.value.clone()),
                "correlation-data" => self.correlation_data = Some(property.value.clone().into_bytes()),
                USER_PROPERTY => self.user_properties.push(property.pair()),
                _ => {}
            }
        }
        Ok(())
    }

    /// User Properties as the codec wants them, for [`MessageProperties::lend`].
    pub(crate) fn pairs(&self) -> Vec<UserProperty<'_>> {
        pairs(&self.user_properties)
    }

    pub(crate) fn lend<'a>(&'a self, user_properties: &'a [UserProperty<'a>]) -> PublishProperties<'a> {
        PublishProperties {
            payload_format_indicator: self.payload_format_indicator,
            message_expiry_interval: self.message_expiry_interval,
            topic_alias: self.topic_alias,
            content_type: self.content_type.as_deref(),
            response_topic: self.response_topic.as_deref(),
            correlation_data: self.correlation_data.as_deref(),
            user_properties: user_properties.into(),
            ..PublishProperties::default()
        }
    }
}

/// The will with the properties of `-D will`.
pub(crate) fn will(will: WillMessage, properties: &[Property]) -> Result<WillMessage, Failure> {
    let mut message = MessageProperties::default();
    message.add(of(properties, Scope::Will))?;
    let mut delay = None;
    for property in of(properties, Scope::Will).filter(|property| property.name == "will-delay-interval") {
        delay = Some(property.number()?);
    }
    let mut will = will;
    will.payload_format_indicator = message.payload_format_indicator;
    will.message_expiry_interval = message.message_expiry_interval;
    will.content_type = message.content_type;
    will.response_topic = message.response_topic;
    will.correlation_data = message.correlation_data;
    will.user_properties = message.user_properties;
    will.will_delay_interval = delay;
    Ok(will)
}

impl OtherProperties {
    pub(crate) fn new(properties: &[Property], scope: Scope) -> Result<Self, Failure> {
        let mut own = Self::default();
        for property in of(properties, scope) {
            match property.name {
                "subscription-identifier" => own.subscription_identifier = Some(property.number()?),
                "session-expiry-interval" => own.session_expiry_interval = Some(property.number()?),
                "reason-string" => own.reason_string = Some(property.value.clone()),
                _ => own.user_properties.push(property.pair()),
            }
        }
        Ok(own)
    }

    pub(crate) fn pairs(&self) -> Vec<UserProperty<'_>> {
        pairs(&self.user_properties)
    }

    /// DISCONNECT with what was given, and no will.
    pub(crate) fn disconnect<'a>(&'a self, user_properties: &'a [UserProperty<'a>]) -> Disconnect<'a> {
        let mut disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        disconnect.properties.session_expiry_interval = self.session_expiry_interval;
        disconnect.properties.reason_string = self.reason_string.as_deref();
        disconnect.properties.user_properties = user_properties.into();
        disconnect
    }
}

fn pairs(owned: &[(String, String)]) -> Vec<UserProperty<'_>> {
    owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Scope; 6] =
        [Scope::Connect, Scope::Publish, Scope::Subscribe, Scope::Unsubscribe, Scope::Disconnect, Scope::Will];

    fn read(line: &str) -> Result<Vec<Property>, Failure> {
        parse(&line.split(' ').map(String::from).collect::<Vec<_>>(), &ALL)
    }

    fn refusal(line: &str, scopes: &[Scope]) -> String {
        parse(&line.split(' ').map(String::from).collect::<Vec<_>>(), scopes).unwrap_err().to_string()
    }

    #[test]
    fn user_properties_take_two_values_and_others_one() {
        let line = "publish user-property unit celsius publish content-type text/plain publish user-property unit k";
        let mut message = MessageProperties::default();
        message.add(read(line).unwrap().iter()).unwrap();
        assert_eq!(message.pairs(), [("unit", "celsius"), ("unit", "k")]);
        assert_eq!(message.lend(&[]).content_type, Some("text/plain"));
    }

    #[test]
    fn unknown_ones_are_refused_with_the_known() {
        assert!(refusal("puback reason-string x", &ALL).contains("connect, publish, subscribe"));
        assert!(refusal("unsubscribe content-type x", &ALL).ends_with("the properties are user-property"));
        assert!(refusal("publish content-type x", &[Scope::Connect]).contains("sends no PUBLISH"));
        assert!(refusal("publish user-property unit", &ALL).contains("no value"));
    }

    #[test]
    fn numbers_have_the_range_of_their_property() {
        let connect = |line| connect(Options::new(), &read(line).unwrap()).map(drop).map_err(|error| error.to_string());
        assert_eq!(connect("connect receive-maximum 65535"), Ok(()));
        assert!(connect("connect receive-maximum 65536").unwrap_err().contains("0 to 65535"));
        assert!(connect("connect session-expiry-interval -1").unwrap_err().contains("0 to 4294967295"));
        assert!(connect("connect authentication-data x").unwrap_err().contains("authentication-method"));
    }

    #[test]
    fn will_has_its_properties() {
        let given = read("will will-delay-interval 5 will content-type text/plain").unwrap();
        let will = will(WillMessage::new("t", "gone"), &given).unwrap();
        assert_eq!((will.will_delay_interval, will.content_type.as_deref()), (Some(5), Some("text/plain")));
    }
}
