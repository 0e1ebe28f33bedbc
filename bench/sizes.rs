//! What a master of COUNT workers uses, in microseconds of CPU: for a message to a worker and its
//! answer, for a worker that dies and its replacement, and in SECONDS without anything to do. One
//! line of JSON.
//!
//! ```text
//! sizes COUNT SECONDS
//! ```

use std::{
    env, error,
    time::{Duration, Instant},
};

use cluster::{Event, Policy, Settings, Signal, Supervised, Supervisor, Worker};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

const MESSAGES: usize = WAVE * 300;
/// So many are on their way, so that what is counted is not how the master falls asleep.
const WAVE: usize = 64;
const DEATHS: usize = 20;

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

fn main() -> Result {
    if let Some(worker) = cluster::worker()? {
        return answer(&worker);
    }
    let number = |index| env::args().nth(index).ok_or("sizes COUNT SECONDS");
    let (count, seconds) = (number(1)?.parse()?, number(2)?.parse()?);
    let settings = Settings::new().policy(Policy::RoundRobin);
    let mut supervised = Supervisor::new(settings).workers(count).without_signals().start()?;
    listening(&mut supervised, count)?;
    round(&mut supervised)?; // warms up
    let message = round(&mut supervised)? / MESSAGES as f64;
    let death = cost(|| deaths(&mut supervised))? / DEATHS as f64;
    let idle = cost(|| rest(&mut supervised, Duration::from_secs(seconds)))?;
    println!("{}", json!({ "message": message, "death": death, "idle": idle }));
    Ok(())
}

/// Microseconds of CPU that something takes.
fn cost(mut what: impl FnMut() -> Result) -> Result<f64> {
    let before = cpu()?;
    what()?;
    Ok(cpu()?.saturating_sub(before).as_secs_f64() * 1e6)
}

fn cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Waits until as many more workers listen.
fn listening(supervised: &mut Supervised, mut missing: usize) -> Result {
    while missing > 0 {
        if let Some(Event::Listening { .. }) = supervised.poll(None)? {
            missing -= 1;
        }
    }
    Ok(())
}

/// Messages there and back, each to the next worker.
fn round(supervised: &mut Supervised) -> Result<f64> {
    let workers = supervised.master().workers();
    let mut turns = workers.iter().cycle();
    cost(|| {
        for _ in 0..MESSAGES / WAVE {
            for worker in turns.by_ref().take(WAVE) {
                worker.send(&json!({ "cmd": "ping" }))?;
            }
            let mut missing = WAVE;
            while missing > 0 {
                let is_one = matches!(supervised.poll(None)?, Some(Event::Message { .. }));
                missing -= usize::from(is_one);
            }
        }
        Ok(())
    })
}

fn rest(supervised: &mut Supervised, time: Duration) -> Result {
    let end = Instant::now() + time;
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        supervised.poll(Some(left))?;
    }
    Ok(())
}

/// One worker after the other dies and is replaced, then the next ones, those replaced as well.
fn deaths(supervised: &mut Supervised) -> Result {
    for _ in 0..DEATHS {
        let oldest = supervised.master().workers().into_iter().next().ok_or("nobody is left")?;
        oldest.kill(Signal::KILL)?;
        listening(supervised, 1)?;
    }
    Ok(())
}

fn answer(worker: &Worker) -> Result {
    let _listener = worker.listen("127.0.0.1:0")?;
    while let Some(message) = worker.recv()? {
        worker.send(&message.value)?;
    }
    Ok(())
}
