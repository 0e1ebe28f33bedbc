//! A process by its descriptor: no signal can hit a stranger that got a reused pid.

use nix::libc;
use std::{
    io, mem,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
    ptr,
};

/// A descriptor, close-on-exec, for the process with this number.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: touches no memory.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = i32::try_from(number).map_err(io::Error::other)?;
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sends a signal; `ESRCH` when the process is gone and reaped.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: no pointer but a null `siginfo`, which the kernel then fills in as kill(2) would.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reaps the process if it has ended; `None` while it runs. Never waits.
pub(crate) fn try_wait(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    wait(pidfd, libc::WEXITED | libc::WNOHANG)
}

/// Whether the process is a child of ours, `ECHILD` if not; it is left as it is.
pub(crate) fn check_child(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    wait(pidfd, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT).map(drop)
}

/// Waits for the end of the process and reaps it.
pub(super) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    loop {
        match wait(pidfd, libc::WEXITED) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn wait(pidfd: BorrowedFd<'_>, options: i32) -> io::Result<Option<ExitStatus>> {
    // SAFETY: siginfo_t is plain data, all zero bits are a value of it.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let id = pidfd.as_raw_fd().cast_unsigned();
    // SAFETY: `info` outlives the call.
    if unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid fills these fields in, or leaves our zeros when nothing has happened yet.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some(ExitStatus::from_raw(match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status, // CLD_KILLED: WEXITED asks for nothing else
    })))
}
