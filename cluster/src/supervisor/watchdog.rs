//! Which workers hang: what they have written down and the time go in, orders come out.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How often a worker is looked at within its time.
const LOOKS: u32 = 8;

/// Finds workers that show no sign of life for too long.
///
/// Silence counts only while this process itself is awake: who looks again late, because the
/// machine slept, or it was stopped or had no processor, knows nothing of the others and begins
/// again. A worker that is quiet because it has nothing to do is asked first.
#[derive(Debug)]
pub(crate) struct Watchdog {
    timeout: Duration,
    looked: Option<Instant>,
    workers: BTreeMap<u32, Watched>,
}

/// What a worker in service says of itself. One that does not tick, starts, leaves or is stopped
/// by a debugger is left out, and so not watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sign {
    pub(crate) worker: u32,
    /// Anything that changes while it is well: ticks and connections taken.
    pub(crate) progress: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ask this worker for a sign of life.
    Poke { worker: u32 },
    /// It hangs: end it.
    Abort { worker: u32 },
}

#[derive(Debug)]
struct Watched {
    progress: u64,
    silence: Duration,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Well,
    Poked,
    Aborted,
}

impl Watchdog {
    /// For workers that may be silent for so long.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, looked: None, workers: BTreeMap::new() }
    }

    /// How long after a [`look`](Self::look) the next one is due.
    pub(crate) fn pause(&self) -> Duration {
        (self.timeout / LOOKS).max(Duration::from_millis(1))
    }

    /// Looks at all workers in service, and says what to do about them.
    pub(crate) fn look(
        &mut self,
        signs: impl IntoIterator<Item = Sign>,
        now: Instant,
    ) -> Vec<Order> {
        let passed = self.looked.replace(now).map_or(Duration::ZERO, |last| now - last);
        let slept = passed > 2 * self.pause();
        let mut former = std::mem::take(&mut self.workers);
        let mut orders = Vec::new();
        for Sign { worker, progress } in signs {
            let fresh = Watched { progress, silence: Duration::ZERO, stage: Stage::Well };
            let watched = match former.remove(&worker) {
                Some(mut watched) if watched.progress == progress => {
                    watched.is_silent(passed, slept);
                    orders.extend(watched.next_order(worker, self.timeout));
                    watched
                }
                _ => fresh,
            };
            self.workers.insert(worker, watched);
        }
        orders
    }
}

impl Watched {
    fn is_silent(&mut self, passed: Duration, slept: bool) {
        match self.stage {
            Stage::Well | Stage::Poked if slept => {
                (self.silence, self.stage) = (Duration::ZERO, Stage::Well);
            }
            _ if slept => {}
            _ => self.silence += passed,
        }
    }

    fn next_order(&mut self, worker: u32, timeout: Duration) -> Option<Order> {
        let (stage, order) = match self.stage {
            Stage::Well if self.silence >= timeout / 2 => (Stage::Poked, Order::Poke { worker }),
            Stage::Poked if self.silence >= timeout => (Stage::Aborted, Order::Abort { worker }),
            _ => return None,
        };
        self.stage = stage;
        Some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    const TIMEOUT: Duration = Duration::from_secs(8);
    const SECOND: Duration = Duration::from_secs(1);

    /// A watchdog with a clock of its own, and one worker.
    struct Scene {
        dog: Watchdog,
        now: Instant,
        progress: u64,
    }

    impl Scene {
        fn new() -> Self {
            let mut scene = Self { dog: Watchdog::new(TIMEOUT), now: Instant::now(), progress: 1 };
            assert_eq!(scene.look(Duration::ZERO), []);
            scene
        }

        fn look(&mut self, later: Duration) -> Vec<Order> {
            self.now += later;
            self.dog.look([Sign { worker: 1, progress: self.progress }], self.now)
        }

        /// Looks so often, a second apart; when there was what order.
        fn looks(&mut self, count: u32) -> Vec<(u32, Order)> {
            let all = (1..=count).map(|look| (look, self.look(SECOND)));
            all.flat_map(|(look, orders)| orders.into_iter().map(move |one| (look, one))).collect()
        }
    }

    const POKE: Order = Order::Poke { worker: 1 };
    const ABORT: Order = Order::Abort { worker: 1 };

    #[test]
    fn who_hangs_is_asked_then_aborted_once() {
        let mut scene = Scene::new();
        assert_eq!(scene.dog.pause(), SECOND);
        assert_eq!(scene.looks(60), [(4, POKE), (8, ABORT)]);
    }

    #[test]
    fn who_answers_is_well() {
        let mut scene = Scene::new();
        for _ in 0..10 {
            assert_eq!(scene.looks(4), [(4, POKE)]);
            scene.progress += 1;
            assert_eq!(scene.look(SECOND), []);
        }
    }

    #[test]
    fn a_machine_that_slept_begins_again() {
        let mut scene = Scene::new();
        assert_eq!(scene.looks(7), [(4, POKE)]);
        assert_eq!(scene.look(3600 * SECOND), []);
        assert_eq!(scene.looks(7), [(4, POKE)]);
        assert_eq!(scene.looks(1), [(1, ABORT)]);
    }

    #[test]
    fn who_is_not_in_service_is_not_watched() {
        let mut scene = Scene::new();
        assert_eq!(scene.looks(7), [(4, POKE)]);
        scene.now += SECOND;
        assert_eq!(scene.dog.look([], scene.now), []);
        assert_eq!(scene.looks(4), [], "it was seen for the first time again");
        assert_eq!(scene.looks(1), [(1, POKE)]);
    }

    proptest! {
        /// Whatever the clock does: an abort is the end of a silence of the whole time, in
        /// which there were looks at the right times, and of a question before.
        #[test]
        fn nobody_is_aborted_for_nothing(
            turns in vec((0..40_u64, prop::bool::weighted(0.1)), 0..300),
        ) {
            let mut scene = Scene::new();
            let (mut silence, mut asked) = (Duration::ZERO, None);
            for (tenths, lives) in turns {
                let passed = Duration::from_millis(tenths * 100);
                if lives {
                    scene.progress += 1;
                }
                let orders = scene.look(passed);
                if lives || passed > 2 * SECOND {
                    (silence, asked) = (Duration::ZERO, None);
                } else {
                    silence += passed;
                }
                prop_assert!(orders.len() <= 1);
                if orders.contains(&POKE) {
                    asked = Some(silence);
                }
                if orders.contains(&ABORT) {
                    prop_assert!(silence >= TIMEOUT);
                    let waited = silence - asked.expect("a question");
                    prop_assert!(waited >= TIMEOUT / 4, "{waited:?}");
                    break;
                }
            }
        }

        /// Who hangs is found, while looks come in time.
        #[test]
        fn nobody_hangs_for_long(pauses in vec(10..20_u64, 17)) {
            let mut scene = Scene::new();
            let mut orders = Vec::new();
            for tenths in pauses {
                orders.extend(scene.look(Duration::from_millis(tenths * 100)));
            }
            prop_assert!(orders.starts_with(&[POKE, ABORT]), "{orders:?}");
        }
    }
}
