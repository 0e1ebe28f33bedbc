//! The supervisor over real processes: what its clients and its operator see.

#[path = "../support/mod.rs"]
mod support;

mod endurance;
mod faults;
mod load;
mod manager;
mod output;
mod replacing;
mod upgrading;
mod watching;
mod with_node;

const POLICIES: [&str; 2] = ["none", "rr"];
