//! The same for programs that run on tokio.
//!
//! [`Worker::into_tokio`](crate::Worker::into_tokio),
//! [`Listener::into_tokio`](crate::Listener::into_tokio) and
//! [`Channel::into_tokio`](crate::Channel::into_tokio) lead here, called in a runtime with
//! I/O. Only the look-up of a host name blocks, and a future that is dropped loses no message,
//! no connection and no datagram.
//!
//! Tokio cannot be the one that the kernel wakes for a connection: with the policy `Shared`
//! every worker wakes up for each, and one gets it. `ReusePort` and `RoundRobin` are kinder.
//!
//! ```no_run
//! use tokio::io::{copy, split};
//!
//! # #[tokio::main]
//! # async fn main() -> worker_api::Result<()> {
//! # let Some(worker) = worker_api::worker()? else { return Ok(()) };
//! let worker = worker.into_tokio()?;
//! let listener = worker.listen("127.0.0.1:7000").await?;
//! while let Some(connection) = listener.next().await {
//!     tokio::spawn(async {
//!         let (mut input, mut output) = split(connection);
//!         copy(&mut input, &mut output).await // counted until it is dropped
//!     });
//! }
//! worker.drained().await;
//! # Ok(())
//! # }
//! ```

mod channel;
mod connection;
mod departure;
mod driver;
mod listener;
#[cfg(feature = "axum")]
mod serve;
mod stream;
mod udp;
mod views;
mod worker;

pub use channel::Channel;
pub use connection::Connection;
pub use listener::Listener;
pub use stream::Stream;
pub use udp::UdpSocket;
pub use worker::Worker;

#[cfg(test)]
mod tests;
