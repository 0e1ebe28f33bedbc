//! The four ways to start a process, as in Node's `child_process`. Each has a form that waits
//! for the end (`spawn_sync`, `exec_sync`, …), and `Command` has all the options.
//!
//! ```sh
//! cargo run --example child_process
//! ```

use std::{env, io::Write};

use cluster::child_process::{self, Child};

fn main() -> cluster::Result<()> {
    if let Some(parent) = child_process::parent()? {
        parent.send("hello over the channel")?; // this is the child that `fork` starts
        return Ok(());
    }
    spawn()?;
    exec()?;
    exec_file()?;
    fork()
}

/// A program whose standard streams are ours to write and read.
fn spawn() -> cluster::Result<()> {
    let mut child = child_process::spawn("tr", ["a-z", "A-Z"])?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(b"hello through a pipe\n")?;
    } // and here the input ends
    print("spawn", child)
}

/// A line for the shell.
fn exec() -> cluster::Result<()> {
    print("exec", child_process::exec("echo $((6 * 7)) | tr 4 '#'")?)
}

/// A program without a shell: what it gets is what is written here.
fn exec_file() -> cluster::Result<()> {
    print("exec_file", child_process::exec_file("echo", ["$((6 * 7)) | tr 4 '#'"])?)
}

/// A program with a channel to us: here this one again.
fn fork() -> cluster::Result<()> {
    let mut child = child_process::fork(env::current_exe()?, ["child"])?;
    while let Some(message) = child.recv()? {
        println!("fork: {}", message.value);
    }
    println!("fork: {}", child.wait()?);
    Ok(())
}

fn print(how: &str, child: Child) -> cluster::Result<()> {
    let output = child.output()?.exit_ok()?; // an error if it fails, with what it said
    print!("{how}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
