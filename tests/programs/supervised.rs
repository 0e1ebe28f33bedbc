//! A supervisor over workers which answer lines: the worker's number and the line. The line
//! `talk` makes one send messages without end, `leave` leave, `die` kill itself. It prints how
//! reloads end.
//!
//! In the environment: `WORKERS`, how many (1); `PINNED`, the address; `PATIENCE`, in
//! milliseconds: that is how long the supervisor waits in a stop, and the workers do not end by
//! themselves while it lives; `START`, in milliseconds: how long it waits for a start; `QUORUM`, the same for the
//! quorum; `SERIAL`: workers serve one connection at a time; `RELAY`: it relays the workers' output, or to the file `LOG`; `NUMBERS`: each worker
//! prints its number and a running number until it leaves, and `end`; `MOOD`, a file with one
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
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

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
    let mut supervisor = Supervisor::new(super::under(settings))
        .workers(workers)
        .stop_timeout(millis("PATIENCE").unwrap_or(Duration::MAX))
        .drain_timeout(millis("PATIENCE").unwrap_or(Duration::MAX))
        .start_timeout(millis("START").unwrap_or(Duration::MAX))
        .quorum(1, millis("QUORUM").unwrap_or(Duration::MAX));
    if env::var_os("RELAY").is_some() {
        supervisor = supervisor.relay();
    }
    if let Some(file) = env::var_os("LOG") {
        supervisor = supervisor.log_file(file);
    }
    let mut supervised = supervisor.start()?;
    while let Some(event) = supervised.poll(None)? {
        if let Event::Reload { outcome } = event {
            println!("reload: {outcome:?}");
            for worker in supervised.status().workers {
                println!("slot {}: {:?}", worker.slot, worker.last_exit);
            }
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
        "hang" => super::hang(),
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
    let (dies, serial) = (mood() == "die", env::var_os("SERIAL").is_some());
    let listener = worker.listen(env::var("PINNED").unwrap_or("127.0.0.1:0".into()))?;
    if dies {
        process::exit(4);
    }
    println!("listens on {}", listener.local_addr());
    let counting = env::var_os("NUMBERS").map(|_| {
        let worker = worker.clone();
        thread::spawn(move || count(&worker))
    });
    for connection in listener.incoming() {
        let (connection, worker) = (connection?, worker.clone());
        match serial {
            true => answer(&connection, &worker).unwrap_or_default(), // the client is gone
            false => drop(thread::spawn(move || answer(&connection, &worker))),
        }
    }
    while worker.drain(Duration::from_secs(30)) > 0 {}
    while worker.recv()?.is_some() {}
    counting.map(thread::JoinHandle::join);
    if env::var_os("PATIENCE").is_some() {
        super::hang(); // though its channel is closed
    }
    Ok(())
}

/// Prints until the worker is to leave.
fn count(worker: &Worker) {
    let mut number = 0;
    while !worker.is_disconnecting() {
        println!("number {} {number}", worker.id());
        number += 1;
        thread::sleep(Duration::from_micros(200)); // as fast as a test can read
    }
    println!("end {} {number}", worker.id());
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
        if line == "die" {
            signal::kill(Pid::this(), Signal::SIGKILL)?;
        }
        writeln!(connection, "{} {line}", worker.id())?;
    }
    Ok(())
}
