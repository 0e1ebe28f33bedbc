//! What is opened is closed.

mod support;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use cluster::{Event, Master, Policy, Settings, WorkerRef};
use serde_json::Value;
use support::{PATIENCE, fixture, open_descriptors};

const POLICIES: [Policy; 3] = [Policy::Shared, Policy::RoundRobin, Policy::ReusePort];

/// Descriptors are this process's, so one test runs at a time.
static STAGE: Mutex<()> = Mutex::new(());

fn stage() -> MutexGuard<'static, ()> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ours() -> Vec<String> {
    open_descriptors(std::process::id()).into_values().collect()
}

fn until<T>(master: &mut Master, mut found: impl FnMut(Event) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = master.poll(Some(left)).unwrap().expect("an event in time");
        if let Some(found) = found(event) {
            return found;
        }
    }
}

fn says(master: &mut Master) -> Value {
    until(master, |event| match event {
        Event::Message { message, .. } => Some(message.value),
        Event::Exit { worker, status } => panic!("{worker} ended: {status}"),
        _ => None,
    })
}

/// A worker comes, listens once and goes.
fn live(master: &mut Master) {
    let worker = master.fork().unwrap();
    worker.send(&1).unwrap();
    says(master);
    worker.disconnect();
    until(master, |event| matches!(event, Event::Exit { .. }).then_some(()));
}

#[test]
fn two_hundred_workers_leave_nothing_open() {
    let _stage = stage();
    for policy in POLICIES {
        let mut master =
            Master::new(Settings::new().exec(fixture()).arg("opener").policy(policy)).unwrap();
        live(&mut master);
        assert!(master.poll(None).unwrap().is_none());
        let before = ours();
        for _ in 0..100 {
            live(&mut master);
        }
        assert!(master.poll(None).unwrap().is_none());
        let after = ours();
        assert_eq!(after.len(), before.len(), "{before:#?} {after:#?}");
    }
}

#[test]
fn a_thousand_listeners_leave_nothing_open() {
    let _stage = stage();
    for policy in POLICIES {
        let mut master =
            Master::new(Settings::new().exec(fixture()).arg("opener").policy(policy)).unwrap();
        let worker: WorkerRef = master.fork().unwrap();
        let mut open = |count: usize| {
            worker.send(&count).unwrap();
            let told = says(&mut master);
            assert_eq!(told["opened"], count);
            // The worker's last word before this one was that it let go.
            (ours(), told["descriptors"].clone())
        };
        let (before, workers_before) = open(4);
        let (after, workers_after) = open(1000);
        assert_eq!(after.len(), before.len(), "{before:#?} {after:#?}");
        assert_eq!(workers_after, workers_before);
        assert!(worker.addresses().is_empty());
    }
}
