//! A child's process, shared by its `Child` and its `Abort`.

use crate::{Signal, process::Process};
use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) process: Process,
    killed: AtomicBool,
    /// Locked while an abort is under way: who sees the child end by it also sees why.
    aborted: Mutex<bool>,
}

impl Job {
    pub(super) fn new(process: Process) -> Self {
        Self { process, killed: AtomicBool::new(false), aborted: Mutex::new(false) }
    }

    pub(super) fn kill(&self, signal: Signal) -> io::Result<bool> {
        let sent = self.process.kill(signal)?;
        self.killed.fetch_or(sent, Ordering::Relaxed);
        Ok(sent)
    }

    /// Whether a signal was sent.
    pub(super) fn killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    pub(super) fn abort(&self, signal: Signal) {
        let mut aborted = self.lock();
        match self.kill(signal) {
            Ok(sent) => *aborted |= sent,
            Err(error) => log::warn!("cannot abort process {}: {error}", self.process.pid()),
        }
    }

    /// Whether an abort was why the child had to end.
    pub(super) fn aborted(&self) -> bool {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.aborted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
