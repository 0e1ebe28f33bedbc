//! What other threads want from the master's loop.

use std::{
    io, mem,
    sync::{Mutex, PoisonError},
};

use mio::{Registry, Token, Waker};

/// Wishes that only the loop can fulfil, and the bell that wakes it up.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Workers that are to leave.
    leaving: Mutex<Vec<u32>>,
    bell: Waker,
}

impl Mailbox {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { leaving: Mutex::default(), bell: Waker::new(registry, token)? })
    }

    pub(crate) fn disconnect(&self, worker: u32) {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        self.ring();
    }

    /// Wakes the loop up, for it has something to report.
    pub(crate) fn ring(&self) {
        if let Err(error) = self.bell.wake() {
            log::error!("cannot wake up the master: {error}");
        }
    }

    /// The workers that are to leave.
    pub(crate) fn take(&self) -> Vec<u32> {
        mem::take(&mut self.leaving.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
