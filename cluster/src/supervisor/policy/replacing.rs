//! Replacing workers that serve: a reload of all, or of one that is spent.
//!
//! Nothing waits: [`replace`](Policy::replace) looks at who is there and takes the next step, so
//! deaths, signals and other wishes are served in between.

use std::{collections::BTreeSet, time::Instant};

use super::{Action, Failure, Phase, Policy, Verdict, Worker};

/// So many generations may finish what they have at the same time; then the oldest is hurried.
/// A server that is reloaded faster than its longest connection ends would fill the machine.
const DRAINING_GENERATIONS: usize = 3;

impl Policy {
    /// Replaces all workers, those of former generations first when they are ready. The verdict
    /// comes as [`Action::Reloaded`]; a reload that is under way is superseded.
    pub(crate) fn reload(&mut self, now: Instant) -> u64 {
        if self.stops {
            self.actions.push_back(Action::Reloaded(Verdict::Stopped));
            return self.generation;
        }
        self.finish_reload(Verdict::Superseded);
        self.generation += 1;
        self.reloads = true;
        self.resume(now);
        // Whatever made them fail may be mended.
        self.slots.iter_mut().for_each(|slot| slot.hurry(now));
        self.generation
    }

    /// A worker is to be replaced when another is ready, if nothing else is replaced just now.
    pub(crate) fn renew(&mut self, worker: u32) -> bool {
        let is_busy = self.reloads || self.members().any(|(_, one)| one.is_spent);
        match self.workers.get_mut(&worker) {
            Some(one) if !is_busy && one.phase == Phase::Ready => one.is_spent = true,
            _ => return false,
        }
        true
    }

    fn is_old(&self, worker: &Worker) -> bool {
        worker.is_spent || self.reloads && worker.generation < self.generation
    }

    /// Takes the next step, if one can be taken now.
    pub(super) fn replace(&mut self, now: Instant) {
        if self.failing.is_some() {
            return;
        }
        let old: Vec<(u32, Worker)> = self
            .members()
            .filter(|(_, one)| self.is_old(one))
            .map(|(id, &one)| (id, one))
            .collect();
        if old.is_empty() {
            return self.settle();
        }
        for &(worker, one) in &old {
            if one.phase != Phase::Ready || self.has_successor(one.slot, true) {
                return self.hand_on(worker, one, now);
            }
        }
        let next = old.iter().find(|(_, one)| {
            let may = self.slots.get(one.slot).is_none_or(|slot| slot.rests.is_none());
            may && !self.has_successor(one.slot, false)
        });
        let Some(&(worker, one)) = next else { return };
        if self.surplus() < self.limits.max_surge {
            self.start(one.slot);
        } else if self.ready_workers() + self.limits.max_unavailable > self.slots.len() {
            self.hand_on(worker, one, now);
        }
    }

    /// How many slots have two.
    fn surplus(&self) -> usize {
        let occupied: BTreeSet<usize> = self.members().map(|(_, one)| one.slot).collect();
        self.members().count() - occupied.len()
    }

    /// Whether another worker of this slot, that is not old, is here, or is ready.
    fn has_successor(&self, slot: usize, is_ready: bool) -> bool {
        self.members().any(|(_, one)| {
            one.slot == slot && !self.is_old(one) && (!is_ready || one.phase == Phase::Ready)
        })
    }

    /// An old worker leaves its slot to its successor, who may still have to come.
    fn hand_on(&mut self, worker: u32, one: Worker, now: Instant) {
        self.retire(worker, self.limits.drain_timeout, now);
        if self.is_vacant(one.slot)
            && let Some(slot) = self.slots.get_mut(one.slot)
        {
            slot.due = Some(now);
        }
        self.count(now);
    }

    /// No old worker is left: the reload is over when all slots have their new one.
    fn settle(&mut self) {
        if self.reloads && self.ready_workers() >= self.slots.len() {
            self.finish_reload(Verdict::Done { generation: self.generation });
        }
    }

    pub(super) fn finish_reload(&mut self, verdict: Verdict) {
        self.failing = None;
        if std::mem::take(&mut self.reloads) {
            self.actions.push_back(Action::Reloaded(verdict));
        }
    }

    /// Whether a worker's failure ends a reload, or the replacement of another.
    pub(super) fn breaks_off(&self, worker: &Worker) -> bool {
        !self.is_old(worker) && (self.reloads || self.has_old(worker.slot))
    }

    fn has_old(&self, slot: usize) -> bool {
        self.members().any(|(_, one)| one.slot == slot && self.is_old(one))
    }

    /// A worker has failed: if it is one that is to replace others, these others stay.
    pub(super) fn break_off_for(&mut self, worker: &Worker, failure: Failure, now: Instant) {
        if self.breaks_off(worker) {
            self.break_off(failure, now);
        }
    }

    /// The newest worker of a slot could not even be started.
    pub(super) fn break_off_at(&mut self, slot: usize, failure: Failure, now: Instant) {
        if self.reloads || self.has_old(slot) {
            self.break_off(failure, now);
        }
    }

    /// The worker whose failure was to be told ends now, if it is the one.
    pub(super) fn fail(&mut self, now: Instant, is_it: impl Fn(u32) -> bool) {
        if let Some((worker, _)) = self.failing.take_if(|(worker, _)| is_it(*worker)) {
            self.break_off(Failure::Died { worker }, now);
        }
    }

    /// Those who were to replace others that are still here leave, and the others stay.
    fn break_off(&mut self, failure: Failure, now: Instant) {
        let kept: BTreeSet<usize> =
            self.members().filter(|(_, one)| self.is_old(one)).map(|(_, one)| one.slot).collect();
        let successors: Vec<u32> = self
            .members()
            .filter(|(_, one)| kept.contains(&one.slot) && !self.is_old(one))
            .map(|(worker, _)| worker)
            .collect();
        for worker in successors {
            self.retire(worker, self.limits.stop_timeout, now);
        }
        self.workers.values_mut().for_each(|worker| worker.is_spent = false);
        self.finish_reload(Verdict::Failed(failure));
    }

    /// Of the generations that finish what they have only the last few may take their time.
    pub(super) fn hurry_old_generations(&mut self, now: Instant) {
        let leaving = self.workers.values().filter(|one| one.is_leaving());
        if leaving.clone().next().is_none() {
            return;
        }
        let generations: BTreeSet<u64> = leaving.map(|one| one.generation).collect();
        let surplus = generations.len().saturating_sub(DRAINING_GENERATIONS);
        let Some(&last) = generations.iter().nth(surplus.wrapping_sub(1)) else { return };
        for worker in self.workers.values_mut().filter(|one| one.generation <= last) {
            if worker.is_leaving() && !std::mem::replace(&mut worker.is_hurried, true) {
                worker.hurry(now);
            }
        }
    }
}
