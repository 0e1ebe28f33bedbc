//! What a supervisor does about workers that hang, and about those that are spent.

use std::time::{Duration, Instant};

use super::{
    Recycle, Supervised,
    policy::Phase,
    recycle::Facts,
    watchdog::{Order, Sign, Watchdog},
};
use crate::WorkerRef;

/// How often a worker to recycle is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// What is looked for, and when next; nothing unless it was asked for.
#[derive(Debug)]
pub(super) struct Care {
    watchdog: Option<(Watchdog, Instant)>,
    recycle: Option<(Recycle, Instant)>,
}

impl Care {
    pub(super) fn new(watchdog: Option<Duration>, recycle: Recycle) -> Self {
        let now = Instant::now();
        Self {
            watchdog: watchdog.map(|timeout| (Watchdog::new(timeout), now)),
            recycle: (recycle != Recycle::new()).then_some((recycle, now + LOOK)),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let watch = self.watchdog.as_ref().map(|(_, due)| *due);
        watch.into_iter().chain(self.recycle.map(|(_, due)| due)).min()
    }
}

impl Supervised {
    /// Looks after the workers, if it is time for that.
    pub(super) fn take_care(&mut self) {
        let now = Instant::now();
        if self.policy.is_stopping() {
            (self.care.watchdog, self.care.recycle) = (None, None); // a stop has its own times
        }
        if let Some((watchdog, due)) = self.care.watchdog.take_if(|(_, due)| *due <= now) {
            let next = due.max(now) + watchdog.pause();
            let watchdog = self.watch_workers(watchdog, now);
            self.care.watchdog = Some((watchdog, next));
        }
        if let Some((recycle, due)) = &mut self.care.recycle
            && *due <= now
        {
            *due = now + LOOK;
            let recycle = *recycle;
            self.recycle_one(&recycle);
        }
    }

    fn watch_workers(&mut self, mut watchdog: Watchdog, now: Instant) -> Watchdog {
        let workers = self.master.workers();
        let signs: Vec<Sign> = workers.iter().filter_map(|worker| self.sign(worker)).collect();
        for order in watchdog.look(signs, now) {
            match order {
                Order::Poke { worker } => {
                    log::debug!("worker {worker} is asked for a sign of life");
                    if let Some(worker) = self.master.worker(worker) {
                        worker.poke();
                    }
                }
                Order::Abort { worker } => {
                    log::error!("worker {worker} hangs");
                    self.hung(worker);
                }
            }
        }
        watchdog
    }

    /// `None`: it is not watched now.
    fn sign(&self, worker: &WorkerRef) -> Option<Sign> {
        let (_, _, phase) = self.policy.place_of(worker.id())?;
        let score = worker.score()?;
        let is_stopped = || worker.usage().ok().flatten().is_none_or(|usage| usage.is_stopped);
        if phase != Phase::Ready || score.ticks == 0 || score.is_leaving || is_stopped() {
            return None;
        }
        let progress = score.ticks.wrapping_add(score.accepted);
        Some(Sign { worker: worker.id(), progress })
    }

    fn recycle_one(&mut self, recycle: &Recycle) {
        let workers = self.master.workers();
        if workers.len() < self.policy.size() {
            return; // one is missing
        }
        let facts = |worker: &WorkerRef| Facts {
            worker: worker.id(),
            serves: self
                .policy
                .place_of(worker.id())
                .is_some_and(|(_, _, phase)| phase == Phase::Ready),
            connections: worker.score().map(|score| score.accepted),
            age: worker.age(),
            memory: recycle.wants_memory().then(|| Some(worker.usage().ok()??.memory)).flatten(),
        };
        let facts: Vec<Facts> = workers.iter().map(facts).collect();
        if let Some((worker, reason)) = recycle.due(&facts)
            && self.renew(worker)
        {
            log::info!("worker {worker} is to be replaced: {reason}");
        }
    }
}
