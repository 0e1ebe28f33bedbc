//! A process we started, watched by its pidfd.

use crate::{Signal, Usage, orphans, own, sys::pidfd};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitStatus,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A child process. Its descriptor becomes readable when it ends; several threads may wait.
///
/// Dropped before its end is known, it goes to [`orphans`] and is reaped later.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    pidfd: Arc<OwnedFd>,
    /// How it ended, once it is reaped.
    status: Mutex<Option<ExitStatus>>,
}

impl Process {
    pub(crate) fn new(pid: u32, pidfd: OwnedFd) -> Self {
        own::add(pid);
        Self { pid, pidfd: Arc::new(pidfd), status: Mutex::new(None) }
    }

    /// A child of this process that nobody has reaped, so that its number is still its own.
    pub(crate) fn of_child(pid: u32) -> io::Result<Self> {
        Ok(Self::new(pid, pidfd::open(pid)?))
    }

    /// A process that somebody else has started as a child of this one.
    ///
    /// # Errors
    ///
    /// `ECHILD` if it is not that, `InvalidData` if it is one that this process has started.
    pub(crate) fn of_copy(pid: u32) -> io::Result<Self> {
        if own::has(pid) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let pidfd = pidfd::open(pid)?;
        pidfd::check_child(pidfd.as_fd())?;
        Ok(Self::new(pid, pidfd))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; false if the process has ended.
    pub(crate) fn kill(&self, signal: Signal) -> io::Result<bool> {
        let status = self.lock(); // nobody reaps meanwhile
        if status.is_some() {
            return Ok(false);
        }
        if self.readable(Some(Instant::now()))? {
            return Ok(false); // a zombie takes signals and does nothing
        }
        match pidfd::send_signal(self.as_fd(), signal.number()) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How the process ended; `None` while it runs. `ECHILD` if somebody else has reaped it.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut status = self.lock();
        if status.is_none() {
            *status = reap(self.pid, self.as_fd())?;
        }
        Ok(*status)
    }

    /// Waits until the process has ended; `None` if it has not at `deadline`.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<Option<ExitStatus>> {
        loop {
            let readable = self.readable(deadline)?;
            let status = self.try_wait()?;
            if status.is_some() || !readable {
                return Ok(status);
            }
        }
    }

    /// Waits until the process has ended, however long that takes.
    pub(crate) fn status(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.wait(None)? {
                return Ok(status);
            }
        }
    }

    /// What the process uses; `None` if it has ended. Nobody reaps meanwhile, so it is this
    /// process and no other that got its number.
    pub(crate) fn usage(&self) -> io::Result<Option<Usage>> {
        let status = self.lock();
        if status.is_some() || self.readable(Some(Instant::now()))? {
            return Ok(None);
        }
        Usage::of(self.pid)
    }

    fn readable(&self, deadline: Option<Instant>) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        poll_until(&mut fds, deadline)
    }

    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.try_wait() {
            orphans::adopt(self.pid, Arc::clone(&self.pidfd));
        }
    }
}

/// Reaps one of our own if it has ended, or if somebody else has reaped it.
pub(crate) fn reap(pid: u32, pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    own::end(pid, || pidfd::try_wait(pidfd), |status| !matches!(status, Ok(None)))
}

/// poll(2), again after each interruption; false at `deadline`.
pub(crate) fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        match poll(fds, timeout(deadline, Instant::now())) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                return Ok(false);
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// In milliseconds, rounded up: rounded down, the last one would be spent spinning.
fn timeout(deadline: Option<Instant>, now: Instant) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let left = deadline.saturating_duration_since(now) + Duration::from_nanos(999_999);
    PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_round_up() {
        let now = Instant::now();
        let after = |nanos| timeout(Some(now + Duration::from_nanos(nanos)), now);
        assert_eq!(timeout(None, now), PollTimeout::NONE);
        assert_eq!(timeout(Some(now), now + Duration::from_secs(1)), PollTimeout::ZERO);
        assert_eq!(after(0), PollTimeout::ZERO);
        assert_eq!(after(1), PollTimeout::from(1_u16));
        assert_eq!(after(1_000_000), PollTimeout::from(1_u16));
        assert_eq!(after(1_000_001), PollTimeout::from(2_u16));
        assert_eq!(after(u64::MAX), PollTimeout::MAX);
    }
}
