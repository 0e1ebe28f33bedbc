//! What preloading saves: `cargo test --release --test preload cost -- --ignored --nocapture`.

use std::{
    fs,
    time::{Duration, Instant},
};

use cluster::{Event, Settings, Signal, Supervised, Supervisor, WorkerRef};

use crate::support::{PATIENCE, fixture};

const MEGABYTES: u64 = 200;

fn supervisor(preloads: bool) -> Supervised {
    let settings = Settings::new().exec(fixture()).arg("preloaded");
    let supervisor = Supervisor::new(settings.env("MEGABYTES", MEGABYTES.to_string()));
    let supervisor = supervisor.workers(4).without_signals();
    if preloads { supervisor.preload() } else { supervisor }.start().unwrap()
}

/// Polls until something has happened.
fn until<T>(supervised: &mut Supervised, mut is_it: impl FnMut(Event) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(event) = supervised.poll(Some(Duration::from_millis(50))).unwrap()
            && let Some(found) = is_it(event)
        {
            return found;
        }
    }
    panic!("waited in vain");
}

fn listening(event: Event) -> Option<WorkerRef> {
    match event {
        Event::Listening { worker, .. } => Some(worker),
        _ => None,
    }
}

/// From the end of a worker, as it is reported, until its replacement runs, and until it listens.
fn replacement(supervised: &mut Supervised) -> (Duration, Duration) {
    let rested = Instant::now() + Duration::from_millis(200); // the mold makes its next copy
    while Instant::now() < rested {
        supervised.poll(Some(Duration::from_millis(20))).unwrap();
    }
    supervised.master().workers()[0].kill(Signal::KILL).unwrap();
    // Which of them comes first is a matter of luck, and a replacement is started then.
    let begin = until(supervised, |event| {
        let is_gone = matches!(event, Event::Disconnect { .. } | Event::Exit { .. });
        is_gone.then(Instant::now)
    });
    let is_online = |event| matches!(event, Event::Online { .. }).then(|| begin.elapsed());
    let online = until(supervised, is_online);
    until(supervised, listening);
    (online, begin.elapsed())
}

/// A figure of `/proc/PID/smaps_rollup`, in MB.
fn memory(worker: &WorkerRef, what: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", worker.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
#[ignore = "a measurement, for an idle machine"]
fn cost() {
    for preloads in [false, true] {
        let mut supervised = supervisor(preloads);
        (0..4).for_each(|_| drop(until(&mut supervised, listening)));
        let mut times: Vec<_> = (0..31).map(|_| replacement(&mut supervised)).collect();
        times.sort_unstable();
        let (online, ready) = times[times.len() / 2];
        let workers = supervised.master().workers();
        let sum = |what| workers.iter().map(|worker| memory(worker, what)).sum::<u64>();
        println!(
            "{}: a replacement runs after {online:?} and listens after {ready:?} (medians); 4 \
             workers have {} MB (Rss), {} MB of their own part (Pss)",
            if preloads { "preloaded" } else { "started" },
            sum("Rss:"),
            sum("Pss:"),
        );
    }
}
