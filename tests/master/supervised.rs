//! What a supervisor adds, as its clients see it.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::support::{Lines, Program, fixture, kill, wait_until};

fn start(policy: &str, settings: &[(&str, &str)]) -> (Program, String) {
    let mut command = Command::new(fixture());
    command.arg("supervised").env("NODE_CLUSTER_SCHED_POLICY", policy);
    command.envs(settings.iter().copied());
    let program = Program::start(&mut command);
    let line = program.line("listens on ");
    (program, line["listens on ".len()..].to_owned())
}

/// A port that nobody has just now.
fn free_port() -> String {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

#[test]
fn the_only_worker_s_crash_refuses_nobody() {
    for policy in ["none", "rr"] {
        let (program, address) = start(policy, &[]);
        let stop = &AtomicBool::new(false);
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut refused = 0;
                while !stop.load(Relaxed) {
                    match Lines::connect(&address) {
                        Ok(mut client) => drop(client.ask("x")), // which may crash meanwhile
                        Err(_) => refused += 1,
                    }
                }
                refused
            });
            for crash in 1..=5 {
                kill(program.children()[0], SIGKILL);
                let line = program.nth_line("listens on ", crash);
                assert!(line.ends_with(&address), "{policy}: {line}");
            }
            stop.store(true, Relaxed);
            assert_eq!(client.join().unwrap(), 0, "{policy}: refused");
        });
    }
}

#[test]
fn a_stop_closes_the_door_and_lets_those_inside_finish() {
    for policy in ["none", "rr"] {
        let address = free_port();
        let (mut program, _) = start(policy, &[("PINNED", &address)]);
        let mut inside = Lines::connect(&address).unwrap();
        inside.ask("x").unwrap();
        program.signal(SIGTERM);
        wait_until("a closed door", || Lines::connect(&address).is_err());
        inside.ask("y").unwrap();
        drop(inside);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn a_talkative_worker_is_replaced_and_stopped_like_any_other() {
    for policy in ["none", "rr"] {
        let (mut program, address) = start(policy, &[]);
        Lines::connect(&address).unwrap().ask("talk").unwrap();
        assert_eq!(Lines::connect(&address).unwrap().ask("x").unwrap(), 1);
        kill(program.children()[0], SIGKILL);
        program.nth_line("listens on ", 1);
        assert_eq!(Lines::connect(&address).unwrap().ask("talk").unwrap(), 2);
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn a_worker_that_has_left_and_does_not_end_is_ended() {
    let (mut program, address) = start("none", &[("PATIENCE", "100")]);
    Lines::connect(&address).unwrap().ask("leave").unwrap();
    let line = program.nth_line("listens on ", 1);
    let address = &line["listens on ".len()..];
    assert_eq!(Lines::connect(address).unwrap().ask("x").unwrap(), 2);
    program.signal(SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}
