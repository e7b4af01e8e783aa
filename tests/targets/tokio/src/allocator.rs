//! Which allocator the program calls, by feature: the system's by default, jemalloc (Debian's
//! shared one, or a private copy with the `_rjem_` prefix that Rust's jemalloc crates use), or the
//! system's behind a wrapper that counts.

#[cfg(feature = "counting")]
pub mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    pub static TOTAL_BLOCKS: AtomicU64 = AtomicU64::new(0);
    pub static TOTAL_BYTES: AtomicU64 = AtomicU64::new(0);
    pub static LIVE_BLOCKS: AtomicU64 = AtomicU64::new(0);
    pub static LIVE_BYTES: AtomicU64 = AtomicU64::new(0);

    /// Counts as Valgrind's DHAT does: a realloc adds one block and its whole new size.
    pub struct Counting;

    fn count_new(size: usize) {
        TOTAL_BLOCKS.fetch_add(1, Relaxed);
        TOTAL_BYTES.fetch_add(size as u64, Relaxed);
        LIVE_BLOCKS.fetch_add(1, Relaxed);
        LIVE_BYTES.fetch_add(size as u64, Relaxed);
    }

    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count_new(layout.size());
            System.alloc(layout)
        }
        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            count_new(layout.size());
            System.alloc_zeroed(layout)
        }
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            LIVE_BLOCKS.fetch_sub(1, Relaxed);
            LIVE_BYTES.fetch_sub(layout.size() as u64, Relaxed);
            System.dealloc(block, layout)
        }
        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            TOTAL_BLOCKS.fetch_add(1, Relaxed);
            TOTAL_BYTES.fetch_add(size as u64, Relaxed);
            LIVE_BYTES.fetch_add(size as u64, Relaxed);
            LIVE_BYTES.fetch_sub(layout.size() as u64, Relaxed);
            System.realloc(block, layout, size)
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;
}

#[cfg(any(feature = "jemalloc", feature = "rjem"))]
mod jemalloc {
    use std::alloc::{GlobalAlloc, Layout};
    use std::os::raw::{c_int, c_void};

    extern "C" {
        #[cfg_attr(feature = "rjem", link_name = "_rjem_malloc")]
        fn malloc(size: usize) -> *mut c_void;
        #[cfg_attr(feature = "rjem", link_name = "_rjem_mallocx")]
        fn mallocx(size: usize, flags: c_int) -> *mut c_void;
        #[cfg_attr(feature = "rjem", link_name = "_rjem_rallocx")]
        fn rallocx(block: *mut c_void, size: usize, flags: c_int) -> *mut c_void;
        #[cfg_attr(feature = "rjem", link_name = "_rjem_sdallocx")]
        fn sdallocx(block: *mut c_void, size: usize, flags: c_int);
    }

    /// jemalloc(3): MALLOCX_LG_ALIGN and MALLOCX_ZERO.
    const ZERO: c_int = 0x40;
    fn align_flag(layout: &Layout) -> c_int {
        if layout.align() <= 16 && layout.align() <= layout.size() {
            0
        } else {
            layout.align().trailing_zeros() as c_int
        }
    }

    struct Jemalloc;

    unsafe impl GlobalAlloc for Jemalloc {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            match align_flag(&layout) {
                0 => malloc(layout.size()) as *mut u8,
                flag => mallocx(layout.size(), flag) as *mut u8,
            }
        }
        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            mallocx(layout.size(), align_flag(&layout) | ZERO) as *mut u8
        }
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            sdallocx(block as *mut c_void, layout.size(), align_flag(&layout))
        }
        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            rallocx(block as *mut c_void, size, align_flag(&layout)) as *mut u8
        }
    }

    #[global_allocator]
    static ALLOCATOR: Jemalloc = Jemalloc;
}

/// The wrapper's figures, or None where nobody counts.
pub fn figures() -> Option<[u64; 4]> {
    #[cfg(feature = "counting")]
    {
        use std::sync::atomic::Ordering::SeqCst;
        return Some([
            counting::TOTAL_BYTES.load(SeqCst),
            counting::TOTAL_BLOCKS.load(SeqCst),
            counting::LIVE_BYTES.load(SeqCst),
            counting::LIVE_BLOCKS.load(SeqCst),
        ]);
    }
    #[allow(unreachable_code)]
    None
}
