//! This test program again, in namespaces of its own.

use std::io::Write as _;
use std::{
    env,
    process::{Command, Output},
};

/// Set in the process that has the namespaces.
const INSIDE: &str = "CLUSTER_TEST_INSIDE";

/// Whether this process has the namespaces.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs one test of this program with these options of unshare(1), after a shell script;
/// `None`, with a line that says so, where that is not permitted.
pub(crate) fn run(test: &str, options: &[&str], script: &str) -> Option<Output> {
    let permitted = Command::new("unshare").args(options).arg("true").output();
    if !permitted.as_ref().is_ok_and(|output| output.status.success()) {
        // Not `eprintln!`, which libtest holds back.
        writeln!(
            std::io::stderr(),
            "SKIPPED {test}: unshare {options:?} is not permitted: {permitted:?}"
        )
        .unwrap();
        return None;
    }
    let output = Command::new("unshare")
        .args(options)
        .args(["sh", "-e", "-c", &format!("{script}\nexec \"$@\""), "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{test}: {output:#?}");
    Some(output)
}
