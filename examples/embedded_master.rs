//! A master in a mio loop that waits for other things, too: here for signals.
//!
//! ```sh
//! cargo run --example embedded_master      # or: --example embedded_master -- 127.0.0.1:8000
//! nc 127.0.0.1 7000 < /dev/null
//! kill PID                                 # of a worker: another takes its place
//! ```

use std::{
    env,
    io::{ErrorKind, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    time::Duration,
};

use cluster::{Event, Master, Settings, Worker};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);

fn main() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    match cluster::worker()? {
        Some(worker) => serve(&worker, &address),
        None => in_a_loop(&address),
    }
}

fn in_a_loop(address: &str) -> cluster::Result<()> {
    let (signals, handler) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, handler.try_clone()?)?; // a signal is a byte in it
    }
    let mut master = Master::new(Settings::new().listen(address))?;
    for _ in 0..2 {
        master.fork()?;
    }
    let mut poll = Poll::new()?;
    poll.registry().register(&mut master, MASTER, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
    let (mut ready, mut stopping) = (Events::with_capacity(64), false);
    while !master.is_finished() {
        match poll.poll(&mut ready, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?, // the master's deadlines make it readable, too
        }
        if ready.iter().any(|event| event.token() == SIGNALS) {
            stopping = true;
            master.disconnect();
        }
        while let Some(event) = master.poll(Some(Duration::ZERO))? {
            match event {
                Event::Listening { worker, address } => {
                    println!("{worker} (pid {}) on {address}", worker.pid());
                }
                Event::Exit { worker, status } => {
                    println!("{worker} left: {status}");
                    if !stopping {
                        master.fork()?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn serve(worker: &Worker, address: &str) -> cluster::Result<()> {
    for connection in worker.listen(address)?.incoming() {
        if let Err(error) = writeln!(connection?, "hello from worker {}", worker.id()) {
            eprintln!("{error}"); // one client's failure is not ours
        }
    }
    Ok(())
}
