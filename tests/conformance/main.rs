//! Node's own tests of `cluster` and `child_process`, as scenarios for our side of it. Each is
//! named after Node's file, without `test-`, and is played in up to three forms: `rust`, with
//! Rust on both sides; `worker`, with Node workers or children under Rust; `primary`, with a Node
//! primary or parent over Rust. `rows.txt` lists the files, `report` writes
//! `docs/conformance.md` of both.

#[path = "../support/mod.rs"]
mod support;

mod family;
mod house;

mod child_process_advanced;
mod child_process_end;
mod child_process_exec;
mod child_process_fork;
mod child_process_handles;
mod child_process_messages;
mod child_process_sockets;
mod child_process_spawn;
mod child_process_stdio;
mod child_process_sync;

mod cluster_datagrams;
mod cluster_leaving;
mod cluster_life;
mod cluster_listening;
mod cluster_starting;
mod cluster_talking;
