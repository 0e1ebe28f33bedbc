//! What preloading saves: `cargo test --release --test preload cost -- --ignored --nocapture`.
//!
//! A start is measured from the wish for one more worker (`Supervised::scale`) until the worker's
//! `main` goes on with what it has loaded, as the worker writes down.

use std::{
    fs,
    time::{Duration, Instant},
};

use cluster::{Event, Settings, Signal, Supervised, Supervisor, WorkerRef};
use nix::time::{ClockId, clock_gettime};

use crate::support::{PATIENCE, fixture};

const MEGABYTES: u64 = 200;
const WORKERS: usize = 4;
const ROUNDS: usize = 31;

/// What is measured.
#[derive(Clone, Copy, Debug)]
struct Case {
    preloads: bool,
    /// Whether workers read all that is loaded.
    reads: bool,
    has_huge_pages: bool,
}

fn supervisor(case: Case) -> Supervised {
    let Case { preloads, reads, has_huge_pages } = case;
    let settings = Settings::new().exec(fixture()).arg("preloaded");
    let settings = settings.env("MEGABYTES", MEGABYTES.to_string());
    let settings = settings.env("READS", usize::from(reads).to_string());
    let huge = u8::from(has_huge_pages);
    // 1: what malloc gets from the system is to be of huge pages (madvise).
    let settings = settings.env("GLIBC_TUNABLES", format!("glibc.malloc.hugetlb={huge}"));
    let supervisor = Supervisor::new(settings).workers(WORKERS).without_signals();
    if preloads { supervisor.preload() } else { supervisor }.start().unwrap()
}

fn serve(supervised: &mut Supervised) -> Option<Event> {
    supervised.poll(Some(Duration::from_millis(1))).unwrap()
}

/// Serves until something is so.
#[track_caller]
fn until<T>(supervised: &mut Supervised, mut found: impl FnMut(&Supervised) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found(supervised) {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain");
        serve(supervised);
    }
}

/// Serves until all is quiet: so many workers have gone on, and there is a spare.
#[track_caller]
fn settle(supervised: &mut Supervised, case: Case, workers: usize) {
    until(supervised, |supervised| {
        let all = supervised.master().workers();
        let has_spare = supervised.status().molds.iter().any(|mold| mold.spare.is_some());
        let is_quiet = all.len() == workers
            && all.iter().all(|worker| went_on(worker).is_some())
            && has_spare == case.preloads;
        is_quiet.then_some(())
    });
    // Memory of those who have ended is given back for a while.
    let rested = Instant::now() + Duration::from_millis(50);
    until(supervised, |_| (Instant::now() > rested).then_some(()));
}

/// Microseconds of the clock that all processes share.
fn clock() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000).unwrap()
}

/// When a worker's `main` went on with what was loaded.
fn went_on(worker: &WorkerRef) -> Option<u64> {
    let counters = worker.score()?.counters;
    counters.into_iter().find(|(name, _)| name == "went-on").map(|(_, when)| when)
}

/// So many workers more: when, in microseconds from the wish on, each went on, the first one
/// first, and when all listened.
fn starts(supervised: &mut Supervised, case: Case, more: usize) -> (Vec<u64>, u64) {
    settle(supervised, case, WORKERS);
    let old: Vec<u32> = supervised.master().workers().iter().map(WorkerRef::id).collect();
    let begin = clock();
    supervised.scale(WORKERS + more);
    let mut listening = 0;
    while listening < more {
        listening += usize::from(matches!(serve(supervised), Some(Event::Listening { .. })));
    }
    let listened = clock() - begin;
    settle(supervised, case, WORKERS + more);
    let workers = supervised.master().workers();
    let new = workers.iter().filter(|worker| !old.contains(&worker.id()));
    let mut times: Vec<u64> = new.map(|worker| went_on(worker).unwrap() - begin).collect();
    times.sort_unstable();
    supervised.scale(WORKERS);
    (times, listened)
}

/// All workers are killed: when, from then on, the last of the new ones went on.
fn burst(supervised: &mut Supervised, case: Case) -> u64 {
    settle(supervised, case, WORKERS);
    let old = supervised.master().workers();
    let begin = clock();
    old.iter().for_each(|worker| worker.kill(Signal::KILL).map(drop).unwrap());
    let is_old = |worker: &WorkerRef| old.iter().any(|one| one.id() == worker.id());
    until(supervised, |supervised| {
        let all = supervised.master().workers();
        let new = all.iter().filter(|worker| !is_old(worker)).filter_map(went_on);
        let times: Vec<u64> = new.collect();
        (times.len() == WORKERS).then(|| times.into_iter().max())?
    }) - begin
}

/// A figure of `/proc/PID/smaps_rollup`, in MB.
fn rollup(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// The proportional share of a process's memory, in MB.
fn memory(pid: u32) -> f64 {
    rollup(pid, "Pss:")
}

/// The median and the largest but one in ten, in milliseconds.
fn spread(mut times: Vec<u64>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 10] as f64 / 1000.0;
    format!("{:.2} ms (9 of 10 within {:.2})", at(5), at(9))
}

#[test]
#[ignore = "a measurement, for an idle machine"]
fn cost() {
    measure(Case { preloads: false, reads: true, has_huge_pages: false });
    for has_huge_pages in [false, true] {
        for reads in [false, true] {
            measure(Case { preloads: true, reads, has_huge_pages });
        }
    }
}

/// Starts one whose pages are as they are to be: malloc gets huge ones only where the address of
/// what is loaded allows it, which is a matter of luck.
fn start(case: Case) -> Supervised {
    for _ in 0..50 {
        let mut supervised = supervisor(case);
        settle(&mut supervised, case, WORKERS);
        let worker = supervised.master().workers()[0].pid();
        if (rollup(worker, "AnonHugePages:") > 0.0) == case.has_huge_pages {
            return supervised;
        }
    }
    panic!("there are no huge pages");
}

fn measure(case: Case) {
    let mut supervised = start(case);
    let memories = supervised.status();
    let own: Vec<u32> = supervised.master().workers().iter().map(WorkerRef::pid).collect();
    let workers: f64 = own.iter().copied().map(memory).sum();
    let molds = memories.molds.iter().map(|mold| (memory(mold.pid), mold.spare.map(memory)));
    println!("{case:?}: workers {workers:.0} MB; mold and spare {:.1?}", molds.collect::<Vec<_>>());
    let rounds = if case.preloads { ROUNDS } else { 5 };
    let (mut first, mut second, mut listened) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (times, after) = starts(&mut supervised, case, 1);
        first.push(times[0]);
        listened.push(after);
        second.push(starts(&mut supervised, case, 2).0[1]);
    }
    let bursts = (0..rounds).map(|_| burst(&mut supervised, case)).collect();
    println!("  one more goes on after {}, listens after {}", spread(first), spread(listened));
    println!("  the second of two goes on after {}", spread(second));
    println!("  after the end of all the last is back after {}", spread(bursts));
}
