//! The worker's side of a cluster, and the channel that both sides share.
//!
//! A master process owns the listening sockets; a worker asks it for them over Node's IPC
//! channel and serves the connections. This crate is what runs in the worker. The master,
//! ours or a Node primary, is another process; ours is the crate `cluster`, which also
//! re-exports most of this.
//!
//! ```no_run
//! use std::io::Write;
//!
//! fn main() -> worker_api::Result<()> {
//!     let listener = worker_api::listen("127.0.0.1:7000")?; // alone, it binds by itself
//!     for connection in listener.incoming() {
//!         let mut connection = connection?; // ends when the master says so
//!         if let Err(error) = connection.write_all(b"hello\n") {
//!             eprintln!("{error}");
//!         }
//!     }
//!     Ok(())
//! }
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod address;
mod channel;
mod connection;
mod endpoint;
mod error;
mod gate;
mod handle;
mod inquiries;
mod latch;
mod ledger;
mod letter;
mod listener;
mod message;
mod mold;
mod options;
mod own;
mod role;
mod roster;
mod scoreboard;
mod serialization;
mod signals;
mod socket_list;
mod source;
pub mod structured;
mod sys;
mod udp;
pub mod wire;
#[cfg(feature = "tokio")]
pub mod with_tokio;
mod worker;

pub use address::{Address, ToAddress};
pub use channel::Channel;
pub use connection::{Connection, Stream};
pub use error::{Error, Result};
pub use handle::Handle;
pub use listener::{Incoming, Listener};
pub use message::Message;
pub use mold::preload;
pub use options::ListenOptions;
pub use role::{become_master, bind, bind_with, is_worker, listen, listen_with, parent, worker};
pub use scoreboard::{Counter, Score};
pub use serialization::Serialization;
pub use socket_list::SocketList;
pub use udp::UdpSocket;
pub use worker::Worker;
