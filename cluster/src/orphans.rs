//! Children whose owner was dropped while they ran.
//!
//! A zombie stays until its parent asks for it. So each start of a process, and each further
//! drop, first reaps the dropped ones that have ended: at most those remain that ended since.
//! No thread, no signal handler, and never a `waitpid(-1)` that would take others' children.

use crate::process;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Its number, and its pidfd.
type Orphan = (u32, Arc<OwnedFd>);

static ORPHANS: Mutex<Vec<Orphan>> = Mutex::new(Vec::new());

/// Takes over a child that nobody waits for any more.
pub(crate) fn adopt(pid: u32, pidfd: Arc<OwnedFd>) {
    let mut orphans = lock();
    reap(&mut orphans);
    orphans.push((pid, pidfd));
}

/// The numbers of all that are left.
pub(crate) fn all() -> Vec<u32> {
    let mut orphans = lock();
    reap(&mut orphans);
    orphans.iter().map(|&(pid, _)| pid).collect()
}

/// Reaps those that have ended.
pub(crate) fn sweep() {
    reap(&mut lock());
}

fn reap(orphans: &mut Vec<Orphan>) {
    if orphans.is_empty() {
        return;
    }
    let mut fds: Vec<PollFd<'_>> =
        orphans.iter().map(|(_, pidfd)| PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)).collect();
    if !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..)) {
        return;
    }
    let ended: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
    let mut ended = ended.into_iter();
    // An error means that somebody else has reaped it: nothing is left to do either.
    orphans.retain(|(pid, pidfd)| {
        !ended.next().unwrap_or(false) || matches!(process::reap(*pid, pidfd.as_fd()), Ok(None))
    });
}

fn lock() -> MutexGuard<'static, Vec<Orphan>> {
    ORPHANS.lock().unwrap_or_else(PoisonError::into_inner)
}
