//! A parent and its child talk over the channel. Messages whose `cmd` starts with `NODE_` are
//! Node's own and are not shown to programs; `NODE_` alone and `node_…` are like any other.
//!
//! ```sh
//! cargo run --example messages
//! ```

use std::env;

use cluster::{Channel, child_process};
use serde_json::json;

fn main() -> cluster::Result<()> {
    match child_process::parent()? {
        Some(parent) => in_child(&parent),
        None => in_parent(),
    }
}

fn in_parent() -> cluster::Result<()> {
    let mut child = child_process::fork(env::current_exe()?, ["child"])?;
    child.send(&json!({ "question": "which messages arrive?" }))?;
    while let Some(message) = child.recv()? {
        println!("the parent got {}", message.value);
    }
    println!("the child left: {}", child.wait()?);
    Ok(())
}

fn in_child(parent: &Channel) -> cluster::Result<()> {
    let Some(message) = parent.recv()? else { return Ok(()) }; // the parent is gone
    println!("the child got {}", message.value);
    for cmd in ["NODE_SECRET", "NODE_", "node_open", "open"] {
        println!("the child sends {cmd}");
        parent.send(&json!({ "cmd": cmd }))?;
    }
    parent.disconnect(); // which ends the parent's loop
    Ok(())
}
