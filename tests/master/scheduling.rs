//! Rules for who gets a connection, with workers of both languages.

use std::net::IpAddr;

use cluster::{
    Error, Policy, Settings, Signal,
    schedule::{Arrival, Candidate, LeastConnections, Sticky},
};

use serde_json::json;

use crate::support::{Crew, Lines, answers, stopped, wait_until};

#[test]
fn the_same_client_gets_the_same_worker() {
    for crew in Crew::available("the_same_client_gets_the_same_worker") {
        let cluster = crew.cluster(Settings::new().schedule(Sticky::new()));
        let (workers, address) = crew.start(&cluster, 4);
        let first = answers(&address, 1..=40);
        for worker in &workers {
            assert!(first.contains(&worker.id()), "{worker} has no client of 40: {first:?}");
        }
        for _ in 0..2 {
            assert_eq!(answers(&address, 1..=40), first);
        }
    }
}

/// When a worker is replaced its clients move, and nobody else's.
#[test]
fn a_replaced_worker_moves_its_own_clients_only() {
    for crew in Crew::available("a_replaced_worker_moves_its_own_clients_only") {
        let cluster = crew.cluster(Settings::new().schedule(Sticky::new()));
        let (workers, address) = crew.start(&cluster, 4);
        let before = answers(&address, 1..=40);
        let victim = &workers[1];
        victim.kill(Signal::KILL).unwrap();
        cluster.end(victim);
        let without = answers(&address, 1..=40);
        for (before, without) in before.iter().zip(&without) {
            assert!(before == without || *before == victim.id(), "{before} to {without}");
        }
        let new = cluster.fork(1).remove(0);
        crew.listen(&cluster, &new);
        let renamed = |&one: &u32| if one == victim.id() { new.id() } else { one };
        assert_eq!(answers(&address, 1..=40), before.iter().map(renamed).collect::<Vec<_>>());
    }
}

/// A worker that stands still holds up its own clients, and no others; when it dies they go to
/// others.
#[test]
fn a_chosen_worker_is_waited_for() {
    for crew in Crew::available("a_chosen_worker_is_waited_for") {
        let cluster = crew.cluster(Settings::new().schedule(Sticky::new()));
        let (workers, address) = crew.start(&cluster, 2);
        let first = answers(&address, 1..=20);
        let (stuck, well): (Vec<u8>, Vec<u8>) =
            (1..=20).partition(|client| first[usize::from(*client) - 1] == 1);
        assert!(stuck.len() > 2 && !well.is_empty());
        stopped(&workers[0]);
        let mut waiting: Vec<_> = stuck
            .iter()
            .map(|client| {
                let mut one = Lines::connect_from([127, 0, 1, *client], &address).unwrap();
                one.say("x").unwrap();
                one
            })
            .collect();
        assert_eq!(answers(&address, well.iter().copied()), vec![2; well.len()]);
        workers[0].kill(Signal::KILL).unwrap();
        for client in &mut waiting {
            assert_eq!(client.hear("x").unwrap(), 2);
        }
    }
}

#[test]
fn the_fewest_connections_come_first() {
    for crew in Crew::available("the_fewest_connections_come_first") {
        let cluster = crew.cluster(Settings::new().schedule(LeastConnections::new()));
        let (workers, address) = crew.start(&cluster, 3);
        let mut held = Vec::new();
        for _ in 0..9 {
            let mut client = Lines::connect(&address).unwrap();
            held.push((client.ask("x").unwrap(), client));
        }
        for worker in &workers {
            assert_eq!(held.iter().filter(|(id, _)| *id == worker.id()).count(), 3);
        }
    }
}

/// What has ended counts no more: a worker that has none gets the next ones.
#[test]
fn connections_that_have_ended_count_no_more() {
    let cluster = Crew::Rust.cluster(Settings::new().schedule(LeastConnections::new()));
    let (workers, address) = Crew::Rust.start(&cluster, 2);
    let connect = || {
        let mut client = Lines::connect(&address).unwrap();
        (client.ask("x").unwrap(), client)
    };
    let mut held: Vec<_> = (0..8).map(|_| connect()).collect();
    held.retain(|(worker, _)| *worker == workers[0].id());
    wait_until("the ends are known", || workers[1].connections() == Some(0));
    for round in 0..4 {
        let (worker, client) = connect();
        assert_eq!(worker, workers[1].id());
        held.push((worker, client));
        // What it says now comes after its word that it has taken the connection.
        cluster.tell(&workers[1], json!({ "round": round }));
        cluster.message(&workers[1], "round");
    }
}

#[test]
fn a_rule_may_be_a_closure() {
    let by_last_byte = |arrival: &Arrival<'_>, workers: &[Candidate]| {
        assert!(arrival.listener.port().is_some_and(|port| port > 0));
        assert_eq!(workers.iter().map(|worker| worker.id).collect::<Vec<_>>(), [1, 2, 3]);
        let IpAddr::V4(ip) = arrival.peer?.ip() else { return None };
        Some(workers[usize::from(ip.octets()[3]) % workers.len()].id)
    };
    let cluster = Crew::Rust.cluster(Settings::new().schedule(by_last_byte));
    let (_workers, address) = Crew::Rust.start(&cluster, 3);
    assert_eq!(answers(&address, [3, 4, 5, 5, 5, 9, 10]), [1, 2, 3, 3, 3, 1, 2]);
}

#[test]
fn who_is_nobody_cannot_be_chosen() {
    let nobody = |_: &Arrival<'_>, _: &[Candidate]| Some(99);
    let cluster = Crew::Rust.cluster(Settings::new().schedule(nobody));
    let (_workers, address) = Crew::Rust.start(&cluster, 3);
    assert_eq!(answers(&address, 1..=6), [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_rule_is_of_use_only_where_connections_are_handed_over() {
    let settings = Settings::new().policy(Policy::Shared).schedule(Sticky::new());
    let error = cluster::Master::new(settings).unwrap_err();
    assert!(matches!(error, Error::Settings { what: "schedule", .. }), "{error:?}");
}
