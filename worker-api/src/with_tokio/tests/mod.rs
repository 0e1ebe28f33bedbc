use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, spawn_blocking, yield_now},
    time::timeout,
};

use super::*;
use crate::{Address, ListenOptions, wire::Act};

mod accept;
mod leave;
mod master;
mod messages;
#[cfg(feature = "axum")]
mod serve;

use master::{Master, Server, pair};

const LONG: Duration = Duration::from_secs(20);

/// Long enough for a wrong thing to happen, mostly.
const SHORT: Duration = Duration::from_millis(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("not in time")
}

/// Runs the master's part in a thread.
async fn apart<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    soon(spawn_blocking(act)).await.unwrap()
}

/// Has a master serve while the worker asks.
async fn served<T>(
    mut master: Master,
    handed: bool,
    asking: impl Future<Output = crate::Result<T>>,
) -> (Master, Server, T) {
    let serving = apart(move || {
        let server = master.serve(handed);
        (master, server)
    });
    let ((master, server), asked) = tokio::join!(serving, soon(asking));
    (master, server, asked.unwrap())
}

async fn hand(mut master: Master, key: &str) -> (Master, TcpStream) {
    let key = key.to_owned();
    let (master, client) = apart(move || {
        let (client, accepted) = master.hand(&key);
        assert!(accepted, "refused");
        (master, client)
    })
    .await;
    client.set_nonblocking(true).unwrap();
    (master, TcpStream::from_std(client).unwrap())
}

async fn read_all(mut client: TcpStream) -> String {
    let mut text = String::new();
    soon(client.read_to_string(&mut text)).await.unwrap();
    text
}
