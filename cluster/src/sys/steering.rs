//! A program that chooses among the sockets of a port.

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::libc::{self, sock_filter, sock_fprog};

/// Of asm-generic/socket.h, and sparc's own.
const SO_ATTACH_REUSEPORT_CBPF: libc::c_int = if cfg!(target_arch = "sparc64") { 53 } else { 51 };

/// Has this program say which socket of this one's group gets a connection: by its place in the
/// order in which they began to listen. What is no place leaves it to the kernel.
pub(crate) fn steer(socket: BorrowedFd<'_>, program: &[sock_filter]) -> io::Result<()> {
    let len = program.len().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions, which are there, and copies them.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<sock_fprog>() as libc::socklen_t,
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
