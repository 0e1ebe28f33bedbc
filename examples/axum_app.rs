//! An axum application on port 7000, in one process for each CPU.
//!
//! ```sh
//! cargo run --release --features runtimes --example axum_app       # or: … -- 127.0.0.1:8000
//! curl 127.0.0.1:7000
//! ```
//!
//! A reload (`kill -HUP`) costs no client its request, not even those that keep their
//! connections open and never look whether they are closed.

use std::{env, future::ready, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, header::CONNECTION},
    middleware::map_response,
    response::Response,
    routing::get,
};
use cluster::{Settings, Supervisor, Worker};
use tokio::time::timeout;

/// How long a worker that is to leave waits for the last requests of its clients.
const GRACE: Duration = Duration::from_secs(5);

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
    let leaving = worker.clone();
    let part = move |mut response: Response| {
        if leaving.is_disconnecting() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        ready(response)
    };
    let app = Router::new()
        .route("/", get(move || async move { format!("worker {id}\n") }))
        .layer(map_response(part));
    axum::serve(listener, app).with_graceful_shutdown(parted(worker)).await?;
    Ok(())
}

/// Axum closes idle connections as soon as this is over, and one may have a request on its way:
/// so it waits until all clients have had their last answer, or long enough.
async fn parted(worker: cluster::with_tokio::Worker) {
    worker.disconnecting().await;
    let _ = timeout(GRACE, worker.drained()).await; // some may stay without asking for more
}
