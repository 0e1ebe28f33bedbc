//! Our workers and children under real Node: a primary of its `cluster`, and a parent of its
//! `child_process`.

#[path = "../support/mod.rs"]
mod support;

mod leaving;
mod serving;
mod talking;

const POLICIES: [&str; 2] = ["rr", "none"];
