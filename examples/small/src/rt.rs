//! What std brings along elsewhere: memory, an end for panics, and what the compiler calls.

use alloc::alloc::{Layout, alloc, realloc};

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// Ends the program. Its text would link everything that formats.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Makes room for what the host returns: `realloc` of the canonical ABI.
///
/// # Safety
/// `old` was returned from here for `old_len` bytes of the same alignment, or `old_len` is zero.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    if new_len == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: the host keeps to the canonical ABI: sizes and alignments are valid, and `old` is ours.
    unsafe {
        let new = if old_len == 0 {
            alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_len, align), new_len)
        };
        if new.is_null() {
            core::arch::wasm32::unreachable();
        }
        new
    }
}

/// Compares memory. The compiler calls it by this name; that of the C library brings `printf` along.
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
