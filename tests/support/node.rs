//! Real Node, where it is installed.

use std::io::Write as _;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cluster::Serialization;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Program;

/// Tells `tests/node/parent.js` how the channels write messages.
const SERIALIZATION: &str = "SERIALIZATION";

/// Whether there is `node`. Where it is missing the test says so and is over; in CI it must
/// be there.
pub(crate) fn node(test: &str) -> bool {
    let found = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{test}: node is missing in CI");
        // Not `eprintln!`, which libtest holds back.
        writeln!(std::io::stderr(), "SKIPPED {test}: node is not installed").unwrap();
    }
    found
}

/// A script of `tests/node`.
pub(crate) fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "node", name].iter().collect()
}

/// A Node program over a child or workers of ours, which does what it is told and tells what
/// happens: see `tests/node/parent.js`. Its working directory is a new one.
#[derive(Debug)]
pub(crate) struct Parent {
    program: Program,
    folder: TempDir,
}

impl Parent {
    /// A parent with one child, which is number 0 in what is told.
    pub(crate) fn fork(program: &Path, role: &str) -> Self {
        Self::fork_speaking(Serialization::Json, program, role)
    }

    /// A parent of one child, and how the channel between them writes messages.
    pub(crate) fn fork_speaking(serialization: Serialization, program: &Path, role: &str) -> Self {
        Self::start(
            Command::new("node")
                .arg(script("parent.js"))
                .arg("fork")
                .arg(program)
                .arg(role)
                .env(SERIALIZATION, serialization.to_string()),
        )
    }

    /// A primary with so many workers.
    pub(crate) fn cluster(policy: &str, program: &Path, role: &str, workers: usize) -> Self {
        Self::cluster_with(policy, program, role, workers, &[])
    }

    /// A primary, and how the channels to its workers write messages.
    pub(crate) fn cluster_speaking(
        serialization: Serialization,
        policy: &str,
        program: &Path,
        role: &str,
        workers: usize,
    ) -> Self {
        let how = serialization.to_string();
        Self::cluster_with(policy, program, role, workers, &[(SERIALIZATION, &how)])
    }

    /// A primary with variables in its environment, and so in its workers'.
    pub(crate) fn cluster_with(
        policy: &str,
        program: &Path,
        role: &str,
        workers: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        let this = Self::start(
            Command::new("node")
                .arg(script("parent.js"))
                .arg("cluster")
                .arg(program)
                .arg(role)
                .env("NODE_CLUSTER_SCHED_POLICY", policy)
                .envs(environment.iter().copied()),
        );
        this.tell(json!({ "do": "fork", "count": workers }));
        this
    }

    fn start(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        command.env("NODE_NO_WARNINGS", "1").current_dir(folder.path());
        Self { program: Program::start_obedient(command), folder }
    }

    pub(crate) fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a command.
    pub(crate) fn tell(&self, command: Value) {
        self.program.tell(&command.to_string());
    }

    /// Has a message sent to a worker.
    pub(crate) fn send(&self, worker: u32, message: Value) {
        self.tell(json!({ "do": "send", "worker": worker, "message": message }));
    }

    /// Waits for an event that has all this.
    #[track_caller]
    pub(crate) fn event(&self, like: Value) -> Value {
        self.events(1, like).remove(0)
    }

    /// Waits for so many events that have all this: the first ones.
    #[track_caller]
    pub(crate) fn events(&self, count: usize, like: Value) -> Vec<Value> {
        self.program.look(&format!("{count} events like {like}"), |lines| {
            let events = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
            let found: Vec<_> = events.filter(|event| has(event, &like)).take(count).collect();
            (found.len() == count).then_some(found)
        })
    }

    /// Whether there has been such an event.
    pub(crate) fn has_seen(&self, like: &Value) -> bool {
        self.program
            .lines()
            .iter()
            .any(|line| serde_json::from_str(line).is_ok_and(|event| has(&event, like)))
    }

    /// Waits for a message of a worker that has all this.
    #[track_caller]
    pub(crate) fn message(&self, worker: u32, like: Value) -> Value {
        let like = json!({ "event": "message", "worker": worker, "message": like });
        self.event(like)["message"].take()
    }
}

/// Whether a value has all that another one has, deep inside, too.
fn has(value: &Value, like: &Value) -> bool {
    match (value, like) {
        (Value::Object(value), Value::Object(like)) => {
            like.iter().all(|(name, like)| value.get(name).is_some_and(|value| has(value, like)))
        }
        _ => value == like,
    }
}
