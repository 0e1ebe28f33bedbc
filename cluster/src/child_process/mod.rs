//! Child processes, as Node's `child_process` starts them, in the words of std's `Command`.
//!
//! | to | at once, the child runs on | wait for its end |
//! |---|---|---|
//! | run a program | [`spawn`], [`exec_file`] | [`spawn_sync`], [`exec_file_sync`] |
//! | run a shell line | [`exec`] | [`exec_sync`] |
//! | run a program with a channel | [`fork`] | |
//! | set anything else | [`Command::spawn`], [`Command::fork`] | [`Command::output`] |
//!
//! ```
//! use cluster::child_process::{self, Command, Stdio};
//!
//! let listing = child_process::exec_sync("echo one; echo two")?;
//! assert_eq!(listing, b"one\ntwo\n");
//!
//! let sorted = Command::new("sort").arg("-r").input("1\n3\n2\n").output()?.exit_ok()?;
//! assert_eq!(sorted.stdout, b"3\n2\n1\n");
//!
//! let mut child = Command::new("true").stdout(Stdio::Inherit).spawn()?;
//! assert!(child.wait()?.success());
//! # Ok::<(), cluster::Error>(())
//! ```
//!
//! What differs from std's `Command`:
//!
//! - Standard streams are pipes unless said otherwise, and these pipes are Unix stream sockets,
//!   both as in Node. A child that opens `/dev/stdin` by name cannot: Linux refuses for sockets.
//! - A child starts with default signal dispositions and an empty signal mask, and with no
//!   descriptors but those given to it (as far as the program keeps its own close-on-exec).
//! - This program's own `NODE_CHANNEL_FD`, `NODE_CHANNEL_SERIALIZATION_MODE` and
//!   `NODE_UNIQUE_ID` are not inherited, and neither is its channel: they are about this process.
//! - A standard stream that is given or inherited is made to wait (`O_NONBLOCK` is cleared), for
//!   everybody who shares it, this process, too.
//! - A [`Child`] that is dropped runs on, as in std, but leaves no zombie behind for long.

mod abort;
mod child;
mod collect;
mod command;
mod environment;
mod functions;
mod job;
mod launch;
mod lookup;
mod output;
mod standing;
mod stdio;

pub use abort::Abort;
pub use child::Child;
pub use command::Command;
pub use functions::{exec, exec_file, exec_file_sync, exec_sync, fork, spawn, spawn_sync};
pub(crate) use launch::{Birth, Started};
pub use output::Output;
pub use stdio::Stdio;
pub use worker_api::parent;
