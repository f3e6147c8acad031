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
    Architecture: "docs/architecture.md",
    Bulk: "docs/bulk.md",
    GettingStarted: "docs/getting-started.md",
    Interface: "docs/interface.md",
    ManyInstances: "docs/many-instances.md",
    Publishing: "docs/publishing.md",
    RabbitMq: "docs/rabbitmq.md",
    Index: "docs/README.md",
    Receiving: "docs/receiving.md",
    RequestReplyReference: "docs/request-reply-reference.md",
    RequestReply: "docs/request-reply.md",
    StayingConnected: "docs/staying-connected.md",
}
