//! Workers that have 200 MB loaded: each for itself (`started`) or as copies of one that has
//! (`preloaded`). Milliseconds from the end of one until its replacement runs and until it listens,
//! having read all of it, and the megabytes of four, what they share divided among them. One line
//! of JSON.
//!
//! ```text
//! preload started|preloaded
//! ```

use std::{
    env, error, fs,
    hint::black_box,
    time::{Duration, Instant},
};

use cluster::{Event, Settings, Signal, Supervised, Supervisor, WorkerRef};
use serde_json::json;

const MEGABYTES: u64 = 200;
const WORKERS: usize = 4;
const DEATHS: usize = 7;
/// Meanwhile the mold makes its next copy.
const PAUSE: Duration = Duration::from_millis(100);

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

fn main() -> Result {
    if !cluster::is_master() {
        return serve();
    }
    let preloads = env::args().nth(1).as_deref() == Some("preloaded");
    let supervisor = Supervisor::new(Settings::new()).workers(WORKERS).without_signals();
    let supervisor = if preloads { supervisor.preload() } else { supervisor };
    let mut supervised = supervisor.start()?;
    for _ in 0..WORKERS {
        until(&mut supervised, |event| matches!(event, Event::Listening { .. }))?;
    }
    let mut times = Vec::new();
    for _ in 0..DEATHS {
        times.push(replacement(&mut supervised)?);
    }
    let (online, listening): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
    let workers = supervised.master().workers();
    let memory: f64 = workers.iter().map(share).sum::<Result<f64>>()?;
    println!("{}", json!({ "online": online, "listening": listening, "memory": memory }));
    Ok(())
}

fn serve() -> Result {
    let model = cluster::preload(|| (0..MEGABYTES << 17).collect::<Vec<u64>>())?;
    let worker = cluster::worker()?.ok_or("no worker")?;
    black_box(model.iter().sum::<u64>());
    let _listener = worker.listen("127.0.0.1:0")?;
    while worker.recv()?.is_some() {}
    Ok(())
}

fn until(supervised: &mut Supervised, is_it: impl Fn(&Event) -> bool) -> Result {
    while !supervised.poll(None)?.is_some_and(|event| is_it(&event)) {}
    Ok(())
}

/// Kills a worker: when the next one runs and when it listens, from the first news of the end.
fn replacement(supervised: &mut Supervised) -> Result<(f64, f64)> {
    let rested = Instant::now() + PAUSE;
    while Instant::now() < rested {
        supervised.poll(Some(PAUSE))?;
    }
    supervised.master().workers()[0].kill(Signal::KILL)?;
    until(supervised, |event| matches!(event, Event::Disconnect { .. } | Event::Exit { .. }))?;
    let begin = Instant::now();
    until(supervised, |event| matches!(event, Event::Online { .. }))?;
    let online = begin.elapsed();
    until(supervised, |event| matches!(event, Event::Listening { .. }))?;
    Ok((online.as_secs_f64() * 1e3, begin.elapsed().as_secs_f64() * 1e3))
}

/// Megabytes of memory, of each page its share.
fn share(worker: &WorkerRef) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", worker.pid()))?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).ok_or("no Pss")?;
    let kibibytes: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kibibytes / 1024.0)
}
