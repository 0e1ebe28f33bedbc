//! The supervisor over real processes: what its clients and its operator see.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod load;
mod replacing;
mod upgrading;

const POLICIES: [&str; 2] = ["none", "rr"];
