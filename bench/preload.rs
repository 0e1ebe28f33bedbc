//! Workers that have 200 MB loaded: each for itself (`started`) or as copies of one that has
//! (`preloaded`), also with huge pages (`preloaded-huge`). Milliseconds from the wish for one more
//! worker (`Supervised::scale`), or for two, until `main` goes on behind `preload` there, and until
//! the master hears that it listens; from the end of all until the last is back; and the megabytes
//! of four workers, what they share divided among them, and of the mold and its copy that waits. One
//! line of JSON.
//!
//! ```text
//! preload started|preloaded|preloaded-huge
//! ```

use std::{
    env, error, fs,
    hint::black_box,
    time::{Duration, Instant},
};

use cluster::{Event, Settings, Signal, Supervised, Supervisor, WorkerRef};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

const MEGABYTES: usize = 200;
const WORKERS: usize = 4;
/// Memory of those who have ended is given back for a while.
const PAUSE: Duration = Duration::from_millis(50);
/// Nothing that is measured takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The name under which a worker writes down when its `main` went on.
const WENT_ON: &str = "went-on";

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

fn main() -> Result {
    if !cluster::is_master() {
        return serve();
    }
    let case = env::args().nth(1).unwrap_or_default();
    let (preloads, is_huge) = (case.starts_with("preloaded"), case == "preloaded-huge");
    let mut bench = Bench::start(preloads, is_huge)?;
    let (memory, molds) = bench.memory()?;
    let Times { next, second, listening, burst } = bench.measure()?;
    println!(
        "{}",
        json!({
            "next": next, "second": second, "listening": listening, "burst": burst,
            "memory": memory, "molds": molds,
        })
    );
    Ok(())
}

fn serve() -> Result {
    let model = cluster::preload(|| black_box(vec![1_u8; MEGABYTES << 20]))?;
    let went_on = clock()?;
    let worker = cluster::worker()?.ok_or("no worker")?;
    worker.counter(WENT_ON)?.set(went_on);
    let _listener = worker.listen("127.0.0.1:0")?;
    while worker.recv()?.is_some() {}
    black_box(model);
    Ok(())
}

/// Microseconds of the clock that all processes share.
fn clock() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000)?)
}

/// When a worker's `main` went on.
fn went_on(worker: &WorkerRef) -> Option<u64> {
    let counters = worker.score()?.counters;
    counters.into_iter().find(|(name, _)| name == WENT_ON).map(|(_, when)| when)
}

fn milliseconds(since: u64, when: u64) -> f64 {
    when.saturating_sub(since) as f64 / 1e3
}

/// A figure of `/proc/PID/smaps_rollup`, in megabytes.
fn megabytes(pid: u32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such figure")?;
    let kibibytes: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kibibytes / 1024.0)
}

/// Milliseconds, of each round.
#[derive(Default)]
struct Times {
    next: Vec<f64>,
    second: Vec<f64>,
    listening: Vec<f64>,
    burst: Vec<f64>,
}

struct Bench {
    supervised: Supervised,
    preloads: bool,
}

impl Bench {
    /// With pages as they are to be: whether `malloc` gets huge ones depends on the addresses that
    /// the system draws for a process.
    fn start(preloads: bool, is_huge: bool) -> Result<Self> {
        // 1: what malloc gets from the system is to be of huge pages (madvise).
        let tunable = format!("glibc.malloc.hugetlb={}", u8::from(is_huge));
        let settings = Settings::new().env("GLIBC_TUNABLES", tunable);
        for _ in 0..50 {
            let supervisor = Supervisor::new(settings.clone()).workers(WORKERS).without_signals();
            let supervisor = if preloads { supervisor.preload() } else { supervisor };
            let mut bench = Self { supervised: supervisor.start()?, preloads };
            bench.settle(WORKERS)?;
            let worker = bench.workers()[0].pid();
            if is_huge == (megabytes(worker, "AnonHugePages:")? > MEGABYTES as f64 / 2.0) {
                return Ok(bench);
            }
        }
        Err("there are no huge pages".into())
    }

    fn workers(&self) -> Vec<WorkerRef> {
        self.supervised.master().workers()
    }

    /// Serves until something is so.
    fn until<T>(&mut self, mut found: impl FnMut(&Supervised) -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(found) = found(&self.supervised) {
                return Ok(found);
            }
            self.supervised.poll(Some(Duration::from_millis(1)))?;
        }
        Err("it takes too long".into())
    }

    /// Serves until all is quiet: so many workers have gone on, and there is a copy that waits.
    fn settle(&mut self, workers: usize) -> Result {
        let preloads = self.preloads;
        self.until(|supervised| {
            let all = supervised.master().workers();
            let has_spare = supervised.status().molds.iter().any(|mold| mold.spare.is_some());
            let have_gone_on = all.iter().all(|worker| went_on(worker).is_some());
            (all.len() == workers && have_gone_on && has_spare == preloads).then_some(())
        })?;
        let rested = Instant::now() + PAUSE;
        self.until(|_| (Instant::now() > rested).then_some(()))
    }

    fn measure(mut self) -> Result<Times> {
        let mut times = Times::default();
        for _ in 0..if self.preloads { 15 } else { 3 } {
            let (one, listening) = self.more(1)?;
            let (two, _) = self.more(2)?;
            times.next.extend(one);
            times.second.push(two.into_iter().fold(0.0, f64::max));
            times.listening.push(listening);
            times.burst.push(self.burst()?);
        }
        Ok(times)
    }

    /// So many workers more: after how long each goes on, and all listen.
    fn more(&mut self, more: usize) -> Result<(Vec<f64>, f64)> {
        self.settle(WORKERS)?;
        let old: Vec<u32> = self.workers().iter().map(WorkerRef::id).collect();
        let begin = clock()?;
        self.supervised.scale(WORKERS + more);
        let mut listening = 0;
        while listening < more {
            let event = self.supervised.poll(Some(PATIENCE))?.ok_or("it takes too long")?;
            listening += usize::from(matches!(event, Event::Listening { .. }));
        }
        let listening = milliseconds(begin, clock()?);
        self.settle(WORKERS + more)?;
        let workers = self.workers();
        let new = workers.iter().filter(|worker| !old.contains(&worker.id()));
        let times = new.filter_map(went_on).map(|when| milliseconds(begin, when)).collect();
        self.supervised.scale(WORKERS);
        Ok((times, listening))
    }

    /// All workers are killed: after how long the last of the new ones goes on.
    fn burst(&mut self) -> Result<f64> {
        self.settle(WORKERS)?;
        let old = self.workers();
        let begin = clock()?;
        for worker in &old {
            worker.kill(Signal::KILL)?;
        }
        let is_old = |worker: &WorkerRef| old.iter().any(|one| one.id() == worker.id());
        let last = self.until(|supervised| {
            let all = supervised.master().workers();
            let new = all.iter().filter(|worker| !is_old(worker)).filter_map(went_on);
            let times: Vec<u64> = new.collect();
            times.iter().max().copied().filter(|_| times.len() == WORKERS)
        })?;
        Ok(milliseconds(begin, last))
    }

    /// Megabytes of all workers, and of mold and copy, of each page its share.
    fn memory(&mut self) -> Result<(f64, f64)> {
        let share = |pid| megabytes(pid, "Pss:");
        let workers = self.workers().iter().map(|worker| share(worker.pid())).sum::<Result<_>>()?;
        let molds = self.supervised.status().molds;
        let all = molds.iter().flat_map(|mold| [Some(mold.pid), mold.spare]).flatten();
        let molds: Vec<f64> = all.map(share).collect::<Result<_>>()?;
        Ok((workers, molds.into_iter().fold(0.0, |sum, one| sum + one)))
    }
}
