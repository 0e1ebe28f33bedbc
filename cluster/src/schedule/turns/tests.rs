use std::time::Duration;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The next offer in a message.
fn offer(turns: &mut Turns<u32>, number: u64) -> Option<(u32, u32)> {
    offer_by(turns, number, None)
}

fn offer_by(
    turns: &mut Turns<u32>,
    number: u64,
    choice: Option<Choice<'_, u32>>,
) -> Option<(u32, u32)> {
    match turns.hand_over(number, choice)? {
        Next::Offer(worker) => Some((worker, *turns.held(worker).unwrap())),
        Next::Lane(worker, _) => panic!("{worker} has no lane"),
    }
}

fn workers(count: u32) -> Turns<u32> {
    let mut turns = Turns::new();
    (1..=count).for_each(|worker| turns.join(worker, false));
    turns
}

#[test]
fn idle_workers_get_connections_in_turn() {
    let mut turns = workers(3);
    let order: Vec<u32> = (0..6)
        .map(|number| {
            turns.arrived(number);
            let (worker, _) = offer(&mut turns, number.into()).unwrap();
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
    assert_eq!(offer(&mut turns, 1), Some((1, 7)));
    turns.leave(1);
    assert_eq!(offer(&mut turns, 2), Some((2, 7)));
    turns.taken(2, 2);
    turns.leave(2);
    turns.join(3, false);
    assert_eq!(offer(&mut turns, 3), None, "taken is taken");
}

#[test]
fn one_who_leaves_may_take_what_it_holds_and_nothing_more() {
    let mut turns = workers(3);
    (7..=8).for_each(|connection| turns.arrived(connection));
    assert_eq!((offer(&mut turns, 1), offer(&mut turns, 2)), (Some((1, 7)), Some((2, 8))));
    (1..=3).for_each(|worker| turns.retire(worker));
    turns.arrived(9);
    assert_eq!(offer(&mut turns, 3), None, "all leave");
    turns.join(4, false);
    assert_eq!(offer(&mut turns, 3), Some((4, 9)), "7 and 8 may be served by now");
    turns.taken(4, 3);
    turns.taken(1, 1);
    turns.refused(2, 2, Instant::now());
    assert_eq!(offer(&mut turns, 4), Some((4, 8)), "8 is not");
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
        while let Some((worker, _)) = offer(&mut turns, tries) {
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
    assert_eq!(offer(&mut turns, 1), Some((1, 7)));
    turns.taken(1, 5);
    assert!(!turns.has_room());
}

#[test]
fn lanes_are_filled_in_turn() {
    let mut turns = Turns::new();
    (1..=3).for_each(|worker| turns.join(worker, true));
    let give = |turns: &mut Turns<u32>| {
        turns.arrived(7);
        turns.hand_over(0, None)
    };
    let order: Vec<_> = (0..6).map(|_| give(&mut turns).unwrap()).collect();
    assert_eq!(order, [1, 2, 3, 1, 2, 3].map(|worker| Next::Lane(worker, 7)));
    turns.full(1);
    turns.rest(2, Instant::now());
    assert_eq!(
        (0..2).map(|_| give(&mut turns)).collect::<Vec<_>>(),
        [3, 3].map(|one| Some(Next::Lane(one, 7)))
    );
    turns.room(2); // not yet
    turns.room(1);
    assert_eq!(give(&mut turns), Some(Next::Lane(3, 7)));
    assert_eq!(give(&mut turns), Some(Next::Lane(1, 7)));
    turns.wake(turns.deadline().unwrap());
    let order: Vec<_> = (0..3).map(|_| give(&mut turns).unwrap()).collect();
    assert_eq!(order, [3, 1, 2].map(|worker| Next::Lane(worker, 7)));
}

/// Hands over by a rule for which each connection, a number, belongs to the worker of that number.
fn by_number(turns: &mut Turns<u32>, number: u64) -> Option<(u32, u32)> {
    let mut rule = |connection: &u32, _: &[Candidate]| Some(connection % 100);
    offer_by(turns, number, Some(Choice { rule: &mut rule, open: &|_| None }))
}

#[test]
fn what_is_for_one_worker_waits_for_it_and_holds_up_nobody() {
    let mut turns = workers(3);
    let mut number = 0;
    let mut give = |turns: &mut Turns<u32>| {
        number += 1;
        by_number(turns, number)
    };
    for connection in [2, 102, 202] {
        turns.arrived(connection);
    }
    assert_eq!((give(&mut turns), give(&mut turns)), (Some((2, 2)), None));
    assert!(turns.has_room());
    turns.arrived(1);
    assert_eq!(give(&mut turns), Some((1, 1)));
    turns.taken(2, 1);
    assert_eq!(give(&mut turns), Some((2, 102)));
    turns.leave(2);
    assert_eq!((give(&mut turns), give(&mut turns)), (Some((3, 102)), None), "nobody is 2 now");
    turns.join(2, false);
    assert_eq!(give(&mut turns), Some((2, 202)));
}

#[test]
fn a_queue_has_an_end() {
    let mut turns = workers(2);
    let count = LONGEST_QUEUE as u32 + 2;
    for round in 0..count {
        turns.arrived(round * 100 + 1);
    }
    let held = (by_number(&mut turns, 1), by_number(&mut turns, 2));
    assert_eq!(held, (Some((1, 1)), Some((2, (count - 1) * 100 + 1))), "the last goes by turns");
    assert_eq!(turns.reserved, LONGEST_QUEUE);
}

#[test]
fn a_rule_sees_the_workers_and_what_they_have() {
    let mut turns = workers(2);
    let mut seen = Vec::new();
    let mut give = |turns: &mut Turns<u32>, number, open: &dyn Fn(u32) -> Option<u64>| {
        turns.arrived(0);
        let mut rule = |_: &u32, candidates: &[Candidate]| {
            seen.push(candidates.to_vec());
            Some(7) // who is none of them
        };
        offer_by(turns, number, Some(Choice { rule: &mut rule, open })).map(|(worker, _)| worker)
    };
    assert_eq!(give(&mut turns, 1, &|_| None), Some(1));
    turns.taken(1, 1);
    turns.join(3, false);
    assert_eq!(give(&mut turns, 2, &|_| None), Some(2));
    turns.join(5, false);
    assert_eq!(give(&mut turns, 3, &|id| (id < 5).then_some(40)), Some(1));
    let candidate = Candidate::new;
    assert_eq!(seen[0], [candidate(1, 1, 0), candidate(2, 1, 0)]);
    assert_eq!(seen[1], [candidate(1, 1, 1), candidate(2, 1, 0), candidate(3, 1, 0)]);
    let one_on_its_way = candidate(2, 0, 41);
    assert_eq!(seen[2][..2], [candidate(1, 1, 40), one_on_its_way]);
    assert_eq!(seen[2][3], candidate(5, 1, 0));
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
    /// Whatever happens and whatever a rule says, each connection is taken once, or still here or
    /// in a lane; nobody is offered two at a time, or put more into a lane than fits.
    #[test]
    fn no_connection_is_lost(
        steps in prop::collection::vec(step(), 0..120),
        chosen in prop::option::of(prop::collection::vec(prop::option::of(1..7u32), 1..20)),
    ) {
        let mut chosen = chosen.map(|list| list.into_iter().cycle());
        let mut turns = Turns::new();
        let mut now = Instant::now();
        let (mut next, mut number) = (0u32, 0u64);
        let mut inside = BTreeSet::new();
        let mut held: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
        let mut lanes: BTreeMap<u32, VecDeque<u32>> = BTreeMap::new();
        let empty = |turns: &mut Turns<u32>, lane: Option<&mut VecDeque<u32>>, worker| {
            let lane = lane.map(std::mem::take).unwrap_or_default();
            lane.into_iter().rev().for_each(|connection| turns.give_back(worker, connection));
        };
        for step in steps {
            match step {
                Step::Join(worker) if worker > 3 => {
                    lanes.entry(worker).or_default();
                    turns.join(worker, true);
                }
                Step::Join(worker) if !held.contains_key(&worker) => turns.join(worker, false),
                Step::Join(_) => {}
                Step::Retire(worker) => {
                    empty(&mut turns, lanes.remove(&worker).as_mut(), worker);
                    turns.retire(worker);
                }
                Step::Leave(worker) => {
                    empty(&mut turns, lanes.remove(&worker).as_mut(), worker);
                    turns.leave(worker);
                    held.remove(&worker);
                }
                Step::Arrive if turns.has_room() => {
                    turns.arrived(next);
                    inside.insert(next);
                    next += 1;
                }
                Step::Arrive => {}
                Step::Take(worker) if worker > 3 => {
                    if let Some(connection) = lanes.get_mut(&worker).and_then(VecDeque::pop_front) {
                        prop_assert!(inside.remove(&connection));
                        turns.room(worker);
                    }
                }
                Step::Refuse(worker) if worker > 3 => {
                    empty(&mut turns, lanes.get_mut(&worker), worker);
                    turns.rest(worker, now);
                }
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
            loop {
                let mut rule = |_: &u32, _: &[Candidate]| chosen.as_mut()?.next()?;
                let choice = Choice { rule: &mut rule, open: &|_| None };
                match turns.hand_over(number, Some(choice)) {
                    None => break,
                    Some(Next::Offer(worker)) => {
                        let connection = *turns.held(worker).unwrap();
                        prop_assert!(held.insert(worker, (number, connection)).is_none());
                        number += 1;
                    }
                    Some(Next::Lane(worker, connection)) if lanes[&worker].len() < 3 => {
                        lanes.get_mut(&worker).unwrap().push_back(connection);
                    }
                    Some(Next::Lane(worker, connection)) => {
                        turns.full(worker);
                        turns.give_back(worker, connection);
                    }
                }
            }
            let queues = || turns.members.values().flat_map(|member| member.queue.iter().copied());
            prop_assert_eq!(queues().count(), turns.reserved);
            let here: BTreeSet<u32> = turns.waiting.iter().copied()
                .chain(queues())
                .chain(held.values().map(|&(_, connection)| connection))
                .chain(lanes.values().flatten().copied())
                .collect();
            prop_assert_eq!(&here, &inside);
            let in_lanes: usize = lanes.values().map(VecDeque::len).sum();
            prop_assert_eq!(here.len(), turns.waiting.len() + turns.reserved + held.len() + in_lanes);
            let is_free = |worker: &u32| turns.members[worker].is_free;
            prop_assert!(turns.free.iter().all(is_free));
            prop_assert_eq!(turns.free.len(), turns.members.keys().filter(|one| is_free(one)).count());
        }
    }
}
