//! Round robin: connections are handed over in turn, and none is lost.

use std::{thread, time::Instant};

use cluster::{Event, ForkOptions, Policy, Signal, WorkerRef};
use nix::sys::signal::Signal::SIGCONT;
use serde_json::json;

use crate::{
    ANYWHERE, listen, obedient, role, stop,
    support::{Cluster, Lines, PATIENCE, fixture, kill, wait_until},
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

/// What is in the lane of a worker that stands still goes to others, and soon it gets no more.
#[test]
fn a_worker_that_never_accepts_blocks_nobody() {
    let (_cluster, workers, address) = started(3);
    stop(&workers[1]);
    for _ in 0..60 {
        assert_ne!(Lines::connect(&address).unwrap().ask("x").unwrap(), 2);
    }
    kill(workers[1].pid(), SIGCONT);
    wait_until("its turn", || Lines::connect(&address).unwrap().ask("x").unwrap() == 2);
}

/// When all stand still connections wait, however many, and none is lost.
#[test]
fn connections_wait_for_workers_that_all_stand_still() {
    for window in [1, 64] {
        let cluster = Cluster::new(role("worker").policy(Policy::RoundRobin).window(window));
        let workers = cluster.fork(2);
        let address = listen(&cluster, &workers[0], ANYWHERE).unwrap();
        listen(&cluster, &workers[1], ANYWHERE).unwrap();
        workers.iter().for_each(stop);
        let mut clients: Vec<_> = (0..200).map(|_| Lines::connect(&address).unwrap()).collect();
        for client in &mut clients {
            client.say("x").unwrap();
        }
        workers.iter().for_each(|worker| kill(worker.pid(), SIGCONT));
        for client in &mut clients {
            client.hear("x").unwrap();
        }
    }
}

/// Who has as many as it wants says so, and says when it wants more.
#[test]
fn full_workers_get_no_more_until_one_has_room() {
    let cluster = obedient(Policy::RoundRobin);
    let workers = cluster.fork(2);
    let mut address = String::new();
    for (worker, most) in workers.iter().zip([1, 3]) {
        cluster.tell(worker, json!({ "do": "listen", "address": ANYWHERE, "most": most }));
        let said = cluster.message(worker, "listening").value;
        address = said["listening"].as_str().unwrap().to_owned();
    }
    let mut clients: Vec<_> = (0..4).map(|_| Lines::connect(&address).unwrap()).collect();
    let mut answers: Vec<_> = clients.iter_mut().map(|one| one.ask("x").unwrap()).collect();
    answers.sort();
    assert_eq!(answers, [1, 2, 2, 2]);
    let mut next: Vec<_> = (0..2).map(|_| Lines::connect(&address).unwrap()).collect();
    for client in &mut next {
        client.say("x").unwrap();
    }
    for client in &mut next {
        clients.remove(0);
        client.hear("x").unwrap();
    }
}

/// A worker that can open no more files loses no connection: others get it.
#[test]
fn connections_without_a_number_left_go_to_others() {
    let cluster = obedient(Policy::RoundRobin);
    let poor = ForkOptions::new().exec("/bin/sh").args([
        "-c",
        "ulimit -n 48; exec \"$0\" worker",
        fixture().to_str().unwrap(),
    ]);
    let workers = [
        cluster.with(move |master| master.fork_with(&poor).unwrap()),
        cluster.with(|master| master.fork().unwrap()),
    ];
    let address = listen(&cluster, &workers[0], ANYWHERE).unwrap();
    listen(&cluster, &workers[1], ANYWHERE).unwrap();
    let mut held = Vec::new();
    let mut answers = [0; 2];
    for _ in 0..150 {
        let mut client = Lines::connect(&address).unwrap();
        answers[client.ask("x").unwrap() as usize - 1] += 1;
        held.push(client);
    }
    assert!((10..48).contains(&answers[0]), "{answers:?}");
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
