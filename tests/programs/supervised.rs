//! A supervisor over one worker, which answers lines: the worker's number and the line. The
//! line `talk` makes it send messages without end, `leave` leave. With `PATIENCE`, in
//! milliseconds, it never ends by itself, and that is how long the supervisor waits.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    thread,
    time::Duration,
};

use cluster::{Connection, Result, Settings, Supervisor, Worker};

pub(crate) fn run() -> Result<()> {
    let Some(worker) = cluster::worker()? else {
        let settings = match env::var("PINNED") {
            Ok(address) => Settings::new().listen(address),
            Err(_) => Settings::new(),
        };
        let patience = match env::var("PATIENCE") {
            Ok(millis) => Duration::from_millis(millis.parse().expect("a number")),
            Err(_) => Duration::MAX,
        };
        return Supervisor::new(settings).workers(1).stop_timeout(patience).run();
    };
    let listener = worker.listen(env::var("PINNED").unwrap_or("127.0.0.1:0".into()))?;
    println!("listens on {}", listener.local_addr());
    for connection in listener.incoming() {
        let (connection, worker) = (connection?, worker.clone());
        thread::spawn(move || answer(&connection, &worker));
    }
    while worker.drain(Duration::from_secs(30)) > 0 {}
    while worker.recv()?.is_some() {}
    while env::var("PATIENCE").is_ok() {
        thread::park(); // though its channel is closed
    }
    Ok(())
}

fn answer(mut connection: &Connection, worker: &Worker) -> io::Result<()> {
    for line in BufReader::new(connection).lines() {
        let line = line?;
        if line == "talk" {
            let worker = worker.clone();
            thread::spawn(move || while worker.send("and so on").is_ok() {});
        }
        if line == "leave" {
            worker.disconnect();
        }
        writeln!(connection, "{} {line}", worker.id())?;
    }
    Ok(())
}
