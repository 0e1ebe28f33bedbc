//! The master in other loops, and behind the plain functions.

use std::{
    io::ErrorKind,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use cluster::{Event, Master, Policy};
use mio::{Events, Interest, Poll, Token, Waker};
use serde_json::json;

use crate::{
    ANYWHERE, role,
    support::{Lines, PATIENCE, Program, fixture},
};

/// A loop that waits for the master only by its descriptor: what it misses it waits for too
/// long.
struct Foreign {
    poll: Poll,
    master: Master,
}

impl Foreign {
    fn new(mut master: Master) -> Self {
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut master, Token(0), Interest::READABLE).unwrap();
        Self { poll, master }
    }

    /// Runs until `done` has seen what it wants.
    fn until<T>(&mut self, mut done: impl FnMut(&mut Master, Event) -> Option<T>) -> T {
        let mut ready = Events::with_capacity(8);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the master was never readable again");
            wait(&mut self.poll, &mut ready, left);
            while let Some(event) = self.master.poll(Some(Duration::ZERO)).unwrap() {
                if let Some(found) = done(&mut self.master, event) {
                    return found;
                }
            }
        }
    }
}

fn wait(poll: &mut Poll, ready: &mut Events, timeout: Duration) {
    match poll.poll(ready, Some(timeout)) {
        Err(error) if error.kind() != ErrorKind::Interrupted => panic!("{error}"),
        _ => {}
    }
}

#[test]
fn a_foreign_loop_hears_of_everything() {
    for policy in crate::POLICIES {
        let mut master = Master::new(role("worker").policy(policy)).unwrap();
        let worker = master.fork().unwrap();
        let mut foreign = Foreign::new(master);
        foreign.until(|_, event| matches!(event, Event::Fork { .. }).then_some(()));
        worker.send(&json!({ "do": "listen", "address": ANYWHERE })).unwrap();
        let address = foreign.until(|_, event| match event {
            Event::Listening { address, .. } => Some(address.to_string()),
            _ => None,
        });
        let (answers, answered) = mpsc::channel();
        let clients = thread::spawn(move || {
            (0..20).for_each(|_| {
                answers.send(Lines::connect(&address).unwrap().ask("x").unwrap()).unwrap();
            });
        });
        for number in 0..500 {
            worker.send(&number).unwrap();
        }
        let mut next = 0;
        foreign.until(|_, event| {
            if let Event::Message { message, .. } = event
                && message.value.is_u64()
            {
                assert_eq!(message.value, next);
                next += 1;
            }
            (next == 500).then_some(())
        });
        worker.send("done?").unwrap();
        let mut count = 0;
        foreign.until(|_, event| {
            if matches!(event, Event::Message { .. }) {
                count += answered.try_iter().count();
                worker.send("done?").unwrap();
            }
            (count == 20).then_some(())
        });
        clients.join().unwrap();
        let wish = worker.clone();
        thread::spawn(move || wish.disconnect()).join().unwrap();
        foreign.until(|_, event| matches!(event, Event::Exit { .. }).then_some(()));
        assert!(foreign.master.is_finished());
    }
}

/// A worker that has enough connections refuses more. It is asked again after a while, which
/// only a deadline of the master's can bring about.
#[test]
fn a_deadline_makes_the_master_readable() {
    let mut master = Master::new(role("worker").policy(Policy::RoundRobin)).unwrap();
    let worker = master.fork().unwrap();
    let mut foreign = Foreign::new(master);
    worker.send(&json!({ "do": "listen", "address": ANYWHERE, "most": 1 })).unwrap();
    let address = foreign.until(|_, event| match event {
        Event::Listening { address, .. } => Some(address.to_string()),
        _ => None,
    });
    let bell = Waker::new(foreign.poll.registry(), Token(1)).unwrap();
    let client = thread::spawn(move || {
        let mut first = Lines::connect(&address).unwrap();
        first.ask("x").unwrap();
        let mut second = Lines::connect(&address).unwrap();
        second.say("y").unwrap();
        // In this time the worker has said no several times.
        second.be_patient(Duration::from_millis(50)).unwrap();
        second.hear("y").unwrap_err();
        drop(first);
        second.be_patient(PATIENCE).unwrap();
        let answer = second.hear("y").unwrap();
        bell.wake().unwrap();
        (answer, bell) // which rings as long as it lives
    });
    let mut ready = Events::with_capacity(8);
    let deadline = Instant::now() + PATIENCE;
    let mut rounds = 0;
    while ready.iter().all(|event| event.token() != Token(1)) {
        assert!(Instant::now() < deadline, "the master has slept over its deadline");
        wait(&mut foreign.poll, &mut ready, PATIENCE);
        while foreign.master.poll(Some(Duration::ZERO)).unwrap().is_some() {}
        rounds += 1;
    }
    assert_eq!(client.join().unwrap().0, 1);
    assert!(rounds < 1000, "{rounds} rounds: it spins");
}

#[test]
fn the_plain_functions() {
    let mut program = Program::start(Command::new(fixture()).arg("door"));
    let status = program.wait();
    assert!(status.success(), "{:#?}", program.lines());
    program.line("all is well");
}
