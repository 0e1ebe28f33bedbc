use std::sync::Arc;

use axum::{
    Router,
    extract::{ConnectInfo, State},
    routing::get,
};
use tokio::sync::Semaphore;

use super::*;

/// A handler that says that it has begun, and waits to be let go on.
#[derive(Clone)]
struct Pause {
    begun: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

async fn slow(State(pause): State<Pause>, ConnectInfo(client): ConnectInfo<Address>) -> String {
    pause.begun.add_permits(1);
    pause.go_on.acquire().await.unwrap().forget();
    format!("hello {client}")
}

async fn serve_and_leave(handed: bool) {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let (master, server, listener) = served(master, handed, worker.listen("127.0.0.1:0")).await;
    let pause = Pause { begun: Arc::new(Semaphore::new(0)), go_on: Arc::new(Semaphore::new(0)) };
    let app = Router::new().route("/", get(slow)).with_state(pause.clone());
    let service = app.into_make_service_with_connect_info::<Address>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(worker.disconnecting());
    let serving = tokio::spawn(serving.into_future());

    let (mut master, mut client) = match handed {
        true => hand(master, &server.key).await,
        false => (master, soon(TcpStream::connect(server.address)).await.unwrap()),
    };
    let address = client.local_addr().unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    soon(pause.begun.acquire()).await.unwrap().forget();
    assert_eq!(worker.connections(), 1);

    master.post(Act::Disconnect, None);
    soon(worker.disconnecting()).await;
    yield_now().await;
    assert!(!serving.is_finished() && worker.is_connected(), "a request is in flight");

    pause.go_on.add_permits(1);
    let answer = read_all(client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with(&format!("hello {address}")), "{answer}");
    soon(serving).await.unwrap().unwrap();
    apart(|| master.finish()).await; // the channel closed after the last connection
    assert_eq!(worker.connections(), 0);
}

#[tokio::test]
async fn axum_finishes_requests_before_it_ends() {
    serve_and_leave(false).await;
}

#[tokio::test]
async fn axum_serves_connections_that_are_handed_over() {
    serve_and_leave(true).await;
}
