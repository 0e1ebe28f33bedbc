//! A hyper server on port 7000, in one process for each CPU.
//!
//! ```sh
//! cargo run --release --features runtimes --example hyper_app      # or: … -- 127.0.0.1:8000
//! curl 127.0.0.1:7000
//! ```

use std::{convert::Infallible, env};

use cluster::{Settings, Supervisor, Worker};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};

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
    let id = worker.id();
    let hello = move |_: Request<Incoming>| async move {
        Ok::<_, Infallible>(Response::new(format!("worker {id}\n")))
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()); // bounds how long a client may take for a request's head

    let clients = GracefulShutdown::new();
    while let Some(connection) = listener.next().await {
        let serving = http.serve_connection(TokioIo::new(connection), service_fn(hello));
        let serving = clients.watch(serving);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                eprintln!("{error}"); // one client's failure is not ours
            }
        });
    }
    clients.shutdown().await; // what is idle is closed, what is asked for is answered
    Ok(())
}
