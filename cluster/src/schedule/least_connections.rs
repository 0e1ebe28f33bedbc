//! The worker with the fewest connections.

use super::{Arrival, Candidate, Schedule};

/// Gives a connection to the worker that has the fewest; of several, in turn. For connections
/// that last, and differ in how long.
///
/// It goes by [`Candidate::connections`]: with Node workers it evens out how many each was
/// handed, which is not the same.
#[derive(Clone, Debug, Default)]
pub struct LeastConnections {
    /// Who had the last turn.
    last: u32,
}

impl LeastConnections {
    /// The rule.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Schedule for LeastConnections {
    fn choose(&mut self, _: &Arrival<'_>, workers: &[Candidate]) -> Option<u32> {
        let free = workers.iter().filter(|worker| worker.credit > 0);
        let chosen = free.min_by_key(|worker| (worker.connections, worker.id <= self.last))?;
        self.last = chosen.id;
        Some(chosen.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use worker_api::Address;

    fn choose(rule: &mut LeastConnections, workers: &[(u32, u32, u64)]) -> Option<u32> {
        let listener = Address::Port(80);
        let candidate = |&(id, credit, connections): &_| Candidate { id, credit, connections };
        let workers: Vec<_> = workers.iter().map(candidate).collect();
        rule.choose(&Arrival::new(&listener, None), &workers)
    }

    #[test]
    fn the_fewest_first_and_equals_in_turn() {
        let mut rule = LeastConnections::new();
        let mut order = |workers| (0..4).map(|_| choose(&mut rule, workers).unwrap()).collect();
        let (equal, unequal): (Vec<_>, Vec<_>) =
            (order(&[(1, 1, 5), (4, 1, 5), (7, 1, 5)]), order(&[(1, 1, 5), (4, 1, 4), (7, 0, 0)]));
        assert_eq!(equal, [1, 4, 7, 1]);
        assert_eq!(unequal, [4; 4]);
        assert_eq!(choose(&mut rule, &[(1, 0, 0)]), None);
    }

    proptest! {
        /// Whoever comes and goes: no worker that may have the connection has fewer.
        #[test]
        fn nobody_has_fewer(
            rounds in prop::collection::vec(
                prop::collection::btree_map(1..9u32, (0..3u32, 0..5u64), 1..6), 1..20),
        ) {
            let mut rule = LeastConnections::new();
            for workers in rounds {
                let list: Vec<_> =
                    workers.iter().map(|(&id, &(credit, count))| (id, credit, count)).collect();
                let fewest = workers.values().filter(|(credit, _)| *credit > 0).map(|one| one.1).min();
                let chosen = choose(&mut rule, &list).map(|id| workers[&id]);
                prop_assert_eq!(chosen.map(|one| one.1), fewest);
                prop_assert!(chosen.is_none_or(|one| one.0 > 0));
            }
        }
    }
}
