//! How a child ends, and how its parent learns of it.

use crate::support::{PATIENCE, alone, guarded, idle, wait_until};
use cluster::{
    Error, Signal,
    child_process::{self, Command, Stdio},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::Path,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

#[test]
fn exit_codes() {
    for code in [0, 1, 23, 255] {
        let mut child = guarded(child_process::exec(format!("exit {code}")));
        let status = child.wait().expect("ends");
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert_eq!(child.wait().expect("remembered").code(), Some(code));
        assert_eq!(child.try_wait().expect("remembered"), Some(status));
    }
}

#[test]
fn ends_by_signals() {
    for signal in [Signal::TERM, Signal::KILL, Signal::HUP, Signal::PIPE, Signal::USR1] {
        let mut child = guarded(idle().spawn());
        assert!(!child.killed());
        assert!(child.kill(signal).expect("sent"));
        let status = child.wait().expect("ends");
        assert_eq!((status.code(), status.signal()), (None, Some(signal.number())));
        assert!(child.killed());
        assert!(!child.kill(signal).expect("nothing to send to"));
    }
    let realtime = Signal::from_number(40).expect("there is one");
    let mut child = guarded(idle().spawn());
    assert!(child.kill(realtime).expect("sent"));
    assert_eq!(child.wait().expect("ends").signal(), Some(40));
}

#[test]
fn a_child_that_has_ended_takes_no_signal() {
    let mut child = guarded(Command::new("true").spawn());
    let mut fds = [PollFd::new(child.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::MAX), Ok(1));
    assert!(!child.kill(Signal::TERM).expect("a zombie"));
    assert!(child.wait().expect("ends").success());
    assert!(!child.killed());
}

#[test]
fn stop_and_continue_are_no_end() {
    let mut child = guarded(idle().spawn());
    let stat = format!("/proc/{}/stat", child.pid());
    let state = |letter: &str| {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(&format!(") {letter} ")))
    };
    assert!(child.kill(Signal::STOP).expect("sent"));
    wait_until("stopped", || state("T"));
    assert_eq!(child.try_wait().expect("known"), None);
    assert!(child.kill(Signal::CONT).expect("sent"));
    wait_until("continued", || state("S"));
    assert_eq!(child.wait_timeout(Duration::ZERO).expect("known"), None);
}

#[test]
fn waiting_for_a_while() {
    let mut child = guarded(idle().spawn());
    let begin = Instant::now();
    assert_eq!(child.wait_timeout(Duration::from_millis(30)).expect("known"), None);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    child.kill(Signal::KILL).expect("sent");
    let status = child.wait_timeout(PATIENCE).expect("known").expect("ended");
    assert_eq!(status.signal(), Some(9));
}

#[test]
fn a_failure_holds_the_output() {
    let error = child_process::exec_sync("echo out; echo why >&2; exit 3").expect_err("3");
    assert_eq!(
        format!("{error:?}"),
        "echo out; echo why >&2; exit 3 failed with exit status: 3, saying: why"
    );
    let Error::Failed { output, .. } = error else { panic!("{error:?}") };
    assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"why\n".to_vec()));
    assert_eq!(output.status.code(), Some(3));
    let missing = child_process::exec("cluster-test-no-such-program").expect("the shell is there");
    assert_eq!(missing.output().expect("runs").status.code(), Some(127));
}

#[test]
fn the_sync_forms() {
    assert_eq!(child_process::exec_file_sync("echo", ["a"]).expect("0"), b"a\n");
    assert_eq!(child_process::exec_sync("echo b").expect("0"), b"b\n");
    let output = child_process::spawn_sync("sh", ["-c", "exit 4"]).expect("runs");
    assert_eq!(output.status.code(), Some(4));
    assert!(output.pid > 0);
    let child = child_process::exec_file("echo", ["c"]).expect("started");
    assert_eq!((child.spawnfile(), child.spawnargs().len()), ("echo".as_ref(), 2));
    assert_eq!(child.output().expect("runs").stdout, b"c\n");
}

#[test]
fn a_dropped_child_runs_on() {
    let (mut ours, childs) = UnixStream::pair().expect("a pair");
    let mut command = Command::shell("read line; echo \"$line, still here\" >&0");
    command.stdio([childs.into(), Stdio::Ignore, Stdio::Ignore]);
    drop(command.spawn().expect("started"));
    drop(command);
    ours.write_all(b"well\n").expect("read");
    let mut said = String::new();
    ours.read_to_string(&mut said).expect("text");
    assert_eq!(said, "well, still here\n");
}

#[test]
fn a_dropped_child_leaves_no_zombie() {
    let child = guarded(idle().spawn());
    let process = format!("/proc/{}", child.pid());
    drop(child); // the guard kills it just before
    wait_until("reaped", || {
        child_process::spawn_sync("true", [""; 0]).expect("runs");
        !Path::new(&process).exists()
    });
}

#[test]
fn many_at_once() {
    const THREADS: usize = 8;
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for round in 0..20 {
                    let word = format!("{thread}-{round}");
                    let output = child_process::exec_file_sync("echo", [&word]).expect("0");
                    assert_eq!(output, format!("{word}\n").as_bytes());
                    child_process::spawn("/no/such/program", [""; 0]).expect_err("missing");
                }
            });
        }
    });
}

#[test]
fn a_handler_for_sigchld_disturbs_nobody() {
    if !alone("end::a_handler_for_sigchld_disturbs_nobody") {
        return;
    }
    let seen = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(nix::libc::SIGCHLD, Arc::clone(&seen)).expect("a handler");
    for _ in 0..50 {
        assert_eq!(child_process::exec_sync("echo a").expect("0"), b"a\n");
    }
    assert!(seen.load(Ordering::Relaxed), "waits were interrupted");
}
