//! A worker that counts the allocations of its accepting: each client gets a line with how many
//! there were so far. `try`: it does not wait in `accept`, but in a loop of its own.

use std::io::{self, Write};

use allocation_counter::measure;
use cluster::{Connection, Listener, Worker};
use mio::{Events, Interest, Poll, Token};

fn main() -> cluster::Result<()> {
    let worker = cluster::worker()?.expect("a master");
    let listener = worker.listen("127.0.0.1:0")?;
    match std::env::args().nth(1).as_deref() {
        Some("try") => try_accept(worker, listener)?,
        _ => accept(&listener)?,
    }
    Ok(())
}

fn accept(listener: &Listener) -> io::Result<()> {
    let mut count = 0;
    loop {
        let mut next = None;
        count += measure(|| next = listener.accept().transpose()).count_total;
        let Some(connection) = next else { return Ok(()) };
        answer(connection?, &mut count)?;
    }
}

fn try_accept(mut worker: Worker, mut listener: Listener) -> io::Result<()> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut worker, Token(0), Interest::READABLE)?;
    poll.registry().register(&mut listener, Token(1), Interest::READABLE)?;
    let (mut events, mut count) = (Events::with_capacity(8), 0);
    while !worker.is_disconnecting() {
        poll.poll(&mut events, None)?;
        while worker.try_recv().is_ok_and(|message| message.is_some()) {}
        loop {
            let mut next = None;
            count += measure(|| next = listener.try_accept().ok()).count_total;
            let Some(connection) = next else { break };
            answer(connection, &mut count)?;
        }
    }
    Ok(())
}

/// The end of a connection counts as well.
fn answer(connection: Connection, count: &mut u64) -> io::Result<()> {
    writeln!(&connection, "{count}")?;
    *count += measure(|| drop(connection)).count_total;
    Ok(())
}
