mod histories;

use super::*;

fn limits() -> Limits {
    Limits { quorum_timeout: Duration::from_secs(30), ..Limits::default() }
}

fn all(policy: &mut Policy, now: Instant) -> Vec<Action> {
    let is_start = |action: &Action| matches!(action, Action::Start { .. });
    let mut starts = 0; // nobody starts any here, so they come again and again
    std::iter::from_fn(|| policy.next(now))
        .take_while(|action| {
            starts += usize::from(is_start(action));
            starts < 2
        })
        .collect()
}

/// A policy whose slots have workers 1 to `count`, all ready.
fn serving(count: usize, limits: Limits, now: Instant) -> Policy {
    let mut policy = Policy::new(count, limits, now);
    for slot in 0..count {
        assert_eq!(policy.next(now), Some(Action::Start { slot }));
        join(&mut policy, slot, slot as u32 + 1, now);
    }
    assert_eq!(policy.next(now), None);
    policy
}

fn join(policy: &mut Policy, slot: usize, worker: u32, now: Instant) {
    policy.started(slot, worker, now);
    policy.online(worker);
    policy.ready(worker, now);
}

fn kill(worker: u32, signal: Signal) -> [Action; 1] {
    [Action::Kill { worker, signal }]
}

fn start(slot: usize) -> [Action; 1] {
    [Action::Start { slot }]
}

fn leave(worker: u32) -> [Action; 1] {
    [Action::Disconnect { worker }]
}

fn failed(failure: Failure) -> Action {
    Action::Reloaded(Verdict::Failed(failure))
}

#[test]
fn a_ready_worker_is_replaced_at_once() {
    let now = Instant::now();
    let mut policy = serving(1, limits(), now);
    assert_eq!((policy.deadline(), policy.has_vacancy()), (None, false));
    policy.exited(1, now);
    assert!(policy.has_vacancy());
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
}

#[test]
fn one_that_goes_by_itself_is_replaced_before_it_has_gone_and_has_to_end() {
    let now = Instant::now();
    let mut policy = serving(1, limits(), now);
    policy.disconnected(1, now);
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    join(&mut policy, 0, 2, now);
    let later = now + Duration::from_secs(30);
    assert_eq!((policy.next(now), policy.deadline()), (None, Some(later)));
    assert_eq!(all(&mut policy, later), kill(1, Signal::TERM));
    let last = policy.deadline().unwrap();
    assert_eq!(all(&mut policy, last), kill(1, Signal::KILL));
    policy.exited(1, last);
    assert_eq!((policy.next(last), policy.deadline()), (None, None));
}

#[test]
fn a_worker_that_never_gets_ready_waits_longer_and_longer_until_all_is_given_up() {
    let begin = Instant::now();
    let mut policy = Policy::new(1, limits(), begin);
    let (mut now, mut starts) = (begin, 0);
    'outer: loop {
        while let Some(action) = policy.next(now) {
            match action {
                Action::Start { slot } => {
                    starts += 1;
                    policy.started(slot, starts, now);
                    policy.exited(starts, now);
                }
                Action::GiveUp => break 'outer,
                other => panic!("{other:?}"),
            }
        }
        now = policy.deadline().unwrap();
    }
    assert_eq!(now - begin, Duration::from_secs(30));
    assert!((8..16).contains(&starts), "{starts} starts");
}

#[test]
fn one_that_hangs_at_its_start_is_ended_and_another_tried() {
    let now = Instant::now();
    let mut policy = Policy::new(1, limits(), now);
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    policy.started(0, 1, now);
    let late = now + Duration::from_secs(30);
    assert_eq!((policy.next(now), policy.deadline()), (None, Some(late)));
    policy.wanting = None; // else all would be given up
    assert_eq!(all(&mut policy, late), kill(1, Signal::TERM));
    let due = policy.deadline().unwrap();
    assert_eq!(due, late + Duration::from_millis(100));
    assert_eq!(policy.next(due), Some(Action::Start { slot: 0 }));
}

#[test]
fn a_stop_asks_then_terminates_then_kills() {
    let now = Instant::now();
    let mut policy = serving(1, limits(), now);
    policy.stop(now);
    assert_eq!(all(&mut policy, now), leave(1));
    let later = policy.deadline().unwrap();
    assert_eq!(later, now + Duration::from_secs(10));
    assert_eq!(all(&mut policy, later), kill(1, Signal::TERM));
    policy.stop(later);
    assert_eq!(all(&mut policy, later), kill(1, Signal::KILL), "asked once more");
    assert_eq!(policy.deadline(), None);
    policy.exited(1, later);
    assert!(policy.is_stopped());
}

#[test]
fn who_never_spoke_is_asked_by_signal_and_needs_no_channel() {
    let now = Instant::now();
    let mut policy = Policy::new(1, limits(), now);
    policy.next(now);
    policy.started(0, 1, now);
    policy.disconnected(1, now);
    policy.ready(1, now);
    policy.disconnected(1, now);
    assert_eq!(policy.next(now), None);
    policy.stop(now);
    assert_eq!(all(&mut policy, now), kill(1, Signal::TERM));
    let later = now + Duration::from_secs(10);
    assert_eq!(
        (policy.deadline(), all(&mut policy, later)),
        (Some(later), kill(1, Signal::KILL).into())
    );
}

#[test]
fn a_reload_goes_slot_by_slot_and_the_old_one_leaves_when_the_new_one_is_ready() {
    let now = Instant::now();
    let mut policy = serving(2, limits(), now);
    let generation = policy.reload(now);
    for (slot, old, new) in [(0, 1, 3), (1, 2, 4)] {
        assert_eq!(policy.next(now), Some(Action::Start { slot }));
        policy.started(slot, new, now);
        policy.online(new);
        assert_eq!(policy.next(now), None, "nothing before it is ready");
        policy.ready(new, now);
        assert_eq!(policy.next(now), Some(Action::Disconnect { worker: old }));
    }
    assert_eq!(policy.next(now), Some(Action::Reloaded(Verdict::Done { generation })));
    assert_eq!(policy.next(now), None);
    assert_eq!(policy.deadline(), Some(now + Duration::from_secs(30)), "the old ones' drain");
}

#[test]
fn with_nobody_to_spare_but_one_missing_the_old_one_leaves_first() {
    let now = Instant::now();
    let limits = Limits { max_surge: 0, max_unavailable: 1, ..limits() };
    let mut policy = serving(2, limits, now);
    policy.reload(now);
    assert_eq!(policy.next(now), Some(Action::Disconnect { worker: 1 }));
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    policy.started(0, 3, now);
    assert_eq!(policy.next(now), None);
    policy.ready(3, now);
    assert_eq!(policy.next(now), Some(Action::Disconnect { worker: 2 }));
    assert_eq!(policy.next(now), Some(Action::Start { slot: 1 }));
}

#[test]
fn a_reload_that_fails_leaves_the_old_ones_alone_and_says_why() {
    let now = Instant::now();
    let late = now + Duration::from_secs(30);
    let begin = || {
        let mut policy = serving(2, limits(), now);
        policy.reload(now);
        assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
        policy
    };
    let mut policy = begin();
    policy.failed(0, now);
    assert_eq!(all(&mut policy, now), [failed(Failure::Start)]);

    let mut policy = begin();
    policy.started(0, 3, now);
    policy.exited(3, now);
    assert_eq!(all(&mut policy, now), [failed(Failure::Ended { worker: 3 })]);
    assert_eq!(policy.ready_workers(), 2);

    let mut policy = begin();
    policy.started(0, 3, now);
    assert_eq!(policy.next(now), None);
    let actions = all(&mut policy, late);
    assert_eq!(actions[..1], kill(3, Signal::TERM));
    assert_eq!(actions[1..], [failed(Failure::TooLate { worker: 3 })]);

    let mut policy = begin();
    join(&mut policy, 0, 3, now);
    policy.exited(3, now);
    assert_eq!(all(&mut policy, now), [failed(Failure::Died { worker: 3 })]);
    assert_eq!(policy.ready_workers(), 2, "a worker that dies at once proves nothing");

    let mut policy = begin();
    join(&mut policy, 0, 3, now);
    assert_eq!(policy.next(now), Some(Action::Disconnect { worker: 1 }));
    assert_eq!(policy.next(now), Some(Action::Start { slot: 1 }));
    policy.started(1, 4, now);
    policy.online(4);
    policy.exited(3, now);
    let actions = all(&mut policy, now);
    assert_eq!(actions[..1], leave(4), "who was to replace another is not wanted any more");
    assert_eq!(actions[1], failed(Failure::Died { worker: 3 }));
    assert_eq!(actions[2..3], start(0));
}

#[test]
fn a_second_reload_supersedes_the_first() {
    let now = Instant::now();
    let mut policy = serving(1, limits(), now);
    policy.reload(now);
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    policy.started(0, 2, now);
    policy.online(2);
    policy.reload(now);
    assert_eq!(policy.next(now), Some(Action::Reloaded(Verdict::Superseded)));
    assert_eq!(policy.next(now), Some(Action::Disconnect { worker: 2 }));
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    join(&mut policy, 0, 3, now);
    assert_eq!(policy.next(now), Some(Action::Disconnect { worker: 1 }));
    assert_eq!(policy.next(now), Some(Action::Reloaded(Verdict::Done { generation: 2 })));
}

#[test]
fn an_old_worker_s_death_does_not_harm_a_reload() {
    let now = Instant::now();
    let mut policy = serving(2, limits(), now);
    policy.reload(now);
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    policy.started(0, 3, now);
    policy.exited(2, now);
    assert_eq!(policy.next(now), Some(Action::Start { slot: 1 }));
    join(&mut policy, 1, 4, now);
    policy.ready(3, now);
    assert_eq!(policy.next(now), Some(Action::Disconnect { worker: 1 }));
    assert_eq!(policy.next(now), Some(Action::Reloaded(Verdict::Done { generation: 1 })));
}

#[test]
fn more_and_fewer() {
    let now = Instant::now();
    let mut policy = serving(2, limits(), now);
    policy.scale(3, now);
    assert_eq!(policy.next(now), Some(Action::Start { slot: 2 }));
    join(&mut policy, 2, 3, now);
    policy.scale(0, now);
    assert_eq!(policy.size(), 1, "never none");
    assert_eq!(all(&mut policy, now), [leave(2), leave(3)].concat());
    policy.exited(2, now);
    assert_eq!(policy.next(now), None);
}

#[test]
fn a_pause_keeps_the_sockets_until_somebody_wants_workers() {
    let now = Instant::now();
    let mut policy = serving(1, limits(), now);
    policy.pause(now);
    assert_eq!(all(&mut policy, now), leave(1));
    policy.exited(1, now);
    assert_eq!((policy.next(now), policy.deadline(), policy.has_vacancy()), (None, None, true));
    policy.reload(now);
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
}

#[test]
fn a_spent_worker_is_replaced_like_in_a_reload_and_never_two_at_once() {
    let now = Instant::now();
    let mut policy = serving(2, limits(), now);
    assert!(policy.renew(1));
    assert!(!policy.renew(2));
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    policy.started(0, 3, now);
    policy.exited(3, now);
    assert_eq!(policy.next(now), None, "it failed, so the old one stays");
    assert!(policy.renew(1));
    assert_eq!(policy.next(now), None, "not at once");
    let later = policy.deadline().unwrap();
    assert_eq!(policy.next(later), Some(Action::Start { slot: 0 }));
    join(&mut policy, 0, 4, later);
    assert_eq!(policy.next(later), Some(Action::Disconnect { worker: 1 }));
    assert!(policy.renew(2));
}

#[test]
fn a_hung_worker_tells_its_stacks_and_is_replaced() {
    let now = Instant::now();
    let mut policy = serving(1, limits(), now);
    policy.hung(1, now);
    assert_eq!(policy.next(now), Some(Action::Kill { worker: 1, signal: Signal::ABRT }));
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    policy.started(0, 2, now);
    assert_eq!(all(&mut policy, now + LAST_WORD), kill(1, Signal::KILL));
}

#[test]
fn generations_that_drain_do_not_pile_up() {
    let now = Instant::now();
    let mut policy = serving(1, limits(), now);
    for worker in 2..=4 {
        policy.reload(now);
        assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
        join(&mut policy, 0, worker, now);
        assert_eq!(all(&mut policy, now)[..1], leave(worker - 1));
    }
    policy.reload(now);
    assert_eq!(policy.next(now), Some(Action::Start { slot: 0 }));
    join(&mut policy, 0, 5, now);
    let actions = all(&mut policy, now);
    assert_eq!(actions[..1], leave(4));
    assert_eq!(actions[1..2], kill(1, Signal::TERM), "the oldest of four");
}
