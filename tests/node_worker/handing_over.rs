//! Round robin with Node workers that refuse, stop and die.

use std::{io::ErrorKind, sync::mpsc, thread, time::Duration};

use cluster::{Policy, Signal};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::{
    cluster,
    support::{Cluster, Lines, PATIENCE, node},
};

fn address(cluster: &Cluster, workers: &[cluster::WorkerRef]) -> String {
    let anywhere = json!({ "port": 0, "host": "127.0.0.1" });
    format!("127.0.0.1:{}", cluster.listen(workers, anywhere)["port"])
}

#[test]
fn connections_of_a_worker_that_dies_before_it_takes_them_go_to_others() {
    if !node("connections_of_a_worker_that_dies_before_it_takes_them_go_to_others") {
        return;
    }
    let cluster = cluster(Policy::RoundRobin);
    let workers = cluster.fork(2);
    let address = address(&cluster, &workers);
    workers[0].kill(Signal::STOP).unwrap();
    let (answer, answers) = mpsc::channel();
    for _ in 0..8 {
        let (mut client, answer) = (Lines::connect(&address).unwrap(), answer.clone());
        thread::spawn(move || answer.send(client.ask("hello").unwrap()));
    }
    for _ in 0..7 {
        assert_eq!(answers.recv_timeout(PATIENCE), Ok(2));
    }
    answers.try_recv().expect_err("one is with the worker that stands still");
    workers[0].kill(Signal::KILL).unwrap();
    assert_eq!(answers.recv_timeout(PATIENCE), Ok(2));
}

#[test]
fn nobody_hangs_when_workers_die_under_load() {
    if !node("nobody_hangs_when_workers_die_under_load") {
        return;
    }
    let cluster = cluster(Policy::RoundRobin);
    let workers = cluster.fork(3);
    let address = address(&cluster, &workers);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || {
                let ask = |_: &usize| Lines::connect(&address).and_then(|mut one| one.ask("x"));
                (0..100).map(|number| ask(&number)).filter_map(Result::err).collect::<Vec<_>>()
            })
        })
        .collect();
    for worker in &workers[..2] {
        Lines::connect(&address).and_then(|mut one| one.ask("x")).ok();
        worker.kill(Signal::KILL).unwrap();
        assert_eq!(cluster.end(worker), (None, false));
    }
    for client in clients {
        let errors = client.join().unwrap();
        // What a worker had taken dies with it, one connection of each client.
        assert!(errors.len() <= 2, "{errors:?}");
        let hangs = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!errors.iter().any(|error| hangs(error.kind())), "{errors:?}");
    }
}

/// How long the master has been on a CPU.
fn cpu_time(cluster: &Cluster) -> Duration {
    cluster.with(|_| clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into())
}

#[test]
fn full_workers_get_no_more_until_one_has_room() {
    if !node("full_workers_get_no_more_until_one_has_room") {
        return;
    }
    let cluster = cluster(Policy::RoundRobin);
    let workers = cluster.fork(2);
    let options = json!({ "port": 0, "host": "127.0.0.1" });
    let mut address = String::new();
    for (worker, most) in workers.iter().zip([1, 3]) {
        cluster.tell(worker, json!({ "do": "listen", "options": options, "most": most }));
        let said = cluster.message(worker, "listening").value;
        address = format!("127.0.0.1:{}", said["listening"]["port"]);
    }
    // What one refuses, the other takes.
    let mut clients: Vec<_> = (0..4).map(|_| Lines::connect(&address).unwrap()).collect();
    let mut answers: Vec<_> = clients.iter_mut().map(|one| one.ask("hello").unwrap()).collect();
    answers.sort();
    assert_eq!(answers, [1, 2, 2, 2]);

    let mut next = Lines::connect(&address).unwrap();
    let mut after = Lines::connect(&address).unwrap();
    let before = cpu_time(&cluster);
    next.be_patient(Duration::from_secs(1)).unwrap();
    next.ask("hello").expect_err("nobody has room");
    let busy = cpu_time(&cluster) - before;
    assert!(busy < Duration::from_millis(200), "the master was busy for {busy:?} of a second");

    next.be_patient(PATIENCE).unwrap();
    clients.truncate(2);
    next.hear("hello").unwrap();
    after.ask("hello").unwrap();
}
