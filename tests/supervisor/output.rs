//! Workers' output by way of their supervisor.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use nix::sys::signal::Signal::{SIGHUP, SIGTERM, SIGUSR1, SIGUSR2};

use crate::support::{Program, fixture, wait_until};

fn supervised(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(fixture());
    command.arg("supervised").env("RUST_LOG", "info").envs(variables.iter().copied());
    command
}

/// What a process has as its standard output and error.
fn streams(pid: u32) -> [PathBuf; 2] {
    [1, 2].map(|number| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap())
}

/// A file with the mood of workers that start now.
fn mood(folder: &tempfile::TempDir, mood: &str) -> String {
    let path = folder.path().join("mood");
    fs::write(&path, mood).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn workers_keep_their_streams_unless_asked() {
    let program = Program::start(&mut supervised(&[]));
    program.line("listens on ");
    assert_eq!(streams(program.children()[0]), streams(program.pid()));

    let program = Program::start(&mut supervised(&[("RELAY", "1")]));
    program.line("listens on ");
    let (worker, own) = (streams(program.children()[0]), streams(program.pid()));
    assert!(worker.iter().all(|stream| !own.contains(stream)), "{worker:?} {own:?}");
}

#[test]
fn the_last_words_are_part_of_a_failed_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = mood(&folder, "fine");
    let mut program = Program::start(&mut supervised(&[("RELAY", "1"), ("MOOD", &path)]));
    program.line("listens on ");
    mood(&folder, "crash");
    program.signal(SIGHUP);
    let line = program.line("reload: ");
    let reason = "ended before it was ready (exit status: 3), saying: worker: there is no database";
    assert!(line.contains(reason), "{line}");
    let status = program.line("slot 0: ");
    assert!(status.contains("exit status: 3, saying: worker: there is no database"), "{status}");
    program.signal(SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn the_last_words_are_part_of_giving_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = mood(&folder, "crash");
    let variables = [("RELAY", "1"), ("MOOD", &*path), ("QUORUM", "300")];
    let mut program = Program::start(&mut supervised(&variables));
    let line = program.line("only 0 of at least 1 workers became ready: ");
    assert!(line.contains("exit status: 3, saying: worker: there is no database"), "{line}");
    assert_eq!(program.wait().code(), Some(1));
}

/// Whether each worker's numbers are all there, in their order, up to its last word.
fn check(lines: &[String], workers: usize) {
    let mut next = BTreeMap::<u32, u64>::new();
    let mut ends = 0;
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [what @ ("number" | "end"), worker, number] = words[..] else { continue };
        let next = next.entry(worker.parse().unwrap()).or_default();
        assert_eq!(number.parse::<u64>().unwrap(), *next, "{line}");
        *next += 1;
        ends += usize::from(what == "end");
    }
    assert_eq!((next.len(), ends), (workers, workers), "{next:?}");
}

#[test]
fn upgrades_lose_no_line() {
    let variables = [("RELAY", "1"), ("NUMBERS", "1"), ("WORKERS", "2")];
    let mut program = Program::start(&mut supervised(&variables));
    program.line("number 1 10");
    program.line("number 2 10");
    for upgrade in 1..=3 {
        program.signal(SIGUSR2);
        program.line(&format!("upgraded: generation {upgrade}"));
        program.line(&format!("number {} 100", 2 * upgrade + 2));
    }
    program.signal(SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    for worker in 1..=8 {
        program.line(&format!("end {worker} "));
    }
    check(&program.lines(), 8);
}

#[test]
fn a_log_file_is_opened_again_and_survives_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let variables = [("LOG", log.to_str().unwrap()), ("NUMBERS", "1")];
    let mut program = Program::start(&mut supervised(&variables));
    let lines = |path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("lines in the log", || lines(&log).len() > 100);
    fs::rename(&log, &old).unwrap();
    program.signal(SIGUSR1);
    wait_until("lines in the new log", || lines(&log).len() > 100);
    program.signal(SIGUSR2);
    program.line("upgraded: generation 1");
    wait_until("the new worker's lines", || lines(&log).contains(&"number 2 100".to_owned()));
    program.signal(SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    check(&[lines(&old), lines(&log)].concat(), 2);
}
