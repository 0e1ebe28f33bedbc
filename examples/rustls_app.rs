//! The same over TLS: hyper and rustls on port 7000, in one process for each CPU. The master
//! makes a certificate for `localhost` and prints it; the workers get it in their environment.
//!
//! ```sh
//! cargo run --release --features runtimes --example rustls_app > cert.pem
//! curl --cacert cert.pem https://localhost:7000
//! ```

use std::{convert::Infallible, env, error, io, sync::Arc, time::Duration};

use cluster::{Settings, Supervisor, Worker, with_tokio::Connection};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::time::timeout;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

const CERTIFICATE: &str = "TLS_CERTIFICATE";
const KEY: &str = "TLS_KEY";

fn main() -> Result {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:7000".to_owned());
    let Some(worker) = cluster::worker()? else {
        let made = rcgen::generate_simple_self_signed([String::from("localhost")])?;
        print!("{}", made.cert.pem());
        let settings = Settings::new()
            .listen(&address)
            .env(CERTIFICATE, made.cert.pem())
            .env(KEY, made.signing_key.serialize_pem());
        return Ok(Supervisor::new(settings).run()?);
    };
    serve(worker, &address)
}

fn tls() -> Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(env::var(CERTIFICATE)?.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(env::var(KEY)?.as_bytes())?;
    let config = ServerConfig::builder().with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(vec![certificate], key)?).into())
}

#[tokio::main(flavor = "current_thread")]
async fn serve(worker: Worker, address: &str) -> Result {
    let tls = tls()?;
    worker.leave_on_signals()?;
    let worker = worker.into_tokio()?;
    let listener = worker.listen(address).await?;
    let clients = GracefulShutdown::new();
    while let Some(connection) = listener.next().await {
        let (tls, watcher, id) = (tls.clone(), clients.watcher(), worker.id());
        tokio::spawn(async move {
            if let Err(error) = answer(connection, tls, watcher, id).await {
                eprintln!("{error}"); // one client's failure is not ours
            }
        });
    }
    clients.shutdown().await; // what is idle is closed, what is asked for is answered
    Ok(())
}

async fn answer(connection: Connection, tls: TlsAcceptor, watcher: Watcher, id: u32) -> Result {
    let greeting = timeout(Duration::from_secs(10), tls.accept(connection));
    let stream = greeting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let hello = service_fn(move |_: Request<Incoming>| async move {
        Ok::<_, Infallible>(Response::new(format!("worker {id}\n")))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()); // bounds how long a client may take for a request's head
    Ok(watcher.watch(http.serve_connection(TokioIo::new(stream), hello)).await?)
}
