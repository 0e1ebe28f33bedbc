//! What a child is where that is not what we are: rights, groups, CPUs, whose life it shares.

use crate::support::{PATIENCE, guarded, idle, line, text, wait_until};
use cluster::{
    Error, Event, ForkOptions, Master, Settings, Signal, WorkerRef,
    child_process::{Command, Stdio},
};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::{Pid, geteuid},
};
use std::io::Write as _;
use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    thread,
};

/// What /proc says of a child with this standing.
fn status(with: impl FnOnce(&mut Command) -> &mut Command) -> String {
    text(with(Command::new("cat").arg("/proc/self/status")).output())
}

fn failure(with: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let error = with(&mut Command::new("true")).output().expect_err("no such right");
    assert!(matches!(error, Error::Spawn { .. }), "{error:?}");
    format!("{error:?}")
}

fn our_cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("known");
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).expect("in range")).collect()
}

fn cpus_of(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    line(&status, "Cpus_allowed_list").to_owned()
}

#[test]
fn groups() {
    if !geteuid().is_root() {
        assert!(failure(|child| child.groups([7])).contains("cannot take its groups"));
        return;
    }
    assert_eq!(line(&status(|child| child.groups([7, 8])), "Groups"), "7 8");
    assert_eq!(line(&status(|child| child.uid(65534).groups([9])), "Groups"), "9");
    assert_eq!(line(&status(|child| child.groups([])), "Groups"), "");
    let too_many = failure(|child| child.groups(0..100_000));
    assert_eq!(
        too_many,
        "cannot start true: cannot take its groups: Invalid argument (os error 22)"
    );
    assert!(failure(|child| child.uid(u32::MAX)).contains("cannot take its user id"));
}

#[test]
fn file_mask() {
    let mask = |mask| text(Command::shell("umask").umask(mask).output());
    assert_eq!(mask(0o027), "0027\n");
    assert_eq!(mask(0o077), "0077\n");
}

#[test]
fn no_new_privileges() {
    assert_eq!(line(&status(Command::no_new_privs), "NoNewPrivs"), "1");
    let ours = fs::read_to_string("/proc/self/status").expect("proc");
    assert_eq!(line(&status(|child| child), "NoNewPrivs"), line(&ours, "NoNewPrivs"));
}

#[test]
fn cpus() {
    let last = *our_cpus().last().expect("one");
    let there = status(|child| child.cpus([last]));
    assert_eq!(line(&there, "Cpus_allowed_list"), last.to_string());
    for nothing in [vec![], vec![100_000]] {
        assert!(failure(|child| child.cpus(nothing)).contains("cannot be bound to its CPUs"));
    }
}

#[test]
fn workers_are_pinned_by_their_places() {
    let cpus = our_cpus();
    let settings = Settings::new().exec("sleep").arg("600").pin_cpus();
    let mut master = Master::new(settings).expect("a master");
    let workers: Vec<WorkerRef> =
        (0..=cpus.len()).map(|_| master.fork().expect("started")).collect();
    for (slot, worker) in workers.iter().enumerate() {
        assert_eq!(cpus_of(worker.pid()), cpus[slot % cpus.len()].to_string(), "slot {slot}");
    }
    // The first one's place is free again.
    workers[0].kill(Signal::KILL).expect("sent");
    while !matches!(master.poll(Some(PATIENCE)), Ok(Some(Event::Exit { .. }))) {}
    let replacement = master.fork().expect("started");
    assert_eq!(cpus_of(replacement.pid()), cpus[0].to_string());
    let third = ForkOptions::new().slot(cpus.len() - 1);
    let chosen = master.fork_with(&third).expect("started");
    assert_eq!(cpus_of(chosen.pid()), cpus[cpus.len() - 1].to_string());
}

/// What /proc says of a worker with these settings.
fn worker_status(settings: Settings) -> String {
    let settings = settings.exec("cat").arg("/proc/self/status").silent();
    let mut master = Master::new(settings).expect("a master");
    let worker = master.fork().expect("started");
    let mut status = String::new();
    worker.stdio(1).expect("a pipe").read_to_string(&mut status).expect("text");
    status
}

#[test]
fn workers_have_what_the_settings_say() {
    let status = worker_status(Settings::new().umask(0o057).no_new_privs());
    assert_eq!(line(&status, "Umask"), "0057");
    assert_eq!(line(&status, "NoNewPrivs"), "1");
    if !geteuid().is_root() {
        return writeln!(std::io::stderr(), "SKIPPED in part: only root may change users").unwrap();
    }
    let nobody = Settings::new().user("nobody");
    let status = worker_status(nobody.clone());
    assert_eq!((line(&status, "Uid"), line(&status, "Groups")), ("65534\t65534\t65534\t65534", ""));
    let in_database = text(Command::new("id").args(["-G", "nobody"]).output());
    let status = worker_status(nobody.clone().init_groups());
    assert_eq!(line(&status, "Groups"), in_database.trim());
    assert_eq!(line(&worker_status(nobody.groups([3, 4])), "Groups"), "3 4");
}

#[test]
fn settings_that_cannot_be_are_refused_at_once() {
    let error = |settings: Settings| Master::new(settings).map(drop).expect_err("no").to_string();
    assert_eq!(error(Settings::new().umask(0o1000)), "invalid umask: 1000");
    let nobody = error(Settings::new().uid(4_000_000_000).init_groups());
    assert_eq!(nobody, "invalid user: 4000000000 is not known on this system");
}

/// Not a test by itself: the parent that is killed in the next one.
#[test]
fn parent_of_two() {
    if env::var_os("CLUSTER_TEST_PARENT").is_none() {
        return;
    }
    let bound = idle().death_signal(Signal::TERM).spawn().expect("started");
    let free = idle().spawn().expect("started");
    println!("children {} {}", bound.pid(), free.pid());
    loop {
        thread::park();
    }
}

#[test]
fn a_child_may_end_with_its_parent() {
    let mut parent = guarded(
        Command::new(env::current_exe().expect("a path"))
            .args(["--exact", "standing::parent_of_two", "--nocapture"])
            .env("CLUSTER_TEST_PARENT", "1")
            .stdio([Stdio::Ignore, Stdio::Pipe, Stdio::Inherit])
            .spawn(),
    );
    let output = BufReader::new(parent.stdout.take().expect("a pipe"));
    let mut lines = output.lines().map(|line| line.expect("text"));
    // The harness has printed something before, without a line's end.
    let pids: Vec<i32> = lines
        .find_map(|line| Some(line.split_once("children ")?.1.to_owned()))
        .expect("two children")
        .split(' ')
        .map(|pid| pid.parse().expect("a number"))
        .collect();
    parent.kill(Signal::KILL).expect("sent");
    parent.wait().expect("waited");
    let runs = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| !line(&status, "State").starts_with('Z'))
    };
    wait_until("the bound child is gone", || !runs(pids[0]));
    assert!(runs(pids[1]), "the free one is an orphan");
    nix::sys::signal::kill(Pid::from_raw(pids[1]), nix::sys::signal::Signal::SIGKILL)
        .expect("an orphan");
}
