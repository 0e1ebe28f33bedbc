//! What goes wrong while a mold loads and while it is copied.

use nix::sys::signal::Signal::{SIGKILL, SIGSTOP, SIGTERM};

use crate::{
    POLICIES,
    site::Site,
    support::{Lines, kill, process_is_gone, wait_until},
};

#[test]
fn a_start_fails_with_the_reason() {
    let faults = [
        ("crash", "it ended before it had loaded (exit status: 3)"),
        ("never", "it is to be a worker before it has called `preload`"),
        ("stranger", "it ended before it had called `preload` (exit status: 6), as it must"),
        ("idle", "it did not call `preload` in 300ms, as it must"),
        ("hang", "it did not load in 300ms"),
        ("thread", "a program with other threads (prefetcher) cannot be copied"),
    ];
    for (mood, reason) in faults {
        let mut site = Site::plan("none", 2).env("START", "300").loading(mood).start();
        assert_eq!(site.program.wait().code(), Some(1), "{mood}");
        let line = site.program.line("only 0 of at least 1 workers became ready");
        assert!(line.contains(reason), "{mood}: {line}");
    }
}

#[test]
fn a_start_succeeds_when_the_fault_is_mended() {
    let site = Site::plan("none", 2).loading("crash").start();
    site.program.line("there is no model");
    site.set("fine");
    site.worker(1);
}

#[test]
fn a_mold_that_lies_is_given_up() {
    for (mood, reason) in [
        ("rubbish", "it says what no mold says"),
        ("chatter", "it says what no mold says"),
        ("claim", "its copy 1 is no child of ours"),
    ] {
        let site = Site::plan("none", 1).loading(mood).start();
        site.program.line(reason);
        site.set("fine");
        let worker = site.worker(0);
        assert!(Lines::connect(&worker.address).unwrap().ask("x").is_ok(), "{mood}");
    }
}

#[test]
fn the_old_mold_and_its_workers_stay_when_a_reload_fails() {
    for policy in POLICIES {
        let site = Site::plan(policy, 2).env("START", "2000").start();
        let (one, two) = (site.worker(0), site.worker(1));
        let faults = [
            ("crash", "it ended before it had loaded (exit status: 3)"),
            ("never", "it is to be a worker before it has called `preload`"),
            ("hang", "it did not load in 2s"),
            ("thread", "(prefetcher) cannot be copied"),
            ("broken", "ended before it was ready (exit status: 5)"),
        ];
        for (number, (mood, reason)) in faults.into_iter().enumerate() {
            let line = site.reload(mood, number);
            assert!(line.contains(reason), "{policy}, {mood}: {line}");
            assert!([&one, &two].iter().all(|worker| !process_is_gone(worker.pid)), "{mood}");
            assert!(Lines::connect(&one.address).unwrap().ask("x").is_ok(), "{mood}");
        }
        // The old mold is asked, and knows nothing of the file.
        kill(one.pid, SIGKILL);
        assert_eq!(site.worker(2).loader, one.loader, "{policy}");
        let line = site.reload("fine", faults.len());
        assert!(line.starts_with("reload: Ok("), "{policy}: {line}");
        wait_until("the end of the old mold", || process_is_gone(one.loader));
    }
}

#[test]
fn a_mold_that_does_not_answer_is_given_up() {
    let site = Site::plan("none", 1).env("START", "1000").start();
    let one = site.worker(0);
    let spare = site.settle(1);
    kill(one.loader, SIGSTOP);
    kill(one.pid, SIGKILL); // the copy that waits takes its place, and the mold is to make another
    let two = site.worker(1);
    assert_eq!((two.pid, two.loader), (spare, one.loader));
    site.program.line("it did not make a copy in 1s");
    wait_until("its end", || process_is_gone(one.loader));
    kill(two.pid, SIGKILL);
    assert_ne!(site.worker(2).loader, one.loader);
}

#[test]
fn a_stop_while_a_mold_loads() {
    let mut site = Site::plan("none", 1).loading("hang").start();
    site.program.line("loads");
    site.program.signal(SIGTERM);
    assert_eq!(site.program.wait().code(), Some(0));
    let site = Site::plan("none", 1).start();
    site.worker(0);
    site.set("hang");
    site.program.signal(nix::sys::signal::Signal::SIGHUP);
    site.program.nth_line("loads", 1);
    site.program.signal(SIGTERM);
    let line = site.program.line("reload: ");
    assert!(line.contains("all workers were asked to leave"), "{line}");
}

#[test]
fn a_master_that_is_killed_leaves_nobody_behind() {
    let site = Site::plan("rr", 2).start();
    site.worker(1);
    site.settle(2);
    let family = site.program.children();
    site.program.signal(SIGKILL);
    wait_until("their end", || family.iter().all(|&pid| process_is_gone(pid)));
}
