//! Children of this process, whoever started them.

use std::{io, mem};

use nix::libc;

/// Some child that has ended and that nobody has waited for; it stays so. Never waits.
pub(crate) fn any_ended() -> io::Result<Option<u32>> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    wait(libc::P_ALL, 0, options)
}

/// Whether the child with this number has ended; it stays as it is.
pub(crate) fn has_ended(pid: u32) -> io::Result<bool> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    Ok(wait(libc::P_PID, pid, options)?.is_some())
}

/// Reaps a child by its number if it has ended; whether it had.
pub(crate) fn reap(pid: u32) -> io::Result<bool> {
    Ok(wait(libc::P_PID, pid, libc::WEXITED | libc::WNOHANG)?.is_some())
}

fn wait(kind: libc::idtype_t, id: u32, options: i32) -> io::Result<Option<u32>> {
    // SAFETY: siginfo_t is plain data, all zero bits are a value of it.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: `info` outlives the call.
    if unsafe { libc::waitid(kind, id, &raw mut info, options) } == -1 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(None),
            _ => Err(error),
        };
    }
    // SAFETY: waitid fills this field in, or leaves our zero when there is no such child.
    let pid = unsafe { info.si_pid() };
    Ok((pid != 0).then_some(pid.cast_unsigned()))
}
