//! A supervisor that preloads, see `tests/programs/preloaded.rs`.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Program, fixture, wait_for};

/// One that is still to be started.
pub(crate) struct Plan {
    command: Command,
    folder: tempfile::TempDir,
    release: Option<&'static str>,
}

pub(crate) struct Site {
    pub(crate) program: Program,
    folder: tempfile::TempDir,
}

/// What a worker says of itself.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) address: String,
    pub(crate) pid: u32,
    pub(crate) loader: u32,
    pub(crate) sum: usize,
}

impl Site {
    pub(crate) fn plan(policy: &str, workers: usize) -> Plan {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("load"), "fine").unwrap();
        let mut command = Command::new(fixture());
        command.arg("preloaded").env("LOAD", folder.path().join("load"));
        let is_ours = policy == "reuse-port"; // which Node does not know
        command.env(if is_ours { "CLUSTER_POLICY" } else { "NODE_CLUSTER_SCHED_POLICY" }, policy);
        command.env("WORKERS", workers.to_string());
        command.env("RUST_LOG", "info");
        Plan { command, folder, release: None }
    }

    /// The worker that was the `nth` to listen.
    #[track_caller]
    pub(crate) fn worker(&self, nth: usize) -> Worker {
        let line = self.program.nth_line("loaded by", nth);
        let after = |mark: &str| {
            let rest = &line[line.find(mark).unwrap() + mark.len()..];
            rest.split(',').next().unwrap().to_owned()
        };
        Worker {
            address: after("listens on "),
            pid: after("process ").parse().unwrap(),
            loader: after("loaded by ").parse().unwrap(),
            sum: after("sum ").parse().unwrap(),
        }
    }

    /// Waits until the mold has a copy that waits, besides so many workers; its number.
    #[track_caller]
    pub(crate) fn settle(&self, workers: usize) -> u32 {
        let children = wait_for("a mold, its copy and the workers", || {
            Some(self.program.children()).filter(|children| children.len() == workers + 2)
        });
        let loader = self.worker(0).loader;
        let lines = self.program.lines();
        let is_known =
            |pid: &u32| lines.iter().any(|line| line.contains(&format!("process {pid},")));
        children.into_iter().find(|pid| *pid != loader && !is_known(pid)).expect("a copy")
    }

    /// How loading goes from now on.
    pub(crate) fn set(&self, mood: &str) {
        set(self.folder.path(), mood);
    }

    /// How the reload number `reload`, from 0 on, ends.
    #[track_caller]
    pub(crate) fn reload(&self, mood: &str, reload: usize) -> String {
        self.set(mood);
        self.program.signal(nix::sys::signal::Signal::SIGHUP);
        self.program.nth_line("reload: ", reload)
    }

    /// A release that stands the trial of an upgrade, and then ends with status 9.
    pub(crate) fn break_release(&self, name: &str) {
        let (path, one) = (self.folder.path().join(name), self.folder.path().join("one"));
        let text = format!(
            "#!/bin/sh\n[ -n \"$CLUSTER_UPGRADE_TRIAL\" ] && exec {} \"$@\"\nexit 9\n",
            one.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The program is this one from now on.
    pub(crate) fn choose(&self, release: &str) {
        choose(self.folder.path(), release);
    }

    /// The name of the release that a process runs.
    pub(crate) fn image(&self, pid: u32) -> String {
        let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// How many children it has, with those that have ended and were not waited for.
    pub(crate) fn all_children(&self) -> usize {
        let own = self.program.pid();
        let list = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
        list.split_whitespace().count()
    }
}

impl Plan {
    /// The program is a link to this release, of the two that there are.
    pub(crate) fn of_release(mut self, release: &'static str) -> Self {
        for name in ["one", "two"] {
            copy(fixture(), &self.folder.path().join(name));
        }
        self.release = Some(release);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn loading(self, mood: &str) -> Self {
        set(self.folder.path(), mood);
        self
    }

    pub(crate) fn start(self) -> Site {
        let mut command = self.command;
        if let Some(release) = self.release {
            choose(self.folder.path(), release);
            let mut other = Command::new(self.folder.path().join("current"));
            other.args(command.get_args());
            other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            other.env("EXEC", self.folder.path().join("current"));
            command = other;
        }
        Site { program: Program::start(&mut command), folder: self.folder }
    }
}

/// By another process: a child of this one that is just being started would have the copy open for
/// writing, and the system runs no file that anybody writes.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

fn set(folder: &Path, mood: &str) {
    replace(&folder.join("load"), |new| fs::write(new, mood).unwrap());
}

fn choose(folder: &Path, release: &str) {
    replace(&folder.join("current"), |new| symlink(folder.join(release), new).unwrap());
}

/// Nobody ever sees half of it.
fn replace(path: &Path, make: impl FnOnce(&PathBuf)) {
    let new = path.with_extension("new");
    make(&new);
    fs::rename(new, path).unwrap();
}
