//! Much, and often. `ENDURANCE` in the environment makes it so many times more.

use std::{
    env, fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::{SIGHUP, SIGTERM};

use crate::{
    POLICIES,
    load::Load,
    support::{Lines, Port7000, Program, example, fixture, kill, wait_until},
    under,
};

fn times(count: usize) -> usize {
    count * env::var("ENDURANCE").map_or(1, |text| text.parse().expect("a number"))
}

fn supervised(policy: &str, workers: usize) -> Program {
    let mut command = Command::new(fixture());
    under(command.arg("supervised"), policy);
    command.env("WORKERS", workers.to_string());
    Program::start(&mut command)
}

/// Open descriptors, and private memory in KiB.
fn belongings(pid: u32) -> (usize, usize) {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let private = |line: &&str| line.starts_with("Private_");
    let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<usize>().ok();
    (descriptors, memory.lines().filter(private).filter_map(kib).sum())
}

#[test]
fn many_reloads_leave_nothing_behind() {
    for policy in POLICIES {
        let program = supervised(policy, 4);
        program.nth_line("listens on ", 3);
        let reload = |number: usize| {
            program.signal(SIGHUP);
            program.nth_line("reload: Ok", number - 1);
        };
        let settled = || wait_until("four workers", || program.children().len() == 4);
        (1..=5).for_each(reload); // whatever is kept is there now
        settled();
        let before = belongings(program.pid());
        (6..=5 + times(20)).for_each(reload);
        settled();
        // A worker that still leaves when its successor starts has another socket of the group.
        let more = if policy == "reuse-port" { 4 } else { 0 };
        let has_settled = || belongings(program.pid()).0 <= before.0 + more;
        wait_until("as many descriptors as before", has_settled);
        let after = belongings(program.pid());
        assert!(after.1 <= before.1 + 512, "{policy}: private KiB {} then {}", before.1, after.1);
    }
}

/// What a process has used of the processor so far.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_crowd_of_workers() {
    let workers = 200;
    for policy in POLICIES {
        // Fewer files than the master needs: it takes what it may have, and its workers do not.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -Sn 200; exec \"$0\" supervised"]).arg(fixture());
        under(&mut command, policy).env("WORKERS", workers.to_string());
        let mut program = Program::start(&mut command);
        let line = program.nth_line("listens on ", workers - 1);
        let address = &line["listens on ".len()..];
        let children = program.children();
        assert_eq!(children.len(), workers);
        let limits = fs::read_to_string(format!("/proc/{}/limits", children[0])).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(files.split_whitespace().nth(3), Some("200"), "{files}");
        assert!((0..100).all(|_| Lines::connect(address).unwrap().ask("x").is_ok()));
        program.signal(SIGHUP);
        program.line("reload: Ok(1)");
        wait_until("the new workers alone", || program.children().len() == workers);
        let (before, since) = (cpu(program.pid()), Instant::now());
        thread::sleep(Duration::from_millis(300)); // this is what is measured: doing nothing
        let used = cpu(program.pid()) - before;
        assert!(used * 100 <= since.elapsed(), "{policy}: {used:?} for nothing");
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn workers_that_get_a_signal_finish_what_they_have() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut command = Command::new(example("hello"));
        under(&mut command, policy).env("WORKERS", "4");
        let program = Program::start(command.env("RUST_LOG", "debug"));
        program.nth_line("listens on", 3);
        let load = Load::on("127.0.0.1:7000", 2, 2);
        for round in 0..times(10) {
            let Some(&victim) = program.children().first() else { continue };
            kill(victim, SIGTERM);
            program.nth_line("listens on", 4 + round);
            wait_until("its end", || !program.children().contains(&victim));
        }
        let tally = load.end();
        assert_eq!(tally.failures, [""; 0], "{policy}, of {}", tally.answers);
    }
}
