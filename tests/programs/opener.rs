//! A worker that listens and lets go again, as often as it is told, and counts its own
//! descriptors.

use std::{env, fs};

use cluster::Result;
use serde_json::json;

pub(crate) fn run() -> Result<()> {
    let worker = cluster::worker()?.expect("a worker");
    let folder = env::temp_dir();
    let path = folder.join(format!("opener-{}.sock", std::process::id()));
    while let Some(message) = worker.recv()? {
        let count = message.parse::<usize>()?;
        for turn in 0..count {
            match turn % 4 {
                0 => drop(worker.listen(&path)?),
                1 => drop(worker.bind("127.0.0.1:0")?),
                _ => drop(worker.listen("127.0.0.1:0")?),
            }
        }
        worker.send(
            &json!({ "opened": count, "descriptors": fs::read_dir("/proc/self/fd")?.count() }),
        )?;
    }
    Ok(())
}
