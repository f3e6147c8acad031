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
    Bulk: "docs/bulk.md",
    Errors: "docs/errors.md",
    GettingStarted: "docs/getting-started.md",
    Index: "docs/README.md",
    Interface: "docs/interface.md",
    ManyInstances: "docs/many-instances.md",
    Publishing: "docs/publishing.md",
    RabbitMq: "docs/rabbitmq.md",
    Readme: "README.md",
    Receiving: "docs/receiving.md",
    RequestReply: "docs/request-reply.md",
    RequestReplyReference: "docs/request-reply-reference.md",
    StayingConnected: "docs/staying-connected.md",
    Tls: "docs/tls.md",
}
