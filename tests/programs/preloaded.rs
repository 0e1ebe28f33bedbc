//! A supervisor over workers that are copies of a mold. Workers answer lines: the worker's number
//! and the line; the line `exit` ends one with status 7, `env NAME` is answered with a variable, and
//! after `hang` it never again serves anybody once the next client has come; `death` is answered
//! with the signal that it would have got at its master's end when it began. Each says where it listens and which process
//! has loaded for it. The supervisor prints how reloads end.
//!
//! In the environment: `WORKERS`, how many (1); `START`, in milliseconds: how long it waits for a
//! start; `EXEC`, the workers' program (this one, as it runs now); `MEGABYTES`, how much is
//! loaded (1); `LOAD`, a file with one word, which says how loading goes from now on:
//! - `fine`;
//! - `crash`: it says why on its standard error and ends with status 3;
//! - `hang`: it never ends;
//! - `late`: it says so, and loads when the file says something else;
//! - `thread`: it leaves a thread behind, with the name `prefetcher`;
//! - `never`: the program does not load at all, and goes on as a worker;
//! - `stranger`: it knows nothing of that, and ends with status 6;
//! - `idle`: it knows nothing of that, and does not end;
//! - `broken`: it loads well, but its workers end with status 5 at once;
//! - `rubbish`, `chatter`, `claim`: it tells its master, over and over, what is no notice, that it
//!   has begun, and that the first process of the system is a copy of it.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    os::fd::RawFd,
    process,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use nix::sys::{
    prctl::get_pdeathsig,
    signal::Signal,
    socket::{MsgFlags, send},
};

use cluster::{Connection, Event, Result, Settings, Supervisor};

static HANGS: AtomicBool = AtomicBool::new(false);

/// What is loaded.
struct Data {
    memory: Vec<u8>,
    loader: u32,
    mood: String,
}

pub(crate) fn run() -> Result<()> {
    if let Some(control) = number("CLUSTER_MOLD") {
        tell_lies(control.try_into().expect("a descriptor"));
    }
    if !cluster::is_worker() {
        return supervise();
    }
    match mood().as_str() {
        "never" => return cluster::worker().map(drop).map_err(Into::into),
        "stranger" => process::exit(6),
        "idle" => super::hang(),
        _ => {}
    }
    let data = cluster::preload(load)?;
    let death = get_pdeathsig().expect("a signal or none"); // which `worker` takes back
    if data.mood == "broken" {
        process::exit(5);
    }
    work(&data, death)
}

fn tell_lies(control: RawFd) {
    let lie = match mood().as_str() {
        "rubbish" => "rubbish",
        "chatter" => "\"Begun\"",
        "claim" => "{\"Forked\":1}",
        _ => return,
    };
    while send(control, lie.as_bytes(), MsgFlags::MSG_NOSIGNAL).is_ok() {}
    process::exit(8); // the master has hung up
}

fn mood() -> String {
    env::var("LOAD").map_or("fine".into(), |file| fs::read_to_string(file).expect("a mood"))
}

fn number(name: &str) -> Option<usize> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn load() -> Data {
    let mood = mood();
    match mood.as_str() {
        "crash" => {
            eprintln!("there is no model");
            process::exit(3);
        }
        "hang" => super::hang(),
        "late" => {
            println!("the mold waits");
            while self::mood() == "late" {
                thread::sleep(Duration::from_millis(5));
            }
        }
        "thread" => {
            let thread = thread::Builder::new().name("prefetcher".into());
            let (started, has_started) = mpsc::channel();
            let forever = move || {
                started.send(()).expect("somebody who waits");
                super::hang()
            };
            thread.spawn(forever).expect("a thread");
            has_started.recv().expect("a thread that has its name");
        }
        _ => {}
    }
    // Written to, byte by byte, so that it is there and not only promised.
    let memory = vec![1; number("MEGABYTES").unwrap_or(1) << 20];
    Data { memory, loader: process::id(), mood }
}

fn supervise() -> Result<()> {
    let timeout =
        number("START").map_or(Duration::MAX, |start| Duration::from_millis(start as u64));
    let settings = match env::var_os("EXEC") {
        Some(program) => Settings::new().exec(program).arg("preloaded"),
        None => Settings::new(),
    };
    let mut supervised = Supervisor::new(super::under(settings))
        .workers(number("WORKERS").unwrap_or(1))
        .start_timeout(timeout)
        .quorum(1, timeout.saturating_mul(4))
        .preload()
        .start()?;
    while let Some(event) = supervised.poll(None)? {
        match event {
            Event::Reload { outcome } => println!("reload: {outcome:?}"),
            Event::Exit { worker, status } => println!("exit of {worker}: {status}"),
            _ => {}
        }
    }
    Ok(())
}

fn work(data: &Data, death: Option<Signal>) -> Result<()> {
    let Some(worker) = cluster::worker()? else { unreachable!("it is a worker") };
    let listener = worker.listen("127.0.0.1:0")?;
    let sum: usize = data.memory.iter().step_by(4096).map(|&byte| usize::from(byte)).sum();
    let (address, own, loader) = (listener.local_addr(), process::id(), data.loader);
    let id = worker.id();
    println!("worker {id} listens on {address}, process {own}, loaded by {loader}, sum {sum}");
    for connection in listener.incoming() {
        let connection = connection?;
        if HANGS.load(Ordering::Relaxed) {
            super::hang();
        }
        thread::spawn(move || answer(&connection, id, death));
    }
    while worker.drain(Duration::from_secs(30)) > 0 {}
    Ok(())
}

fn answer(mut connection: &Connection, id: u32, death: Option<Signal>) -> io::Result<()> {
    for line in BufReader::new(connection).lines() {
        let line = line?;
        if line == "exit" {
            process::exit(7);
        }
        if line == "hang" {
            HANGS.store(true, Ordering::Relaxed);
        }
        match line.strip_prefix("env ") {
            Some(name) => writeln!(connection, "{}", env::var(name).unwrap_or_default())?,
            None if line == "death" => writeln!(connection, "{death:?}")?,
            None => writeln!(connection, "{id} {line}")?,
        }
    }
    Ok(())
}
