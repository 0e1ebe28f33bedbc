//! What the topics share.

use cluster::{
    Signal,
    child_process::{Child, Command, Output, Stdio},
};
use std::{
    env, fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Far more than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Kills the child when a test is left early.
pub(crate) struct Guard(Child);

impl Deref for Guard {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill(Signal::KILL);
    }
}

pub(crate) fn guarded(child: cluster::Result<Child>) -> Guard {
    Guard(child.expect("started"))
}

/// A child that runs until it is killed.
pub(crate) fn idle() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    command
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Output as text, of a child that was content.
pub(crate) fn text(output: cluster::Result<Output>) -> String {
    let output = output.and_then(Output::exit_ok).expect("status 0");
    String::from_utf8(output.stdout).expect("text")
}

/// What /proc says of a process: `line(status, "SigBlk")`.
pub(crate) fn line<'a>(status: &'a str, name: &str) -> &'a str {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| *found == name).expect(name).1.trim()
}

/// Writes a file in a process of its own: were it open for writing here, a child that another
/// test just starts might hold it open, too, and nobody could execute it (`ETXTBSY`).
pub(crate) fn write_program(directory: &Path, name: &str, mode: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    let mut write = Command::shell("cat > \"$1\" && chmod \"$2\" \"$1\"");
    text(write.arg(&path).arg(mode).input(content).output());
    path
}

/// The channel of a process that runs alone.
pub(crate) const CHANNEL: usize = 9;

/// Whether this is the process that runs `test` alone, with few descriptors and a channel that
/// nobody asks for. Otherwise starts that process and waits for it.
pub(crate) fn alone(test: &str) -> bool {
    const ALONE: &str = "CLUSTER_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::shell("ulimit -n 64; exec \"$@\"");
    command
        .arg(env::current_exe().expect("a path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .env("NODE_CHANNEL_FD", CHANNEL.to_string())
        .env("NODE_UNIQUE_ID", "7")
        .stdio((0..=CHANNEL).map(|number| match number {
            1 | 2 | CHANNEL => Stdio::Pipe,
            _ => Stdio::Ignore,
        }))
        .timeout(PATIENCE * 2)
        .kill_signal(Signal::KILL);
    let output = command.output().expect("runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{test}:\n{out}\n{err}");
    false
}

/// The numbers of this process's open descriptors.
pub(crate) fn open_descriptors() -> Vec<i32> {
    let mut all: Vec<i32> = fs::read_dir("/proc/self/fd")
        .expect("proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| fs::read_link(format!("/proc/self/fd/{number}")).is_ok())
        .collect();
    all.sort_unstable();
    all
}
