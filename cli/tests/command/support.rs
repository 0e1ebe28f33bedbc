//! Masters started by the command, each with a place for control sockets of its own.

use std::io::Write as _;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

#[path = "../../../tests/support/client.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod client;
#[path = "../../../tests/support/program.rs"]
#[allow(dead_code, unexpected_cfgs, reason = "shared with other tests")]
mod program;

pub(crate) use client::get;
pub(crate) use program::{Program, example, process_is_gone};

/// How long a test waits for anything before it fails. Generous, for machines under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `found` gives something, and fails with `what` if it never does.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// A folder where masters are found, and nobody else's.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
        command.env("XDG_RUNTIME_DIR", self.path()).env_remove("RUST_LOG");
        command.env_remove("NODE_CLUSTER_SCHED_POLICY");
        command
    }

    /// Runs the command to its end.
    pub(crate) fn cluster(&self, args: &[&str]) -> Said {
        let output = self.command().args(args).stdin(Stdio::null()).output().unwrap();
        Said::new(args, output)
    }

    /// Starts a master, and waits until it can be asked.
    pub(crate) fn run(&self, args: &[&str]) -> Program {
        self.start(&[&["run"], args].concat())
    }

    /// As [`run`](Self::run), which is the first argument.
    pub(crate) fn start(&self, args: &[&str]) -> Program {
        let program = Program::start(self.command().args(args));
        program.line("controlled at ");
        program
    }

    /// Starts a master over servers that know nothing of it; where they listen.
    pub(crate) fn serve(&self, args: &[&str]) -> (Program, String) {
        let server = example("activated");
        let listen = ["--listen", "127.0.0.1:0"];
        let program = self.run(&[args, &listen, &["--", path(&server)]].concat());
        let line = program.line("listens on ");
        let address = line.rsplit(' ').next().unwrap().to_owned();
        (program, address)
    }

    /// Waits until the only master has so many workers that are ready.
    #[track_caller]
    pub(crate) fn wait_for_workers(&self, count: usize) -> Value {
        let what = format!("{count} workers");
        wait_for(&what, || Some(self.status()).filter(|status| ready(status).len() == count))
    }

    /// What the only master says of itself.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let said = self.cluster(&["status", "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
        serde_json::from_str(&said.out).unwrap()
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The slots of a report whose workers are ready.
pub(crate) fn ready(status: &Value) -> Vec<&Value> {
    let slots = status["slots"].as_array().unwrap().iter();
    slots.filter(|slot| slot["state"] == "ready").collect()
}

/// What the command said, and its exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn new(args: &[&str], output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or_else(|| panic!("{args:?}: {}", output.status));
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// A mistake: this exit code, nothing on stdout, one line on stderr.
    #[track_caller]
    pub(crate) fn complains(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        let line = self.err.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n') && line.starts_with("cluster: "), "{self:?}");
        line
    }
}

/// A connection to a server that says its pid.
pub(crate) fn pid_at(address: &str) -> u32 {
    use std::io::Read;
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    said.trim().parse().unwrap()
}

/// A file of the repository.
pub(crate) fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", name].iter().collect()
}

/// Whether a program is there. Where it is missing the test says so and is over; in CI it must
/// be there.
pub(crate) fn has(test: &str, program: &str, args: &[&str]) -> bool {
    let status =
        Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = status.is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{test}: {program} is missing in CI");
        // Not `eprintln!`, which libtest holds back.
        writeln!(
            std::io::stderr(),
            "SKIPPED {test}: {program} {} does not work here",
            args.join(" ")
        )
        .unwrap();
    }
    found
}

/// A program, killed at the end.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
