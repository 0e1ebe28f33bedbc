//! A worker with a mio loop of its own, the same under every policy.
//!
//! ```sh
//! cargo run --example mio_worker           # or: --example mio_worker -- 127.0.0.1:8000
//! nc 127.0.0.1 7000                        # and a line
//! ```
//!
//! After Ctrl-C the clients that are there may still ask, for 10 seconds or until the next
//! Ctrl-C.

use std::{
    collections::HashMap,
    env,
    io::{self, ErrorKind, Read, Write},
};

use cluster::{Connection, Settings, Supervisor, Worker};
use mio::{Events, Interest, Poll, Token};

const WORKER: Token = Token(0);
const LISTENER: Token = Token(1);

fn main() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    match cluster::worker()? {
        Some(worker) => serve(worker, &address),
        None => Supervisor::new(Settings::new().listen(&address)).run(),
    }
}

fn serve(mut worker: Worker, address: &str) -> cluster::Result<()> {
    worker.leave_on_signals()?;
    let mut listener = worker.listen(address)?;
    println!("worker {} on {}", worker.id(), listener.local_addr());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut worker, WORKER, Interest::READABLE)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections = HashMap::new();
    let (mut events, mut next) = (Events::with_capacity(256), 2);
    while !(worker.is_disconnecting() && connections.is_empty()) {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            match event.token() {
                WORKER => {
                    while let Some(message) = worker.try_recv()? {
                        worker.send(&message)?; // messages while serving
                    }
                }
                LISTENER => loop {
                    let mut connection = match listener.try_accept() {
                        Ok(connection) => connection,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error.into()),
                    };
                    poll.registry().register(&mut connection, Token(next), Interest::READABLE)?;
                    connections.insert(Token(next), connection);
                    next += 1;
                },
                token => {
                    if let Some(connection) = connections.remove(&token)
                        && let Err(error) = answer(connection, worker.id())
                    {
                        eprintln!("{error}"); // one client's failure is not ours
                    }
                }
            }
        }
    }
    Ok(())
}

/// It asked: answer and close.
fn answer(mut connection: Connection, id: u32) -> io::Result<()> {
    if connection.read(&mut [0; 1024])? == 0 {
        return Ok(()); // it left without a word
    }
    writeln!(connection, "hello from worker {id}")
}
