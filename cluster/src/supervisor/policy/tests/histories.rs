//! Random histories: whatever happens, what was promised holds.

use std::collections::BTreeMap;

use super::*;

const HISTORIES: u64 = 100_000;
const STEPS: u64 = 12;

/// Xorshift: a history is told by its number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A worker as it really is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Real {
    slot: usize,
    is_ready: bool,
    /// It was told to go, in words or by a signal.
    is_told: bool,
}

struct World {
    policy: Calm,
    limits: Limits,
    now: Instant,
    workers: BTreeMap<u32, Real>,
    last: u32,
    /// Somebody asked for what the next actions do: so many may be fewer.
    is_our_wish: bool,
    reloads: usize,
    verdicts: usize,
    stops: bool,
    pauses: bool,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let (max_surge, max_unavailable) = [(1, 0), (0, 1), (2, 1), (1, 1)][dice.roll(4) as usize];
        let quorum_timeout = Duration::from_secs(1 << 40);
        let limits = Limits { max_surge, max_unavailable, quorum_timeout, ..Limits::default() };
        let now = Instant::now();
        let policy = Calm::new(Policy::new(1 + dice.roll(4) as usize, limits.clone(), now));
        Self {
            policy,
            limits,
            now,
            workers: BTreeMap::new(),
            last: 0,
            is_our_wish: false,
            reloads: 0,
            verdicts: 0,
            stops: false,
            pauses: false,
        }
    }

    fn someone(&self, dice: &mut Dice) -> Option<u32> {
        let count = self.workers.len() as u64;
        (count > 0).then(|| *self.workers.keys().nth(dice.roll(count) as usize).unwrap())
    }

    fn step(&mut self, dice: &mut Dice) {
        self.is_our_wish = false;
        let someone = self.someone(dice);
        let now = self.now;
        match (dice.roll(16), someone) {
            (0..=4, Some(worker)) => {
                self.policy.online(worker);
                if dice.roll(4) > 0 {
                    self.workers.get_mut(&worker).unwrap().is_ready = true;
                    self.policy.ready(worker, now);
                }
            }
            (5..=6, Some(worker)) => self.exit(worker),
            (7, Some(worker)) => {
                self.policy.disconnected(worker, now);
                if self.is_leaving(worker) {
                    self.workers.get_mut(&worker).unwrap().is_told = true;
                }
            }
            (8, Some(worker)) if dice.roll(4) == 0 => {
                self.is_our_wish = true;
                match dice.roll(2) {
                    0 => self.policy.hung(worker, now),
                    _ => self.policy.dismiss(worker, now),
                }
            }
            (9..=10, _) => {
                self.policy.reload(now);
                (self.reloads, self.pauses) = (self.reloads + 1, false);
            }
            (11, _) => {
                self.is_our_wish = true;
                self.policy.scale(dice.roll(5) as usize, now);
                self.pauses = false;
            }
            (12, Some(worker)) => _ = self.policy.renew(worker),
            (14, _) if !self.stops && dice.roll(4) == 0 => self.upgrade(),
            (13, _) if dice.roll(8) == 0 => {
                self.is_our_wish = true;
                match dice.roll(2) {
                    0 => self.policy.pause(now),
                    _ => self.policy.stop(now),
                }
                self.pauses = true;
                self.stops = self.policy.stops;
            }
            _ => self.now += Duration::from_millis(1 << dice.roll(16)),
        }
    }

    /// The policy goes along to another program, which ends a reload.
    fn upgrade(&mut self) {
        let state = serde_json::to_string(&self.policy.state(self.now)).unwrap();
        self.verdicts += usize::from(self.policy.reloads);
        let state = serde_json::from_str(&state).unwrap();
        self.policy = Calm::new(Policy::restore(state, self.limits.clone(), self.now));
        (self.stops, self.pauses) = (self.policy.stops, self.policy.pauses);
    }

    fn is_leaving(&self, worker: u32) -> bool {
        matches!(self.policy.place_of(worker), Some((_, _, Phase::Leaving { .. })))
    }

    fn exit(&mut self, worker: u32) {
        self.workers.remove(&worker);
        self.policy.exited(worker, self.now);
    }

    fn serve(&mut self, dice: &mut Dice) {
        while let Some(action) = self.policy.next(self.now) {
            match action {
                Action::Start { slot } if dice.roll(8) == 0 => self.policy.failed(slot, self.now),
                Action::Start { slot } => {
                    self.last += 1;
                    self.workers.insert(self.last, Real { slot, is_ready: false, is_told: false });
                    self.policy.started(slot, self.last, self.now);
                }
                Action::Disconnect { worker } => self.tell(worker),
                Action::Kill { worker, signal } => {
                    self.tell(worker);
                    if signal == Signal::KILL {
                        self.exit(worker);
                    }
                }
                Action::Reloaded(_) => self.verdicts += 1,
                Action::GiveUp => panic!("there is no hurry"),
            }
            self.check_members();
        }
        let looked = (*self.policy).next(self.now);
        assert_eq!(looked, None, "it was calm, and had something to do");
        self.policy.next(self.now); // calm again, for the next step
    }

    fn tell(&mut self, worker: u32) {
        let Some(real) = self.workers.get_mut(&worker) else { return };
        let was_serving = real.is_ready && !real.is_told;
        real.is_told = true;
        let slot = real.slot;
        if was_serving && !self.is_our_wish && !self.stops {
            let serving = self.workers.values().filter(|real| real.is_ready && !real.is_told);
            let here = serving.clone().any(|real| real.slot == slot);
            let enough = self.policy.size() - self.limits.max_unavailable.min(self.policy.size());
            assert!(here || serving.count() >= enough, "too few serve because of us");
        }
    }

    fn check_members(&self) {
        let members = self.workers.values().filter(|real| !real.is_told).count();
        let told_next = self.policy.actions.len(); // to be told in this very moment
        let most = self.policy.size() + self.limits.max_surge;
        assert!(members <= most + told_next, "{members} workers, at most {most}");
    }

    fn check(&self) {
        let next = self.policy.deadline();
        assert!(next.is_none_or(|next| next > self.now), "a hot loop in {:#?}", self.policy);
        if self.stops || self.pauses {
            return;
        }
        let longest = self.now + slot::LONGEST_DELAY;
        for place in 0..self.policy.size() {
            let is_there = !self.policy.is_vacant(place);
            let due = self.policy.slots[place].due;
            assert!(is_there || due.is_some_and(|due| due <= longest), "slot {place} is forgotten");
        }
    }

    /// Nobody does anything any more of his own.
    fn run_out(&mut self, dice: &mut Dice) {
        self.is_our_wish = true;
        self.policy.stop(self.now);
        self.stops = true;
        self.serve(dice);
        for _ in 0..100 {
            let Some(deadline) = self.policy.deadline() else { break };
            self.now = deadline;
            self.serve(dice);
        }
        assert!(self.policy.is_stopped(), "a stop ends");
        assert!(self.workers.is_empty(), "who was to leave has left");
        assert_eq!(self.verdicts, self.reloads, "each reload has its verdict");
    }
}

#[test]
fn what_was_promised_holds() {
    for history in 1..=HISTORIES {
        let run = move || {
            let mut dice = Dice(history.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut world = World::new(&mut dice);
            world.serve(&mut dice);
            for _ in 0..dice.roll(2 * STEPS) {
                world.step(&mut dice);
                world.serve(&mut dice);
                world.check();
            }
            world.run_out(&mut dice);
        };
        assert!(std::panic::catch_unwind(run).is_ok(), "in history {history}");
    }
}
