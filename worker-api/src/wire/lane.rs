//! A lane: how a master of ours hands connections to one listener of one worker of ours.
//!
//! A pair of Unix stream sockets besides the channel; each connection is one byte with a
//! descriptor. What is in the socket the worker has not taken, and what it has read it has:
//! the kernel gives each message to one reader. The master keeps a copy of the worker's end,
//! so it can count what was not taken, and take it back at any time, the worker dead or alive.

use std::{
    io,
    net::Shutdown,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use nix::errno::Errno;

use crate::sys::{receive_one, transmit};

pub use crate::sys::unread;

/// The byte of a connection of which the worker tells when it takes it.
const TELL: u8 = b'!';
const QUIET: u8 = b'.';

/// A connection from a lane.
#[derive(Debug)]
pub struct Passed {
    /// The connection, non-blocking.
    pub connection: OwnedFd,
    /// Whether the master wants to hear that it was taken.
    pub tell: bool,
}

/// A new lane: the master's end, which only writes, and the worker's, which only reads.
///
/// # Errors
///
/// What the system says.
pub fn lane() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.shutdown(Shutdown::Read)?; // so nothing can pile up there
    Ok((ours.into(), theirs.into()))
}

/// Puts a connection into a lane.
///
/// # Errors
///
/// What the system says; `WouldBlock` if the lane is full.
pub fn put(lane: BorrowedFd<'_>, connection: BorrowedFd<'_>, tell: bool) -> io::Result<()> {
    let byte = if tell { TELL } else { QUIET };
    transmit(lane, &[byte], Some(connection)).map(drop)
}

/// Takes the next connection out of a lane; `None` if there will be no more.
///
/// # Errors
///
/// What the system says; `WouldBlock` if none is there now. `EMFILE` and `ENFILE` if there is no
/// room for its descriptor: it stays in the lane.
pub fn take(lane: BorrowedFd<'_>) -> io::Result<Option<Passed>> {
    match receive_one(lane)? {
        None => Ok(None),
        Some((byte, Some(connection))) => Ok(Some(Passed { connection, tell: byte == TELL })),
        // It is lost: the kernel drops what it has no number for.
        Some((_, None)) => Err(Errno::EMFILE.into()),
    }
}
