//! A socket for each worker, all of one port.

use std::collections::BTreeMap;

use cluster::{ForkOptions, Policy, Settings, Signal, WorkerRef};

use crate::{
    ANYWHERE, listen, obedient,
    support::{
        Cluster, Crew, Lines, on_cpu, process_is_gone, several_cpus, stopped as stop, wait_until,
    },
};

fn settings() -> Settings {
    Settings::new().policy(Policy::ReusePort)
}

/// Who answers so many clients, one after the other.
fn who_answers(address: &str, clients: usize) -> BTreeMap<u32, usize> {
    let mut tally = BTreeMap::new();
    for client in 0..clients {
        // The kernel chooses by addresses and ports: as many as there are.
        let from = [127, 0, (client / 200) as u8, (client % 200) as u8 + 1];
        let worker = Lines::connect_from(from, address).unwrap().ask("x").unwrap();
        *tally.entry(worker).or_default() += 1;
    }
    tally
}

#[test]
fn every_worker_gets_its_share() {
    for crew in Crew::available("every_worker_gets_its_share") {
        let cluster = crew.cluster(settings());
        let (_workers, address) = crew.start(&cluster, 4);
        let tally = who_answers(&address, 2000);
        let most = *tally.values().max().unwrap();
        assert!(tally.len() == 4 && most * 4 <= 2000 * 125 / 100, "{crew:?}: {tally:?}");
    }
}

#[test]
fn what_is_queued_at_a_worker_that_dies_goes_to_others() {
    for crew in Crew::available("what_is_queued_at_a_worker_that_dies_goes_to_others") {
        let cluster = crew.cluster(settings());
        let (workers, address) = crew.start(&cluster, 3);
        stop(&workers[0]);
        let mut clients: Vec<_> = (0..60).map(|_| Lines::connect(&address).unwrap()).collect();
        clients.iter_mut().for_each(|client| client.say("x").unwrap());
        workers[0].kill(Signal::KILL).unwrap();
        for client in &mut clients {
            assert_ne!(client.hear("x").unwrap(), workers[0].id(), "{crew:?}");
        }
    }
}

#[test]
fn the_share_of_one_that_went_goes_to_others_until_somebody_comes() {
    for crew in Crew::available("the_share_of_one_that_went_goes_to_others_until_somebody_comes") {
        let cluster = crew.cluster(settings());
        let (workers, address) = crew.start(&cluster, 3);
        workers[1].disconnect();
        wait_until("its end", || workers[1].is_dead());
        let tally = who_answers(&address, 200);
        assert_eq!(tally.keys().copied().collect::<Vec<_>>(), [1, 3], "{crew:?}");
        assert_eq!(tally.values().sum::<usize>(), 200);
        let next = cluster.fork(1).remove(0);
        assert_eq!(crew.listen(&cluster, &next), address, "{crew:?}");
        let tally = who_answers(&address, 200);
        assert_eq!(tally.keys().copied().collect::<Vec<_>>(), [1, 3, 4], "{crew:?}");
    }
}

/// The same while the master does nothing: it is busy with just this.
fn who_answers_without_the_master(cluster: &Cluster, address: &str) -> BTreeMap<u32, usize> {
    let address = address.to_owned();
    cluster.with(move |_| who_answers(&address, 200))
}

#[test]
fn nobody_hands_over_what_begins_after_a_worker_went() {
    for crew in Crew::available("nobody_hands_over_what_begins_after_a_worker_went") {
        let cluster = crew.cluster(settings());
        let (workers, address) = crew.start(&cluster, 4);
        let rest = |gone: &[u32]| {
            let tally = who_answers_without_the_master(&cluster, &address);
            let expected: Vec<_> = (1..=4).filter(|worker| !gone.contains(worker)).collect();
            assert_eq!(tally.keys().copied().collect::<Vec<_>>(), expected, "{crew:?}");
        };
        workers[1].disconnect();
        cluster.end(&workers[1]);
        rest(&[2]);
        workers[3].kill(Signal::KILL).unwrap();
        cluster.end(&workers[3]);
        rest(&[2, 4]);
        workers[0].disconnect();
        cluster.end(&workers[0]);
        rest(&[1, 2, 4]);
    }
}

#[test]
fn connections_go_to_a_worker_on_the_cpu_where_they_come_in() {
    let test = "connections_go_to_a_worker_on_the_cpu_where_they_come_in";
    let Some(cpus) = several_cpus(test) else { return };
    for crew in Crew::available(test) {
        let cluster = crew.cluster(settings().pin_cpus().spread_by_cpu());
        let start = |slot: usize| {
            let options = ForkOptions::new().slot(slot);
            let worker = cluster.with(move |master| master.fork_with(&options).unwrap());
            let address = crew.listen(&cluster, &worker);
            (worker, address)
        };
        // Workers take turns with the CPUs.
        let all = [0, 1, cpus.len(), cpus.len() + 1].map(start);
        let [a, b, c, d] = all.each_ref().map(|(worker, _)| worker.id());
        let answer = |place: usize, expected: &[u32]| {
            let (cpu, address) = (cpus[place], all[0].1.clone());
            let tally = cluster.with(move |_| on_cpu(cpu, || who_answers(&address, 100)));
            assert_eq!(tally.into_keys().collect::<Vec<_>>(), expected, "{crew:?}");
        };
        let end = |worker: &WorkerRef| {
            worker.kill(Signal::KILL).unwrap();
            cluster.end(worker);
        };
        answer(0, &[a, c]);
        answer(1, &[b, d]);
        end(&all[0].0);
        answer(0, &[c]);
        answer(1, &[b, d]);
        end(&all[2].0);
        answer(0, &[b, d]);
        let (next, address) = start(0);
        assert_eq!(address, all[0].1);
        answer(0, &[next.id()]);
        answer(1, &[b, d]);
    }
}

#[test]
fn the_last_one_left_has_all() {
    for crew in Crew::available("the_last_one_left_has_all") {
        let cluster = crew.cluster(settings());
        let (workers, address) = crew.start(&cluster, 4);
        for (gone, worker) in workers[1..].iter().enumerate() {
            let mut clients: Vec<_> = (0..40).map(|_| Lines::connect(&address).unwrap()).collect();
            match gone {
                1 => assert!(worker.kill(Signal::KILL).unwrap()),
                _ => worker.disconnect(),
            };
            let heard: Vec<_> = clients.iter_mut().map(|client| client.ask("x")).collect();
            let lost = heard.iter().filter(|outcome| outcome.is_err()).count();
            assert!(gone == 1 || lost == 0, "{crew:?}: {heard:?}");
            drop(clients);
            wait_until("its end", || process_is_gone(worker.pid()));
        }
        assert_eq!(who_answers(&address, 100), BTreeMap::from([(1, 100)]), "{crew:?}");
    }
}

#[test]
fn a_port_that_another_has_is_in_use() {
    let (one, other) = (obedient(Policy::ReusePort), obedient(Policy::ReusePort));
    let first = one.fork(1).remove(0);
    let address = listen(&one, &first, ANYWHERE).unwrap();
    let second = other.fork(1).remove(0);
    assert_eq!(listen(&other, &second, &address).unwrap_err(), "EADDRINUSE");
    let third = one.fork(1).remove(0);
    assert_eq!(listen(&one, &third, &address).unwrap_err(), "EADDRINUSE", "another key");
}
