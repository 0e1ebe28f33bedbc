//! A parent sends its server to a child, and both accept from it.
//!
//! ```sh
//! cargo run --example shared_server        # or: --example shared_server -- 127.0.0.1:8000
//! nc 127.0.0.1 7000 < /dev/null            # a few times
//! ```
//!
//! Ctrl-C ends it. The child also ends by itself when its parent has gone.

use std::{
    env,
    io::{self, Write},
    net::{TcpListener, TcpStream},
    process, thread,
};

use cluster::{Channel, Handle, child_process};

fn main() -> cluster::Result<()> {
    match child_process::parent()? {
        Some(parent) => in_child(&parent),
        None => in_parent(),
    }
}

fn in_parent() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let server = TcpListener::bind(&address).map_err(|error| cannot_listen(&address, &error))?;
    let child = child_process::fork(env::current_exe()?, ["child"])?;
    child.send_handle("server", server.try_clone()?)?; // we keep ours
    serve(&server, "parent");
    Ok(())
}

fn in_child(parent: &Channel) -> cluster::Result<()> {
    while let Some(message) = parent.recv()? {
        if let Some(Handle::TcpListener(server)) = message.handle {
            thread::spawn(move || serve(&server, "child"));
        }
    }
    Ok(()) // the parent is gone, and the thread goes with us
}

fn serve(server: &TcpListener, name: &str) {
    if let Ok(address) = server.local_addr() {
        println!("the {name} (pid {}) accepts on {address}", process::id());
    }
    for connection in server.incoming() {
        if let Err(error) = connection.and_then(|connection| answer(connection, name)) {
            eprintln!("{name}: {error}"); // one client's failure is not ours
        }
    }
}

fn answer(mut connection: TcpStream, name: &str) -> io::Result<()> {
    writeln!(connection, "connection - {name}")
}

fn cannot_listen(address: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}
