//! What `wit/` says, as Rust.

wit_bindgen::generate!({
    path: "wit",
    world: "client",
    generate_all,
});

use super::export::Component;

export!(Component with_types_in self);
