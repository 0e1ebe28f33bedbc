//! When a worker is to leave.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    Worker,
    gate::Gate,
    latch::{Latch, Signal},
    sys::watch,
};

/// Tells when a worker is to leave: one more among its listeners, without a socket, which
/// closes with them.
#[derive(Debug)]
pub(super) struct Departure {
    worker: Worker,
    /// Its key and number; none if the worker was leaving already.
    entry: Option<(String, u64)>,
    /// The signal of that entry.
    bell: AsyncFd<OwnedFd>,
}

impl Departure {
    pub(super) fn of(worker: Worker) -> io::Result<Self> {
        let signal = Signal::new()?;
        let bell = watch(signal.counter().as_fd(), Interest::READABLE)?;
        let gate = Arc::new(Gate::new(Latch::new(None, &signal)?, None));
        let entry = worker.core.endpoint.lock().router.adopt(signal, gate).ok();
        Ok(Self { worker, entry, bell })
    }

    /// Waits for it. An error of the runtime, which is about to end, counts as well.
    pub(super) async fn wait(&self) {
        while !self.worker.is_disconnecting() && self.bell.readable().await.is_ok() {}
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if let Some((key, id)) = &self.entry {
            self.worker.core.close(key, *id);
        }
    }
}
