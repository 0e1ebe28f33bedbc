//! What an `exec` needs.

use std::{io, os::fd::RawFd};

use nix::libc;

/// Whether these descriptors stay open over an `exec`; the numbers of descriptors that this
/// process owns.
pub(crate) fn keep_over_exec(numbers: impl Iterator<Item = RawFd>, keep: bool) -> io::Result<()> {
    let flags = if keep { 0 } else { libc::FD_CLOEXEC };
    for number in numbers {
        // SAFETY: touches no memory; a number that is not open gives EBADF.
        if unsafe { libc::fcntl(number, libc::F_SETFD, flags) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
