//! Node workers are replaced as well as ours.

use std::process::Command;

use nix::sys::signal::Signal::{SIGHUP, SIGTERM, SIGUSR2};

use crate::{
    POLICIES,
    load::Load,
    support::{Port7000, Program, fixture, kill, node, script, wait_until},
    under,
};

const ADDRESS: &str = "127.0.0.1:7000";
const WORKERS: usize = 2;

fn start(policy: &str) -> Program {
    let mut command = Command::new(fixture());
    command.args(["supervise", "node"]).arg(script("retiring.js")).arg("7000");
    under(&mut command, policy).env("WORKERS", WORKERS.to_string());
    let program = Program::start(command.env("RUST_LOG", "info"));
    program.nth_line("listens", WORKERS - 1);
    program
}

#[test]
fn reloads_and_an_upgrade_of_node_workers_lose_nothing() {
    if !node("reloads_and_an_upgrade_of_node_workers_lose_nothing") {
        return;
    }
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut program = start(policy);
        let load = Load::on(ADDRESS, 2, 2);
        for reload in 1..=3 {
            program.signal(SIGHUP);
            program.line(&format!("reloaded: generation {reload}"));
        }
        program.signal(SIGUSR2);
        program.line("upgraded: generation 4");
        let tally = load.end();
        assert_eq!(tally.failures, [""; 0], "{policy}, of {}", tally.answers);
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn a_node_worker_that_is_killed_costs_only_what_it_had_in_hand() {
    if !node("a_node_worker_that_is_killed_costs_only_what_it_had_in_hand") {
        return;
    }
    let _port = Port7000::take();
    for policy in POLICIES {
        let program = start(policy);
        let load = Load::on(ADDRESS, 2, 2);
        kill(program.children()[0], SIGTERM); // which ends a Node process at once
        program.nth_line("listens", WORKERS);
        wait_until("all workers", || program.children().len() == WORKERS);
        let tally = load.end();
        assert!(tally.failures.len() <= 4, "{policy}: {:?}", tally.failures);
        assert!(tally.failures.iter().all(|one| !one.contains("Refused")), "{policy}");
    }
}
