//! A worker, or a child, that does what its master says in messages (`tests/node/worker.js` is
//! its twin); what it does not know it says again.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    thread,
};

use cluster::{
    Channel, Connection, Error, Handle, ListenOptions, Listener, Message, Result, UdpSocket,
    Worker, structured::DecodeError,
};
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        signal::{Signal::SIGKILL, kill},
    },
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::handles;

/// Whom the messages come from.
#[derive(Clone)]
enum Master {
    Cluster(Worker),
    Parent(Channel),
}

impl Master {
    fn recv(&self) -> Result<Option<Message>> {
        Ok(match self {
            Self::Cluster(worker) => worker.recv(),
            Self::Parent(channel) => channel.recv(),
        }?)
    }

    fn send(&self, message: &Value) -> Result<()> {
        Ok(match self {
            Self::Cluster(worker) => worker.send(message),
            Self::Parent(channel) => channel.send(message),
        }?)
    }

    /// Says what was said.
    fn repeat(&self, message: &Message) -> Result<()> {
        let Some(value) = message.structured() else { return self.send(&message.value) };
        Ok(match self {
            Self::Cluster(worker) => worker.send_structured(value),
            Self::Parent(channel) => channel.send_structured(value),
        }?)
    }

    fn send_handle(&self, message: &Value, handle: Handle) -> Result<()> {
        Ok(match self {
            Self::Cluster(worker) => worker.send_handle(message, handle),
            Self::Parent(channel) => channel.send_handle(message, handle),
        }?)
    }

    fn worker(&self) -> &Worker {
        match self {
            Self::Cluster(worker) => worker,
            Self::Parent(_) => panic!("no worker, but a child"),
        }
    }
}

pub(crate) fn run() -> Result<()> {
    let master = match cluster::worker()? {
        Some(worker) => Master::Cluster(worker),
        None => Master::Parent(cluster::child_process::parent()?.expect("a channel")),
    };
    let mut passed = 0;
    loop {
        let mut message = match master.recv() {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(error) if is_none_here(&error) => {
                master.send(&json!({ "unreadable": format!("{error:?}") }))?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let (handle, value) = (message.handle.take(), &message.value);
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        match (value["do"].as_str(), handle) {
            (Some("listen"), _) => listen(&master, text("address"), value)?,
            (Some("die at a connection"), _) => die_at_a_connection(&master, text("address"))?,
            (Some("bind"), _) => bind(&master, &text("address"))?,
            (Some("count"), _) => {
                let counter = master.worker().counter(&text("name"))?;
                counter.add(value["add"].as_u64().unwrap_or_default());
            }
            (Some("leave"), _) => master.worker().disconnect(),
            (Some("disconnect"), _) => match &master {
                Master::Parent(channel) => channel.disconnect(),
                Master::Cluster(worker) => worker.disconnect(),
            },
            (Some("give"), _) => give(master.clone(), text("kind"))?,
            (Some("take"), Some(handle)) => {
                let (master, kind) = (master.clone(), text("kind"));
                thread::spawn(move || {
                    let outcome = handles::take(handle);
                    let took = outcome.map_or_else(|error| error.to_string(), str::to_owned);
                    master.send(&json!({ "kind": kind, "took": took }))
                });
            }
            (Some("pass"), _) => {
                let (master, count) = (master.clone(), value["count"].clone());
                thread::spawn(move || pass(&master, &count));
            }
            (Some("passed"), Some(_)) => {
                passed += 1;
                if value["count"] == passed {
                    master.send(&json!({ "all": passed }))?;
                }
            }
            _ => master.repeat(&message)?,
        }
    }
}

/// Whether what could not be read is one message, and no end of the channel.
fn is_none_here(error: &Error) -> bool {
    let Error::Worker(cluster::worker_api::Error::Decode { source }) = error else { return false };
    matches!(source.downcast_ref(), Some(DecodeError::Cycle))
}

fn give(master: Master, kind: String) -> Result<()> {
    let (handle, ear) = handles::make(&kind, &env::current_dir()?)?;
    master.send_handle(&json!({ "do": "take", "kind": kind }), handle)?;
    thread::spawn(move || {
        let said = ear.hear().unwrap_or_else(|error| error.to_string());
        master.send(&json!({ "kind": kind, "said": said }))
    });
    Ok(())
}

/// Sends many sockets at once.
fn pass(master: &Master, count: &Value) -> Result<()> {
    for _ in 0..count.as_u64().unwrap_or_default() {
        master.send_handle(&json!({ "do": "passed", "count": count }), handles::any()?)?;
    }
    Ok(())
}

fn listen(master: &Master, address: String, value: &Value) -> Result<()> {
    let mut options = ListenOptions::new();
    if let Some(most) = value["most"].as_u64() {
        options = options.max_connections(most as usize);
    }
    if let Some(backlog) = value["backlog"].as_u64() {
        options = options.backlog(backlog as u32);
    }
    let worker = master.worker();
    match worker.listen_with(address, &options) {
        Ok(listener) => {
            master.send(&json!({ "listening": listener.local_addr().to_string() }))?;
            let id = worker.id();
            thread::spawn(move || serve(&listener, id));
            Ok(())
        }
        Err(error) => master.send(&json!({ "failed": code(&error) })),
    }
}

/// Listens, and dies between the kernel's word that a connection is there and its accept.
fn die_at_a_connection(master: &Master, address: String) -> Result<()> {
    let listener = master.worker().listen(address)?;
    let epoll = Epoll::new(EpollCreateFlags::empty()).map_err(io::Error::from)?;
    let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE, 0);
    let added = listener.with_socket(|socket| epoll.add(socket, event));
    added.expect("a socket of ours").map_err(io::Error::from)?;
    master.send(&json!({ "listening": listener.local_addr().to_string() }))?;
    thread::spawn(move || {
        let _ = epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE);
        kill(Pid::this(), SIGKILL)
    });
    std::mem::forget(listener);
    Ok(())
}

fn serve(listener: &Listener, id: u32) {
    for connection in listener.incoming() {
        match connection {
            Ok(connection) => drop(thread::spawn(move || answer(&connection, id))),
            Err(error) => return eprintln!("worker {id}: {error}"),
        }
    }
}

/// Answers each line with it, and the worker's number before.
fn answer(connection: &Connection, id: u32) -> io::Result<()> {
    for line in BufReader::new(connection).lines() {
        let answer = format!("{id} {}\n", line?);
        let mut connection = connection;
        connection.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn bind(master: &Master, address: &str) -> Result<()> {
    let worker = master.worker();
    match worker.bind(address) {
        Ok(socket) => {
            master.send(&json!({ "listening": socket.local_addr().to_string() }))?;
            let id = worker.id();
            thread::spawn(move || answer_datagrams(&socket, id));
            Ok(())
        }
        Err(error) => master.send(&json!({ "failed": code(&error) })),
    }
}

fn answer_datagrams(socket: &UdpSocket, id: u32) -> io::Result<()> {
    let mut text = [0; 64];
    while let Some((length, from)) = socket.recv_from(&mut text)? {
        let answer = format!("{id} {}", String::from_utf8_lossy(&text[..length]));
        socket.send_to(answer.as_bytes(), from)?;
    }
    Ok(())
}

/// The system's name of an error, as Node has it.
fn code(error: &dyn std::error::Error) -> String {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let code = cause.and_then(io::Error::raw_os_error);
    code.map_or_else(|| error.to_string(), |code| format!("{:?}", Errno::from_raw(code)))
}
