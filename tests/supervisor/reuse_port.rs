//! Each worker has a socket of its own, and somebody always accepts from it.

use std::{fs, process::Command};

use nix::sys::signal::Signal::{SIGKILL, SIGTTIN, SIGTTOU};

use crate::{
    load::Load,
    support::{Lines, Port7000, Program, example, fixture, kill, wait_until},
    under,
};

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
        let file_to_come = file.with_extension("new");
        fs::write(&file_to_come, mood).unwrap();
        fs::rename(file_to_come, file).unwrap();
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
