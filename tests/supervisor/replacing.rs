//! Workers are replaced, and nobody notices.

use std::process::Command;

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTERM, SIGTTIN, SIGTTOU, SIGWINCH};

use crate::{
    POLICIES,
    load::Load,
    support::{Lines, Port7000, Program, example, fixture, get, process_is_gone, wait_until},
    under,
};

const ADDRESS: &str = "127.0.0.1:7000";

fn hello(policy: &str, workers: usize) -> Program {
    let mut command = Command::new(example("hello"));
    under(&mut command, policy).env("WORKERS", workers.to_string());
    let program = Program::start(command.env("RUST_LOG", "debug"));
    (0..workers).for_each(|worker| drop(program.nth_line("listens on", worker)));
    program
}

#[test]
fn reloads_in_a_row_lose_nothing() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut program = hello(policy, 4);
        let first = program.children();
        let load = Load::on(ADDRESS, 2, 2);
        for reload in 1..=10 {
            program.signal(SIGHUP);
            program.line(&format!("reloaded: generation {reload}"));
        }
        let tally = load.end();
        assert_eq!(tally.failures, [""; 0], "{policy}, of {}", tally.answers);
        wait_until("the end of the old workers", || program.children().len() == 4);
        assert!(program.children().iter().all(|pid| !first.contains(pid)));
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0));
    }
}

#[test]
fn a_worker_more_and_one_fewer_and_never_none() {
    let _port = Port7000::take();
    let program = hello("none", 1);
    program.signal(SIGTTIN);
    program.nth_line("listens on", 1);
    assert_eq!(program.children().len(), 2);
    let load = Load::on(ADDRESS, 1, 1);
    for _ in 0..2 {
        program.signal(SIGTTOU);
        wait_until("one worker", || program.children().len() == 1);
    }
    let tally = load.end();
    assert_eq!(tally.failures, [""; 0], "of {}", tally.answers);
}

#[test]
fn a_pause_lets_clients_wait_until_a_reload() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let program = hello(policy, 2);
        program.signal(SIGWINCH);
        wait_until("no workers", || program.children().is_empty());
        let client = std::thread::spawn(|| get(ADDRESS));
        program.signal(SIGHUP);
        program.line("reloaded: generation 1");
        client.join().unwrap().unwrap();
    }
}

#[test]
fn one_that_leaves_by_itself_is_replaced_before_it_has_gone() {
    let mut command = Command::new(fixture());
    let program = Program::start(command.arg("supervised").env("PATIENCE", "100000"));
    let line = program.line("listens on ");
    let address = &line["listens on ".len()..];
    let mut client = Lines::connect(address).unwrap();
    client.ask("leave").unwrap();
    drop(client); // it stays until its clients have gone
    program.nth_line("listens on ", 1);
    let both = program.children();
    assert_eq!(both.len(), 2, "it does not end by itself");
    program.signal(SIGKILL);
    wait_until("their end", || both.iter().all(|&pid| process_is_gone(pid)));
}
