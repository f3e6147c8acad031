//! What `wit/` says, as Rust: generated. Transports have their imports here, and the component what it exports.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated: the component ABI is unsafe")]

#[cfg(not(feature = "tls"))]
wit_bindgen::generate!({
    path: "wit",
    world: "client",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "crate::wit",
});

#[cfg(feature = "tls")]
wit_bindgen::generate!({
    path: "wit",
    world: "client-tls",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "crate::wit",
});
