//! From `fork` to listening: of COUNT workers at once, ROUNDS times. Milliseconds of each round as
//! one line of JSON.
//!
//! ```text
//! start COUNT ROUNDS
//! ```

use std::{env, time::Instant};

use cluster::{Event, Master, Policy, Settings, Signal, Worker};
use serde_json::json;

fn main() -> cluster::Result<()> {
    if let Some(worker) = cluster::worker()? {
        return serve(&worker);
    }
    let number = |index| env::args().nth(index).and_then(|text| text.parse().ok()).unwrap_or(1);
    let (count, rounds) = (number(1), number(2));
    let mut master = Master::new(Settings::new().policy(Policy::Shared))?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        times.push(round(&mut master, count)?);
    }
    println!("{}", json!(times));
    Ok(())
}

fn round(master: &mut Master, count: usize) -> cluster::Result<f64> {
    let start = Instant::now();
    for _ in 0..count {
        master.fork()?;
    }
    let (mut workers, mut exits) = (Vec::new(), 0);
    while workers.len() < count {
        match master.poll(None)? {
            Some(Event::Listening { worker, .. }) => workers.push(worker),
            Some(Event::Exit { worker, status }) => panic!("{worker}: {status}"),
            _ => {}
        }
    }
    let time = start.elapsed().as_secs_f64() * 1e3;
    for worker in &workers {
        worker.kill(Signal::KILL)?;
    }
    while exits < count {
        if let Some(Event::Exit { .. }) = master.poll(None)? {
            exits += 1;
        }
    }
    Ok(time)
}

fn serve(worker: &Worker) -> cluster::Result<()> {
    let _listener = worker.listen("127.0.0.1:0")?;
    while worker.recv()?.is_some() {}
    Ok(())
}
