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
    Readme: "README.md",
    Authentication: "docs/authentication.md",
    Bulk: "docs/bulk.md",
    From02: "docs/from-0.2.md",
    FromPaho: "docs/from-paho.md",
    FromRumqttc: "docs/from-rumqttc.md",
    RabbitMq: "docs/rabbitmq.md",
    RequestReply: "docs/request-reply.md",
    Tls: "docs/tls.md",
}
