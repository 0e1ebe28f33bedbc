//! One axum application, served in two ways by as many CPUs as WORKERS says: by worker processes,
//! each with a runtime of one thread, or (`alone`) by one process with a runtime of several.
//!
//! ```text
//! axum ADDRESS [alone]
//! ```

use std::{env, error, future::ready, process, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, header::CONNECTION},
    middleware::map_response,
    response::Response,
    routing::get,
};
use cluster::{Policy, Settings, Supervisor, Worker, with_tokio};
use tokio::{net::TcpListener, runtime, time::timeout};

/// How long a worker that is to leave waits for the last requests of its clients.
const GRACE: Duration = Duration::from_secs(5);

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

fn main() -> Result {
    let address = env::args().nth(1).ok_or("axum ADDRESS [alone]")?;
    if let Some(worker) = cluster::worker()? {
        return runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(serve(worker, &address));
    }
    let workers = env::var("WORKERS")?.parse()?;
    if env::args().nth(2).as_deref() == Some("alone") {
        return runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()?
            .block_on(alone(&address));
    }
    let settings = Settings::new().listen(&address);
    let settings = match env::var("CLUSTER_POLICY").as_deref() {
        Ok("reuse-port") => settings.policy(Policy::ReusePort),
        _ => settings,
    };
    Ok(Supervisor::new(settings).workers(workers).run()?)
}

/// The same for both: what the last answers say is asked for each, though it matters to one only.
fn app(is_leaving: impl Fn() -> bool + Clone + Send + Sync + 'static) -> Router {
    let hello = || async { format!("hello {}\n", process::id()) };
    let part = move |mut response: Response| {
        if is_leaving() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        ready(response)
    };
    Router::new().route("/", get(hello)).layer(map_response(part))
}

async fn alone(address: &str) -> Result {
    Ok(axum::serve(TcpListener::bind(address).await?, app(|| false)).await?)
}

async fn serve(worker: Worker, address: &str) -> Result {
    worker.leave_on_signals()?;
    let worker = worker.into_tokio()?;
    let listener = worker.listen(address).await?;
    let leaving = worker.clone();
    let app = app(move || leaving.is_disconnecting());
    Ok(axum::serve(listener, app).with_graceful_shutdown(parted(worker)).await?)
}

async fn parted(worker: with_tokio::Worker) {
    worker.disconnecting().await;
    let _ = timeout(GRACE, worker.drained()).await; // some may stay without asking for more
}
