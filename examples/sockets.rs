//! A parent sends a child three sockets, each of another kind: a server, a connection and a
//! UDP socket. The child finds them as std's types.
//!
//! ```sh
//! cargo run --example sockets
//! ```

use std::{
    env,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
};

use cluster::{
    Channel, Handle,
    child_process::{self, Command},
};

fn main() -> cluster::Result<()> {
    match child_process::parent()? {
        Some(parent) => in_child(&parent),
        None => in_parent(),
    }
}

fn in_parent() -> cluster::Result<()> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(server.local_addr()?)?;
    let (mut connection, _) = server.accept()?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;

    let mut child = Command::new(env::current_exe()?).fork()?;
    child.send_handle("server", server.try_clone()?)?; // we keep ours
    child.send_handle("socket", client)?; // this is the child's now
    child.send_handle("udp", udp.try_clone()?)?;
    while let Some(message) = child.recv()? {
        println!("the child says: {}", message.parse::<&str>()?);
    }
    println!("the child left: {}", child.wait()?);

    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    println!("over TCP: {text}");
    let mut buffer = [0; 64];
    let (length, _) = udp.recv_from(&mut buffer)?;
    println!("over UDP: {}", String::from_utf8_lossy(&buffer[..length]));
    Ok(())
}

fn in_child(parent: &Channel) -> cluster::Result<()> {
    while let Some(message) = parent.recv()? {
        let name = message.parse::<String>()?;
        match message.handle {
            Some(Handle::TcpListener(server)) => {
                parent.send(&format!("{name} is on {}", server.local_addr()?))?;
            }
            Some(Handle::TcpStream(mut socket)) => {
                parent.send(&format!("{name} leads to {}", socket.peer_addr()?))?;
                socket.write_all(b"hello from the child")?;
            }
            Some(Handle::UdpSocket(socket)) => {
                let address = socket.local_addr()?;
                parent.send(&format!("{name} is on {address}"))?;
                socket.send_to(b"hello from the child", address)?; // which the parent has, too
                parent.disconnect();
            }
            _ => parent.send(&format!("{name} is what?"))?,
        }
    }
    Ok(())
}
