//! How workers leave, and what happens to their connections and sockets.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use cluster::{Event, Policy};
use serde_json::json;

use crate::{
    ANYWHERE, POLICIES, listen, obedient,
    support::{Lines, wait_until},
};

#[test]
fn a_worker_finishes_its_connections_first() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let worker = &cluster.fork(1)[0];
        let address = listen(&cluster, worker, ANYWHERE).unwrap();
        let mut client = Lines::connect(&address).unwrap();
        client.ask("x").unwrap();
        worker.disconnect();
        wait_until("a closed door", || Lines::connect(&address).is_err());
        assert_eq!(client.ask("y").unwrap(), 1, "{policy:?}: it is still served");
        assert!(worker.is_connected() && !worker.is_dead());
        drop(client);
        assert_eq!(cluster.end(worker), (Some(0), true));
    }
}

#[test]
fn to_disconnect_twice_is_to_disconnect_once() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let workers = cluster.fork(2);
        listen(&cluster, &workers[0], ANYWHERE).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| workers.iter().for_each(|worker| worker.disconnect()));
            }
        });
        cluster.with(cluster::Master::disconnect);
        for worker in &workers {
            assert_eq!(cluster.end(worker), (Some(0), true));
            worker.disconnect();
        }
        let errors = cluster.has_seen(|event| matches!(event, Event::Error { .. }));
        assert!(!errors && cluster.with(|master| master.is_finished()));
    }
}

#[test]
fn a_worker_leaves_on_its_own_wish() {
    for policy in POLICIES {
        let cluster = obedient(policy);
        let worker = &cluster.fork(1)[0];
        let address = listen(&cluster, worker, ANYWHERE).unwrap();
        cluster.tell(worker, json!({ "do": "leave" }));
        assert_eq!(cluster.end(worker), (Some(0), true));
        assert!(worker.addresses().is_empty());
        wait_until("a closed door", || Lines::connect(&address).is_err());
    }
}

/// While workers come and go under load, each connection has one worker, and it has it to the
/// end.
#[test]
fn no_connection_is_lost_or_given_to_two_when_workers_are_replaced() {
    const CLIENTS: usize = 4;
    for policy in POLICIES {
        let cluster = obedient(policy);
        let mut workers = cluster.fork(2);
        let address = &listen(&cluster, &workers[0], ANYWHERE).unwrap();
        listen(&cluster, &workers[1], ANYWHERE).unwrap();
        let stop = &AtomicBool::new(false);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(move || {
                        let mut served = 0;
                        while !stop.load(Relaxed) {
                            let mut client = Lines::connect(address).unwrap();
                            let first = client.ask("one").unwrap();
                            assert_eq!(client.ask("two").unwrap(), first);
                            served += 1;
                        }
                        served
                    })
                })
                .collect();
            for _ in 0..8 {
                let new = cluster.fork(1).remove(0);
                listen(&cluster, &new, ANYWHERE).unwrap();
                let old = workers.remove(0);
                old.disconnect();
                assert_eq!(cluster.end(&old), (Some(0), true));
                workers.push(new);
            }
            stop.store(true, Relaxed);
            let served: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
            assert!(served > 0);
        });
    }
}

#[test]
fn an_event_in_time_or_none() {
    let cluster = obedient(Policy::Shared);
    cluster.fork(1);
    cluster.event("online", |event| matches!(event, Event::Online { .. }));
    let waited = cluster.with(|master| {
        let start = std::time::Instant::now();
        assert!(master.poll(Some(Duration::from_millis(20))).unwrap().is_none());
        start.elapsed()
    });
    assert!(waited >= Duration::from_millis(20), "{waited:?}");
}
