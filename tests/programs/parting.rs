//! A worker that says many things and is gone before anybody can answer.

use cluster::Result;

/// How many messages it sends.
const MESSAGES: u32 = 1000;

pub(crate) fn run() -> Result<()> {
    let worker = cluster::worker()?.expect("a worker");
    for number in 1..=MESSAGES {
        worker.send(&number)?;
    }
    std::process::exit(3);
}
