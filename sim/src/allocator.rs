//! Small blocks from lists of each thread's own, the others from mimalloc, asked without an alignment wherever every block has it anyhow.
//!
//! A story makes and frees a hundred thousand small blocks on one thread. A list of free ones for each size gives them out in a few instructions.
//! The crate `mimalloc` always asks for the alignment of a layout, and mimalloc then takes a longer way, and beyond a kilobyte a larger
//! block. Nearly all that a story allocates is octets, which need none.

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;

/// Blocks of this size or more lie at multiples of it; smaller ones at multiples of their size.
const NATURAL: usize = 16;
/// Octets of the largest small block. All small blocks are multiples of [`NATURAL`].
const SMALL: usize = 1_024;
/// Free blocks of one size that a thread keeps: others may free what it has allocated, or it what they have.
const KEPT_MAX: u32 = 16_384;

/// A small block that is free.
struct Free {
    next: *mut Free,
}

/// The free blocks of one size.
struct List {
    first: Cell<*mut Free>,
    length: Cell<u32>,
}

thread_local! {
    static LISTS: [List; SMALL / NATURAL] =
        const { [const { List { first: Cell::new(null_mut()), length: Cell::new(0) } }; SMALL / NATURAL] };
}

/// The allocator.
pub(crate) struct Allocator;

/// True where mimalloc aligns a block so without being asked.
const fn is_natural(size: usize, align: usize) -> bool {
    align <= NATURAL && align <= size
}

/// The list that blocks of a layout are from; `None`: from mimalloc.
const fn list_of(size: usize, align: usize) -> Option<usize> {
    if align <= NATURAL && size <= SMALL && size > 0 { Some((size - 1) / NATURAL) } else { None }
}

/// A block of a list.
fn take(list: usize) -> *mut u8 {
    LISTS.with(|lists| {
        let own = &lists[list];
        let first = own.first.get();
        if first.is_null() {
            // SAFETY: any size may be asked for, and this one is a multiple of `NATURAL`.
            return unsafe { mi_malloc((list + 1) * NATURAL) }.cast();
        }
        // SAFETY: what is in a list is free, and was written by `give`.
        own.first.set(unsafe { (*first).next });
        own.length.set(own.length.get() - 1);
        first.cast()
    })
}

/// A block of a list comes back.
///
/// # Safety
/// It is from that list, and nobody uses it any more.
unsafe fn give(list: usize, block: *mut u8) {
    LISTS.with(|lists| {
        let own = &lists[list];
        if own.length.get() >= KEPT_MAX {
            // SAFETY: blocks of lists come from mimalloc in the beginning.
            return unsafe { mi_free(block.cast()) };
        }
        let free: *mut Free = block.cast();
        // SAFETY: the block is ours, large enough, and aligned to 16.
        unsafe { free.write(Free { next: own.first.get() }) };
        own.first.set(free);
        own.length.set(own.length.get() + 1);
    });
}

// SAFETY: a small block has the octets and the alignment of its list, which its layout alone chooses, so that it comes back to a list of the same size. Every
// other call hands its arguments to mimalloc, whose blocks have at least the size asked for, are freed and grown the same
// way however they were made, and are aligned as `NATURAL` says (`MI_MAX_ALIGN_SIZE` in its types.h).
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if let Some(list) = list_of(size, align) {
            return take(list);
        }
        // SAFETY: any size may be asked for; the alignment of a layout is a power of two.
        unsafe { if is_natural(size, align) { mi_malloc(size) } else { mi_malloc_aligned(size, align) } }
            .cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if let Some(list) = list_of(size, align) {
            let block = take(list);
            if !block.is_null() {
                // SAFETY: it has so many octets.
                unsafe { block.write_bytes(0, size) };
            }
            return block;
        }
        // SAFETY: as above.
        unsafe { if is_natural(size, align) { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) } }
            .cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match list_of(layout.size(), layout.align()) {
            // SAFETY: the caller has the block from us, with this layout.
            Some(list) => unsafe { give(list, block) },
            // SAFETY: the caller has the block from us.
            None => unsafe { mi_free(block.cast()) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        match (list_of(layout.size(), align), list_of(size, align)) {
            (Some(old), Some(new)) if old == new => block,
            (None, None) => {
                // SAFETY: the caller has the block from us, and it is no small one.
                unsafe {
                    if is_natural(size, align) {
                        mi_realloc(block.cast(), size)
                    } else {
                        mi_realloc_aligned(block.cast(), size, align)
                    }
                }
                .cast()
            }
            _ => {
                // SAFETY: the caller promises that the new size is one of a layout of this alignment.
                let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, align)) };
                if !new.is_null() {
                    // SAFETY: both have so many octets, and the old one is the caller's.
                    unsafe {
                        new.copy_from_nonoverlapping(block, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                }
                new
            }
        }
    }
}
