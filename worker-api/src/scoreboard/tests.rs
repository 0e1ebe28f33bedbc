use std::{
    fs::File,
    os::{
        fd::{AsRawFd, IntoRawFd},
        unix::fs::FileExt,
    },
    thread,
};

use nix::{fcntl::FcntlArg, unistd::ftruncate};
use proptest::prelude::*;

use super::*;

/// A board and the card of its worker.
fn pair() -> (Scoreboard, Scorecard) {
    let board = Scoreboard::new(7).unwrap();
    let copy = board.as_fd().try_clone_to_owned().unwrap().into_raw_fd().to_string();
    let card = Scorecard::of_environment(Some(&copy), 7).unwrap();
    (board, card)
}

#[test]
fn a_board_that_nobody_has_taken_says_nothing() {
    let board = Scoreboard::new(7).unwrap();
    assert_eq!((board.score(), board.active()), (None, None));
}

#[test]
fn what_the_worker_writes_is_read() {
    let (board, card) = pair();
    assert_eq!(board.score(), Some(Score::default()));
    card.board().began();
    card.board().began();
    card.board().ended();
    card.served();
    card.board().leaves();
    card.counter("requests").unwrap().add(3);
    card.counter("queue").unwrap().set(9);
    card.counter("requests").unwrap().add(1);
    let score = board.score().unwrap();
    assert_eq!((score.accepted, score.active, score.ticks), (2, 1, 1));
    assert!(score.is_leaving && score.since_tick.is_some());
    assert_eq!(score.counters, [("requests".into(), 4), ("queue".into(), 9)]);
    assert_eq!(board.active(), Some(1));
    assert_eq!(score, Score { since_tick: score.since_tick, ..card.board().score() });
}

#[test]
fn the_last_words_outlive_the_worker_and_the_master() {
    let (board, card) = pair();
    card.board().began();
    drop(card);
    let next = Scoreboard::from_file(board.as_fd().try_clone_to_owned().unwrap()).unwrap();
    drop(board);
    assert_eq!(next.score().unwrap().accepted, 1);
}

#[test]
fn a_worker_that_ticks_by_hand_does_nothing_else() {
    let (board, card) = pair();
    card.served();
    card.tick_by_hand();
    card.served();
    let score = board.score().unwrap();
    assert_eq!((score.ticks, score.since_tick), (0, None));
    card.board().tick();
    assert_eq!(board.score().unwrap().ticks, 1);
}

#[test]
fn a_descriptor_that_is_not_this_workers_board_is_left_alone() {
    let other = Scoreboard::new(8).unwrap();
    let file = File::open("/dev/null").unwrap();
    for number in [other.as_fd().as_raw_fd(), file.as_raw_fd(), -1, 1 << 30] {
        let card = Scorecard::of_environment(Some(&number.to_string()), 7).unwrap();
        card.board().began();
    }
    assert!(Scorecard::of_environment(Some("seven"), 7).is_ok());
    assert_eq!(other.score(), None);
    assert!(file.metadata().is_ok());
    let refused = Scoreboard::from_file(file.into()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn nobody_can_take_the_memory_away() {
    let board = Scoreboard::new(7).unwrap();
    ftruncate(&board, 0).unwrap_err();
    ftruncate(&board, 1 << 20).unwrap_err();
    let seal = FcntlArg::F_ADD_SEALS(nix::fcntl::SealFlag::F_SEAL_WRITE);
    nix::fcntl::fcntl(&board, seal).unwrap_err();
}

#[test]
fn counters_have_bounds() {
    let (board, card) = pair();
    for name in ["", "two words", "ä", "\n", &"x".repeat(LONGEST_NAME + 1)] {
        card.counter(name).unwrap_err();
    }
    let names: Vec<_> = (0..MOST_COUNTERS).map(|number| format!("{number:024}")).collect();
    for name in &names {
        card.counter(name).unwrap().add(1);
    }
    card.counter("one-more").unwrap_err();
    card.counter(&names[3]).unwrap().add(1);
    let counters = board.score().unwrap().counters;
    assert!(counters.iter().map(|(name, _)| name).eq(&names));
    assert_eq!(counters[3].1, 2);
}

#[test]
fn no_count_is_lost_between_threads() {
    let (board, card) = pair();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let counter = card.counter("all").unwrap();
                for _ in 0..10_000 {
                    card.board().began();
                    counter.add(1);
                    card.board().ended();
                }
            });
        }
    });
    let score = board.score().unwrap();
    assert_eq!((score.accepted, score.active), (40_000, 0));
    assert_eq!(score.counters, [("all".into(), 40_000)]);
}

proptest! {
    /// Whatever a worker writes, its master reads it without harm.
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), size_of::<Board>())) {
        let board = Scoreboard::new(7).unwrap();
        let file = File::from(board.as_fd().try_clone_to_owned().unwrap());
        file.write_all_at(&bytes, 0).unwrap();
        board.page.layout.store(LAYOUT, Release);
        let score = board.score().unwrap();
        prop_assert!(score.counters.len() <= MOST_COUNTERS);
        prop_assert!(score.counters.iter().all(|(name, _)| is_name(name)));
    }
}
