//! What the tests over real processes share.
#![allow(dead_code, unused_imports, reason = "each test program uses a part")]

mod client;
mod cluster;
mod cpus;
mod crew;
pub(crate) mod handles;
mod lines;
mod node;
mod program;
pub(crate) mod values;

pub(crate) use self::cluster::Cluster;
pub(crate) use client::{Client, get, get_as, hear};
pub(crate) use cpus::{on_cpu, several_cpus};
pub(crate) use crew::{Crew, answers};
pub(crate) use lines::Lines;
pub(crate) use node::{Parent, node, script};
pub(crate) use program::{
    Program, example, kill, open_descriptors, process_is_gone, stop, stopped,
};

use std::{
    fs::{File, OpenOptions},
    path::Path,
    time::{Duration, Instant},
};

/// The program with the small roles that only tests need; see `tests/programs`.
pub(crate) fn fixture() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fixture"))
}

/// How long a test waits for anything before it fails. Generous, for machines under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `found` gives something, and fails with `what` if it never does.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// The right to use port 7000, which only one test has at a time, in whatever process.
pub(crate) struct Port7000(#[allow(dead_code, reason = "held, not read")] File);

impl Port7000 {
    pub(crate) fn take() -> Self {
        let path = std::env::temp_dir().join("cluster-tests-port-7000.lock");
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.lock().unwrap();
        Self(file)
    }
}
