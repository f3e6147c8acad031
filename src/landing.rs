//! Bytes of the host that land where they are wanted: in the buffer of a connection. The generated bindings have them
//! land in a list, from where they would be copied.
#![allow(unsafe_code, reason = "what the component ABI passes is raw memory and handles")]

use core::cell::Cell;

use crate::wit::wasi::io::error::Error;
use crate::wit::wasi::io::streams::{InputStream, StreamError};

/// Where the next list of bytes lands that the host passes in, and how many may.
struct Landing(Cell<Option<(*mut u8, usize)>>);

// SAFETY: a component has one thread.
unsafe impl Sync for Landing {}

static LANDING: Landing = Landing(Cell::new(None));

/// Where as many bytes land that the host passes in now, if that is said.
pub(crate) fn take(len: usize) -> Option<*mut u8> {
    LANDING.0.take().filter(|(_, room)| len <= *room).map(|(bytes, _)| bytes)
}

/// What `input-stream.read` leaves, as the canonical ABI lays out `result<list<u8>, stream-error>`.
#[repr(C)]
struct Read {
    is_failed: u8,
    /// Where the bytes are, or which error it was.
    first: usize,
    /// How many there are, or the handle of the error.
    second: usize,
}

#[link(wasm_import_module = "wasi:io/streams@0.2.0")]
unsafe extern "C" {
    #[link_name = "[method]input-stream.read"]
    fn read(stream: u32, len: u64, result: *mut Read);
}

/// Reads what has come, without waiting, to where it is wanted; how many bytes that was.
///
/// # Errors
/// Those of the stream.
pub(crate) fn read_into(stream: &InputStream, incoming: &mut [u8]) -> Result<usize, StreamError> {
    let mut result = Read { is_failed: 0, first: 0, second: 0 };
    LANDING.0.set(Some((incoming.as_mut_ptr(), incoming.len())));
    // SAFETY: the host writes the result to where it may, and no more bytes than it was told to where `cabi_realloc`
    // says, which is `incoming`.
    unsafe { read(stream.handle(), incoming.len() as u64, &raw mut result) };
    LANDING.0.take();
    match (result.is_failed, result.first & 0xFF) {
        (0, _) => Ok(result.second),
        // SAFETY: the host has given this handle to this component, which nobody else here knows of.
        (_, 0) => Err(StreamError::LastOperationFailed(unsafe { Error::from_handle(result.second as u32) })),
        _ => Err(StreamError::Closed),
    }
}
