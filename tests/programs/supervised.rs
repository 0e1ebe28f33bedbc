//! A supervisor over workers which answer lines: the worker's number and the line. The line
//! `talk` makes one send messages without end, `leave` leave. It prints how reloads end.
//!
//! In the environment: `WORKERS`, how many (1); `PINNED`, the address; `PATIENCE`, in
//! milliseconds: that is how long the supervisor waits in a stop, and the workers never end by
//! themselves; `START`, in milliseconds: how long it waits for a start; `MOOD`, a file with one
//! word, which says what workers do that start now:
//! - `fine`: they serve;
//! - `crash`: they say why on their standard error and end with status 3;
//! - `hang`: they do nothing;
//! - `late`: they wait until the file says something else;
//! - `die`: they end with status 4 as soon as they listen.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    process, thread,
    time::Duration,
};

use cluster::{Connection, Event, Result, Settings, Supervisor, Worker};

pub(crate) fn run() -> Result<()> {
    match cluster::worker()? {
        Some(worker) => work(&worker),
        None => supervise(),
    }
}

fn millis(name: &str) -> Option<Duration> {
    let text = env::var(name).ok()?;
    Some(Duration::from_millis(text.parse().expect("a number")))
}

fn supervise() -> Result<()> {
    let settings = match env::var("PINNED") {
        Ok(address) => Settings::new().listen(address),
        Err(_) => Settings::new(),
    };
    let workers = env::var("WORKERS").map_or(1, |text| text.parse().expect("a number"));
    let mut supervised = Supervisor::new(settings)
        .workers(workers)
        .stop_timeout(millis("PATIENCE").unwrap_or(Duration::MAX))
        .drain_timeout(millis("PATIENCE").unwrap_or(Duration::MAX))
        .start_timeout(millis("START").unwrap_or(Duration::MAX))
        .start()?;
    while let Some(event) = supervised.poll(None)? {
        if let Event::Reload { outcome } = event {
            println!("reload: {outcome:?}");
        }
    }
    Ok(())
}

fn mood() -> String {
    let Ok(file) = env::var("MOOD") else { return "fine".into() };
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

fn be_moody() {
    match mood().as_str() {
        "crash" => {
            eprintln!("worker: there is no database");
            process::exit(3);
        }
        "hang" => loop {
            thread::park();
        },
        "late" => {
            println!("worker waits");
            while mood() == "late" {
                thread::sleep(Duration::from_millis(5));
            }
        }
        _ => {}
    }
}

fn work(worker: &Worker) -> Result<()> {
    be_moody();
    let dies = mood() == "die";
    let listener = worker.listen(env::var("PINNED").unwrap_or("127.0.0.1:0".into()))?;
    if dies {
        process::exit(4);
    }
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
