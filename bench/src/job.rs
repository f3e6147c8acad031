//! What contenders are asked to do. Native contenders and guests share this file.

use std::fmt;
use std::str::FromStr;

/// The topic of every message, and the filter of every contender that receives.
pub(crate) const TOPIC: &str = "bench/kitchen/temperature";

/// One thing to do, so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) work: Work,
    /// How often what is measured is done.
    pub(crate) operations: u32,
    /// How often it is done before that.
    pub(crate) warm_up: u32,
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Publish a message of `size` bytes at this QoS.
    Publish { qos: u8, size: usize, pace: Pace },
    /// Receive a message of `size` bytes at this QoS.
    Receive { qos: u8, size: usize },
    /// Publish a message at QoS 1, pipelined, and receive it again at QoS 1.
    Mixed { size: usize },
    /// Connect and disconnect.
    Connect,
    /// With all the operations, QoS 1 messages of 64 bytes, published and none acknowledged, lose the connection, come
    /// back, and have all of them acknowledged.
    Reconnect,
    /// By TLS alone: disconnect, and connect again by the same client, which resumes its TLS session.
    Resume,
    /// Subscribe to a topic filter, with as many in a packet as the contender lets one.
    Subscribe,
    /// Stay connected for a millisecond and do nothing.
    Idle,
}

/// How messages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The next when the one before is done: at QoS 0 taken by the client's own call for a single message, else
    /// acknowledged.
    Awaited,
    /// As many at once as the client lets one, by the fastest call that it has for that.
    Pipelined,
}

impl Work {
    /// The QoS of the messages; 0 where there are none.
    pub(crate) const fn qos(self) -> u8 {
        match self {
            Self::Publish { qos, .. } | Self::Receive { qos, .. } => qos,
            Self::Mixed { .. } | Self::Reconnect => 1,
            Self::Connect | Self::Resume | Self::Subscribe | Self::Idle => 0,
        }
    }

    /// The size of the messages' payloads in bytes; 0 where there are none.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Publish { size, .. } | Self::Receive { size, .. } | Self::Mixed { size } => size,
            Self::Reconnect => 64,
            Self::Connect | Self::Resume | Self::Subscribe | Self::Idle => 0,
        }
    }
}

/// For example `publish-1-64-pipelined`, `receive-0-1024`, `mixed-64`, `connect`.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { qos, size, pace: Pace::Awaited } => write!(f, "publish-{qos}-{size}-awaited"),
            Self::Publish { qos, size, pace: Pace::Pipelined } => write!(f, "publish-{qos}-{size}-pipelined"),
            Self::Receive { qos, size } => write!(f, "receive-{qos}-{size}"),
            Self::Mixed { size } => write!(f, "mixed-{size}"),
            Self::Connect => f.write_str("connect"),
            Self::Reconnect => f.write_str("reconnect"),
            Self::Resume => f.write_str("resume"),
            Self::Subscribe => f.write_str("subscribe"),
            Self::Idle => f.write_str("idle"),
        }
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let no_job = || format!("there is no job `{text}`");
        let number = |part: &str| part.parse::<usize>().map_err(|_| no_job());
        let parts: Vec<&str> = text.split('-').collect();
        Ok(match parts[..] {
            ["publish", qos @ ("0" | "1" | "2"), size, pace] => Self::Publish {
                qos: number(qos)? as u8,
                size: number(size)?,
                pace: match pace {
                    "awaited" => Pace::Awaited,
                    "pipelined" => Pace::Pipelined,
                    _ => return Err(no_job()),
                },
            },
            ["receive", qos @ ("0" | "1" | "2"), size] => {
                Self::Receive { qos: number(qos)? as u8, size: number(size)? }
            }
            ["mixed", size] => Self::Mixed { size: number(size)? },
            ["connect"] => Self::Connect,
            ["reconnect"] => Self::Reconnect,
            ["resume"] => Self::Resume,
            ["subscribe"] => Self::Subscribe,
            ["idle"] => Self::Idle,
            _ => return Err(no_job()),
        })
    }
}
