//! The one place with `unsafe`: system calls without a safe wrapper, each with the fact that
//! makes it sound.

#![allow(unsafe_code)]

mod descriptors;
mod exec;
mod failure;
mod identity;
mod inherited;
pub(crate) mod pidfd;
mod signals;
pub(crate) mod spawn;
mod stack;
mod standing;
mod steering;
pub(crate) mod strangers;

pub(crate) use exec::keep_over_exec;
pub(crate) use inherited::{take_listen_fds, take_variable};
pub(crate) use standing::Standing;
pub(crate) use steering::steer;

/// mio's poll as a descriptor; it implements `AsRawFd` only.
pub(crate) fn descriptor_of(poll: &mio::Poll) -> std::os::fd::BorrowedFd<'_> {
    use std::os::fd::{AsRawFd, BorrowedFd};
    // SAFETY: the poll owns the descriptor and is borrowed as long as what we return.
    unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) }
}

/// A copy of a descriptor with a number of at least `floor`, close-on-exec.
pub(crate) fn copy_above(
    descriptor: std::os::fd::BorrowedFd<'_>,
    floor: usize,
) -> std::io::Result<std::os::fd::OwnedFd> {
    use nix::fcntl::{FcntlArg, fcntl};
    use std::os::fd::FromRawFd;
    let floor = floor.try_into().unwrap_or(i32::MAX);
    let copy = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(floor))?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(copy) })
}

/// Has the current tokio runtime watch a copy of this descriptor for reading.
///
/// Panics outside a runtime with I/O, as tokio's own sockets do.
#[cfg(feature = "tokio")]
#[track_caller]
pub(crate) fn watch(
    descriptor: std::os::fd::BorrowedFd<'_>,
) -> std::io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    let copy = descriptor.try_clone_to_owned()?;
    // SAFETY: an OwnedFd is open and keeps its number. The AsyncFd owns it, and nobody in this
    // crate takes or replaces it there.
    Ok(unsafe {
        tokio::io::unix::AsyncFd::register_with_interest(copy, tokio::io::Interest::READABLE)
    }?)
}
