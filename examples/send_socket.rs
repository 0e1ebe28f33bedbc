//! A parent accepts connections and hands them to two children in turn.
//!
//! ```sh
//! cargo run --example send_socket          # or: --example send_socket -- 127.0.0.1:8000
//! nc 127.0.0.1 7000 < /dev/null            # a few times
//! ```
//!
//! Ctrl-C ends it. The children also end by themselves when their parent has gone.

use std::{
    collections::VecDeque,
    env,
    io::{self, Write},
    net::{Shutdown, TcpStream},
    process,
};

use cluster::{
    Channel, Connection, Handle,
    child_process::{self, Child},
};

fn main() -> cluster::Result<()> {
    match child_process::parent()? {
        Some(parent) => in_child(&parent),
        None => in_parent(),
    }
}

fn in_parent() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let listener = cluster::listen(&address)?; // alone, without a master, it binds by itself
    let mut children = VecDeque::new();
    for _ in 0..2 {
        let child = child_process::fork(env::current_exe()?, ["child"])?;
        println!("child {} is there", child.pid());
        children.push_back(child);
    }
    println!("listening on {}", listener.local_addr());
    for connection in listener.incoming() {
        hand_over(&connection?, &mut children)?;
        if children.is_empty() {
            return Err(io::Error::other("all children are gone").into());
        }
    }
    Ok(())
}

/// Gives the connection to the child whose turn it is. One that is gone gets no more turns.
fn hand_over(connection: &Connection, children: &mut VecDeque<Child>) -> cluster::Result<()> {
    while let Some(child) = children.pop_front() {
        match child.send_handle("socket", connection.try_clone()?) {
            Ok(()) => {
                children.push_back(child);
                break;
            }
            Err(error) => eprintln!("child {} is gone: {error}", child.pid()),
        }
    }
    Ok(())
}

fn in_child(parent: &Channel) -> cluster::Result<()> {
    while let Some(message) = parent.recv()? {
        if let Some(Handle::TcpStream(socket)) = message.handle
            && let Err(error) = answer(socket)
        {
            eprintln!("child {}: {error}", process::id()); // one client's failure is not ours
        }
    }
    Ok(())
}

fn answer(mut socket: TcpStream) -> io::Result<()> {
    writeln!(socket, "handled by child {}", process::id())?;
    socket.shutdown(Shutdown::Both) // the parent may hold its copy a moment longer
}
