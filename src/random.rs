//! Random numbers of the system, or of the component's host.

use crate::error::TransportError;
#[cfg(all(not(feature = "std"), feature = "component"))]
use crate::wit::wasi as host;
#[cfg(all(not(feature = "std"), not(feature = "component")))]
use wasip2 as host;

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

/// A number that is unlikely to come twice, and keeps no secret: the system is asked for one a thread.
#[cfg(all(feature = "std", not(target_family = "wasm")))]
pub(crate) fn seed() -> u64 {
    use core::hash::BuildHasher;
    // A process that was forked has other times than its siblings.
    std::hash::RandomState::new().hash_one(std::time::Instant::now())
}

/// A number that is unlikely to come twice.
#[cfg(all(
    feature = "std",
    target_family = "wasm",
    any(feature = "tokio", not(all(target_os = "wasi", target_env = "p2")))
))]
pub(crate) fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// A number that nobody can guess.
#[cfg(not(feature = "std"))]
pub(crate) fn nonce() -> Result<u64, TransportError> {
    Ok(host::random::random::get_random_u64())
}

/// Numbers that are unlikely to come twice.
#[cfg(not(feature = "std"))]
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&host::random::random::get_random_u64().to_ne_bytes()[..chunk.len()]);
    }
    bytes
}
