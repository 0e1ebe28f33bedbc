//! Workers that are copies of a process which has loaded their program.

#[path = "../support/mod.rs"]
mod support;

mod combined;
mod faults;
mod memory;
mod site;
mod troubled;

use std::collections::BTreeSet;

use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR2};
use site::Site;
use support::{Lines, kill, process_is_gone, wait_for, wait_until};

const POLICIES: [&str; 3] = ["none", "rr", "reuse-port"];

#[test]
fn copies_serve_and_one_process_has_loaded_for_all() {
    for policy in POLICIES {
        let mut site = Site::plan(policy, 3).start();
        let workers: Vec<_> = (0..3).map(|nth| site.worker(nth)).collect();
        let loaders: BTreeSet<u32> = workers.iter().map(|worker| worker.loader).collect();
        assert_eq!(loaders.len(), 1, "{policy}: {workers:?}");
        assert!(workers.iter().all(|worker| worker.loader != worker.pid), "{policy}");
        assert!(workers.iter().all(|worker| worker.sum == 256), "{policy}: a page each of 1 MiB");
        let children = site.program.children();
        assert!(workers.iter().all(|worker| children.contains(&worker.pid)), "they are its own");
        let mut heard = BTreeSet::new();
        wait_until("an answer from each worker", || {
            heard.insert(Lines::connect(&workers[0].address).unwrap().ask("x").unwrap());
            heard.len() == 3
        });
        site.program.signal(SIGTERM);
        assert_eq!(site.program.wait().code(), Some(0), "{policy}");
        wait_until("nobody left", || workers.iter().all(|worker| process_is_gone(worker.pid)));
        wait_until("no mold left", || process_is_gone(workers[0].loader));
    }
}

#[test]
fn workers_are_children_with_an_exit_status_and_are_replaced() {
    for policy in POLICIES {
        let site = Site::plan(policy, 1).start();
        let first = site.worker(0);
        Lines::connect(&first.address).unwrap().say("exit").unwrap();
        site.program.line("exit of worker 1: exit status: 7");
        let second = site.worker(1);
        kill(second.pid, SIGKILL);
        site.program.line("exit of worker 2: signal: 9 (SIGKILL)");
        let third = site.worker(2);
        assert_eq!((second.loader, third.loader), (first.loader, first.loader), "{policy}");
        assert!(Lines::connect(&third.address).unwrap().ask("x").is_ok());
    }
}

#[test]
fn a_mold_that_is_killed_is_made_anew_and_the_workers_live_on() {
    for policy in POLICIES {
        let site = Site::plan(policy, 2).start();
        let (one, two) = (site.worker(0), site.worker(1));
        site.program.line("has loaded");
        site.settle(2);
        kill(one.loader, SIGKILL);
        site.program.nth_line("has loaded", 1);
        assert!(!process_is_gone(one.pid) && !process_is_gone(two.pid));
        kill(one.pid, SIGKILL);
        let three = site.worker(2);
        assert_ne!(three.loader, one.loader);
        assert!(Lines::connect(&three.address).unwrap().ask("x").is_ok(), "{policy}");
    }
}

#[test]
fn a_copy_that_waits_is_killed() {
    let site = Site::plan("none", 1).start();
    let worker = site.worker(0);
    let spare = site.settle(1);
    kill(spare, SIGKILL);
    kill(worker.pid, SIGKILL);
    let next = site.worker(1);
    assert!(Lines::connect(&next.address).unwrap().ask("x").is_ok());
}

#[test]
fn a_reload_makes_a_new_mold_of_the_program_that_is_there_then() {
    for policy in POLICIES {
        let site = Site::plan(policy, 2).of_release("one").start();
        let old = [site.worker(0), site.worker(1)];
        let mut client = Lines::connect(&old[0].address).unwrap();
        client.ask("before").unwrap();
        site.choose("two");
        site.program.signal(SIGHUP);
        site.program.line("reload: Ok(1)");
        let new = [site.worker(2), site.worker(3)];
        assert_eq!(new[0].loader, new[1].loader, "{policy}");
        assert_ne!(new[0].loader, old[0].loader, "{policy}");
        for worker in &new {
            assert_eq!(site.image(worker.pid), "two", "{policy}");
        }
        assert_eq!(site.image(new[0].loader), "two", "{policy}");
        wait_until("the end of the old mold", || process_is_gone(old[0].loader));
        client.ask("the old worker finishes what it has").unwrap();
    }
}

#[test]
fn reloads_in_a_row_supersede_each_other_and_each_is_answered() {
    let site = Site::plan("none", 2).start();
    site.worker(1);
    for _ in 0..3 {
        site.program.signal(SIGHUP);
    }
    site.program.line("reload: Ok(");
    let outcomes: Vec<String> =
        site.program.lines().into_iter().filter(|line| line.starts_with("reload: ")).collect();
    let (last, others) = outcomes.split_last().unwrap();
    assert!(last.starts_with("reload: Ok("), "{outcomes:?}");
    let is_superseded = |line: &String| line.contains("another reload took its place");
    assert!(others.iter().all(is_superseded), "{outcomes:?}");
}

#[test]
fn an_upgrade_takes_the_mold_along_until_there_is_another() {
    let site = Site::plan("none", 2).of_release("one").start();
    let old = site.worker(1);
    site.choose("two");
    site.program.signal(SIGUSR2);
    site.program.line("reload: Ok(1)");
    let new = site.worker(3);
    assert_eq!(site.image(new.pid), "two");
    assert_ne!(new.loader, old.loader);
    wait_until("the end of the old mold", || process_is_gone(old.loader));
    // The workers, the mold, and its copy that waits; no zombie either.
    wait_for("nobody else", || (site.all_children() == 4).then_some(()));
}

#[test]
fn a_terminals_interrupt_leaves_the_mold_alone() {
    let site = Site::plan("none", 1).start();
    let worker = site.worker(0);
    kill(worker.loader, SIGINT);
    kill(worker.pid, SIGKILL);
    assert_eq!(site.worker(1).loader, worker.loader);
}
