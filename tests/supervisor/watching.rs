//! Workers that hang, and workers that are spent; and strangers.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP, SIGTERM};

use crate::support::{Lines, Program, fixture, kill, wait_for, wait_until};

/// A supervisor over two workers, and where they listen.
fn start(variables: &[(&str, &str)]) -> (Program, String) {
    let mut command = Command::new(fixture());
    command.arg("hanging").env("RUST_LOG", "debug").envs(variables.iter().copied());
    let program = Program::start(&mut command);
    (0..2).for_each(|worker| drop(program.nth_line("serves at ", worker)));
    let address = program.line("serves at ")["serves at ".len()..].to_owned();
    (program, address)
}

/// A connection to this worker.
fn connect(address: &str, worker: u32) -> Lines {
    wait_for("a connection to this worker", || {
        let mut lines = Lines::connect(address).ok()?;
        (lines.ask("hello").ok()? == worker).then_some(lines)
    })
}

#[test]
fn who_hangs_is_replaced_and_others_notice_nothing() {
    let (mut program, address) = start(&[("WATCHDOG", "1000")]);
    let (mut first, mut second) = (connect(&address, 1), connect(&address, 2));
    assert_eq!(second.ask("hang").unwrap(), 2);
    wait_until("the end of the worker that hangs", || {
        assert_eq!(first.ask("hello").unwrap(), 1, "the other serves on");
        program.lines().iter().any(|line| line.contains("worker 2 ") && line.contains("ended:"))
    });
    assert!(program.line("ended: ").contains("signal: 6"), "by SIGABRT");
    connect(&address, 3);
    drop(first);
    program.signal(SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    assert_eq!(program.lines().iter().filter(|line| line.contains("hangs")).count(), 1);
}

#[test]
fn who_was_stopped_with_all_others_does_not_hang() {
    const WATCHDOG: Duration = Duration::from_millis(500);
    let (program, address) = start(&[("WATCHDOG", "500")]);
    let workers = program.children();
    let mut clients = [connect(&address, 1), connect(&address, 2)];
    for round in 0..3 {
        kill(program.pid(), SIGSTOP);
        workers.iter().for_each(|&worker| kill(worker, SIGSTOP));
        let stopped = Instant::now();
        wait_until("longer than anybody may hang", || stopped.elapsed() > 3 * WATCHDOG);
        // First the one that watches, or first those that are watched.
        let mut all = [&[program.pid()], &workers[..]].concat();
        if round == 1 {
            all.reverse();
        }
        all.into_iter().for_each(|pid| kill(pid, SIGCONT));
        let awake = Instant::now();
        wait_until("another time of the watchdog", || {
            clients.iter_mut().for_each(|client| assert!(client.ask("hello").is_ok()));
            awake.elapsed() > 2 * WATCHDOG
        });
    }
    assert_eq!(program.children(), workers);
    assert!(!program.lines().iter().any(|line| line.contains("hangs")));
}

/// Asks until another pair serves, and fails if one request does, or two are replaced at once.
fn replaced(variables: &[(&str, &str)], reason: &str) {
    let (mut program, address) = start(variables);
    let mut newest = 0;
    wait_until("two new workers", || {
        let mut lines = Lines::connect(&address).unwrap();
        newest = newest.max(lines.ask("hello").unwrap());
        assert!(program.children().len() <= 3, "never two at once");
        newest >= 4
    });
    let line = program.line("is to be replaced: ");
    assert!(line.contains(reason), "{line}");
    program.signal(SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    assert!(!program.lines().iter().any(|line| line.contains("is gone")), "all left gracefully");
}

#[test]
fn recycled_by_connections() {
    replaced(&[("CONNECTIONS", "50")], " connections");
}

#[test]
fn recycled_by_age() {
    replaced(&[("AGE", "1000")], " s old");
}

#[test]
fn recycled_by_memory() {
    replaced(&[("MEMORY", "100000")], " MiB of memory");
}

#[test]
fn the_first_process_reaps_strangers() {
    let options = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let permitted = Command::new("unshare").args(options).arg("true").output();
    if !permitted.as_ref().is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED strangers: unshare is not permitted: {permitted:?}");
    }
    let mut command = Command::new("unshare");
    command.args(options).arg(fixture()).arg("hanging").env("RUST_LOG", "debug");
    let mut program = Program::start(&mut command);
    let address = program.line("serves at ")["serves at ".len()..].to_owned();
    Lines::connect(&address).unwrap().ask("orphan").unwrap();
    let orphan = program.line("orphan ")["orphan ".len()..].to_owned();
    program.line(&format!("reaped process {orphan}, a stranger"));
    assert!(Lines::connect(&address).unwrap().ask("hello").unwrap() <= 2, "all goes on");
    kill(program.children()[0], SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}
