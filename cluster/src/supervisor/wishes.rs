//! What a program may ask of its supervisor.

use std::time::Instant;

use super::{Supervised, policy::Verdict};
use crate::{Master, Result, Settings};

impl Supervised {
    /// Replaces all workers by new ones, one at a time (see [`max_surge`](super::Supervisor::max_surge)): each old
    /// one leaves when its successor is ready. If one of these fails, the old ones that are left
    /// serve on. The outcome is reported as [`Event::Reload`](crate::Event::Reload): `Ok` with the number of the new
    /// generation, which this gives as well, or why not. A reload that is under way is
    /// superseded.
    pub fn reload(&mut self) -> u64 {
        if let Some(desk) = &mut self.desk {
            desk.reload_begun();
        }
        self.renew_mold().unwrap_or_else(|| self.policy.reload(Instant::now()))
    }

    /// As many workers from now on; at least 1.
    pub fn scale(&mut self, workers: usize) {
        self.policy.scale(workers, Instant::now());
    }

    /// Asks all workers to leave, and keeps the sockets: connections wait in their queues until
    /// [`reload`](Self::reload) or [`scale`](Self::scale) brings workers again.
    pub fn pause(&mut self) {
        self.give_up_mold(Verdict::Stopped);
        self.policy.pause(Instant::now());
    }

    /// Replaces one worker, which leaves when its successor is ready; if that one fails the old
    /// one stays. `false`: it does not serve, or others are being replaced just now.
    pub fn renew(&mut self, worker: u32) -> bool {
        self.policy.renew(worker)
    }

    /// A worker that serves does not answer any more: it gets `SIGABRT`, for its stacks or its
    /// core, and one second later `SIGKILL`; another is started at once.
    pub fn hung(&mut self, worker: u32) {
        self.policy.hung(worker, Instant::now());
    }

    /// Asks a worker to leave, and starts another in its place at once.
    pub fn dismiss(&mut self, worker: u32) {
        self.policy.dismiss(worker, Instant::now());
    }

    /// Asks all workers to leave, and ends when they have. Asked again, it does not wait for
    /// them any more: they get `SIGTERM`, then `SIGKILL`.
    pub fn stop(&mut self) {
        self.give_up_mold(Verdict::Stopped);
        self.policy.stop(Instant::now());
        self.master.unpin();
    }

    /// Whether all has ended.
    pub fn is_finished(&self) -> bool {
        self.policy.is_stopped() && self.events.is_empty()
    }

    /// The master with the workers.
    pub fn master(&self) -> &Master {
        &self.master
    }

    /// Changes the settings for workers to come, as [`Master::setup`].
    ///
    /// # Errors
    ///
    /// As [`Master::setup`].
    pub fn setup(&mut self, settings: Settings) -> Result<()> {
        self.master.setup(settings)
    }
}
