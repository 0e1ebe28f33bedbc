//! Something to wait on, for threads that block and for foreign loops.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        eventfd::{EfdFlags, EventFd},
    },
};

/// A descriptor that is readable while it is set.
///
/// Whoever holds the lock of the state that it tells of sets and clears it; clones are the
/// same signal, to be waited on without the lock.
#[derive(Debug)]
pub(crate) struct Signal {
    counter: Arc<EventFd>,
    is_set: bool,
}

impl Signal {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let counter = Arc::new(EventFd::from_value_and_flags(0, flags)?);
        Ok(Self { counter, is_set: false })
    }

    /// What to wait on.
    pub(crate) fn counter(&self) -> Arc<EventFd> {
        Arc::clone(&self.counter)
    }

    pub(crate) fn set(&mut self, on: bool) {
        if on == self.is_set {
            return;
        }
        self.is_set = on;
        // Neither can fail: the counter goes from 0 to 1 and back.
        let _ = if on { self.counter.write(1).map(drop) } else { self.counter.read().map(drop) };
    }
}

/// One descriptor for several reasons to wake up: the channel, a signal, a socket.
#[derive(Debug)]
pub(crate) struct Latch {
    epoll: Epoll,
    /// Kept, for an epoll forgets a descriptor that is closed.
    _signal: Arc<EventFd>,
}

/// Why a latch is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Socket,
    Channel,
    Signal,
}

impl Reason {
    const ALL: [Self; 3] = [Self::Socket, Self::Channel, Self::Signal];

    pub(crate) fn data(self) -> u64 {
        self as u64
    }
}

impl Latch {
    pub(crate) fn new(channel: Option<BorrowedFd<'_>>, signal: &Signal) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let signal = signal.counter();
        let event = |reason: Reason| EpollEvent::new(EpollFlags::EPOLLIN, reason.data());
        if let Some(channel) = channel {
            epoll.add(channel, event(Reason::Channel))?;
        }
        epoll.add(&*signal, event(Reason::Signal))?;
        Ok(Self { epoll, _signal: signal })
    }

    /// Whether to open, too, when the channel can be written to.
    pub(crate) fn watch_writing(&self, channel: BorrowedFd<'_>, on: bool) -> io::Result<()> {
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, on);
        Ok(self.epoll.modify(channel, &mut EpollEvent::new(flags, Reason::Channel.data()))?)
    }

    /// Waits until there is a reason; `false` if the deadline came first. Not by [`wait`], which
    /// would make it an epoll inside another, with a longer way to wake up.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<bool> {
        let mut event = [EpollEvent::empty()];
        until(deadline, |timeout| self.epoll.wait(&mut event, timeout))
    }

    /// Waits until there is a reason, and tells which there are. The socket is the first: the
    /// kernel wakes nobody else for what we are told of, so it comes before what might make us
    /// turn away.
    pub(crate) fn reasons(&self) -> io::Result<impl Iterator<Item = Reason>> {
        let mut events = [EpollEvent::empty(); Reason::ALL.len()];
        let count = loop {
            match self.epoll.wait(&mut events, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => {}
                other => break other?,
            }
        };
        events[..count].sort_unstable_by_key(EpollEvent::data);
        Ok(events.into_iter().take(count).map(|event| Reason::ALL[event.data() as usize % 3]))
    }
}

impl AsFd for Latch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Waits until one of the descriptors is ready; `false` if the deadline came first.
pub(crate) fn wait(
    descriptors: &[(BorrowedFd<'_>, PollFlags)],
    deadline: Option<Instant>,
) -> io::Result<bool> {
    let mut list: Vec<_> =
        descriptors.iter().map(|&(descriptor, flags)| PollFd::new(descriptor, flags)).collect();
    until(deadline, |timeout| poll(&mut list, timeout).map(|count| count as usize))
}

/// Waits as often as it takes, with what is left of the time.
fn until(
    deadline: Option<Instant>,
    mut wait: impl FnMut(PollTimeout) -> nix::Result<usize>,
) -> io::Result<bool> {
    loop {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match wait(milliseconds(timeout)) {
            Ok(0) if timeout.is_some_and(|timeout| timeout.is_zero()) => return Ok(false),
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Rounded up: a wait must not end before its time.
fn milliseconds(timeout: Option<Duration>) -> PollTimeout {
    let Some(timeout) = timeout else { return PollTimeout::NONE };
    PollTimeout::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(latch: &Latch) -> bool {
        wait(&[(latch.as_fd(), PollFlags::POLLIN)], Some(Instant::now())).unwrap()
    }

    #[test]
    fn a_latch_is_open_while_its_signal_is_set() {
        let mut signal = Signal::new().unwrap();
        let latch = Latch::new(None, &signal).unwrap();
        assert!(!is_open(&latch));
        signal.set(true);
        signal.set(true);
        assert!(is_open(&latch));
        assert_eq!(latch.reasons().unwrap().collect::<Vec<_>>(), [Reason::Signal]);
        signal.set(false);
        assert!(!is_open(&latch));
    }

    #[test]
    fn a_wait_lasts_until_its_deadline() {
        let signal = Signal::new().unwrap();
        let (start, length) = (Instant::now(), Duration::from_micros(1500));
        let counter = signal.counter();
        let ready = wait(&[(counter.as_fd(), PollFlags::POLLIN)], Some(start + length)).unwrap();
        assert!(!ready && start.elapsed() >= length);
    }
}
