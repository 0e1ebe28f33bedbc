//! The one place with `unsafe`: system calls without a safe wrapper, each with the fact that
//! makes it sound.

#![allow(unsafe_code)]

mod descriptors;
mod failure;
mod identity;
pub(crate) mod pidfd;
mod signals;
pub(crate) mod spawn;
mod stack;

/// mio's poll as a descriptor; it implements `AsRawFd` only.
pub(crate) fn descriptor_of(poll: &mio::Poll) -> std::os::fd::BorrowedFd<'_> {
    use std::os::fd::{AsRawFd, BorrowedFd};
    // SAFETY: the poll owns the descriptor and is borrowed as long as what we return.
    unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) }
}
