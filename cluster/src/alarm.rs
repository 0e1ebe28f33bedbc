//! The master's next deadline, as a descriptor in its loop.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::{Duration, Instant},
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

/// A timer that a foreign loop sees, too, for it waits on the master's descriptor only.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: TimerFd,
    set_for: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, set_for: None })
    }

    /// Goes off at this time, and at no other.
    pub(crate) fn set(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if deadline == self.set_for {
            return Ok(());
        }
        self.set_for = deadline;
        let Some(deadline) = deadline else { return Ok(self.timer.unset()?) };
        // Zero would switch it off.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
        Ok(self.timer.set(expiration, TimerSetTimeFlags::empty())?)
    }

    /// It went off: forget that it was set.
    pub(crate) fn rang(&mut self) {
        self.set_for = None;
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_fd().as_raw_fd()
    }
}
