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
    Bulk: "docs/bulk.md",
    Errors: "docs/errors.md",
    RabbitMq: "docs/rabbitmq.md",
    RequestReply: "docs/request-reply.md",
}
