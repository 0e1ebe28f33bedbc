//! What happens to a worker, in its order.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use cluster::{Event, Master, Signal, State, WorkerRef};
use serde_json::json;

use crate::{ANYWHERE, POLICIES, role, support::process_is_gone};

fn next(master: &mut Master) -> Event {
    master.poll(Some(crate::support::PATIENCE)).unwrap().expect("an event in time")
}

/// All events up to the end of the last worker.
fn rest(master: &mut Master) -> Vec<Event> {
    let mut events = Vec::new();
    while !master.is_finished() {
        events.push(next(master));
    }
    assert!(master.poll(None).unwrap().is_none(), "no worker is left");
    events
}

fn names(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Fork { .. } => "fork",
        Event::Online { .. } => "online",
        Event::Listening { .. } => "listening",
        Event::Ready { .. } => "ready",
        Event::Message { .. } => "message",
        Event::Disconnect { .. } => "disconnect",
        Event::Exit { .. } => "exit",
        Event::Error { .. } => "error",
        _ => "new",
    };
    events.iter().map(name).collect()
}

fn status(events: &[Event]) -> ExitStatus {
    let Some(Event::Exit { status, .. }) = events.last() else { panic!("{events:?}") };
    *status
}

#[test]
fn events_and_states_of_a_worker_in_order() {
    for policy in POLICIES {
        let mut master = Master::new(role("worker").policy(policy)).unwrap();
        assert!(master.is_finished());
        let worker = master.fork().unwrap();
        assert_eq!((worker.id(), worker.to_string().as_str()), (1, "worker 1"));
        assert_eq!((worker.state(), worker.is_connected()), (State::Starting, true));
        assert!(!master.is_finished());

        assert!(matches!(next(&mut master), Event::Fork { worker: of } if of == worker));
        assert!(matches!(next(&mut master), Event::Online { worker: of } if of == worker));
        assert_eq!((worker.state(), worker.addresses()), (State::Online, vec![]));

        worker.send(&json!({ "do": "listen", "address": ANYWHERE })).unwrap();
        let Event::Listening { address, .. } = next(&mut master) else { panic!("{policy:?}") };
        assert_ne!(address.port(), Some(0));
        assert_eq!((worker.state(), worker.addresses()), (State::Listening, vec![address.clone()]));
        let Event::Message { message, .. } = next(&mut master) else { panic!("{policy:?}") };
        assert_eq!(message.value["listening"], address.to_string());

        master.disconnect();
        assert!(worker.exited_after_disconnect() && worker.addresses().is_empty());
        assert!(matches!(next(&mut master), Event::Disconnect { .. }));
        assert!(matches!(worker.state(), State::Disconnected | State::Dead), "or dead by now");
        assert!(!worker.is_connected());
        let end = rest(&mut master);
        assert_eq!(names(&end), ["exit"]);
        assert_eq!((status(&end).code(), worker.state()), (Some(0), State::Dead));

        assert!(worker.is_dead() && master.workers().is_empty() && master.worker(1).is_none());
        assert!(!worker.send(&1).unwrap() && !worker.kill(Signal::KILL).unwrap());
        worker.disconnect(); // it is gone, and that is no harm
        assert_eq!(master.fork().unwrap().id(), 2, "numbers are not given again");
    }
}

#[test]
fn numbers_and_the_table_of_workers() {
    let mut master = Master::new(role("worker")).unwrap();
    let workers: Vec<WorkerRef> = (0..3).map(|_| master.fork().unwrap()).collect();
    assert_eq!(workers.iter().map(WorkerRef::id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(master.workers(), workers);
    assert_eq!(master.worker(2).as_ref(), Some(&workers[1]));
    assert_eq!(master.worker(4), None);
    assert_ne!(workers[0], workers[1]);
    assert!(workers.iter().all(|worker| !process_is_gone(worker.pid())));
    drop(master);
    assert!(workers.iter().all(|worker| process_is_gone(worker.pid())), "they go with it");
    for worker in workers {
        assert!(worker.is_dead() && !worker.is_connected() && !worker.send(&1).unwrap());
    }
}

#[test]
fn messages_come_before_disconnect_and_disconnect_before_exit() {
    let mut master = Master::new(role("parting")).unwrap();
    let worker = master.fork().unwrap();
    let events = rest(&mut master);
    let messages = events.iter().filter_map(|event| match event {
        Event::Message { message, .. } => message.value.as_u64(),
        _ => None,
    });
    assert_eq!(messages.collect::<Vec<_>>(), (1..=1000).collect::<Vec<_>>());
    let names = names(&events);
    assert_eq!(names[..2], ["fork", "online"]);
    assert!(names[2..1002].iter().all(|name| *name == "message"));
    assert_eq!(names[1002..], ["disconnect", "exit"]);
    assert_eq!(status(&events).code(), Some(3));
    assert!(!worker.exited_after_disconnect());
}

#[test]
fn a_killed_worker_disconnects_and_ends() {
    let mut master = Master::new(role("worker")).unwrap();
    let worker = master.fork().unwrap();
    while !matches!(next(&mut master), Event::Online { .. }) {}
    assert!(worker.kill(Signal::KILL).unwrap());
    let events = rest(&mut master);
    assert_eq!(names(&events), ["disconnect", "exit"]);
    assert_eq!(status(&events).signal(), Some(9));
    assert!(!worker.exited_after_disconnect(), "a signal is no wish to disconnect");
}

/// A program that knows nothing of the channel is a worker all the same.
#[test]
fn a_program_that_never_looks_for_its_channel() {
    let settings = cluster::Settings::new().exec("sleep").arg("3600");
    let mut master = Master::new(settings).unwrap();
    let worker = master.fork().unwrap();
    assert!(matches!(next(&mut master), Event::Fork { .. }));
    assert!(master.poll(Some(std::time::Duration::ZERO)).unwrap().is_none());
    assert!(!master.is_finished());
    assert_eq!(worker.state(), State::Starting);
    worker.kill(Signal::TERM).unwrap();
    let events = rest(&mut master);
    assert_eq!(names(&events), ["disconnect", "exit"]);
    assert_eq!(status(&events).signal(), Some(15));
}
