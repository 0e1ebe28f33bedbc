//! A supervisor under systemd, whose sockets it takes; it says which these are. Its two workers
//! listen where the arguments say, `udp:` addresses included, and answer lines and datagrams
//! with their number.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    thread,
};

use cluster::{Address, Connection, Result, Settings, Supervisor, Worker, systemd};

pub(crate) fn run() -> Result<()> {
    match cluster::worker()? {
        Some(worker) => serve(&worker),
        None => supervise(),
    }
}

fn supervise() -> Result<()> {
    let mut settings = Settings::new().allow_listen::<Address>([]);
    for socket in systemd::sockets()? {
        println!("inherited {} as {}", socket.address(), socket.name());
        settings = settings.adopt(socket);
    }
    for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        assert!(env::var_os(name).is_none(), "{name} is gone");
    }
    assert!(systemd::sockets()?.is_empty(), "they are taken once");
    Supervisor::new(settings).workers(2).run()
}

fn serve(worker: &Worker) -> Result<()> {
    for address in env::args().skip(2) {
        let worker = worker.clone();
        match address.starts_with("udp:") {
            true => {
                let socket = worker.bind(address)?;
                thread::spawn(move || echo(&socket, worker.id()));
            }
            false => {
                let listener = worker.listen(address)?;
                thread::spawn(move || {
                    for connection in listener.incoming().map_while(|one| one.ok()) {
                        let worker = worker.clone();
                        thread::spawn(move || answer(&connection, worker.id()));
                    }
                });
            }
        }
    }
    println!("worker {} listens", worker.id());
    while worker.recv()?.is_some() {}
    Ok(())
}

fn answer(mut connection: &Connection, id: u32) -> io::Result<()> {
    for line in BufReader::new(connection).lines() {
        writeln!(connection, "{id} {}", line?)?;
    }
    Ok(())
}

fn echo(socket: &cluster::UdpSocket, id: u32) -> Result<()> {
    let mut bytes = [0; 64];
    while let Some((_, from)) = socket.recv_from(&mut bytes)? {
        socket.send_to(id.to_string().as_bytes(), from)?;
    }
    Ok(())
}
