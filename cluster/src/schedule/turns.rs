//! Handing connections over in turn: who gets the next one, and what is in flight.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    time::{Duration, Instant},
};

/// How long a worker that refused a connection is left alone, at first and at most. A Node
/// worker cannot say when it has room again, so it is asked.
const FIRST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(100);

/// The workers of one listener and the connections between the master and them. No I/O and no
/// clock: a connection is any `C`, a question is known by its number.
///
/// A connection stays here until its worker has taken it. There is never one more than there
/// are workers: the master accepts only while somebody is free.
#[derive(Debug)]
pub(crate) struct Turns<C> {
    members: BTreeMap<u32, Member<C>>,
    /// Those who may have the next connection, in their order.
    free: VecDeque<u32>,
    /// Connections that were given back, the oldest first, and the one just accepted.
    waiting: VecDeque<C>,
}

#[derive(Debug)]
struct Member<C> {
    holds: Option<(u64, C)>,
    rests_until: Option<Instant>,
    rest: Duration,
    /// Goes as soon as it has said whether it takes what it holds.
    is_leaving: bool,
}

impl<C: Clone> Turns<C> {
    pub(crate) fn new() -> Self {
        Self { members: BTreeMap::new(), free: VecDeque::new(), waiting: VecDeque::new() }
    }

    /// A worker listens.
    pub(crate) fn join(&mut self, worker: u32) {
        if let Entry::Vacant(place) = self.members.entry(worker) {
            let (holds, rests_until, rest) = (None, None, FIRST_REST);
            place.insert(Member { holds, rests_until, rest, is_leaving: false });
            self.free.push_back(worker);
        }
    }

    /// A worker is to leave, and gets nothing more. What it holds it may have taken already.
    pub(crate) fn retire(&mut self, worker: u32) {
        match self.members.get_mut(&worker) {
            Some(member) if member.holds.is_some() => member.is_leaving = true,
            _ => self.leave(worker),
        }
    }

    /// A worker no longer listens, or is dead: what it has not taken goes to another.
    pub(crate) fn leave(&mut self, worker: u32) {
        let Some(member) = self.members.remove(&worker) else { return };
        self.free.retain(|&one| one != worker);
        if let Some((_, connection)) = member.holds {
            self.waiting.push_front(connection);
        }
    }

    /// Whether a connection that is accepted now has somebody to go to.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < self.free.len()
    }

    /// A connection was accepted.
    pub(crate) fn arrived(&mut self, connection: C) {
        self.waiting.push_back(connection);
    }

    /// The next connection and the worker that gets it, if there are both; `number` is that of
    /// the message which hands it over.
    pub(crate) fn hand_over(&mut self, number: u64) -> Option<(u32, C)> {
        if self.free.is_empty() {
            return None;
        }
        let connection = self.waiting.pop_front()?;
        let worker = self.free.pop_front()?;
        if let Some(member) = self.members.get_mut(&worker) {
            member.holds = Some((number, connection.clone()));
        }
        Some((worker, connection))
    }

    /// The worker has taken the connection.
    pub(crate) fn taken(&mut self, worker: u32, number: u64) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if member.holds.take_if(|(held, _)| *held == number).is_some() {
            if member.is_leaving {
                return self.leave(worker);
            }
            member.rest = FIRST_REST;
            self.free.push_back(worker);
        }
    }

    /// The worker will not take the connection, or did not get it: another does, and this one
    /// is left alone for a while.
    pub(crate) fn refused(&mut self, worker: u32, number: u64, now: Instant) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if let Some((_, connection)) = member.holds.take_if(|(held, _)| *held == number) {
            member.rests_until = Some(now + member.rest);
            member.rest = (member.rest * 2).min(LONGEST_REST);
            self.waiting.push_front(connection);
            if member.is_leaving {
                self.leave(worker);
            }
        }
    }

    /// Ends the rests that are over.
    pub(crate) fn wake(&mut self, now: Instant) {
        for (&worker, member) in &mut self.members {
            if member.rests_until.take_if(|until| *until <= now).is_some() {
                self.free.push_back(worker);
            }
        }
    }

    /// When to call [`wake`](Self::wake).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.members.values().filter_map(|member| member.rests_until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn workers(count: u32) -> Turns<u32> {
        let mut turns = Turns::new();
        (1..=count).for_each(|worker| turns.join(worker));
        turns
    }

    #[test]
    fn idle_workers_get_connections_in_turn() {
        let mut turns = workers(3);
        let order: Vec<u32> = (0..6)
            .map(|number| {
                turns.arrived(number);
                let (worker, _) = turns.hand_over(number.into()).unwrap();
                turns.taken(worker, number.into());
                worker
            })
            .collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn a_dead_workers_connection_goes_to_another() {
        let mut turns = workers(2);
        turns.arrived(7);
        assert_eq!(turns.hand_over(1), Some((1, 7)));
        turns.leave(1);
        assert_eq!(turns.hand_over(2), Some((2, 7)));
        turns.taken(2, 2);
        turns.leave(2);
        turns.join(3);
        assert_eq!(turns.hand_over(3), None, "taken is taken");
    }

    #[test]
    fn one_who_leaves_may_take_what_it_holds_and_nothing_more() {
        let mut turns = workers(3);
        (7..=8).for_each(|connection| turns.arrived(connection));
        assert_eq!((turns.hand_over(1), turns.hand_over(2)), (Some((1, 7)), Some((2, 8))));
        (1..=3).for_each(|worker| turns.retire(worker));
        turns.arrived(9);
        assert_eq!(turns.hand_over(3), None, "all leave");
        turns.join(4);
        assert_eq!(turns.hand_over(3), Some((4, 9)), "7 and 8 may be served by now");
        turns.taken(4, 3);
        turns.taken(1, 1);
        turns.refused(2, 2, Instant::now());
        assert_eq!(turns.hand_over(4), Some((4, 8)), "8 is not");
        assert_eq!(turns.deadline(), None);
        assert_eq!(turns.members.len(), 1);
    }

    #[test]
    fn when_all_refuse_they_are_left_alone_longer_and_longer() {
        let mut now = Instant::now();
        let mut turns = workers(2);
        turns.arrived(7);
        let mut tries = 0;
        let start = now;
        while now < start + Duration::from_secs(1) {
            while let Some((worker, _)) = turns.hand_over(tries) {
                turns.refused(worker, tries, now);
                tries += 1;
                assert!(!turns.has_room());
            }
            now = turns.deadline().unwrap();
            turns.wake(now);
        }
        assert!((10..60).contains(&tries), "{tries} tries in a second");
    }

    #[test]
    fn late_answers_change_nothing() {
        let mut turns = workers(1);
        turns.taken(1, 5);
        turns.refused(9, 5, Instant::now());
        turns.arrived(7);
        assert_eq!(turns.hand_over(1), Some((1, 7)));
        turns.taken(1, 5);
        assert!(!turns.has_room());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join(u32),
        Retire(u32),
        Leave(u32),
        Arrive,
        Take(u32),
        Refuse(u32),
        Later(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..6u32).prop_map(Step::Join),
            (1..6u32).prop_map(Step::Retire),
            (1..6u32).prop_map(Step::Leave),
            Just(Step::Arrive),
            Just(Step::Arrive),
            (1..6u32).prop_map(Step::Take),
            (1..6u32).prop_map(Step::Refuse),
            (1..200u64).prop_map(Step::Later),
        ]
    }

    proptest! {
        /// Whatever happens, each connection is taken once or still here, and nobody is given
        /// two at a time.
        #[test]
        fn no_connection_is_lost(steps in prop::collection::vec(step(), 0..120)) {
            let mut turns = Turns::new();
            let mut now = Instant::now();
            let (mut next, mut number) = (0u32, 0u64);
            let mut inside = BTreeSet::new();
            let mut held: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Join(worker) if !held.contains_key(&worker) => turns.join(worker),
                    Step::Join(_) => {}
                    Step::Retire(worker) => turns.retire(worker),
                    Step::Leave(worker) => {
                        turns.leave(worker);
                        held.remove(&worker);
                    }
                    Step::Arrive if turns.has_room() => {
                        turns.arrived(next);
                        inside.insert(next);
                        next += 1;
                    }
                    Step::Arrive => {}
                    Step::Take(worker) => if let Some((number, connection)) = held.remove(&worker) {
                        turns.taken(worker, number);
                        prop_assert!(inside.remove(&connection));
                    },
                    Step::Refuse(worker) => if let Some((number, _)) = held.remove(&worker) {
                        turns.refused(worker, number, now);
                    },
                    Step::Later(millis) => {
                        now += Duration::from_millis(millis);
                        turns.wake(now);
                    }
                }
                while let Some((worker, connection)) = turns.hand_over(number) {
                    prop_assert!(held.insert(worker, (number, connection)).is_none());
                    number += 1;
                }
                let here: BTreeSet<u32> = turns.waiting.iter().copied()
                    .chain(held.values().map(|&(_, connection)| connection))
                    .collect();
                prop_assert_eq!(&here, &inside);
                prop_assert_eq!(here.len(), turns.waiting.len() + held.len());
            }
        }
    }
}
