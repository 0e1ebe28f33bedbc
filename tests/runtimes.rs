//! The examples for tokio, as a person runs them.
#![cfg(feature = "runtimes")]

mod support;

use std::{collections::BTreeSet, process::Command};

use nix::sys::signal::Signal::SIGTERM;
use support::{Client, Port7000, Program, example, get, wait_until};

const ADDRESS: &str = "127.0.0.1:7000";

#[test]
fn an_axum_app_serves_in_several_processes_and_ends_gracefully() {
    let _port = Port7000::take();
    for policy in ["none", "rr"] {
        let mut program = Program::start(
            Command::new(example("axum_app"))
                .env("NODE_CLUSTER_SCHED_POLICY", policy)
                .env("RUST_LOG", "debug"),
        );
        let mut seen = BTreeSet::new();
        let wanted = cluster::available_parallelism();
        wait_until("an answer of each worker", || {
            seen.extend(get(ADDRESS).ok());
            seen.len() == wanted
        });
        let mut idle = Client::connect(ADDRESS).unwrap();
        idle.get("/").unwrap();
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}: {:#?}", program.lines());
    }
}
