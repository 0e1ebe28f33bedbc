//! Node's `cluster` and `child_process` for Rust.
//!
//! A master process owns the listening sockets, keyed by address. Worker processes ask it to
//! `listen`; it creates the socket or reuses the one that is there and sends its descriptor,
//! so that the workers compete for connections on one port, or get them handed over in turn.
//! The processes speak Node's own protocol: a master runs Node workers, and a Node primary
//! runs these workers.
//!
//! A master is its loop: **nothing is served until [`events`], [`run`] or [`Master::poll`]
//! is called.**
//!
//! ```no_run
//! use cluster::{Connection, Event};
//! use std::io::{self, Read, Write};
//!
//! fn main() -> cluster::Result<()> {
//!     if cluster::is_worker() {
//!         let listener = cluster::listen("127.0.0.1:7000")?; // asks the master
//!         for connection in listener.incoming() {
//!             if let Err(error) = serve(connection?) {
//!                 eprintln!("{error}"); // one client's failure is not the worker's
//!             }
//!         }
//!         return Ok(()); // told to leave
//!     }
//!     for _ in 0..cluster::available_parallelism() {
//!         cluster::fork()?;
//!     }
//!     for event in cluster::events() {
//!         match event? {
//!             Event::Listening { worker, address } => println!("{worker} on {address}"),
//!             Event::Exit { worker, .. } if !worker.exited_after_disconnect() => {
//!                 cluster::fork()?;
//!             }
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//!
//! fn serve(mut connection: Connection) -> io::Result<()> {
//!     let mut request = [0; 1024];
//!     let _length = connection.read(&mut request)?;
//!     connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n")
//! }
//! ```
//!
//! For production, [`Supervisor`] is the same with respawn, back-off and signals; and
//! [`Master`] is the same without anything process-wide, for other loops.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod error;
mod signal;
mod sys;

mod alarm;
mod cpus;
mod event;
mod files;
mod foreign;
mod listeners;
mod mailbox;
mod member;
mod mold;
mod orphans;
mod outlet;
mod own;
mod place;
mod process;
mod quota;
pub mod schedule;
mod settings;
mod usage;
mod worker_ref;

pub mod child_process;
pub mod control;
mod master;
mod reaper;
pub mod relay;
mod supervisor;
pub mod systemd;
mod upgrade;

mod door;

#[cfg(feature = "tokio")]
pub mod with_tokio;

pub use door::{
    Events, available_parallelism, disconnect, events, fork, fork_with, is_master, run, setup,
    workers,
};
pub use error::{Error, Result};
pub use event::Event;
pub use foreign::Readiness;
pub use master::Master;
pub use mold::{MoldPhase, MoldStatus};
pub use reaper::Reaper;
pub use settings::{ForkOptions, Policy, Settings};
pub use signal::Signal;
pub use supervisor::{Recycle, Status, Supervised, Supervisor, WorkerState, WorkerStatus};
pub use usage::Usage;
/// The worker's side, whole: its `Error` and `Result` are only here.
pub use worker_api;
pub use worker_api::{
    Address, Channel, Connection, Counter, Handle, Incoming, ListenOptions, Listener, Message,
    Score, Serialization, SocketList, Stream, ToAddress, UdpSocket, Worker, bind, bind_with,
    is_worker, listen, listen_with, preload, structured, worker,
};
pub use worker_ref::{State, WorkerRef};

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/operations.md")]
struct Operations;
