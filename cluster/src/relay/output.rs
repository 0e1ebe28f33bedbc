//! Where lines are written, by a thread of its own that may have to wait.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    backlog::{Backlog, Room},
    bell::Bell,
    voice::Speaker,
    without_signals,
};

/// Where lines go, and what of them waits.
pub(super) struct Output {
    /// Lines say whose they are.
    pub(super) is_prefixed: bool,
    state: Mutex<State>,
    changed: Condvar,
    /// Rung when there is room again.
    bell: Arc<Bell>,
}

#[derive(Default)]
struct State {
    backlog: Backlog,
    is_writing: bool,
    is_closed: bool,
    reopens: bool,
}

/// What is written to.
#[derive(Debug)]
pub(super) struct Target {
    file: File,
    /// Present: it can be opened again.
    path: Option<PathBuf>,
}

impl Target {
    pub(super) fn of(descriptor: OwnedFd) -> Self {
        Self { file: descriptor.into(), path: None }
    }

    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: appended(path)?, path: Some(std::path::absolute(path)?) })
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match appended(path) {
            Ok(file) => self.file = file,
            Err(error) => log::error!("cannot reopen {}: {error}", path.display()),
        }
    }

    /// Writes all, also where somebody has made the output non-blocking for all who share it.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut fds, PollTimeout::NONE); // the write will tell
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn appended(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Output {
    /// Starts the thread that writes.
    pub(super) fn start(target: Target, bell: &Arc<Bell>) -> io::Result<Arc<Self>> {
        let output = Arc::new(Self {
            is_prefixed: target.file.is_terminal(),
            state: Mutex::default(),
            changed: Condvar::new(),
            bell: Arc::clone(bell),
        });
        let writing = Arc::clone(&output);
        without_signals("output", move || writing.write(target))?;
        Ok(output)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn room(&self, now: Instant) -> Room {
        self.lock().backlog.room(now)
    }

    /// Waits until there is room, or until then.
    pub(super) fn await_room(&self, deadline: Instant) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let Room::Wait(until) = state.backlog.room(now) else { return };
            let left = until.min(deadline).saturating_duration_since(now);
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// One more line, without its end.
    pub(super) fn push(&self, worker: u32, text: &[u8]) {
        let mut line = Vec::with_capacity(text.len() + 16);
        if self.is_prefixed {
            line.extend_from_slice(format!("{} | ", Speaker(worker)).as_bytes());
        }
        line.extend_from_slice(text);
        line.push(b'\n');
        self.lock().backlog.push(line);
        self.changed.notify_all();
    }

    pub(super) fn set_patience(&self, patience: Duration) {
        self.lock().backlog.set_patience(patience);
    }

    pub(super) fn reopen(&self) {
        self.lock().reopens = true;
        self.changed.notify_all();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().backlog.dropped()
    }

    /// Ends when all is written, or at the deadline; what is left then is lost.
    pub(super) fn close(&self, deadline: Instant) {
        self.lock().is_closed = true;
        self.changed.notify_all();
        self.flush(deadline);
    }

    /// Waits until all is written, or until then.
    pub(super) fn flush(&self, deadline: Instant) {
        let mut state = self.lock();
        while state.is_writing || !state.backlog.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The thread's whole life.
    fn write(&self, mut target: Target) {
        let mut has_failed = false;
        while let Some((batch, count, reopens)) = self.next() {
            if reopens {
                target.reopen();
            }
            let outcome = target.write(&batch);
            if let Err(error) = &outcome
                && !has_failed
            {
                log::error!("cannot write the workers' output: {error}");
            }
            has_failed = outcome.is_err();
            let mut state = self.lock();
            state.is_writing = false;
            state.backlog.written(count, !has_failed);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits for the next lines; `None`: there will be none.
    fn next(&self) -> Option<(Vec<u8>, u64, bool)> {
        let mut state = self.lock();
        loop {
            if let Some((batch, count)) = state.backlog.take() {
                state.is_writing = true;
                let reopens = std::mem::take(&mut state.reopens);
                drop(state);
                self.bell.ring();
                return Some((batch, count, reopens));
            }
            if std::mem::take(&mut state.reopens) {
                return Some((Vec::new(), 0, true));
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("is_prefixed", &self.is_prefixed).finish_non_exhaustive()
    }
}
