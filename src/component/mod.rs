//! The component: the blocking client behind the WIT interfaces of `wit/`, without std.
//!
//! Here types are translated and nothing is decided: behaviour lives in the session and the client.

mod abi;
mod convert;
mod export;

use export::Component;

#[allow(unsafe_code, reason = "generated: the component ABI is unsafe")]
mod exports {
    crate::wit::export!(Component with_types_in crate::wit);

    use super::Component;
}
