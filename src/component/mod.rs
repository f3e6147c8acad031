//! The component: the blocking client behind the WIT interfaces of `wit/`, without std. In that for WASI 0.3,
//! `component_p3` has what waits, and options, types and texts are those of here.
//!
//! Here types are translated and nothing is decided: behaviour lives in the session and the client.

mod abi;
pub(crate) mod convert;
pub(crate) mod export;

use export::Component;

#[cfg(all(feature = "host-tls", any(feature = "proxy", feature = "tls", feature = "ws")))]
compile_error!("the feature host-tls is for the component without the features proxy, tls and ws");

#[allow(unsafe_code, reason = "generated: the component ABI is unsafe")]
mod exports {
    crate::wit::export!(Component with_types_in crate::wit);

    use super::Component;
}
