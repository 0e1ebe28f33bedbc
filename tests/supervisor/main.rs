//! The supervisor over real processes: what its clients and its operator see.

#[path = "../support/mod.rs"]
mod support;

mod endurance;
mod faults;
mod load;
mod manager;
mod output;
mod replacing;
mod reuse_port;
mod upgrading;
mod watching;
mod with_node;

use std::process::Command;

const POLICIES: [&str; 3] = ["none", "rr", "reuse-port"];

/// A master of this command is to have this policy.
fn under<'a>(command: &'a mut Command, policy: &str) -> &'a mut Command {
    let is_ours = policy == "reuse-port"; // which Node does not know
    command.env(if is_ours { "CLUSTER_POLICY" } else { "NODE_CLUSTER_SCHED_POLICY" }, policy)
}
