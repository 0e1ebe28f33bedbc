//! What a supervisor decides: facts and the time go in, actions come out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::Signal;

/// A worker that dies before it is ready waits so long for its next start: at first, times
/// so much after each such death, at most. Einhorn's and pm2's figures.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const GROWTH: (u32, u32) = (3, 2);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// How long a worker has after SIGTERM before it is killed.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How a supervisor is set up.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) stop_timeout: Duration,
    pub(crate) quorum: usize,
    pub(crate) quorum_timeout: Duration,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a worker for this slot and say so with [`Policy::started`].
    Start { slot: usize },
    /// Ask this worker to leave.
    Disconnect { worker: u32 },
    /// Send this worker a signal.
    Kill { worker: u32, signal: Signal },
    /// Give up: too few workers become ready.
    GiveUp,
}

/// The policy of a supervisor. No I/O and no clock.
#[derive(Debug)]
pub(crate) struct Policy {
    limits: Limits,
    slots: Vec<Slot>,
    stopping: Option<Stopping>,
    /// Since when fewer than the quorum are ready.
    wanting: Option<Instant>,
    actions: VecDeque<Action>,
}

/// A place that always has a worker, or is to get one.
#[derive(Debug)]
struct Slot {
    worker: Option<u32>,
    is_ready: bool,
    /// When to start the next worker.
    due: Option<Instant>,
    /// How long to wait after the next death before ready.
    delay: Duration,
    /// The worker has lost its channel: when it gets which signal if it does not end.
    overdue: Option<(Instant, Signal)>,
}

#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// When those that are left get SIGTERM.
    deadline: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asked,
    Terminated,
    Killed,
}

impl Policy {
    /// So many workers, to be started now.
    pub(crate) fn new(workers: usize, limits: Limits, now: Instant) -> Self {
        let slots = (0..workers).map(|_| Slot::due(now)).collect();
        Self { limits, slots, stopping: None, wanting: Some(now), actions: VecDeque::new() }
    }

    /// A worker was started for a slot.
    pub(crate) fn started(&mut self, slot: usize, worker: u32) {
        if let Some(slot) = self.slots.get_mut(slot) {
            (slot.worker, slot.is_ready, slot.due) = (Some(worker), false, None);
            slot.overdue = None;
        }
    }

    /// A worker could not be started.
    pub(crate) fn failed(&mut self, slot: usize, now: Instant) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.died(now, false);
        }
    }

    fn slot(&mut self, worker: u32) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.worker == Some(worker))
    }

    /// A worker listens, or says that it is ready.
    pub(crate) fn ready(&mut self, worker: u32, now: Instant) {
        if let Some(slot) = self.slot(worker) {
            (slot.is_ready, slot.delay) = (true, FIRST_DELAY);
        }
        self.count(now);
    }

    /// A worker's channel is closed: it is to end soon.
    pub(crate) fn disconnected(&mut self, worker: u32, now: Instant) {
        let end = now + self.limits.stop_timeout;
        if let Some(slot) = self.slot(worker) {
            slot.overdue = Some((end, Signal::TERM));
        }
    }

    /// A worker's process has ended.
    pub(crate) fn exited(&mut self, worker: u32, now: Instant) {
        let is_stopping = self.stopping.is_some();
        if let Some(slot) = self.slot(worker) {
            slot.died(now, is_stopping);
        }
        self.count(now);
    }

    /// Asks everybody to leave; asked again, it goes on to the next means at once.
    pub(crate) fn stop(&mut self, now: Instant) {
        match &mut self.stopping {
            Some(stopping) => stopping.deadline = now,
            None => {
                let deadline = now + self.limits.stop_timeout;
                self.stopping = Some(Stopping { deadline, stage: Stage::Asked });
                for slot in &mut self.slots {
                    slot.due = None;
                    self.actions.extend(slot.worker.map(|worker| Action::Disconnect { worker }));
                }
            }
        }
    }

    /// Whether a stop has reached its end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopping.is_some() && self.slots.iter().all(|slot| slot.worker.is_none())
    }

    /// Whether a worker is to be started, now or later.
    pub(crate) fn has_vacancy(&self) -> bool {
        self.slots.iter().any(|slot| slot.due.is_some())
    }

    fn ready_workers(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_ready).count()
    }

    /// How many are ready, and how many are to be.
    pub(crate) fn quorum(&self) -> (usize, usize) {
        (self.ready_workers(), self.limits.quorum.min(self.slots.len()))
    }

    fn count(&mut self, now: Instant) {
        let (ready, wanted) = self.quorum();
        self.wanting = if ready < wanted { self.wanting.or(Some(now)) } else { None };
    }

    /// Whether [`next`](Self::next) has something without looking at the time.
    pub(crate) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// When to call [`next`](Self::next) again, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if let Some(stopping) = &self.stopping {
            return (stopping.stage != Stage::Killed).then_some(stopping.deadline);
        }
        let given_up = self.wanting.map(|since| since + self.limits.quorum_timeout);
        self.slots.iter().filter_map(Slot::deadline).chain(given_up).min()
    }

    /// What is to be done now, one thing at a time.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Action> {
        if self.actions.is_empty() {
            match self.stopping {
                Some(stopping) => self.escalate(stopping, now),
                None => self.fill(now),
            }
        }
        self.actions.pop_front()
    }

    fn fill(&mut self, now: Instant) {
        if self.wanting.is_some_and(|since| since + self.limits.quorum_timeout <= now) {
            self.wanting = None;
            self.actions.push_back(Action::GiveUp);
            return;
        }
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if slot.due.take_if(|due| *due <= now).is_some() {
                self.actions.push_back(Action::Start { slot: number });
            }
            self.actions.extend(slot.remind(now));
        }
    }

    fn escalate(&mut self, stopping: Stopping, now: Instant) {
        if stopping.deadline > now {
            return;
        }
        let (stage, signal) = match stopping.stage {
            Stage::Asked => (Stage::Terminated, Signal::TERM),
            Stage::Terminated => (Stage::Killed, Signal::KILL),
            Stage::Killed => return,
        };
        self.stopping = Some(Stopping { deadline: now + LAST_WORD, stage });
        let workers = self.slots.iter().filter_map(|slot| slot.worker);
        self.actions.extend(workers.map(|worker| Action::Kill { worker, signal }));
    }
}

impl Slot {
    fn due(now: Instant) -> Self {
        let (worker, due, delay) = (None, Some(now), FIRST_DELAY);
        Self { worker, is_ready: false, due, delay, overdue: None }
    }

    fn deadline(&self) -> Option<Instant> {
        self.due.or(self.overdue.map(|(end, _)| end))
    }

    /// What is done about a worker without a channel that does not end.
    fn remind(&mut self, now: Instant) -> Option<Action> {
        let (_, signal) = self.overdue.take_if(|(end, _)| *end <= now)?;
        self.overdue = (signal != Signal::KILL).then_some((now + LAST_WORD, Signal::KILL));
        self.worker.map(|worker| Action::Kill { worker, signal })
    }

    /// A worker that was ready is replaced at once; one that was not has to wait.
    fn died(&mut self, now: Instant, is_stopping: bool) {
        let wait = if self.is_ready { Duration::ZERO } else { self.delay };
        if !self.is_ready {
            self.delay = (self.delay * GROWTH.0 / GROWTH.1).min(LONGEST_DELAY);
        }
        (self.worker, self.is_ready, self.overdue) = (None, false, None);
        self.due = (!is_stopping).then_some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits() -> Limits {
        Limits {
            stop_timeout: Duration::from_secs(10),
            quorum: 1,
            quorum_timeout: Duration::from_secs(30),
        }
    }

    fn all(policy: &mut Policy, now: Instant) -> Vec<Action> {
        std::iter::from_fn(|| policy.next(now)).collect()
    }

    #[test]
    fn a_ready_worker_is_replaced_at_once() {
        let now = Instant::now();
        let mut policy = Policy::new(1, limits(), now);
        assert_eq!(all(&mut policy, now), [Action::Start { slot: 0 }]);
        policy.started(0, 1);
        policy.ready(1, now);
        assert_eq!((policy.deadline(), policy.has_vacancy()), (None, false));
        policy.exited(1, now);
        assert!(policy.has_vacancy());
        assert_eq!(all(&mut policy, now), [Action::Start { slot: 0 }]);
    }

    #[test]
    fn a_worker_that_never_gets_ready_waits_longer_and_longer_until_all_is_given_up() {
        let start = Instant::now();
        let mut policy = Policy::new(1, limits(), start);
        let (mut now, mut starts) = (start, 0);
        'outer: loop {
            for action in all(&mut policy, now) {
                match action {
                    Action::Start { slot } => {
                        starts += 1;
                        policy.started(slot, starts);
                        policy.exited(starts, now);
                    }
                    Action::GiveUp => break 'outer,
                    other => panic!("{other:?}"),
                }
            }
            now = policy.deadline().unwrap();
        }
        assert_eq!(now - start, Duration::from_secs(30));
        assert!((8..16).contains(&starts), "{starts} starts");
    }

    #[test]
    fn a_stop_asks_then_terminates_then_kills() {
        let now = Instant::now();
        let mut policy = Policy::new(1, limits(), now);
        all(&mut policy, now);
        policy.started(0, 1);
        policy.stop(now);
        assert_eq!(all(&mut policy, now), [Action::Disconnect { worker: 1 }]);
        let kill = |signal| [Action::Kill { worker: 1, signal }];
        let later = policy.deadline().unwrap();
        assert_eq!(later, now + Duration::from_secs(10));
        assert_eq!(all(&mut policy, later), kill(Signal::TERM));
        policy.stop(later);
        assert_eq!(all(&mut policy, later), kill(Signal::KILL), "asked once more");
        assert_eq!(policy.deadline(), None);
        policy.exited(1, later);
        assert!(policy.is_stopped());
    }

    #[test]
    fn a_worker_without_a_channel_has_to_end() {
        let now = Instant::now();
        let mut policy = Policy::new(1, limits(), now);
        all(&mut policy, now);
        policy.started(0, 1);
        policy.ready(1, now);
        policy.disconnected(1, now);
        let kill = |signal| [Action::Kill { worker: 1, signal }];
        let later = now + Duration::from_secs(10);
        assert_eq!((policy.deadline(), all(&mut policy, now)), (Some(later), vec![]));
        assert_eq!(all(&mut policy, later), kill(Signal::TERM));
        let last = policy.deadline().unwrap();
        assert_eq!(all(&mut policy, last), kill(Signal::KILL));
        assert_eq!(policy.deadline(), None);
        policy.exited(1, last);
        assert_eq!(all(&mut policy, last), [Action::Start { slot: 0 }]);
    }

    #[derive(Clone, Debug)]
    enum Fact {
        Ready(usize),
        Exit(usize),
        FailToStart,
        Later(u64),
    }

    fn fact() -> impl Strategy<Value = Fact> {
        prop_oneof![
            (0..8usize).prop_map(Fact::Ready),
            (0..8usize).prop_map(Fact::Exit),
            Just(Fact::FailToStart),
            (0..5000u64).prop_map(Fact::Later),
        ]
    }

    proptest! {
        /// Whatever happens: never more workers than slots, and a stop always ends.
        #[test]
        fn invariants_hold(slots in 1..4usize, facts in prop::collection::vec(fact(), 0..200)) {
            let mut now = Instant::now();
            let limits = Limits { quorum_timeout: Duration::MAX / 4, ..limits() };
            let mut policy = Policy::new(slots, limits, now);
            let (mut alive, mut last, mut fail_next) = (Vec::new(), 0, false);
            for fact in facts {
                match fact {
                    Fact::Ready(n) => if let Some(&worker) = alive.get(n) { policy.ready(worker, now) },
                    Fact::Exit(n) => if n < alive.len() { policy.exited(alive.remove(n), now) },
                    Fact::FailToStart => fail_next = true,
                    Fact::Later(millis) => now += Duration::from_millis(millis),
                }
                for action in all(&mut policy, now) {
                    let Action::Start { slot } = action else { panic!("{action:?}") };
                    if std::mem::take(&mut fail_next) {
                        policy.failed(slot, now);
                    } else {
                        last += 1;
                        policy.started(slot, last);
                        alive.push(last);
                    }
                }
                prop_assert!(alive.len() <= slots);
                prop_assert!(alive.len() == slots || policy.deadline().is_some());
            }
            policy.stop(now);
            let asked = all(&mut policy, now).len();
            prop_assert_eq!(asked, alive.len());
            while let Some(deadline) = policy.deadline().filter(|_| !policy.is_stopped()) {
                for action in all(&mut policy, deadline) {
                    if let Action::Kill { worker, signal: Signal::KILL } = action {
                        policy.exited(worker, deadline);
                    }
                }
            }
            prop_assert!(policy.is_stopped());
        }
    }
}
