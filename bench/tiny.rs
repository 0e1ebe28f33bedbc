//! Writes one byte and ends: what it costs to start a small program in Rust.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(b"x")
}
