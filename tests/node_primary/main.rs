//! Our workers and children under real Node: a primary of its `cluster`, and a parent of its
//! `child_process`.

#[path = "../support/mod.rs"]
mod support;

mod advanced;
mod large;
mod leaving;
mod serving;
mod talking;

use cluster::Serialization;

const BOTH: [Serialization; 2] = [Serialization::Json, Serialization::Advanced];

const POLICIES: [&str; 2] = ["rr", "none"];
