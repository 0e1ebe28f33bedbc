//! Ending children from elsewhere.

use super::job::Job;
use crate::Signal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Kills the children that were started with [`Command::abort_on`](super::Command::abort_on), at
/// once and from any thread; Node's `AbortController`.
///
/// Clones are the same `Abort`. A child that has ended before is not touched.
///
/// ```
/// use cluster::{Error, child_process::{Abort, Command}};
///
/// let abort = Abort::new();
/// let child = Command::new("sleep").arg("60").abort_on(&abort).spawn()?;
/// let waiting = std::thread::spawn(|| child.output());
/// abort.abort();
/// assert!(matches!(waiting.join(), Ok(Err(Error::Aborted { .. }))));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Abort {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    aborted: bool,
    watched: Vec<(Weak<Job>, Signal)>,
}

impl Abort {
    /// Not aborted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends each child its [`kill_signal`](super::Command::kill_signal). Once is for ever:
    /// children started later with this `Abort` are killed at once.
    pub fn abort(&self) {
        let watched = {
            let mut state = self.lock();
            state.aborted = true;
            std::mem::take(&mut state.watched)
        };
        for (job, signal) in watched {
            if let Some(job) = job.upgrade() {
                job.abort(signal);
            }
        }
    }

    /// Whether `abort` was called.
    pub fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    pub(super) fn watch(&self, job: &Arc<Job>, signal: Signal) {
        let mut state = self.lock();
        if state.aborted {
            drop(state);
            return job.abort(signal);
        }
        state.watched.retain(|(job, _)| job.strong_count() > 0);
        state.watched.push((Arc::downgrade(job), signal));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
