//! A worker that says its number to each client, and hangs in an endless loop when one answers: it
//! ends when its master does.

use std::{
    io::{Read, Write},
    os::unix::process::parent_id,
};

use cluster::Result;

fn main() -> Result<()> {
    let Some(worker) = cluster::worker()? else {
        eprintln!("this is a worker's program");
        std::process::exit(1);
    };
    let master = parent_id();
    let listener = worker.listen("127.0.0.1:0")?;
    println!("serves at {}", listener.local_addr());
    while let Some(mut connection) = listener.accept()? {
        let mut byte = [0];
        let said =
            writeln!(connection, "{}", worker.id()).and_then(|()| connection.read(&mut byte));
        if matches!(said, Ok(1)) {
            while parent_id() == master {
                std::hint::spin_loop();
            }
        }
    }
    Ok(())
}
