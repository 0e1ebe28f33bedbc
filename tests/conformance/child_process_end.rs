//! How children end, and who ends them.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use cluster::{
    Error, Signal,
    child_process::{Abort, Command},
};
use nix::{sys::signal, unistd::Pid};

use crate::{
    family::{End, KILL, TERM, all, child, guarded, hear, idle},
    house::{Form, rows},
    support::{process_is_gone, wait_until},
};

rows! {
    child_process_destroy: rust;
    child_process_detached: rust;
    child_process_fork_abort_signal: rust worker;
    child_process_fork_detached: rust worker;
    child_process_fork_timeout_kill_signal: rust worker;
    child_process_kill: rust;
    child_process_spawn_controller: rust;
    child_process_spawn_timeout_kill_signal: rust;
}

const SOON: Duration = Duration::from_millis(50);

fn child_process_destroy(_: Form) {
    let mut cat = guarded(Command::new("cat").spawn());
    assert!(!cat.killed() && cat.try_wait().unwrap().is_none());
    assert!(cat.kill(Signal::TERM).unwrap() && cat.killed());
    assert_eq!(cat.end(), TERM);
    assert_eq!(
        (all(cat.stdout.take().unwrap()), all(cat.stderr.take().unwrap())),
        Default::default()
    );
    assert!(!cat.kill(Signal::TERM).unwrap(), "it has gone");
}

/// A grandchild that is detached survives its parent; its end is ours to bring about.
fn outlives(command: &mut Command, kill_parent: bool) {
    let mut child = guarded(command.silent().fork());
    let grandchild: i32 = hear(&child).parse().unwrap();
    if kill_parent {
        child.kill(Signal::KILL).unwrap();
    } else {
        child.disconnect();
    }
    child.end();
    assert!(process_is_gone(child.pid()));
    let status = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap();
    let fields: Vec<_> = status.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!(fields[3], grandchild.to_string(), "a session of its own");
    signal::kill(Pid::from_raw(grandchild), signal::Signal::SIGKILL).unwrap();
}

fn child_process_detached(_: Form) {
    outlives(&mut child(Form::Rust, "detach"), false);
}

fn child_process_fork_detached(form: Form) {
    outlives(&mut child(form, "detach"), true);
}

/// Aborted later, before the start, and after the end.
fn check_abort(
    make: impl Fn() -> Command,
    start: impl Fn(&Command) -> cluster::Result<cluster::child_process::Child>,
) {
    for (early, signal, end) in
        [(false, Signal::TERM, TERM), (true, Signal::TERM, TERM), (true, Signal::KILL, KILL)]
    {
        let abort = Abort::new();
        if early {
            abort.abort();
        }
        let mut child = guarded(start(make().abort_on(&abort).kill_signal(signal)));
        abort.abort();
        assert_eq!(child.end(), end);
        assert!(child.killed());
    }
    let abort = Abort::new();
    let child = start(make().abort_on(&abort)).unwrap();
    let waiting = thread::spawn(|| child.output());
    abort.abort();
    let result = waiting.join().unwrap();
    assert!(matches!(&result, Err(Error::Aborted { .. })), "{result:?}");

    let abort = Abort::new();
    let mut child = guarded(start(make().abort_on(&abort)));
    child.kill(Signal::KILL).unwrap();
    assert_eq!(child.end(), KILL);
    abort.abort();
    assert_eq!(child.end(), KILL);
}

fn child_process_spawn_controller(_: Form) {
    check_abort(idle, Command::spawn);
}

fn child_process_fork_abort_signal(form: Form) {
    check_abort(|| child(form, "stay"), Command::fork);
}

fn check_timeout(
    mut command: Command,
    start: impl Fn(&Command) -> cluster::Result<cluster::child_process::Child>,
) {
    let begin = Instant::now();
    for (signal, end) in [(Signal::TERM, TERM), (Signal::KILL, KILL)] {
        let mut child = guarded(start(command.timeout(SOON).kill_signal(signal)));
        assert_eq!(child.end(), end);
        assert!(child.killed() && begin.elapsed() >= SOON);
    }
}

fn child_process_spawn_timeout_kill_signal(_: Form) {
    check_timeout(idle(), Command::spawn);
}

fn child_process_fork_timeout_kill_signal(form: Form) {
    check_timeout(child(form, "stay"), Command::fork);
}

fn child_process_kill(_: Form) {
    let mut cat = guarded(Command::new("cat").spawn());
    assert!(cat.try_wait().unwrap().is_none(), "a look kills nobody");
    assert!(cat.kill(Signal::TERM).unwrap() && cat.killed());
    assert_eq!(cat.end(), TERM);
    for (signal, end) in
        [(Signal::KILL, KILL), (Signal::INT, End::Signal(2)), (Signal::QUIT, End::Signal(3))]
    {
        let mut cat = guarded(Command::new("cat").spawn());
        cat.kill(signal).unwrap();
        assert_eq!(cat.end(), end);
    }
    let process = format!("/proc/{}", cat.pid());
    wait_until("nothing is left of it", || !Path::new(&process).exists());
}
