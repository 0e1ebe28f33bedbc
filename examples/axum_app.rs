//! An axum application on port 7000, in one process for each CPU.
//!
//! ```sh
//! cargo run --release --features runtimes --example axum_app
//! curl 127.0.0.1:7000
//! ```

use axum::{Router, routing::get};
use cluster::{Settings, Supervisor, Worker};

fn main() -> cluster::Result<()> {
    match cluster::worker()? {
        Some(worker) => serve(worker),
        None => Supervisor::new(Settings::new().listen("127.0.0.1:7000")).run(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(worker: Worker) -> cluster::Result<()> {
    let worker = worker.into_tokio()?;
    let listener = worker.listen("127.0.0.1:7000").await?;
    let id = worker.id();
    let app = Router::new().route("/", get(move || async move { format!("worker {id}\n") }));
    axum::serve(listener, app).with_graceful_shutdown(worker.disconnecting()).await?;
    Ok(())
}
