//! Descriptors that a tokio runtime watches.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Has the current runtime watch a copy of this descriptor.
///
/// Panics outside a runtime with I/O, as tokio's own sockets do.
#[track_caller]
pub(crate) fn watch(
    descriptor: BorrowedFd<'_>,
    interest: Interest,
) -> io::Result<AsyncFd<OwnedFd>> {
    let copy = descriptor.try_clone_to_owned()?;
    // SAFETY: an OwnedFd is open and keeps its number. The AsyncFd owns it, and nobody in this
    // crate takes or replaces it there.
    Ok(unsafe { AsyncFd::register_with_interest(copy, interest) }?)
}
