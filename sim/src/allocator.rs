//! mimalloc, asked without an alignment wherever every block has it anyhow.
//!
//! The crate `mimalloc` always asks for the alignment of a layout, and mimalloc then takes a longer way, and beyond a kilobyte a larger
//! block. Nearly all that a story allocates is octets, which need none.

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};
use std::alloc::{GlobalAlloc, Layout};

/// Blocks of this size or more lie at multiples of it; smaller ones at multiples of their size.
const NATURAL: usize = 16;

/// The allocator.
pub(crate) struct Allocator;

/// True where mimalloc aligns a block so without being asked.
const fn is_natural(size: usize, align: usize) -> bool {
    align <= NATURAL && align <= size
}

// SAFETY: each method hands its arguments to mimalloc, whose blocks have at least the size asked for, are freed and grown the same
// way however they were made, and are aligned as `NATURAL` says (`MI_MAX_ALIGN_SIZE` in its types.h).
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size may be asked for; the alignment of a layout is a power of two.
        unsafe { if is_natural(size, align) { mi_malloc(size) } else { mi_malloc_aligned(size, align) } }
            .cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        unsafe { if is_natural(size, align) { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) } }
            .cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller has the block from us.
        unsafe { mi_free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: the caller has the block from us.
        unsafe {
            if is_natural(size, align) {
                mi_realloc(block.cast(), size)
            } else {
                mi_realloc_aligned(block.cast(), size, align)
            }
        }
        .cast()
    }
}
