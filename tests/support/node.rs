//! Real Node, where it is installed.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Whether there is `node`. Where it is missing the test says so and is over; in CI it must
/// be there.
pub(crate) fn node(test: &str) -> bool {
    let found = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{test}: node is missing in CI");
        eprintln!("SKIPPED {test}: node is not installed");
    }
    found
}

/// A script of `tests/node`.
pub(crate) fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "node", name].iter().collect()
}
