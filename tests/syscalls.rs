//! System calls for each connection: no more than docs/profile.md has a reason for.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    process::Command,
};

use nix::sys::signal::Signal::SIGTERM;
use support::{Port7000, Program, example, get, kill};

const ADDRESS: &str = "127.0.0.1:7000";

/// Connections one after the other: so none is saved by another that came with it.
const CONNECTIONS: usize = 250;

/// The first ones, which are not counted.
const FIRST: usize = 50;

/// What may happen now and then: the timer that looks at lanes, a worker that was not woken.
const NOW_AND_THEN: f64 = 0.3;

/// Those that say how often a process has waited, which depends on the machine. Std looks with
/// `fcntl` whether what it closes is open, if it checks itself.
fn is_waiting(name: &str) -> bool {
    let checks = cfg!(debug_assertions) && name == "fcntl";
    checks || ["epoll_wait", "epoll_pwait", "timerfd_settime", "ioctl", "futex"].contains(&name)
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    master: BTreeMap<String, usize>,
    workers: BTreeMap<String, usize>,
}

impl Counts {
    /// Of the lines of a trace: the number of a process, and a call or the rest of one.
    fn of(trace: &str, master: u32) -> Self {
        let is_accepted = |line: &&str| line.contains("accept4") && !line.contains("= -1");
        let is_accepted = |line: &&str| is_accepted(line) && !line.ends_with("<unfinished ...>");
        let mut counts = Self::default();
        let mut accepted = 0;
        for line in trace.lines() {
            accepted += usize::from(is_accepted(&line));
            if accepted < FIRST {
                continue;
            }
            let Some((process, call)) = line.split_once(' ') else { continue };
            let is_master = process.parse() == Ok(master);
            let map = if is_master { &mut counts.master } else { &mut counts.workers };
            if let Some((name, _)) = call.trim().split_once('(')
                && !name.contains(' ')
            {
                *map.entry(name.to_owned()).or_default() += 1;
            }
            if accepted == CONNECTIONS {
                break; // before what belongs to the end
            }
        }
        counts.connections = accepted - FIRST;
        counts
    }
}

/// What a `hello` does under this policy.
fn trace(policy: &str) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-q", "-o"]).arg(&file).arg(example("hello")).env("WORKERS", "2");
    let name = if policy == "reuse-port" { "CLUSTER_POLICY" } else { "NODE_CLUSTER_SCHED_POLICY" };
    let mut program = Program::start(command.env(name, policy).env("RUST_LOG", "debug"));
    (0..2).for_each(|worker| drop(program.nth_line("listens on", worker)));
    let [master] = program.children()[..] else { panic!("strace traces one program") };
    for _ in 0..CONNECTIONS {
        get(ADDRESS).unwrap();
    }
    kill(master, SIGTERM);
    assert_eq!(program.wait().code(), Some(0), "{policy}");
    Counts::of(&fs::read_to_string(file).unwrap(), master)
}

/// No call is made more often for a connection than it says here, and no other at all.
fn check(policy: &str, who: &str, counts: &BTreeMap<String, usize>, expected: &[(&str, f64)]) {
    let connections = (CONNECTIONS - FIRST) as f64;
    for (name, &count) in counts.iter().filter(|(name, _)| !is_waiting(name)) {
        let most = expected.iter().find(|(one, _)| one == name).map_or(0.0, |(_, most)| *most);
        let each = count as f64 / connections;
        assert!(each <= most + NOW_AND_THEN, "{policy}, {who}: {each} {name} of {counts:#?}");
    }
}

#[test]
fn no_connection_costs_more_than_it_must() {
    let may_trace = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !may_trace.is_ok_and(|output| output.status.success()) {
        // Not `eprintln!`, which libtest holds back.
        writeln!(io::stderr(), "SKIPPED no_connection_costs_more_than_it_must: no strace").unwrap();
        return;
    }
    let _port = Port7000::take();
    // The second try of what comes when nothing is there yet, or nothing more: 1 of the calls
    // that read. A client that has not asked yet is registered: 1 of `epoll_ctl`.
    let serving = [("recvfrom", 2.0), ("sendto", 1.0), ("close", 1.0)];
    for policy in ["none", "reuse-port", "rr"] {
        let counts = trace(policy);
        assert_eq!(counts.connections, CONNECTIONS - FIRST, "{policy}");
        let (master, accepting): (&[_], &[_]) = match policy {
            "rr" => (
                &[("accept4", 2.0), ("sendmsg", 1.0), ("close", 1.0)],
                &[("recvmsg", 3.25), ("epoll_ctl", 1.0)],
            ),
            "reuse-port" => (&[], &[("accept4", 2.0), ("recvmsg", 2.0), ("epoll_ctl", 1.25)]),
            // Out of the queue and to its end after each second: 1 of `epoll_ctl`.
            _ => (&[], &[("accept4", 2.0), ("recvmsg", 2.0), ("epoll_ctl", 2.0)]),
        };
        check(policy, "master", &counts.master, master);
        check(policy, "worker", &counts.workers, &[accepting, &serving].concat());
    }
}
