//! A chat over four worker processes: what a client writes goes to all clients of its worker,
//! and through the master to those of the others.
//!
//! ```sh
//! cargo run --example chat                 # or: --example chat -- 127.0.0.1:8000
//! nc 127.0.0.1 7000                        # in two or more windows
//! ```
//!
//! Ctrl-C ends it. The workers also end by themselves when their master has gone.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::Shutdown,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use cluster::{Connection, Event, Settings, Worker};
use serde::{Deserialize, Serialize};

/// What workers send each other.
#[derive(Serialize, Deserialize)]
struct Line {
    from: u32,
    text: String,
}

/// The clients of a worker.
type Room = Mutex<Vec<Arc<Connection>>>;

fn main() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    match cluster::worker()? {
        Some(worker) => chat(&worker, &address),
        None => relay(&address),
    }
}

fn relay(address: &str) -> cluster::Result<()> {
    cluster::setup(Settings::new().listen(address))?;
    for _ in 0..4 {
        cluster::fork()?;
    }
    for event in cluster::events() {
        match event? {
            Event::Listening { worker, address } => println!("{worker} on {address}"),
            Event::Message { worker: from, message } => {
                for worker in cluster::workers().iter().filter(|&worker| *worker != from) {
                    worker.send(&message)?; // a worker that is gone is no error
                }
            }
            Event::Exit { worker, .. } if !worker.exited_after_disconnect() => {
                cluster::fork()?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn chat(worker: &Worker, address: &str) -> cluster::Result<()> {
    let listener = worker.listen(address)?;
    let room = Room::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            for message in worker.messages().map_while(Result::ok) {
                match message.parse() {
                    Ok(line) => tell(&room, &line),
                    Err(error) => eprintln!("{error:?}"),
                }
            }
        });
        for client in listener.incoming().filter_map(Result::ok).map(Arc::new) {
            let _ = client.set_write_timeout(Some(Duration::from_millis(100)));
            room.lock().unwrap().push(Arc::clone(&client));
            let room = &room;
            scope.spawn(move || {
                for text in BufReader::new(&*client).lines().map_while(Result::ok) {
                    let line = Line { from: worker.id(), text };
                    tell(room, &line);
                    if worker.send(&line).is_err() {
                        break; // the master is gone
                    }
                }
                room.lock().unwrap().retain(|other| !Arc::ptr_eq(other, &client));
            });
        }
        // Told to leave: so are the clients. With the last one the channel ends, and with it
        // the messages.
        for client in room.lock().unwrap().iter() {
            let _ = client.shutdown(Shutdown::Both); // it may have left by itself
        }
    });
    Ok(())
}

fn tell(room: &Room, Line { from, text }: &Line) {
    let line = format!("{from}: {text}\n");
    for client in room.lock().unwrap().iter() {
        let _ = (&**client).write_all(line.as_bytes()); // one that does not read misses it
    }
}
