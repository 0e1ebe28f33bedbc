//! What wakes the thread up that reads.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    sys::eventfd::{EfdFlags, EventFd},
};

/// Rung from any thread; its descriptor is readable until it is silenced.
#[derive(Debug)]
pub(super) struct Bell(EventFd);

impl Bell {
    pub(super) fn new(is_rung: bool) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_value_and_flags(is_rung.into(), flags)?))
    }

    pub(super) fn ring(&self) {
        match self.0.write(1) {
            Ok(_) | Err(Errno::EAGAIN) => {} // it has been rung 2^64 times, and is ringing
            Err(error) => log::error!("cannot wake up the relay: {error}"),
        }
    }

    pub(super) fn silence(&self) {
        let _ = self.0.read(); // EAGAIN: it was silent
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
