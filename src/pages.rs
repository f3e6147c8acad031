//! The README and the pages of `docs/`, so that the code in them compiles and their links are looked at by rustdoc.

macro_rules! pages {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[doc = include_str!(concat!("../", $file))]
            struct $name;
        )*
    };
}

pages! {
    Architecture: "docs/architecture.md",
    Authentication: "docs/authentication.md",
    Brokers: "docs/brokers.md",
    Bulk: "docs/bulk.md",
    Errors: "docs/errors.md",
    Firewalls: "docs/firewalls.md",
    From02: "docs/from-0.2.md",
    FromPaho: "docs/from-paho.md",
    FromRumqttc: "docs/from-rumqttc.md",
    GettingStarted: "docs/getting-started.md",
    Index: "docs/README.md",
    Interface: "docs/interface.md",
    ManyInstances: "docs/many-instances.md",
    Observing: "docs/observing.md",
    Publishing: "docs/publishing.md",
    RabbitMq: "docs/rabbitmq.md",
    Readme: "README.md",
    Receiving: "docs/receiving.md",
    RequestReply: "docs/request-reply.md",
    RequestReplyReference: "docs/request-reply-reference.md",
    Scale: "docs/scale.md",
    Size: "docs/size.md",
    Spin: "docs/spin.md",
    StayingConnected: "docs/staying-connected.md",
    Testing: "docs/testing.md",
    Tls: "docs/tls.md",
    Wasi03: "docs/wasi-0.3.md",
    Wasmcloud: "docs/wasmcloud.md",
}
