//! Each worker has a socket of its own, and somebody always accepts from it.

use std::{
    collections::BTreeSet,
    fs, io, iter,
    mem::take,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTTIN, SIGTTOU, SIGUSR2};

use crate::{
    load::Load,
    support::{Lines, Port7000, Program, example, fixture, kill, on_cpu, several_cpus, wait_until},
    under,
};

/// Workers that start from now on are in this mood.
fn set_mood(file: &Path, mood: &str) {
    let new = file.with_extension("new");
    fs::write(&new, mood).unwrap();
    fs::rename(new, file).unwrap(); // nobody ever sees half of it
}

#[test]
fn a_slot_whose_workers_crash_keeps_nobody_waiting() {
    for mood in ["crash", "die"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mood");
        fs::write(&file, "fine").unwrap();
        let mut command = Command::new(fixture());
        command.arg("supervised").env("MOOD", &file).env("WORKERS", "3");
        let program = Program::start(under(&mut command, "reuse-port").env("RUST_LOG", "warn"));
        let line = program.nth_line("listens on ", 2);
        let address = &line["listens on ".len()..];
        set_mood(&file, mood);
        let victim = program.children()[0];
        kill(victim, SIGKILL);
        wait_until("its end", || !program.children().contains(&victim));
        for client in 0..300 {
            let answer = Lines::connect(address).unwrap().ask("x");
            assert!(answer.is_ok(), "{mood}: {answer:?} for {client}");
        }
    }
}

#[test]
fn fewer_workers_and_more_under_load_lose_nothing() {
    let _port = Port7000::take();
    let mut command = Command::new(example("hello"));
    under(&mut command, "reuse-port").env("WORKERS", "4");
    let program = Program::start(command.env("RUST_LOG", "debug"));
    program.nth_line("listens on", 3);
    let load = Load::on("127.0.0.1:7000", 2, 2);
    for round in 0..5 {
        for left in [3, 2, 1] {
            program.signal(SIGTTOU);
            wait_until("one fewer", || program.children().len() == left);
        }
        for more in 0..3 {
            program.signal(SIGTTIN);
            program.nth_line("listens on", 4 + 3 * round + more);
        }
    }
    let tally = load.end();
    assert_eq!(tally.failures, [""; 0], "of {}", tally.answers);
}

/// Clients that open a connection for each question.
struct Askers {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<io::Error>>>,
}

impl Askers {
    fn start(address: &str, count: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let start = |_| {
            let (address, is_over) = (address.to_owned(), is_over.clone());
            thread::spawn(move || {
                let ask = || Lines::connect(&address).and_then(|mut client| client.ask("x"));
                let outcomes = iter::from_fn(|| (!is_over.load(Relaxed)).then(ask));
                outcomes.filter_map(Result::err).collect()
            })
        };
        let clients = (0..count).map(start).collect();
        Self { is_over, clients }
    }

    /// What went wrong.
    fn end(mut self) -> Vec<io::Error> {
        self.is_over.store(true, Relaxed);
        take(&mut self.clients).into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

impl Drop for Askers {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
    }
}

/// Workers serve one connection at a time, and die while they serve the one that asks them to: so
/// all others are in nobody's hands.
#[test]
fn deaths_crashes_and_reloads_harm_no_connection_that_no_worker_has() {
    let folder = tempfile::tempdir().unwrap();
    let mood = folder.path().join("mood");
    set_mood(&mood, "fine");
    let mut command = Command::new(fixture());
    command.arg("supervised").env("MOOD", &mood).env("WORKERS", "4").env("SERIAL", "");
    let program = Program::start(under(&mut command, "reuse-port").env("RUST_LOG", "info"));
    let line = program.nth_line("listens on 1", 3);
    let address = &line["listens on ".len()..];
    let mut listening = 4;
    let mut wait_for_more = |count: usize| {
        listening += count;
        program.nth_line(&format!("listens on {address}"), listening - 1);
    };
    let kill_one = || assert!(Lines::connect(address).unwrap().ask("die").is_err());
    let clients = Askers::start(address, 6);
    for (round, (crash, how)) in
        [("crash", "ended: exit status: 3"), ("die", "ended: exit status: 4")].iter().enumerate()
    {
        for _ in 0..4 {
            kill_one();
            wait_for_more(1);
        }
        set_mood(&mood, crash);
        kill_one();
        program.nth_line(how, 5);
        set_mood(&mood, "fine");
        wait_for_more(1);
        program.signal(SIGHUP);
        program.nth_line("reload: Ok", round);
        wait_for_more(4);
        wait_until("the new ones alone", || program.children().len() == 4);
    }
    let failures = clients.end();
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn each_cpu_keeps_its_worker_whoever_that_is() {
    let Some(cpus) = several_cpus("each_cpu_keeps_its_worker_whoever_that_is") else { return };
    let mut command = Command::new(fixture());
    command.arg("supervised").env("WORKERS", "2").env("RUST_LOG", "info");
    let program = Program::start(command.env("CLUSTER_POLICY", "by-cpu"));
    let line = program.nth_line("listens on 1", 1);
    let address = &line["listens on ".len()..];
    // Who answers clients on the first CPU, and on the second.
    let answers = || {
        [cpus[0], cpus[1]].map(|cpu| {
            let ask = |_| Lines::connect(address).unwrap().ask("x").unwrap();
            on_cpu(cpu, || (0..50).map(ask).collect::<BTreeSet<_>>())
        })
    };
    let each_has_its_own = |youngest: u32| {
        wait_until("the worker of each CPU", || {
            let [one, other] = answers();
            let all: BTreeSet<_> = one.union(&other).copied().collect();
            one.len() == 1 && other.len() == 1 && all == BTreeSet::from([youngest - 1, youngest])
        });
    };
    each_has_its_own(2);
    program.signal(SIGHUP);
    program.line("reload: Ok(1)");
    each_has_its_own(4);
    program.signal(SIGUSR2);
    program.line("upgraded: generation 2");
    each_has_its_own(6);
    program.signal(SIGTTOU);
    wait_until("the last one for both", || {
        let [one, other] = answers();
        one.len() == 1 && one == other
    });
    program.signal(SIGTTIN);
    wait_until("both again", || {
        let [one, other] = answers();
        one.len() == 1 && other.len() == 1 && one != other
    });
}
