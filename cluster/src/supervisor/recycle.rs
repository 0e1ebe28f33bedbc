//! When a worker is replaced though it is well: facts go in, a decision comes out.

use std::{fmt, time::Duration};

/// A worker that is younger is never too big: with a limit below what the program needs at
/// once, its replacement would be too big at once, too.
const LEAST_AGE: Duration = Duration::from_secs(10);

/// Workers get different limits, up to this part more, so that those which are served evenly
/// do not all go one after the other.
const SPREAD: u64 = 10;

/// When workers are replaced though they are well: one at a time, by the way of a reload, and
/// only while all others serve. Default: never.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recycle {
    connections: Option<u64>,
    age: Option<Duration>,
    memory: Option<u64>,
}

/// What is known of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) worker: u32,
    /// It is ready, and neither leaves nor is being replaced.
    pub(crate) serves: bool,
    /// How many connections it has taken, if it says so.
    pub(crate) connections: Option<u64>,
    pub(crate) age: Duration,
    /// Bytes, if they are known.
    pub(crate) memory: Option<u64>,
}

/// Why a worker is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Connections(u64),
    Age(Duration),
    Memory(u64),
}

impl Recycle {
    /// Never.
    pub fn new() -> Self {
        Self::default()
    }

    /// After so many connections, and up to a tenth more. For workers that use `worker-api`;
    /// others do not say.
    pub fn connections(mut self, count: u64) -> Self {
        self.connections = Some(count);
        self
    }

    /// After so long, and up to a tenth more.
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// When so many bytes of memory are in use (resident, shared ones counted), after its first
    /// 10 s.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Whether [`Facts::memory`] is asked for, which costs a look into `/proc`.
    pub(crate) fn wants_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// The worker to replace, if there is one: that which is furthest over its limit. Nobody
    /// while one does not serve.
    pub(crate) fn due(&self, workers: &[Facts]) -> Option<(u32, Reason)> {
        if workers.iter().any(|worker| !worker.serves) {
            return None;
        }
        let over = workers.iter().filter_map(|worker| {
            let (excess, reason) = self.excess(worker)?;
            Some((excess, worker.worker, reason))
        });
        let (_, worker, reason) = over.max_by_key(|&(excess, worker, _)| {
            (excess, std::cmp::Reverse(worker)) // the older one of equals
        })?;
        Some((worker, reason))
    }

    /// What a worker has too much of, and how much, in thousandths of what it may have.
    fn excess(&self, facts: &Facts) -> Option<(u128, Reason)> {
        let over = |limit: u64, value: u64, reason| {
            let excess = u128::from(value) * 1000 / u128::from(limit.max(1));
            (value >= limit).then_some((excess, reason))
        };
        let connections = self.connections.zip(facts.connections).and_then(|(limit, count)| {
            over(spread(limit, facts.worker), count, Reason::Connections(count))
        });
        let milliseconds = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let age = self.age.and_then(|limit| {
            let limit = spread(milliseconds(limit), facts.worker);
            over(limit, milliseconds(facts.age), Reason::Age(facts.age))
        });
        let memory = self.memory.zip(facts.memory).filter(|_| facts.age >= LEAST_AGE);
        let memory = memory.and_then(|(limit, bytes)| over(limit, bytes, Reason::Memory(bytes)));
        [connections, age, memory].into_iter().flatten().max_by_key(|(excess, _)| *excess)
    }
}

/// The limit and up to a tenth more, always the same for a worker.
fn spread(limit: u64, worker: u32) -> u64 {
    // The golden ratio: numbers that follow each other come to lie far apart.
    let part = u64::from(worker.wrapping_mul(0x9e37_79b9));
    let more = (u128::from(limit / SPREAD) * u128::from(part)) >> 32;
    limit.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections(count) => write!(f, "{count} connections"),
            Self::Age(age) => write!(f, "{} s old", age.as_secs()),
            Self::Memory(bytes) => write!(f, "{} MiB of memory", bytes >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};

    fn young(worker: u32) -> Facts {
        let age = Duration::from_secs(60);
        Facts { worker, serves: true, connections: Some(0), age, memory: Some(1 << 20) }
    }

    #[test]
    fn by_default_nobody_goes() {
        let old = Facts {
            connections: Some(u64::MAX),
            age: Duration::MAX,
            memory: Some(u64::MAX),
            ..young(1)
        };
        assert_eq!(Recycle::new().due(&[old]), None);
    }

    #[test]
    fn each_limit_alone() {
        let served = Facts { connections: Some(110), ..young(2) };
        let recycle = Recycle::new().connections(100);
        assert_eq!(recycle.due(&[young(1), served]), Some((2, Reason::Connections(110))));
        assert_eq!(recycle.due(&[Facts { connections: None, ..served }]), None);
        assert_eq!(recycle.due(&[Facts { connections: Some(99), ..served }]), None);

        let old = Facts { age: Duration::from_secs(110), ..young(2) };
        let recycle = Recycle::new().age(Duration::from_secs(100));
        assert_eq!(recycle.due(&[young(1), old]), Some((2, Reason::Age(old.age))));

        let big = Facts { memory: Some(2 << 20), ..young(2) };
        let recycle = Recycle::new().memory(2 << 20);
        assert_eq!(recycle.due(&[young(1), big]), Some((2, Reason::Memory(2 << 20))));
        assert_eq!(recycle.due(&[Facts { age: Duration::from_secs(9), ..big }]), None);
        assert!(recycle.wants_memory() && !Recycle::new().wants_memory());
    }

    #[test]
    fn the_one_that_is_furthest_over_goes_first() {
        let recycle = Recycle::new().memory(1 << 20);
        let big = |worker, memory| Facts { memory: Some(memory), ..young(worker) };
        let all = [big(1, 2 << 20), big(2, 5 << 20), big(3, 5 << 20)];
        assert_eq!(recycle.due(&all), Some((2, Reason::Memory(5 << 20))));
    }

    #[test]
    fn nobody_goes_while_another_does_not_serve() {
        let recycle = Recycle::new().connections(1);
        let served = Facts { connections: Some(10), ..young(1) };
        assert!(recycle.due(&[served]).is_some());
        assert_eq!(recycle.due(&[served, Facts { serves: false, ..young(2) }]), None);
    }

    #[test]
    fn workers_that_are_served_evenly_have_different_limits() {
        let mut limits: Vec<_> = (1..=8).map(|worker| spread(1000, worker)).collect();
        limits.sort_unstable();
        assert!(limits.windows(2).all(|pair| pair[1] - pair[0] >= 4), "{limits:?}");
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let numbers = (option::of(0..200_u64), 0..200_u64, option::of(0..200_u64));
        (1..20_u32, prop::bool::weighted(0.9), numbers).prop_map(
            |(worker, serves, (connections, age, memory))| {
                let age = Duration::from_secs(age);
                Facts { worker, serves, connections, age, memory }
            },
        )
    }

    proptest! {
        #[test]
        fn limits_are_at_most_a_tenth_apart(limit: u64, worker: u32) {
            let own = spread(limit, worker);
            prop_assert!(own >= limit && own - limit <= limit / SPREAD);
        }

        #[test]
        fn who_goes_is_over_a_limit_and_who_is_far_over_goes(
            workers in vec(facts(), 0..6),
            (connections, age, memory) in
                (option::of(1..100_u64), option::of(1..100_u64), option::of(1..100_u64)),
        ) {
            let recycle =
                Recycle { connections, age: age.map(Duration::from_secs), memory };
            let is_over = |facts: &Facts, factor: (u64, u64)| {
                let over = |limit: Option<u64>, value: Option<u64>| {
                    limit.zip(value).is_some_and(|(limit, value)| value * factor.1 >= limit * factor.0)
                };
                over(connections, facts.connections)
                    || over(age, Some(facts.age.as_secs()))
                    || facts.age >= LEAST_AGE && over(memory, facts.memory)
            };
            let due = recycle.due(&workers);
            if let Some((worker, _)) = due {
                prop_assert!(workers.iter().all(|facts| facts.serves));
                let is_it = |facts: &&Facts| facts.worker == worker;
                prop_assert!(workers.iter().filter(is_it).any(|facts| is_over(facts, (1, 1))));
            } else if workers.iter().all(|facts| facts.serves) {
                prop_assert!(!workers.iter().any(|facts| is_over(facts, (11, 10))));
            }
        }
    }
}
