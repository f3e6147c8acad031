//! What the component ABI and a program without std need from the program itself: memory, and an end for panics.
//!
//! This, `landing.rs` and the generated bindings are the only unsafe code.
#![allow(unsafe_code, reason = "allocating by layout and exporting by name is unsafe")]

use alloc::alloc::{Layout, handle_alloc_error, realloc};

#[cfg(not(feature = "component-p3"))]
use crate::landing;

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// A panic is a bug, and a trap is all that a component can make of one.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Allocates what the host passes in; the canonical ABI's `realloc`.
///
/// # Safety
/// `old` was returned from here for `old_len` bytes of the same alignment, or `old_len` is zero.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    if new_len == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    #[cfg(not(feature = "component-p3"))]
    if old_len == 0
        && let Some(bytes) = landing::take(new_len)
    {
        return bytes;
    }
    // SAFETY: the host keeps to the canonical ABI: sizes and alignments are valid, and `old` is ours.
    unsafe {
        let new = if old_len == 0 {
            alloc::alloc::alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_len, align), new_len)
        };
        if new.is_null() {
            handle_alloc_error(Layout::from_size_align_unchecked(new_len, align));
        }
        new
    }
}

/// Compares memory. The compiler calls it by this name; linking the C library for it would import `wasi:cli`.
///
/// # Safety
/// Both point to `len` readable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    for index in 0..len {
        // SAFETY: `index` is within the `len` bytes that both point to.
        let (one, other) = unsafe { (*one.add(index), *other.add(index)) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

/// Fills memory with randomness, for the cryptography of TLS: it asks for that as WASI 0.1 programs do, and the adapter
/// `random_get.wat` passes the question on to here.
///
/// # Safety
/// `bytes` points to `len` writable bytes.
#[cfg(feature = "tls")]
#[unsafe(no_mangle)]
unsafe extern "C" fn mqtt_wasi_random_get(bytes: *mut u8, len: usize) -> i32 {
    // SAFETY: the caller says so.
    let bytes = unsafe { core::slice::from_raw_parts_mut(bytes, len) };
    for chunk in bytes.chunks_mut(8) {
        let random = crate::wit::wasi::random::random::get_random_u64().to_ne_bytes();
        chunk.copy_from_slice(&random[..chunk.len()]);
    }
    0
}
