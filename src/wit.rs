//! What `wit/` says, as Rust: generated. Transports have their imports here, and the component what it exports.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated: the component ABI is unsafe")]

#[cfg(not(any(feature = "tls", feature = "host-tls", feature = "component-p3")))]
wit_bindgen::generate!({
    path: "wit",
    world: "client",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "crate::wit",
    disable_run_ctors_once_workaround: true,
});

#[cfg(all(feature = "tls", not(feature = "component-p3")))]
wit_bindgen::generate!({
    path: "wit",
    world: "client-tls",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "crate::wit",
    disable_run_ctors_once_workaround: true,
});

#[cfg(feature = "host-tls")]
wit_bindgen::generate!({
    path: "wit",
    world: "client-host-tls",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "crate::wit",
    disable_run_ctors_once_workaround: true,
});

#[cfg(all(feature = "component-p3", not(feature = "tls")))]
wit_bindgen_p3::generate!({
    path: "wit/p3",
    world: "client",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "crate::wit",
    disable_run_ctors_once_workaround: true,
    runtime_path: "wit_bindgen_p3::rt",
});

#[cfg(all(feature = "component-p3", feature = "tls"))]
wit_bindgen_p3::generate!({
    path: "wit/p3",
    world: "client-tls",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "crate::wit",
    disable_run_ctors_once_workaround: true,
    runtime_path: "wit_bindgen_p3::rt",
});
