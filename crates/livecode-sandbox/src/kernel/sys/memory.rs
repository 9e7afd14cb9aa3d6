//! The pages that a forked process uses, and giving them to another fork at once; and the memory
//! of large blocks, given back to the kernel.

use std::{ops::Range, os::unix::fs::FileExt as _};

/// A range of a process's memory, in whole pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageRange {
    pub range: Range<usize>,
    /// Whether the pages were written to, and not only read.
    pub are_written: bool,
}

/// Finds the pages that the process `pid`, a fork, has touched since the fork: anonymous pages
/// that it has written to, and so has copied; and pages of files that it has read. At the moment
/// of a fork a process has neither.
pub(crate) fn touched_pages(pid: i32) -> Vec<PageRange> {
    const ENTRY_BYTES: usize = 8;
    // Bits of an entry of proc_pid_pagemap(5): the page is in memory; it belongs to a file (or is
    // shared anonymous memory); no other process maps it.
    const IS_PRESENT: u64 = 1 << 63;
    const IS_FILE: u64 = 1 << 61;
    const IS_EXCLUSIVE: u64 = 1 << 56;
    let page_bytes = rustix::param::page_size();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let Ok(pagemap) = std::fs::File::open(format!("/proc/{pid}/pagemap")) else { return vec![] };
    let mut found: Vec<PageRange> = vec![];
    for line in maps.lines().filter(|line| !line.ends_with(']') || line.ends_with("[heap]")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let addresses = range.map(|(start, end)| [start, end].map(|text| usize::from_str_radix(text, 16)));
        let Some([Ok(start), Ok(end)]) = addresses else { continue };
        let mut entries = vec![0; (end - start) / page_bytes * ENTRY_BYTES];
        if pagemap.read_exact_at(&mut entries, (start / page_bytes * ENTRY_BYTES) as u64).is_err() {
            continue;
        }
        let first_of_mapping = found.len();
        for (index, entry) in entries.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
            let (page, entry) = (start + index * page_bytes, u64::from_ne_bytes(*entry));
            let are_written = match (entry & IS_PRESENT, entry & IS_FILE, entry & IS_EXCLUSIVE) {
                (IS_PRESENT, 0, IS_EXCLUSIVE) => true,
                (IS_PRESENT, IS_FILE, _) => false,
                _ => continue,
            };
            match found[first_of_mapping..].last_mut() {
                Some(last) if last.range.end == page && last.are_written == are_written => {
                    last.range.end += page_bytes;
                }
                _ => found.push(PageRange { range: page..page + page_bytes, are_written }),
            }
        }
    }
    found
}

/// Populates the page tables of this process, a fresh fork, with the pages that it will use, all
/// at once instead of by one page fault each (madvise(2), `MADV_POPULATE_…`, Linux 5.14). An older
/// kernel refuses the advice, and each page is then provided when it is touched.
pub(crate) fn prefault(used: &[PageRange]) {
    const MADV_POPULATE_READ: i32 = 22;
    const MADV_POPULATE_WRITE: i32 = 23;
    for PageRange { range, are_written } in used {
        let advice = if *are_written { MADV_POPULATE_WRITE } else { MADV_POPULATE_READ };
        // SAFETY: the advice changes no contents, and fails if there is no such memory.
        unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), advice) };
    }
}

/// Blocks of at least this size have a mapping of their own, in bytes: glibc's first threshold.
#[cfg(target_env = "gnu")]
const LARGE_BLOCK_BYTES: i32 = 128 * 1024;

/// Makes the allocator give the memory of each large block back to the kernel when the block is
/// freed. By itself glibc raises its threshold with each such block that is freed, up to 32 MiB
/// (mallopt(3), `M_MMAP_THRESHOLD`). Further large blocks then come from heaps that it keeps: a
/// server that has held 300 MiB of bodies has kept that much for ever. Call this before other
/// threads exist.
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call changes a number in the allocator. If it fails, more memory is kept.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
    }
}

/// Makes the allocator give all free pages back to the kernel (malloc_trim(3)). By itself glibc
/// keeps a page that lies between two blocks in use, so thousands of connections that were open at
/// once leave their memory with the server when they have gone.
pub fn return_free_pages() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call changes no block in use, and other threads may allocate meanwhile.
    unsafe {
        libc::malloc_trim(0);
    }
}
