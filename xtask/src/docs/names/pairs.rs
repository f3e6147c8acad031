//! What corresponds in WIT and Rust. Names are the same words; where they are not, the reason stands here.

use std::fmt;

/// Where names are in Rust.
pub(super) enum Place {
    /// The fields or variants of a type, in a file.
    Members(&'static str, &'static str),
    /// The public functions of a type, in a file.
    Functions(&'static str, &'static str),
}

/// Two things that correspond.
pub(super) struct Pair {
    /// An item of an interface, or an interface with its functions.
    pub(super) wit: &'static str,
    pub(super) rust: &'static [Place],
    /// Whether WIT has all that Rust has.
    pub(super) both: bool,
    pub(super) except: &'static [Except],
}

/// Names that differ, or that only one side has; the other is empty then. Both in WIT's spelling.
pub(super) struct Except {
    pub(super) wit: &'static str,
    pub(super) rust: &'static str,
    #[allow(dead_code, reason = "for people who read the table")]
    pub(super) why: &'static str,
}

/// Names that the docs of WIT list, and that are strings in Rust.
pub(super) struct List {
    pub(super) wit: &'static str,
    /// Files, and what stands before the strings in them.
    pub(super) rust: &'static [(&'static str, &'static str)],
    /// Names that one side does not have, and why.
    pub(super) except: &'static [(&'static str, &'static str)],
}

use Place::{Functions, Members};

const fn except(wit: &'static str, rust: &'static str, why: &'static str) -> Except {
    Except { wit, rust, why }
}

const SHORT: &str = "the type is called a reason or an answer already";
const WIT_ONLY: &str = "Rust has it in another form: a trait, an argument, or a type";
const LENT: &str = "Rust hands it out beside the message";
const FREE: &str = "a free function has to name what it works on";
const RUST_ONLY: &str = "for programs in Rust alone: a type, a trait or a shorthand that WIT cannot have";
const NATIVE_ONLY: &str = "WASI has no such sockets";
const NO_STORE: &str = "components have snapshots";
const NO_STREAMS: &str = "components take payloads as a whole";
const BY_VALUE: &str = "Rust takes it as a value, WIT part by part";
const LONGER: &str = "says what is meant without the type's name before it";

pub(super) const PAIRS: &[Pair] = &[
    Pair { wit: "mqtt.qos", rust: &[Members("src/codec/qos.rs", "QoS")], both: true, except: &[] },
    Pair {
        wit: "mqtt.property",
        rust: &[Members("src/codec/property.rs", "PublishProperties")],
        both: true,
        except: &[
            except("user-property", "user-properties", "a case is one of them, the field all"),
            except("", "payload-format-indicator", "the case of `payload` is it"),
            except("", "subscription-identifiers", "only received messages have it, in a field of their record"),
        ],
    },
    Pair {
        wit: "mqtt.publication",
        rust: &[Members("src/codec/publish.rs", "Publish")],
        both: true,
        except: &[except("", "dup", "not for the caller to set"), except("", "packet-id", "not for the caller to set")],
    },
    Pair {
        wit: "mqtt.message",
        rust: &[Members("src/message.rs", "Message")],
        both: true,
        except: &[
            except("duplicate", "dup", "Rust has the name of the flag, DUP; WIT has it in full"),
            except("delivery", "", LENT),
            except("properties", "", "fields in Rust, and a list in WIT, since most messages have none"),
            except("", "payload-format-indicator", "the case of `payload` is it"),
            except("", "message-expiry-interval", "in the list"),
            except("", "content-type", "in the list"),
            except("", "response-topic", "in the list"),
            except("", "correlation-data", "in the list"),
            except("", "user-properties", "in the list"),
        ],
    },
    Pair {
        wit: "mqtt.subscription",
        rust: &[Members("src/codec/subscribe.rs", "Subscription")],
        both: true,
        except: &[
            except("options", "", "flags in WIT, fields in Rust"),
            except("", "no-local", "a flag"),
            except("", "retain-as-published", "a flag"),
            except("", "retain-handling", "two flags, so that none is the default"),
        ],
    },
    Pair {
        wit: "mqtt.subscription-options",
        rust: &[Members("src/codec/subscribe.rs", "Subscription"), Members("src/codec/subscribe.rs", "RetainHandling")],
        both: false,
        except: &[
            except("retained-if-new", "send-if-new", "a flag has no type that says what is sent"),
            except("no-retained", "do-not-send", "a flag has no type that says what is not sent"),
        ],
    },
    Pair {
        wit: "mqtt.publish-answer",
        rust: &[Members("src/error.rs", "Reason")],
        both: true,
        except: &[except("code", "reason-code", SHORT), except("", "server-reference", "not in PUBACK and PUBREC")],
    },
    Pair {
        wit: "mqtt.subscribe-answer",
        rust: &[Members("src/error.rs", "SubscribeReason")],
        both: true,
        except: &[except("codes", "reason-codes", SHORT)],
    },
    Pair { wit: "mqtt.failure-kind", rust: &[Members("src/error.rs", "ErrorKind")], both: true, except: &[] },
    Pair {
        wit: "mqtt.failure",
        rust: &[Functions("src/error.rs", "Error")],
        both: true,
        except: &[
            except("message", "", "`Display` in Rust"),
            except("code", "reason-code", SHORT),
            except("", "is-fatal", "the kind tells it"),
        ],
    },
    Pair {
        wit: "mqtt.skipped-certificate",
        rust: &[Members("src/transport/tls/options.rs", "SkippedCertificate")],
        both: true,
        except: &[],
    },
    Pair {
        wit: "mqtt.connect-options",
        rust: &[
            Functions("src/engine/options.rs", "Options"),
            Functions("src/transport/tls/options.rs", "TlsOptions"),
            Members("src/engine/options.rs", "Reconnect"),
        ],
        both: true,
        except: &[
            except("set-authentication-method", "authentication", BY_VALUE),
            except("set-authentication-data", "authentication", BY_VALUE),
            except("set-reconnect-delays-ms", "first-delay", BY_VALUE),
            except("set-reconnect-attempts", "attempts", BY_VALUE),
            except("set-reconnect-refusals", "refusals", BY_VALUE),
            except("", "retries", RUST_ONLY),
            except("set-redirect-limit", "redirects", BY_VALUE),
            except("set-snapshot", "resume", "Rust has a type that says that it is a snapshot"),
            except("set-skip-unknown-properties", "unknown-properties", "two choices: a type in Rust"),
            except("set-acknowledge-by-hand", "", "`receive_unacknowledged` in Rust"),
            except("", "proxy-from-environment", RUST_ONLY),
            except("", "bind-address", NATIVE_ONLY),
            except("", "tcp-keep-alive", NATIVE_ONLY),
            except("", "socket-buffers", NATIVE_ONLY),
            except("", "longest-delay", "the second argument of `set-reconnect-delays-ms`"),
            except("", "new", "the constructor"),
            except("", "login", RUST_ONLY),
            except("", "login-from", RUST_ONLY),
            except("", "authenticator", RUST_ONLY),
            except("", "tls", RUST_ONLY),
            except("", "config", RUST_ONLY),
            except("", "provider", RUST_ONLY),
            except("", "ring", NATIVE_ONLY),
            except("", "aws-lc-rs", NATIVE_ONLY),
            except("", "json-envelope", RUST_ONLY),
            except("", "validate", "checked when the client connects"),
            except("", "dangerous-accept-any-certificate", "not for components"),
        ],
    },
    Pair {
        wit: "mqtt.connection-info",
        rust: &[Members("src/session/connection_info.rs", "ConnectionInfo")],
        both: true,
        except: &[],
    },
    Pair {
        wit: "mqtt.disconnection",
        rust: &[
            Members("src/codec/disconnect.rs", "Disconnect"),
            Members("src/codec/property.rs", "DisconnectProperties"),
        ],
        both: true,
        except: &[
            except("code", "reason-code", SHORT),
            except("", "properties", "fields of the record"),
            except("", "server-reference", "not for clients to send"),
        ],
    },
    Pair {
        wit: "mqtt.event",
        rust: &[Functions("src/engine/event.rs", "Event")],
        both: true,
        except: &[
            except("kind", "", "the variants in Rust"),
            except("message", "", "`Display` in Rust"),
            except("subject", "topic", "what it is depends on the kind, and later events may have others"),
        ],
    },
    Pair {
        wit: "mqtt.authentication-step",
        rust: &[Members("src/session/event.rs", "Challenge")],
        both: true,
        except: &[except("is-authenticated", "", WIT_ONLY)],
    },
    Pair {
        wit: "mqtt.incoming-request",
        rust: &[Functions("src/respond.rs", "Request")],
        both: true,
        except: &[except("id", "", "the value itself in Rust")],
    },
    Pair {
        wit: "mqtt.client",
        rust: &[Functions("src/client/mod.rs", "Client"), Functions("src/client/request.rs", "Client")],
        both: false,
        except: &[
            except("publish-message", "publish-with-reason", "takes a record, as `publish` does in Rust"),
            except("publish-batch", "publish-all", "returns when all have ended, and takes a list, as `receive-batch`"),
            except("receive-batch", "messages", "an iterator in Rust"),
            except("cancel-request", "give-up", LONGER),
            except("fail-request", "reply", "`Reply::failed` in Rust"),
            except("release-request", "give-up-request", "`cancel-request` and it must not be mistaken for each other"),
            except("reply-with", "reply", "`Reply` has the properties in Rust"),
            except("info", "connection-info", "returns the record `connection-info`"),
            except("in-flight", "stats", "a field of `Stats` in Rust"),
            except("next-step", "", "`Authenticator` in Rust"),
            except("answer-challenge", "", "`Authenticator` in Rust"),
        ],
    },
    Pair {
        wit: "mqtt",
        rust: &[Functions("src/client/mod.rs", "Client")],
        both: false,
        except: &[
            except("start", "", "`Authenticator` in Rust"),
            except("wait", "", "a thread or task for each client in Rust"),
            except("topic-matches", "", "a free function in `codec`"),
            except("reason-name", "", "`ReasonCode::name` in Rust"),
        ],
    },
    Pair { wit: "trace.trace-context", rust: &[Functions("src/trace.rs", "TraceContext")], both: false, except: &[] },
    Pair {
        wit: "trace",
        rust: &[Functions("src/trace.rs", "TraceContext")],
        both: false,
        except: &[
            except("new-trace", "new-root", FREE),
            except("next-span", "child", FREE),
            except("read-trace", "from-properties", FREE),
            except("write-trace", "inject", FREE),
        ],
    },
];

const ERRORS: &str = "src/error.rs";
const EXPORTS: &str = "src/component/export.rs";

pub(super) const LISTS: &[List] = &[
    List {
        wit: "mqtt.failure-kind.wrong-call",
        rust: &[
            (ERRORS, "(WrongCall, "),
            (ERRORS, "(ErrorKind::WrongCall, "),
            (EXPORTS, "wrong_call("),
            ("src/component/convert.rs", "wrong_call("),
        ],
        except: &[
            ("store-in-use", NO_STORE),
            ("store-of-another-client", NO_STORE),
            ("store-read-only", NO_STORE),
            ("store-torn", NO_STORE),
            ("store-version", NO_STORE),
            ("stream-unreadable", NO_STREAMS),
        ],
    },
    List {
        wit: "mqtt.failure-kind.try-later",
        rust: &[(ERRORS, "(TryLater, "), (EXPORTS, "failure(wit::FailureKind::TryLater, ")],
        except: &[],
    },
    List { wit: "mqtt.failure-kind.timed-out", rust: &[(ERRORS, "(TimedOut, ")], except: &[] },
    List {
        wit: "mqtt.failure-kind.refused",
        rust: &[(ERRORS, "(Refused, "), (ERRORS, "(ErrorKind::Refused, ")],
        except: &[],
    },
    List {
        wit: "mqtt.failure-kind.connection-over",
        rust: &[(ERRORS, "(ConnectionOver, "), (ERRORS, "(ErrorKind::ConnectionOver, ")],
        except: &[
            ("stopped", "the async client alone has a task that can be gone"),
            ("store-failed", NO_STORE),
            ("store-full", NO_STORE),
            ("stream-abandoned", NO_STREAMS),
            ("stream-cut", NO_STREAMS),
            ("stream-failed", NO_STREAMS),
            ("stream-lost", NO_STREAMS),
            ("stream-stalled", NO_STREAMS),
            ("stream-too-short", NO_STREAMS),
        ],
    },
    List {
        wit: "mqtt.failure-kind.not-trusted",
        rust: &[(ERRORS, "(NotTrusted, "), (ERRORS, "(ErrorKind::NotTrusted, ")],
        except: &[],
    },
    List { wit: "mqtt.failure-kind.protocol-broken", rust: &[(ERRORS, "(ProtocolBroken, ")], except: &[] },
    List { wit: "mqtt.event-kind", rust: &[("src/engine/event.rs", "=> ")], except: &[] },
    List { wit: "mqtt.client.stats", rust: &[("src/session/stats.rs", "(")], except: &[] },
];

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Members(path, name) | Self::Functions(path, name)) = self;
        write!(f, "{name} of {path}")
    }
}
