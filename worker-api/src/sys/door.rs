//! Accepting, and a place in a socket's queue of exclusive waiters.

use std::{
    io,
    net::Shutdown,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Instant,
};

use nix::{libc, poll::PollFlags};
use socket2::{SockAddr, SockRef};

use crate::latch::wait;

/// Takes a connection that waits on a socket, close-on-exec from birth, and who it is from.
///
/// # Errors
///
/// What the system says; `WouldBlock` if none waits on a non-blocking socket.
pub fn accept(socket: BorrowedFd<'_>, nonblocking: bool) -> io::Result<(OwnedFd, SockAddr)> {
    let flags = libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: the storage is as long as its length says, and accept4 fills both.
    let (address, number) = unsafe {
        let mut number = -1;
        let ((), address) = SockAddr::try_init(|storage, length| {
            number = libc::accept4(socket.as_raw_fd(), storage.cast(), length, flags);
            if number < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        })?;
        (address, number)
    };
    // SAFETY: accept4 has just made this descriptor, so we are its only owner.
    Ok((unsafe { OwnedFd::from_raw_fd(number) }, address))
}

/// Adds the socket to an epoll with `EPOLLEXCLUSIVE`: of all that wait for the socket, in all
/// processes, an event wakes one.
///
/// The epoll comes as a number because it may be that of a foreign loop.
pub(crate) fn add_exclusive(epoll: RawFd, socket: BorrowedFd<'_>, data: u64) -> io::Result<()> {
    let events = (libc::EPOLLIN | libc::EPOLLEXCLUSIVE) as u32;
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the event lives through the call; a wrong number gives EBADF or EINVAL.
    let code =
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the socket out of an epoll again.
pub(crate) fn remove(epoll: RawFd, socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: EPOLL_CTL_DEL reads no event; a wrong number gives EBADF, EINVAL or ENOENT.
    let code =
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, socket.as_raw_fd(), ptr::null_mut()) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Wakes all who wait for a listening socket, if a connection is there: who was woken for it,
/// alone, may be gone. That is all that shutting down such a socket's writing half does on
/// Linux; a UDP socket would lose it.
pub fn pass_on(socket: BorrowedFd<'_>) {
    let reference = SockRef::from(&socket);
    let is_there = || wait(&[(socket, PollFlags::POLLIN)], Some(Instant::now()));
    if reference.is_listener().unwrap_or(false)
        && is_there().unwrap_or(true)
        && let Err(error) = reference.shutdown(Shutdown::Write)
    {
        log::debug!("cannot wake the others that wait for a socket: {error}");
    }
}
