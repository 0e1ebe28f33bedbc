//! The signals that mean: come to an end.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use signal_hook::{
    SigId,
    consts::{SIGINT, SIGQUIT, SIGTERM},
    low_level::{pipe, unregister},
};

/// `SIGTERM`, `SIGINT` and `SIGQUIT` of this process, as bytes in a socket, until dropped.
#[derive(Debug)]
pub(super) struct StopSignals {
    arrived: UnixStream,
    registered: Vec<SigId>,
}

impl StopSignals {
    pub(super) fn take() -> io::Result<Self> {
        let (arrived, handlers) = UnixStream::pair()?;
        arrived.set_nonblocking(true)?;
        let mut signals = Self { arrived, registered: Vec::new() };
        for signal in [SIGTERM, SIGINT, SIGQUIT] {
            signals.registered.push(pipe::register(signal, handlers.try_clone()?)?);
        }
        Ok(signals)
    }

    /// How many came since the last call.
    pub(super) fn count(&self) -> usize {
        (&self.arrived).read(&mut [0; 16]).unwrap_or(0)
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            unregister(id);
        }
    }
}

impl AsFd for StopSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}
