//! Fewer workers, or none.

use std::time::{Duration, Instant};

use super::{Action, LAST_WORD, Phase, Policy, Verdict, slot::Slot};
use crate::Signal;

impl Policy {
    /// Asks everybody to leave; asked again, it goes on to the next means at once.
    pub(crate) fn stop(&mut self, now: Instant) {
        if self.stops {
            return self.workers.values_mut().for_each(|worker| worker.hurry(now));
        }
        self.finish_reload(Verdict::Stopped);
        self.stops = true;
        self.retire_everybody(self.limits.stop_timeout, now);
    }

    /// Asks all workers to leave, and starts none until [`scale`](Self::scale) or
    /// [`reload`](Self::reload).
    pub(crate) fn pause(&mut self, now: Instant) {
        if self.stops {
            return;
        }
        self.finish_reload(Verdict::Stopped);
        self.pauses = true;
        self.retire_everybody(self.limits.drain_timeout, now);
    }

    fn retire_everybody(&mut self, budget: Duration, now: Instant) {
        self.slots.iter_mut().for_each(|slot| slot.due = None);
        let all: Vec<u32> = self.workers.keys().copied().collect();
        for worker in all {
            self.retire(worker, budget, now);
        }
        self.count(now);
    }

    /// As many workers, from now on; at least one. Those in the last slots leave if there are
    /// to be fewer.
    pub(crate) fn scale(&mut self, workers: usize, now: Instant) {
        if self.stops {
            return;
        }
        let workers = workers.max(1);
        let surplus: Vec<u32> =
            self.members().filter(|(_, one)| one.slot >= workers).map(|(id, _)| id).collect();
        self.slots.truncate(workers);
        self.slots.resize_with(workers, || Slot::due(now));
        for worker in surplus {
            self.retire(worker, self.limits.drain_timeout, now);
        }
        self.resume(now);
        self.count(now);
    }

    pub(super) fn resume(&mut self, now: Instant) {
        if std::mem::take(&mut self.pauses) {
            self.slots.iter_mut().for_each(|slot| slot.due = Some(now));
        }
    }

    /// A worker is to leave, and another to take its place at once.
    pub(crate) fn dismiss(&mut self, worker: u32, now: Instant) {
        if let Some(one) = self.workers.get(&worker).copied().filter(|one| !one.is_leaving()) {
            self.retire(worker, self.limits.drain_timeout, now);
            self.refill(one.slot, now);
            self.count(now);
        }
    }

    /// Asks a worker to leave: in words if it speaks, else by signal.
    pub(super) fn retire(&mut self, worker: u32, full: Duration, now: Instant) {
        let Some(one) = self.workers.get_mut(&worker) else { return };
        // One that never was ready has nothing to finish.
        let budget = if one.phase == Phase::Ready { full } else { full.min(LAST_WORD) };
        let action = match (one.is_leaving(), one.speaks) {
            (true, _) => return one.hurry(now + full),
            (false, true) => {
                one.leave(now + budget);
                Action::Disconnect { worker }
            }
            (false, false) => {
                one.terminate(now + budget);
                Action::Kill { worker, signal: Signal::TERM }
            }
        };
        self.actions.push_back(action);
    }
}
