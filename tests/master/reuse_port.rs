//! A socket for each worker, all of one port.

use std::collections::BTreeMap;

use cluster::{Policy, Settings, Signal};

use crate::{
    ANYWHERE, listen, obedient,
    support::{Crew, Lines, process_is_gone, stopped as stop, wait_until},
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
