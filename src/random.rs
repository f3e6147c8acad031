//! Random numbers of the system, or of the component's host.

use crate::error::TransportError;

/// A number that nobody can guess.
#[cfg(feature = "std")]
pub(crate) fn nonce() -> Result<u64, TransportError> {
    getrandom::u64().map_err(|error| TransportError {
        kind: crate::error::TransportErrorKind::Other,
        message: alloc::format!("no random numbers: {error}"),
    })
}

/// Numbers that are unlikely to come twice: without a source of randomness, all zero.
#[cfg(feature = "std")]
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes,
        Err(_) => [0; N],
    }
}

/// A number that nobody can guess.
#[cfg(all(not(feature = "std"), feature = "component", target_arch = "wasm32"))]
pub(crate) fn nonce() -> Result<u64, TransportError> {
    Ok(crate::wit::wasi::random::random::get_random_u64())
}

/// Numbers that are unlikely to come twice.
#[cfg(all(not(feature = "std"), feature = "component", target_arch = "wasm32"))]
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&crate::wit::wasi::random::random::get_random_u64().to_ne_bytes()[..chunk.len()]);
    }
    bytes
}
