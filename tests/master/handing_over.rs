//! Round robin: connections are handed over in turn, and none is lost.

use std::{thread, time::Instant};

use cluster::{Event, Policy, Signal, WorkerRef};
use nix::sys::signal::Signal::SIGCONT;

use crate::{
    ANYWHERE, listen, obedient, stop,
    support::{Cluster, Lines, PATIENCE, kill, wait_until},
};

fn started(count: usize) -> (Cluster, Vec<WorkerRef>, String) {
    let cluster = obedient(Policy::RoundRobin);
    let workers = cluster.fork(count);
    let mut address = String::new();
    for worker in &workers {
        address = listen(&cluster, worker, ANYWHERE).unwrap();
    }
    (cluster, workers, address)
}

#[test]
fn idle_workers_take_turns() {
    let (_cluster, _workers, address) = started(3);
    let order: Vec<u32> =
        (0..9).map(|_| Lines::connect(&address).unwrap().ask("x").unwrap()).collect();
    assert_eq!(order, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_worker_that_never_accepts_blocks_nobody_else() {
    let (_cluster, workers, address) = started(3);
    stop(&workers[1]);
    let mut waiting = Vec::new();
    for number in 0..60 {
        let mut client = Lines::connect(&address).unwrap();
        client.say("x").unwrap();
        // It holds one connection, and who that is waits.
        if number == 1 {
            waiting.push(client);
        } else {
            assert_ne!(client.hear("x").unwrap(), 2);
        }
    }
    kill(workers[1].pid(), SIGCONT);
    assert_eq!(waiting[0].hear("x").unwrap(), 2);
    wait_until("its turn", || Lines::connect(&address).unwrap().ask("x").unwrap() == 2);
}

#[test]
fn a_connection_that_a_killed_worker_had_not_taken_goes_to_another() {
    let (cluster, workers, address) = started(2);
    stop(&workers[0]);
    let mut clients: Vec<_> = (0..2).map(|_| Lines::connect(&address).unwrap()).collect();
    for client in &mut clients {
        client.say("x").unwrap();
    }
    assert_eq!(clients[1].hear("x").unwrap(), 2);
    workers[0].kill(Signal::KILL).unwrap();
    assert_eq!(clients[0].hear("x").unwrap(), 2);
    cluster.end(&workers[0]);
}

/// 200 connections while workers are killed: lost are at most those that a victim had taken,
/// and nobody waits in vain.
#[test]
fn killed_workers_lose_only_what_they_had_taken() {
    let (cluster, workers, address) = started(4);
    let address = &address;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let ask = |_| Lines::connect(address).unwrap().ask("x").is_err();
                    (0..50).map(ask).filter(|failed| *failed).count()
                })
            })
            .collect();
        for victim in &workers[..3] {
            Lines::connect(address).unwrap().ask("x").ok();
            victim.kill(Signal::KILL).unwrap();
            cluster.end(victim);
        }
        let failed: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        // Each client has one request at a time, so each death costs each of them one at most.
        assert!(failed <= 3 * 4, "{failed} failed");
    });
    assert_eq!(Lines::connect(address).unwrap().ask("x").unwrap(), 4);
}

/// The crash of all workers refuses and loses nobody if they are replaced at their end.
#[test]
fn when_all_workers_crash_clients_wait_for_the_next_ones() {
    for policy in crate::POLICIES {
        let cluster = obedient(policy);
        let workers = cluster.fork(2);
        let address = &listen(&cluster, &workers[0], ANYWHERE).unwrap();
        listen(&cluster, &workers[1], ANYWHERE).unwrap();
        for _ in 0..5 {
            crash_and_replace(&cluster, address);
        }
    }
}

fn crash_and_replace(cluster: &Cluster, address: &str) {
    let olds = cluster.with(|master| master.workers());
    let end = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut refused = 0;
            while Instant::now() < end {
                match Lines::connect(address) {
                    Err(_) => refused += 1,
                    Ok(mut client) => match client.ask("x") {
                        Ok(id) if olds.iter().all(|old| old.id() != id) => return refused,
                        _ => {} // or a worker took it and died
                    },
                }
            }
            panic!("refused {refused} times");
        });
        // What a program does in its loop: a new worker in answer to the end of an old one.
        let news = cluster.with(|master| {
            let count = master.workers().len();
            for old in master.workers() {
                old.kill(Signal::KILL).unwrap();
            }
            let mut news = Vec::new();
            while news.len() < count {
                if let Event::Exit { .. } = master.poll(Some(PATIENCE)).unwrap().unwrap() {
                    news.push(master.fork().unwrap());
                }
            }
            news
        });
        for new in &news {
            assert_eq!(listen(cluster, new, ANYWHERE).unwrap(), address);
        }
        assert_eq!(client.join().unwrap(), 0, "refused");
    });
}
