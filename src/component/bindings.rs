//! What `wit/` says, as Rust.

#[cfg(not(feature = "tls"))]
wit_bindgen::generate!({
    path: "wit",
    world: "client",
    generate_all,
});

#[cfg(feature = "tls")]
wit_bindgen::generate!({
    path: "wit",
    world: "client-tls",
    generate_all,
});

use super::export::Component;

export!(Component with_types_in self);
