//! An actix-web application on port 7000, in one process for each CPU.
//!
//! Its `HttpServer` wants a socket of its own to accept from; here the connections are ours,
//! so that they may also be handed over, and actix's services take them.
//!
//! ```sh
//! cargo run --release --features runtimes --example actix_app      # or: … -- 127.0.0.1:8000
//! curl 127.0.0.1:7000
//! ```

use std::{env, io, rc::Rc};

use actix_http::{HttpService, Protocol};
use actix_service::{Service, ServiceFactory, map_config};
use actix_web::{App, dev::AppConfig, web};
use cluster::{Address, Settings, Supervisor, Worker};

fn main() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:7000".to_owned());
    match cluster::worker()? {
        Some(worker) => actix_rt::System::new().block_on(serve(worker, &address)),
        None => Supervisor::new(Settings::new().listen(&address)).run(),
    }
}

async fn serve(worker: Worker, address: &str) -> cluster::Result<()> {
    worker.leave_on_signals()?;
    let worker = worker.into_tokio()?;
    let listener = worker.listen(address).await?;
    let (id, leaving) = (worker.id(), worker.clone());
    let app = App::new().route("/", web::get().to(move || async move { format!("worker {id}\n") }));
    let http = HttpService::build()
        .graceful_shutdown_signal(move || leaving.disconnecting()) // as `HttpServer` does
        .finish(map_config(app, |()| AppConfig::default()))
        .new_service(());
    let http =
        Rc::new(http.await.map_err(|()| io::Error::other("the application does not start"))?);
    while let Some(connection) = listener.next().await {
        let peer = match connection.peer_addr() {
            Address::Tcp(peer) => Some(*peer),
            _ => None,
        };
        let serving = http.call((connection, Protocol::Http1, peer));
        actix_rt::spawn(async move {
            if let Err(error) = serving.await {
                eprintln!("{error}"); // one client's failure is not ours
            }
        });
    }
    worker.drained().await;
    Ok(())
}
