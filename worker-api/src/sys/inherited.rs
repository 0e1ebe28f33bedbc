//! What this process was started with: its environment and a descriptor known by number.

use std::{
    env,
    ffi::OsStr,
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use nix::libc;

/// Removes a variable from this process's environment.
///
/// Edition 2024 calls that unsafe, for other threads may read the environment meanwhile
/// through C. Std's own accessors take a lock, and Node removes the same variables at the
/// same time: early in `main`, on the first question for the role.
pub(crate) fn forget_variable(name: impl AsRef<OsStr>) {
    // SAFETY: see above; this is the one place that changes the environment, and its callers
    // document that the first call belongs early in `main`.
    unsafe { env::remove_var(name) }
}

/// Sets a variable of this process's environment, in a process with one thread.
pub(crate) fn set_variable(name: &OsStr, value: &OsStr) {
    // SAFETY: as above; callers have just seen that there is no other thread.
    unsafe { env::set_var(name, value) }
}

/// A descriptor of our own for what has this number in this process.
pub(crate) fn copy(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC touches no memory; a number that is not open gives EBADF.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Takes over the descriptor with this number and makes it close-on-exec.
///
/// Callers do so once for one number, the one that the environment names.
pub(crate) fn claim(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD and F_SETFD touch no memory; a number that is not open gives EBADF.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    if unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and the process that started us opened it for us alone: the
    // variable that named it is gone, so nobody claims it twice.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
