//! The children of PID 1, and of a subreaper.

use crate::namespace::{is_inside, run};
use cluster::{Reaper, child_process};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::prctl::set_child_subreaper,
};
use std::{
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Turns the reaper as a loop does, until something holds.
fn turn(
    reaper: &mut Reaper,
    clock: impl Fn() -> Instant,
    what: &str,
    mut holds: impl FnMut() -> bool,
) -> usize {
    let end = Instant::now() + PATIENCE;
    let mut reaped = 0;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        reaped += reaper.reap(clock());
        // What is waited for may be nothing that the reaper hears of.
        let look = Instant::now() + Duration::from_millis(20);
        let until = reaper.deadline().map_or(look, |deadline| deadline.min(look));
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let mut fds = [PollFd::new(reaper.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::try_from(left).unwrap()); // or a signal came
    }
    reaped
}

fn exists(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

/// As a process that gets strangers.
fn reap_strangers() {
    let mut reaper = Reaper::take().unwrap().expect("strangers come to us");
    // Children of ours that end and are asked for late only, by this crate and by std.
    let mut ours = child_process::spawn("sh", ["-c", "exit 7"]).unwrap();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do (sh -c 'echo $$; exit 3' &); done";
    let strangers = child_process::exec_sync(script).unwrap();
    let strangers = String::from_utf8(strangers).unwrap();
    let strangers: Vec<&str> = strangers.split_whitespace().collect();
    assert_eq!(strangers.len(), 10);
    let waiting = std::thread::spawn(|| {
        let mut statuses = Vec::new();
        for code in 0..20 {
            let script = format!("exit {code}");
            let status = std::process::Command::new("sh").args(["-c", &script]).status();
            statuses.push((code, status.map(|status| status.code())));
        }
        statuses
    });
    // Nobody's grace is over while the clock stands still, however slow this machine is.
    let now = Instant::now();
    let reaped = turn(&mut reaper, || now, "std's are done", || waiting.is_finished());
    assert_eq!(reaped, 0);
    for (code, status) in waiting.join().unwrap() {
        assert_eq!(status.unwrap(), Some(code), "nobody took it");
    }
    let is_over = || strangers.iter().all(|pid| !exists(pid));
    let reaped = turn(&mut reaper, Instant::now, "all are gone", is_over);
    assert!(reaped >= 10, "{reaped}");
    assert_eq!(ours.wait().unwrap().code(), Some(7), "nobody took it");

    // One of ours that was dropped is none of the reaper's, nor does it stay.
    let dropped = child_process::spawn("true", [""; 0]).unwrap();
    let pid = dropped.pid().to_string();
    drop(dropped);
    turn(&mut reaper, Instant::now, "the dropped one is gone", || {
        child_process::spawn_sync("true", [""; 0]).unwrap();
        !exists(&pid)
    });
}

#[test]
fn the_first_process_reaps_strangers() {
    if !is_inside() {
        let options = ["--pid", "--fork", "--mount-proc"];
        run("strangers::the_first_process_reaps_strangers", &options, "");
        return;
    }
    assert_eq!(std::process::id(), 1);
    reap_strangers();
}

#[test]
fn a_subreaper_reaps_strangers() {
    if !is_inside() {
        run("strangers::a_subreaper_reaps_strangers", &[], "").expect("nothing is unshared");
        return;
    }
    assert!(Reaper::take().unwrap().is_none(), "no strangers come to us");
    set_child_subreaper(true).unwrap();
    reap_strangers();
}
