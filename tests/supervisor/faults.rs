//! What goes wrong in a reload, at each of its steps: the old workers serve on, and the operator
//! is told why.

use std::{fs, path::PathBuf, process::Command};

use nix::sys::signal::Signal::{SIGHUP, SIGTERM};

use crate::{
    POLICIES,
    support::{Lines, Program, fixture, wait_until},
    under,
};

/// A supervisor over workers that are moody.
struct Moody {
    program: Program,
    address: String,
    mood: PathBuf,
    _folder: tempfile::TempDir,
}

impl Moody {
    fn start(policy: &str, workers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mood = folder.path().join("mood");
        fs::write(&mood, "fine").unwrap();
        let mut command = Command::new(fixture());
        under(command.arg("supervised").env("MOOD", &mood), policy);
        command.env("WORKERS", workers.to_string()).env("START", "1000").env("RUST_LOG", "warn");
        let program = Program::start(&mut command);
        let line = program.nth_line("listens on ", workers - 1);
        let address = line["listens on ".len()..].to_owned();
        Self { program, address, mood, _folder: folder }
    }

    /// Workers that start from now on are in this mood, and those that wait for another.
    fn set(&self, mood: &str) {
        let new = self.mood.with_extension("new");
        fs::write(&new, mood).unwrap();
        fs::rename(new, &self.mood).unwrap(); // nobody ever sees half of it
    }

    /// How the reload number `reload`, from 0 on, ends with new workers in this mood.
    fn reload(&self, mood: &str, reload: usize) -> String {
        self.set(mood);
        self.program.signal(SIGHUP);
        self.program.nth_line("reload: ", reload)
    }

    fn answers(&self) -> u32 {
        Lines::connect(&self.address).unwrap().ask("x").unwrap()
    }
}

#[test]
fn the_old_workers_serve_on_and_the_reason_is_told() {
    for policy in POLICIES {
        let moody = Moody::start(policy, 2);
        let workers = moody.program.children();
        let faults = [
            ("crash", "ended before it was ready (exit status: 3)"),
            ("hang", "was not ready in time"),
        ];
        for (number, (mood, reason)) in faults.into_iter().enumerate() {
            let line = moody.reload(mood, number);
            assert!(line.contains(reason), "{policy}, {mood}: {line}");
            wait_until("the old workers alone", || moody.program.children() == workers);
            assert!(moody.answers() <= 2, "{policy}, {mood}");
        }
        let line = moody.reload("fine", faults.len());
        assert_eq!(line, "reload: Ok(3)", "{policy}");
        wait_until("only new ones", || moody.program.children().len() == 2);
        assert!(moody.program.children().iter().all(|pid| !workers.contains(pid)));
    }
}

#[test]
fn a_new_worker_that_dies_after_it_was_ready_proves_nothing() {
    for policy in POLICIES {
        let moody = Moody::start(policy, 2);
        let line = moody.reload("die", 0);
        assert!(line.contains("was ready, and died (exit status: 4)"), "{policy}: {line}");
        moody.set("fine");
        wait_until("two workers that serve", || moody.program.children().len() == 2);
        assert!((0..10).all(|_| moody.answers() > 0));
    }
}

#[test]
fn a_late_worker_is_waited_for_while_all_else_goes_on() {
    for policy in POLICIES {
        let mut moody = Moody::start(policy, 1);
        moody.set("late");
        moody.program.signal(SIGHUP);
        moody.program.line("worker waits");
        assert_eq!(moody.answers(), 1);
        moody.set("fine");
        assert_eq!(moody.program.line("reload: "), "reload: Ok(1)");
        wait_until("the new one alone", || moody.program.children().len() == 1);
        assert_eq!(moody.answers(), 2);
        moody.program.signal(SIGTERM);
        assert_eq!(moody.program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn a_second_reload_takes_the_place_of_the_first() {
    let moody = Moody::start("none", 1);
    moody.set("late");
    moody.program.signal(SIGHUP);
    moody.program.line("worker waits");
    let line = moody.reload("late", 0);
    assert!(line.contains("another reload took its place"), "{line}");
    moody.set("fine");
    assert_eq!(moody.program.nth_line("reload: ", 1), "reload: Ok(2)");
}

#[test]
fn a_stop_in_the_middle_of_a_reload_ends_it_all() {
    let mut moody = Moody::start("none", 2);
    moody.set("late");
    moody.program.signal(SIGHUP);
    moody.program.line("worker waits");
    moody.program.signal(SIGTERM);
    let line = moody.program.line("reload: ");
    assert!(line.contains("asked to leave"), "{line}");
    assert_eq!(moody.program.wait().code(), Some(0));
}
