//! A worker that tells what it was started with, and echoes a line of its standard input.

use std::{
    env,
    io::{self, BufRead},
};

use cluster::Result;
use serde_json::json;

pub(crate) fn run() -> Result<()> {
    let worker = cluster::worker()?.expect("a worker");
    let node: Vec<_> =
        env::vars().map(|(name, _)| name).filter(|n| n.starts_with("NODE_")).collect();
    worker.send(&json!({
        "id": worker.id(),
        "args": env::args().skip(2).collect::<Vec<_>>(),
        "colour": env::var("COLOUR").ok(),
        "shape": env::var("SHAPE").ok(),
        "cwd": env::current_dir()?,
        "node": node,
    }))?;
    println!("to stdout");
    eprintln!("to stderr");
    while let Some(message) = worker.recv()? {
        if message.value == "echo" {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            print!("heard {line}");
        }
    }
    Ok(())
}
