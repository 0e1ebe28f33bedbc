//! Each file of the fuzz targets' corpus, through the check of its target.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../fuzz/checks.rs"]
pub mod checks;

use std::{fs, path::Path};

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display()); // the last one is the one that fails
        check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "an empty corpus");
}

#[test]
fn json_lines() {
    replay("json_lines", checks::json_lines);
}

#[test]
fn message() {
    replay("message", checks::message);
}

#[test]
fn structured() {
    replay("structured", checks::structured);
}
