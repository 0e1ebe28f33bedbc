//! What workers write down about themselves, and what the system says of them.

use nix::sys::signal::Signal::{SIGCONT, SIGKILL};
use serde_json::json;

use crate::{
    ANYWHERE, POLICIES, listen, obedient, says, stop,
    support::{Lines, kill, open_descriptors, wait_until},
};
use cluster::{Policy, WorkerRef};

/// Accepted and active.
fn connections(worker: &WorkerRef) -> (u64, u64) {
    let score = worker.score().expect("a worker of ours");
    assert_eq!(worker.connections(), worker.score().map(|score| score.active));
    (score.accepted, score.active)
}

#[test]
fn connections_are_seen_without_a_message_and_after_death() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let worker = cluster.fork(1).remove(0);
        let address = listen(&cluster, &worker, ANYWHERE).unwrap();
        let mut clients: Vec<_> = (0..3).map(|_| Lines::connect(&address).unwrap()).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.ask("x").unwrap(), 1));
        assert_eq!(connections(&worker), (3, 3), "{policy:?}");
        drop(clients.pop());
        wait_until("the end of a connection", || connections(&worker) == (3, 2));
        kill(worker.pid(), SIGKILL);
        cluster.end(&worker);
        assert_eq!(connections(&worker), (3, 2), "{policy:?}: the last word");
        assert!(worker.usage().unwrap().is_none());
    }
}

#[test]
fn programs_count_what_they_like() {
    let cluster = obedient(Policy::Shared);
    let worker = cluster.fork(1).remove(0);
    for add in [1, 41] {
        cluster.tell(&worker, json!({ "do": "count", "name": "requests", "add": add }));
    }
    cluster.tell(&worker, json!({ "counted": true }));
    says(&cluster, &worker, |value| value.get("counted").is_some());
    assert_eq!(worker.score().unwrap().counters, [("requests".into(), 42)]);
}

#[test]
fn a_worker_that_waits_ticks_when_it_is_asked_to() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let worker = cluster.fork(1).remove(0);
        listen(&cluster, &worker, ANYWHERE).unwrap();
        let ticks = || worker.score().unwrap().ticks;
        for _ in 0..3 {
            let before = ticks();
            worker.poke();
            wait_until("a tick", || ticks() > before);
        }
        stop(&worker);
        assert!(worker.usage().unwrap().unwrap().is_stopped);
        let before = ticks();
        worker.poke();
        assert_eq!(ticks(), before);
        kill(worker.pid(), SIGCONT);
        wait_until("a tick", || ticks() > before);
        assert!(!worker.usage().unwrap().unwrap().is_stopped);
    }
}

#[test]
fn a_worker_has_the_page_and_no_descriptor_of_it() {
    let cluster = obedient(Policy::Shared);
    let worker = cluster.fork(1).remove(0);
    listen(&cluster, &worker, ANYWHERE).unwrap();
    let is_page = |name: &String| name.contains("cluster-scoreboard");
    let names: Vec<_> = open_descriptors(worker.pid()).into_values().collect();
    assert!(!names.iter().any(is_page), "{names:?}");
    assert!(worker.score().is_some());
}
