//! Workers share a UDP port: each datagram goes to one of them, which answers it.
//!
//! ```sh
//! cargo run --example udp                  # or: --example udp -- 127.0.0.1:8000
//! echo hello | nc -u -w 1 127.0.0.1 7000
//! ```

use std::env;

use cluster::{Settings, Supervisor, Worker};

fn main() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    match cluster::worker()? {
        Some(worker) => serve(&worker, &address),
        None => Supervisor::new(Settings::new().bind(&address)).workers(2).run(),
    }
}

fn serve(worker: &Worker, address: &str) -> cluster::Result<()> {
    worker.leave_on_signals()?;
    let socket = worker.bind(address)?; // asks the master
    println!("worker {} answers on {}", worker.id(), socket.local_addr());
    let mut buffer = vec![0; 1 << 16]; // no datagram is longer
    while let Some((length, sender)) = socket.recv_from(&mut buffer)? {
        let text = String::from_utf8_lossy(&buffer[..length]);
        let answer = format!("worker {} got {text}", worker.id());
        if let Err(error) = socket.send_to(answer.as_bytes(), sender) {
            eprintln!("cannot answer {sender}: {error}");
        }
    }
    Ok(()) // told to leave
}
