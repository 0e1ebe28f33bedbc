//! Molds that die or stand still while something else goes on; upgrades under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM, SIGUSR2};

use crate::{
    POLICIES,
    site::Site,
    support::{Lines, kill, process_is_gone, wait_until},
};

/// A client that never stops asking, each time over a new connection.
struct Load {
    stops: Arc<AtomicBool>,
    client: JoinHandle<Vec<String>>,
}

impl Load {
    fn on(address: &str) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let (address, has_to_stop) = (address.to_owned(), stops.clone());
        let client = thread::spawn(move || {
            let mut failures = Vec::new();
            while !has_to_stop.load(Ordering::Relaxed) {
                let outcome = Lines::connect(&address).and_then(|mut client| client.ask("x"));
                failures.extend(outcome.err().map(|error| error.to_string()));
            }
            failures
        });
        Self { stops, client }
    }

    /// What went wrong.
    fn end(self) -> Vec<String> {
        self.stops.store(true, Ordering::Relaxed);
        self.client.join().unwrap()
    }
}

/// The number of the process that loads as the `nth`.
fn mold(site: &Site, nth: usize) -> u32 {
    let line = site.program.nth_line(") loads", nth);
    line.split("(pid ").nth(1).unwrap().split(')').next().unwrap().parse().unwrap()
}

/// Waits until there are the workers, the mold, its copy, and no zombie.
#[track_caller]
fn expect_family(site: &Site, workers: usize) {
    wait_until("so many workers, the mold and its copy, and no zombie", || {
        let all = [site.all_children(), site.program.children().len()];
        all == [workers + 2; 2]
    });
}

#[test]
fn an_upgrade_under_load() {
    for policy in POLICIES {
        let mut site = Site::plan(policy, 2).of_release("one").start();
        let old = site.worker(1);
        let load = Load::on(&old.address);
        for (upgrade, release) in ["two", "one", "two"].into_iter().enumerate() {
            site.choose(release);
            site.program.signal(SIGUSR2);
            site.program.line(&format!("reload: Ok({})", upgrade + 1));
            assert_eq!(site.image(mold(&site, upgrade + 1)), release, "{policy}");
        }
        let failures = load.end();
        assert_eq!(failures, [""; 0], "{policy}");
        expect_family(&site, 2);
        site.program.signal(SIGTERM);
        assert_eq!(site.program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn the_guard_of_an_upgrade_makes_a_mold_of_its_own() {
    for policy in POLICIES {
        let mut site = Site::plan(policy, 2).of_release("one").start();
        let (one, two) = (site.worker(0), site.worker(1));
        site.settle(2);
        let load = Load::on(&one.address);
        site.break_release("broken");
        site.choose("broken");
        site.program.signal(SIGUSR2);
        let line = site.program.line("goes on with the old one");
        assert_eq!(site.program.wait().code(), Some(9), "{policy}");
        let guard: u32 = line
            .split("pid ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .unwrap()
            .parse()
            .unwrap();
        wait_until("the end of the old mold", || process_is_gone(one.loader));
        site.choose("one");
        kill(one.pid, SIGKILL);
        let three = site.worker(2);
        assert_ne!(three.loader, one.loader, "{policy}");
        let failures = load.end();
        // The connection that the killed worker had is lost with it.
        assert!(failures.len() <= 1, "{policy}: {failures:?}");
        kill(guard, SIGTERM);
        let all = [two.pid, three.pid, three.loader, guard];
        wait_until("their end", || all.iter().all(|&pid| process_is_gone(pid)));
    }
}

#[test]
fn a_mold_is_killed_while_its_successor_loads() {
    for policy in POLICIES {
        let site = Site::plan(policy, 2).start();
        let old = site.worker(1);
        site.settle(2);
        site.set("late");
        site.program.signal(SIGHUP);
        site.program.line("the mold waits");
        kill(old.loader, SIGKILL);
        kill(old.pid, SIGKILL); // so that a mold is needed before the reload
        site.program.line("exit of worker");
        site.set("fine");
        site.program.line("reload: Ok(1)");
        expect_family(&site, 2);
        assert!(Lines::connect(&old.address).unwrap().ask("x").is_ok(), "{policy}");
    }
}

#[test]
fn a_mold_is_killed_while_it_loads_for_a_reload() {
    let site = Site::plan("none", 2).start();
    let old = site.worker(1);
    site.settle(2);
    site.set("late");
    site.program.signal(SIGHUP);
    site.program.line("the mold waits");
    kill(mold(&site, 1), SIGKILL);
    let line = site.program.line("reload: ");
    assert!(line.contains("it ended before it had loaded (signal: 9 (SIGKILL))"), "{line}");
    expect_family(&site, 2);
    assert!(!process_is_gone(old.loader) && !process_is_gone(old.pid));
}

#[test]
fn a_new_mold_is_killed_while_its_workers_replace_the_old_ones() {
    for policy in POLICIES {
        let site = Site::plan(policy, 3).start();
        let old = site.worker(2);
        site.settle(3);
        site.program.signal(SIGHUP);
        let new = site.worker(3).loader;
        kill(new, SIGKILL);
        // Which of the molds goes on depends on how far the reload was, that it ends does not.
        site.program.line("reload: ");
        expect_family(&site, 3);
        let line = site.reload("fine", 1);
        assert!(line.starts_with("reload: Ok("), "{policy}: {line}");
        expect_family(&site, 3);
        wait_until("the end of the former", || process_is_gone(old.loader));
        assert!(Lines::connect(&old.address).unwrap().ask("x").is_ok(), "{policy}");
    }
}

#[test]
fn nothing_waits_for_a_mold_that_stands_still() {
    let mut site = Site::plan("none", 2).start();
    let old = site.worker(1);
    site.settle(2);
    kill(old.loader, SIGSTOP);
    kill(old.pid, SIGKILL);
    let third = site.worker(2); // the spare, and there is no other now
    kill(third.pid, SIGKILL);
    site.program.line("exit of worker 3");
    assert!(Lines::connect(&old.address).unwrap().ask("x").is_ok(), "the other one serves");
    site.program.signal(SIGHUP);
    site.program.line("reload: Ok(1)");
    wait_until("the end of the old mold", || process_is_gone(old.loader));
    expect_family(&site, 2);
    // One that goes on is as good as before.
    let new = mold(&site, 1);
    kill(new, SIGSTOP);
    kill(site.worker(3).pid, SIGKILL);
    kill(site.worker(4).pid, SIGKILL);
    site.program.nth_line("exit of worker", 4);
    kill(new, SIGCONT);
    expect_family(&site, 2);
    assert_eq!(mold(&site, 1), new);
    site.program.signal(SIGTERM);
    assert_eq!(site.program.wait().code(), Some(0));
    wait_until("its end", || process_is_gone(new));
}

#[test]
fn a_stop_ends_a_mold_that_stands_still() {
    let mut site = Site::plan("none", 1).start();
    let worker = site.worker(0);
    let spare = site.settle(1);
    [worker.loader, spare].into_iter().for_each(|pid| kill(pid, SIGSTOP));
    site.program.signal(SIGTERM);
    assert_eq!(site.program.wait().code(), Some(0));
    wait_until("their end", || [worker.loader, spare].into_iter().all(process_is_gone));
}
