//! Serving with axum.

use std::{future::pending, io};

use super::{Connection, Listener};
use crate::Address;
use axum::{extract::connect_info::Connected, serve::IncomingStream};

/// For `axum::serve`. After the end it accepts nothing more and never says so: end with
/// [`Worker::disconnecting`](super::Worker::disconnecting), which lets connections finish.
///
/// ```no_run
/// # use axum::{Router, routing::get};
/// # #[tokio::main]
/// # async fn main() -> worker_api::Result<()> {
/// # let Some(worker) = worker_api::worker()? else { return Ok(()) };
/// let worker = worker.into_tokio()?;
/// let listener = worker.listen("0.0.0.0:8080").await?;
/// let app = Router::new().route("/", get(|| async { "hello\n" }));
/// axum::serve(listener, app).with_graceful_shutdown(worker.disconnecting()).await?;
/// # Ok(())
/// # }
/// ```
impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = Address;

    async fn accept(&mut self) -> (Connection, Address) {
        let Some(connection) = self.next().await else { return pending().await };
        let peer = connection.peer_addr().clone();
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(Self::local_addr(self).clone())
    }
}

/// For `into_make_service_with_connect_info::<Address>()`: where the client is.
impl Connected<IncomingStream<'_, Listener>> for Address {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.remote_addr().clone()
    }
}
