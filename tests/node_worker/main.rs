//! Node programs as workers and children of ours.

#[path = "../support/mod.rs"]
mod support;

mod advanced;
mod handing_over;
mod large;
mod leaving;
mod serving;
mod talking;

use cluster::{Policy, Serialization, Settings};
use support::{Cluster, script};

const BOTH: [Serialization; 2] = [Serialization::Json, Serialization::Advanced];

const POLICIES: [Policy; 3] = [Policy::RoundRobin, Policy::Shared, Policy::ReusePort];

/// Workers that run a script of `tests/node`.
fn settings(policy: Policy, file: &str) -> Settings {
    Settings::new().exec("node").arg(script(file)).env("NODE_NO_WARNINGS", "1").policy(policy)
}

/// A master whose workers do what they are told.
fn cluster(policy: Policy) -> Cluster {
    Cluster::new(settings(policy, "worker.js"))
}

/// The same, and how its channels write messages.
fn speaking(how: Serialization) -> Cluster {
    Cluster::new(settings(Policy::RoundRobin, "worker.js").serialization(how))
}
