//! A page of memory that a worker and its master share.

use std::{
    io,
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr::{self, NonNull},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    libc,
    sys::{
        memfd::{MFdFlags, memfd_create},
        stat::fstat,
    },
    unistd::ftruncate,
};

use super::claim;
use crate::scoreboard::Board;

/// Bytes of the file; the kernel maps whole pages, of whatever size.
const SIZE: usize = 4096;
const _: () = assert!(size_of::<Board>() <= SIZE && align_of::<Board>() <= SIZE);

/// Nobody may shorten the file: a look at what is gone would end the process.
const SEALS: SealFlag =
    SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// A board in memory that lasts as long as anybody has it.
#[derive(Debug)]
pub(crate) struct Page {
    board: NonNull<Board>,
}

// SAFETY: a board consists of atomics, and the mapping belongs to no thread.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// One that nobody else sees.
    pub(crate) fn alone() -> io::Result<Self> {
        Self::map(-1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)
    }

    /// A new one, and the file by which others map it.
    pub(crate) fn shared() -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create(
            c"cluster-scoreboard",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )?;
        ftruncate(&file, SIZE as libc::off_t)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
        Ok((Self::of(file.as_fd())?, file))
    }

    /// The one behind a file that [`shared`](Self::shared) made, in whatever process.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is another file, else what the system says.
    pub(crate) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        // Other kinds of files have no seals at all.
        let seals = fcntl(file, FcntlArg::F_GET_SEALS)
            .map(SealFlag::from_bits_truncate)
            .unwrap_or(SealFlag::empty());
        if !seals.contains(SEALS) || fstat(file)?.st_size != SIZE as libc::off_t {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is no scoreboard"));
        }
        Self::map(file.as_raw_fd(), libc::MAP_SHARED)
    }

    /// The one behind an inherited descriptor, if `is_ours` says so; the descriptor is closed
    /// then. Another's is left alone.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of); `InvalidInput` if it is not ours.
    pub(crate) fn claim(number: RawFd, is_ours: impl FnOnce(&Board) -> bool) -> io::Result<Self> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        // SAFETY: F_GETFD touches no memory; a number that is not open gives EBADF.
        if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            return Err(invalid("no open descriptor"));
        }
        // SAFETY: it is open, and at this time, early in `main`, nobody closes what was
        // inherited; a wrong number could do no more than fail.
        let page = Self::of(unsafe { BorrowedFd::borrow_raw(number) })?;
        if !is_ours(&page) {
            return Err(invalid("another worker's scoreboard"));
        }
        drop(claim(number)?);
        Ok(page)
    }

    fn map(file: RawFd, flags: libc::c_int) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), SIZE, access, flags, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let board = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { board })
    }
}

impl Deref for Page {
    type Target = Board;

    fn deref(&self) -> &Board {
        // SAFETY: the mapping is aligned to a page, at least as long as a board, as its seals
        // keep it, and lives until we are dropped. All bits are a value of its atomics, which
        // other processes may change at any time.
        unsafe { self.board.as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody borrows any more.
        unsafe { libc::munmap(self.board.as_ptr().cast(), SIZE) };
    }
}
