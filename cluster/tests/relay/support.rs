//! Workers that print.

use super::*;
use nix::{sys::stat::Mode, unistd::mkfifo};
use std::{path::PathBuf, time::Instant};
use tempfile::TempDir;

/// How long a test waits for anything before it fails. Generous, for machines under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A master whose workers only print.
pub(crate) struct Runs {
    master: Master,
}

pub(crate) fn shell(script: &str) -> Settings {
    Settings::new().exec("sh").args(["-c", script]).silent()
}

impl Runs {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { master: Master::new(settings).unwrap() }
    }

    pub(crate) fn fork(&mut self, count: usize, relay: &Relay) -> Vec<WorkerRef> {
        let fork = |_| {
            let worker = self.master.fork().unwrap();
            relay.add_worker(&worker).unwrap();
            worker
        };
        (0..count).map(fork).collect()
    }

    /// Waits until all have ended; the last words of each.
    pub(crate) fn end(&mut self, relay: &Relay) -> Vec<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut words = Vec::new();
        while !self.master.is_finished() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the workers do not end");
            if let Some(Event::Exit { worker, .. }) = self.master.poll(Some(left)).unwrap() {
                words.push(relay.closed(worker.id()));
            }
        }
        words
    }
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A pipe with a name, whose reader waits until somebody writes; its path, and that of whoever
/// says go.
pub(crate) fn hold_back() -> (String, Go) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("go");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    (path.display().to_string(), Go { path, _folder: folder })
}

pub(crate) struct Go {
    path: PathBuf,
    _folder: TempDir,
}

impl std::ops::Deref for Go {
    type Target = PathBuf;

    fn deref(&self) -> &PathBuf {
        &self.path
    }
}
