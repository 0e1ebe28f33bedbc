//! The thread that reads all workers' streams.

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use nix::poll::{PollFd, PollFlags};

use super::{
    backlog::Room,
    bell::Bell,
    source::{SCRATCH, Source},
};
use crate::process::poll_until;

/// What the thread and the relay share.
#[derive(Debug)]
pub(super) struct Reader {
    sources: Mutex<Vec<Arc<Source>>>,
    pub(super) bell: Arc<Bell>,
    stops: AtomicBool,
}

impl Reader {
    pub(super) fn new() -> io::Result<Self> {
        let bell = Arc::new(Bell::new(false)?);
        Ok(Self { sources: Mutex::default(), bell, stops: AtomicBool::new(false) })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Source>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, source: Source) -> Arc<Source> {
        let source = Arc::new(source);
        self.lock().push(Arc::clone(&source));
        self.bell.ring();
        source
    }

    /// The open streams of a worker, or of all.
    pub(super) fn sources(&self, worker: Option<u32>) -> Vec<Arc<Source>> {
        let is_meant = |source: &&Arc<Source>| worker.is_none_or(|id| source.worker == id);
        self.lock().iter().filter(is_meant).cloned().collect()
    }

    /// Forgets the streams that have ended and that nobody asks for any more.
    pub(super) fn sweep(&self) {
        self.lock().retain(|source| !source.is_done());
    }

    /// Takes all streams.
    pub(super) fn take_all(&self) -> Vec<Arc<Source>> {
        std::mem::take(&mut self.lock())
    }

    pub(super) fn stop(&self) {
        self.stops.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// The thread's whole life.
    pub(super) fn run(&self) {
        let mut scratch = vec![0; SCRATCH];
        while !self.stops.swap(false, Ordering::AcqRel) {
            if let Err(error) = self.turn(&mut scratch) {
                return log::error!("workers' output is no longer relayed: {error}");
            }
        }
    }

    fn turn(&self, scratch: &mut [u8]) -> io::Result<()> {
        let (mut readable, mut deadline) = (Vec::new(), None::<Instant>);
        for source in self.sources(None) {
            if source.has_ended() {
                continue; // kept for its last words
            }
            match source.room(Instant::now()) {
                Room::Free => readable.push(source),
                Room::Wait(until) => {
                    deadline = Some(deadline.map_or(until, |deadline| deadline.min(until)));
                }
            }
        }
        let mut fds = vec![PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
        fds.extend(readable.iter().map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN)));
        poll_until(&mut fds, deadline)?;
        self.bell.silence();
        let ready: Vec<bool> = fds.iter().skip(1).map(|fd| fd.any().unwrap_or(true)).collect();
        for (source, _) in readable.iter().zip(ready).filter(|(_, is_ready)| *is_ready) {
            if !source.pump(scratch) && source.is_done() {
                self.sweep();
            }
        }
        Ok(())
    }
}
