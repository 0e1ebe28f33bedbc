//! A server of lines on tokio, in one process for each CPU: it gives back what it is told.
//!
//! ```sh
//! cargo run --release --features runtimes --example tokio_echo     # or: … -- 127.0.0.1:8000
//! nc 127.0.0.1 7000
//! ```

use std::{env, io};

use cluster::{Settings, Supervisor, Worker, with_tokio};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, split};

fn main() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:7000".to_owned());
    match cluster::worker()? {
        Some(worker) => serve(worker, &address),
        None => Supervisor::new(Settings::new().listen(&address)).run(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(worker: Worker, address: &str) -> cluster::Result<()> {
    worker.leave_on_signals()?;
    let worker = worker.into_tokio()?;
    let listener = worker.listen(address).await?;
    while let Some(connection) = listener.next().await {
        let worker = worker.clone();
        tokio::spawn(async move {
            if let Err(error) = echo(connection, &worker).await {
                eprintln!("{error}"); // one client's failure is not ours
            }
        });
    }
    worker.drained().await;
    Ok(())
}

/// Answers lines until the client has no more, or this worker is to leave.
async fn echo(connection: with_tokio::Connection, worker: &with_tokio::Worker) -> io::Result<()> {
    let (input, mut output) = split(connection);
    let mut lines = BufReader::new(input).lines();
    let leaving = worker.disconnecting();
    tokio::pin!(leaving);
    loop {
        let line = tokio::select! {
            biased; // what has been said is answered first
            line = lines.next_line() => line?,
            () = &mut leaving => None,
        };
        let Some(line) = line else { return output.shutdown().await };
        output.write_all(format!("worker {}: {line}\n", worker.id()).as_bytes()).await?;
    }
}
