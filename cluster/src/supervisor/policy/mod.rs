//! What a supervisor decides: facts and the time go in, actions come out. No I/O and no clock.
//!
//! A *slot* is a place that is to have a worker. A worker that serves or is to serve is *in* its
//! slot; one that was asked to go *leaves* and no longer counts. While a worker is replaced its
//! slot has two: the old one serves until the new one is ready.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::Signal;

mod calm;
mod farewell;
mod replacing;
mod slot;
mod state;
mod terms;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use calm::Calm;
use slot::Slot;
pub(crate) use state::PolicyState;
pub(crate) use terms::{Action, Failure, Limits, Verdict};
use worker::Worker;
pub(crate) use worker::{LAST_WORD, Phase};

/// The policy of a supervisor.
#[derive(Debug)]
pub(crate) struct Policy {
    limits: Limits,
    slots: Vec<Slot>,
    workers: BTreeMap<u32, Worker>,
    /// The number of the last reload; workers started since have it.
    generation: u64,
    /// Workers of former generations are being replaced, and somebody waits for the verdict.
    reloads: bool,
    /// This new worker has lost its channel, which ends the reload: not before its process has
    /// ended, so that it can be told how, or at this time.
    failing: Option<(u32, Instant)>,
    /// All workers were asked to leave, until somebody wants some again.
    pauses: bool,
    /// A stop, and how far it has gone.
    stops: bool,
    /// Since when fewer than the quorum are ready.
    wanting: Option<Instant>,
    /// No worker can be started just now.
    holds: bool,
    /// For want of which one has to wait that is due in this slot.
    wanted: Option<usize>,
    actions: VecDeque<Action>,
}

impl Policy {
    /// So many workers, to be started now.
    pub(crate) fn new(workers: usize, limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            slots: (0..workers).map(|_| Slot::due(now)).collect(),
            workers: BTreeMap::new(),
            generation: 0,
            reloads: false,
            failing: None,
            pauses: false,
            stops: false,
            wanting: Some(now),
            holds: false,
            wanted: None,
            actions: VecDeque::new(),
        }
    }

    /// A worker was started for a slot.
    pub(crate) fn started(&mut self, slot: usize, worker: u32, now: Instant) {
        if let Some(slot) = self.slots.get_mut(slot) {
            (slot.due, slot.rests) = (None, None);
            slot.starts += 1;
        }
        let end = now + self.limits.start_timeout;
        self.workers.insert(worker, Worker::new(slot, self.generation, end));
    }

    /// A worker could not be started.
    pub(crate) fn failed(&mut self, slot: usize, now: Instant) {
        self.suffer(slot, now);
        self.break_off_at(slot, Failure::Start, now);
    }

    /// A worker speaks: it hears when it is asked to leave.
    pub(crate) fn online(&mut self, worker: u32) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.speaks = true;
        }
    }

    /// A worker listens, or says that it is ready.
    pub(crate) fn ready(&mut self, worker: u32, now: Instant) {
        if let Some(one) = self.workers.get_mut(&worker)
            && let Phase::Starting { .. } = one.phase
        {
            one.phase = Phase::Ready;
            let slot = one.slot;
            if let Some(slot) = self.slots.get_mut(slot) {
                slot.recover();
            }
        }
        self.count(now);
    }

    /// A worker's channel is closed: it is to end soon, and does not serve any more. One that
    /// never spoke may do without a channel.
    pub(crate) fn disconnected(&mut self, worker: u32, now: Instant) {
        let Some(one) = self.workers.get_mut(&worker).filter(|one| one.speaks) else { return };
        match one.phase {
            Phase::Starting { end } => {
                one.phase = Phase::Starting { end: end.min(now + LAST_WORD) };
            }
            Phase::Ready => {
                one.leave(now + self.limits.drain_timeout);
                let one = *one;
                self.refill(one.slot, now);
                if self.breaks_off(&one) {
                    self.failing = self.failing.or(Some((worker, now + LAST_WORD)));
                }
            }
            Phase::Leaving { .. } => {}
        }
        self.count(now);
    }

    /// A worker's process has ended.
    pub(crate) fn exited(&mut self, worker: u32, now: Instant) {
        let Some(one) = self.workers.remove(&worker) else { return };
        match one.phase {
            Phase::Starting { .. } => {
                self.suffer(one.slot, now);
                self.break_off_for(&one, Failure::Ended { worker }, now);
            }
            Phase::Ready => self.lost(worker, one, now),
            Phase::Leaving { .. } => self.fail(now, |failing| failing == worker),
        }
        self.count(now);
    }

    /// A worker does not answer any more: it is to leave its stacks, if it does that, and is
    /// replaced at once.
    pub(crate) fn hung(&mut self, worker: u32, now: Instant) {
        let Some(one) = self.workers.get_mut(&worker) else { return };
        if one.phase != Phase::Ready {
            return;
        }
        one.terminate(now + LAST_WORD);
        let one = *one;
        self.actions.push_back(Action::Kill { worker, signal: Signal::ABRT });
        self.lost(worker, one, now);
        self.count(now);
    }

    /// A worker that served does not any more, though nobody asked it to go.
    fn lost(&mut self, worker: u32, one: Worker, now: Instant) {
        self.refill(one.slot, now);
        self.break_off_for(&one, Failure::Died { worker }, now);
    }

    /// The workers that serve or are to serve.
    fn members(&self) -> impl Iterator<Item = (u32, &Worker)> {
        self.workers.iter().filter(|(_, one)| !one.is_leaving()).map(|(&id, one)| (id, one))
    }

    fn is_vacant(&self, slot: usize) -> bool {
        self.members().all(|(_, one)| one.slot != slot)
    }

    /// A slot that has no worker any more gets one at once.
    fn refill(&mut self, place: usize, now: Instant) {
        let may = self.is_vacant(place) && !self.stops && !self.pauses;
        if let Some(slot) = self.slots.get_mut(place).filter(|_| may) {
            slot.due = Some(now);
        }
    }

    /// A worker was ended before it was ready: the next one of its slot has to wait.
    fn suffer(&mut self, place: usize, now: Instant) {
        let is_vacant = self.is_vacant(place) && !self.stops && !self.pauses;
        if let Some(slot) = self.slots.get_mut(place) {
            slot.suffer(now, is_vacant);
        }
    }

    /// Whether a stop has reached its end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stops && self.workers.is_empty()
    }

    /// Whether workers are to be started, now or later: the sockets of those who went are kept.
    pub(crate) fn has_vacancy(&self) -> bool {
        !self.stops && (self.pauses || self.reloads || self.slots.iter().any(|s| s.due.is_some()))
    }

    fn ready_workers(&self) -> usize {
        self.workers.values().filter(|worker| worker.phase == Phase::Ready).count()
    }

    /// Whether some are on their way to be ready.
    pub(crate) fn is_starting(&self) -> bool {
        self.wanted.is_some() || self.members().any(|(_, one)| one.phase != Phase::Ready)
    }

    /// How many are ready, and how many are to be.
    pub(crate) fn quorum(&self) -> (usize, usize) {
        (self.ready_workers(), self.limits.quorum.min(self.slots.len()))
    }

    fn count(&mut self, now: Instant) {
        let (ready, wanted) = self.quorum();
        let is_wanting = ready < wanted && !self.pauses;
        self.wanting = if is_wanting { self.wanting.or(Some(now)) } else { None };
    }

    /// When to call [`next`](Self::next) again, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let workers = self.workers.values().filter_map(Worker::deadline);
        if self.stops {
            return workers.min();
        }
        let failing = self.failing.map(|(_, end)| end);
        let given_up = self.wanting.map(|since| since + self.limits.quorum_timeout);
        // Who waits for the means to start a worker is not helped by the time.
        let due = self.slots.iter().filter_map(|slot| match self.wanted {
            Some(_) => slot.rests,
            None => slot.due.or(slot.rests),
        });
        workers.chain(due).chain(given_up).chain(failing).min()
    }

    /// Whether workers can be started just now. If not, [`wanted_start`](Self::wanted_start)
    /// tells, after [`next`](Self::next) had nothing more, whether one is to be.
    pub(crate) fn hold_starts(&mut self, on: bool) {
        self.holds = on;
    }

    /// The slot for which a worker would be started.
    pub(crate) fn wanted_start(&self) -> Option<usize> {
        self.wanted
    }

    /// What is to be done now, one thing at a time.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            self.look(now);
        }
        self.actions.pop_front()
    }

    fn look(&mut self, now: Instant) {
        self.wanted = None;
        self.escalate(now);
        self.slots.iter_mut().for_each(|slot| slot.wake(now));
        if self.failing.is_some_and(|(_, end)| end <= now) {
            self.fail(now, |_| true);
        }
        if self.stops || !self.actions.is_empty() {
            return;
        }
        if self.wanting.is_some_and(|since| since + self.limits.quorum_timeout <= now) {
            self.wanting = None;
            self.actions.push_back(Action::GiveUp);
        } else if let Some(slot) = self.slots.iter().position(|slot| slot.is_due(now)) {
            self.start(slot);
            if self.wanted.is_some() {
                self.replace(now);
            }
        } else {
            self.replace(now);
        }
    }

    fn start(&mut self, slot: usize) {
        match self.holds {
            true => self.wanted = self.wanted.or(Some(slot)),
            false => self.actions.push_back(Action::Start { slot }),
        }
    }

    /// Those whose time is over get the next signal.
    fn escalate(&mut self, now: Instant) {
        self.hurry_old_generations(now);
        let mut late = Vec::new();
        for (&worker, one) in &mut self.workers {
            if let Phase::Starting { end } = one.phase
                && end <= now
            {
                late.push((worker, *one));
            }
            let signal = one.escalate(now);
            self.actions.extend(signal.map(|signal| Action::Kill { worker, signal }));
        }
        for (worker, one) in late {
            self.suffer(one.slot, now);
            self.break_off_for(&one, Failure::TooLate { worker }, now);
        }
    }

    /// The slots, and how many workers each has had.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (usize, u64)> {
        self.slots.iter().enumerate().map(|(number, slot)| (number, slot.starts))
    }

    /// A worker's slot, its generation, and how far it is.
    pub(crate) fn place_of(&self, worker: u32) -> Option<(usize, u64, Phase)> {
        self.workers.get(&worker).map(|one| (one.slot, one.generation, one.phase))
    }

    /// All workers that have not ended.
    pub(crate) fn known(&self) -> Vec<u32> {
        self.workers.keys().copied().collect()
    }

    /// Another program will reload: this one's reload is over.
    pub(crate) fn supersede(&mut self) {
        self.finish_reload(Verdict::Superseded);
    }

    pub(crate) fn start_timeout(&self) -> Duration {
        self.limits.start_timeout
    }

    /// The number of the last reload.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.reloads
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stops
    }

    /// The number of slots.
    pub(crate) fn size(&self) -> usize {
        self.slots.len()
    }
}
