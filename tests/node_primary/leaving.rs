//! How workers of a Node primary end.

use nix::sys::signal::Signal::SIGKILL;
use serde_json::json;

use crate::{
    POLICIES,
    support::{Client, Lines, Parent, example, fixture, get, node, process_is_gone, wait_until},
};

/// A primary with workers that listen, and where.
fn lines(policy: &str, workers: usize) -> (Parent, String) {
    let primary = Parent::cluster(policy, fixture(), "worker", workers);
    primary.events(workers, json!({ "event": "online" }));
    for worker in 1..=workers {
        primary.send(worker as u32, json!({ "do": "listen", "address": "127.0.0.1:0" }));
    }
    let listening = primary.events(workers, json!({ "event": "listening" }));
    let address = format!("127.0.0.1:{}", listening[0]["info"]["port"]);
    (primary, address)
}

#[test]
fn a_worker_told_to_leave_finishes_first() {
    if !node("a_worker_told_to_leave_finishes_first") {
        return;
    }
    for policy in POLICIES {
        let (primary, address) = lines(policy, 1);
        let mut client = Lines::connect(&address).unwrap();
        client.ask("before").unwrap();
        primary.tell(json!({ "do": "disconnect", "worker": 1 }));
        wait_until("nobody listens", || Lines::connect(&address).is_err());
        client.ask("after").unwrap();
        drop(client);
        primary.event(json!({ "event": "disconnect", "worker": 1, "wanted": true }));
        primary.event(json!({ "event": "exit", "worker": 1, "code": 0, "wanted": true }));
    }
}

#[test]
fn hello_told_to_leave_answers_the_slow_request() {
    if !node("hello_told_to_leave_answers_the_slow_request") {
        return;
    }
    for policy in POLICIES {
        let environment = [("HELLO_ADDRESS", "127.0.0.1:0")];
        let primary =
            Parent::cluster_with(policy, &example("hello"), "./hello.js", 2, &environment);
        let listening = primary.events(2, json!({ "event": "listening" }));
        let address = format!("127.0.0.1:{}", listening[0]["info"]["port"]);
        let mut idle = Client::connect(&address).unwrap();
        idle.get("/").unwrap();
        let mut client = Client::connect(&address).unwrap();
        client.get("/").unwrap();
        client.ask("/slow", "keep-alive").unwrap();
        for worker in [1, 2] {
            primary.tell(json!({ "do": "disconnect", "worker": worker }));
        }
        for worker in [1, 2] {
            let exit = json!({ "event": "exit", "worker": worker, "code": 0, "wanted": true });
            primary.event(exit);
        }
        assert!(client.answer().is_ok(), "{policy}");
        assert!(get(&address).is_err(), "{policy}: still listening");
    }
}

#[test]
fn a_worker_that_leaves_by_itself_tells_that_it_is_on_purpose() {
    if !node("a_worker_that_leaves_by_itself_tells_that_it_is_on_purpose") {
        return;
    }
    for policy in POLICIES {
        let (primary, address) = lines(policy, 2);
        let mut client = Lines::connect(&address).unwrap();
        let worker = client.ask("before").unwrap();
        primary.send(worker, json!({ "do": "leave" }));
        // It no longer takes connections, and finishes those it has.
        let other = 3 - worker;
        wait_until("the other serves alone", || {
            (0..4).all(|_| {
                let answer = Lines::connect(&address).and_then(|mut one| one.ask("hello"));
                answer.unwrap_or_else(|error| panic!("{policy}: {error}")) == other
            })
        });
        assert_eq!(client.ask("after").unwrap(), worker);
        drop(client);
        primary.event(json!({ "event": "disconnect", "worker": worker, "wanted": true }));
        primary.event(json!({ "event": "exit", "worker": worker, "code": 0, "wanted": true }));
    }
}

#[test]
fn a_worker_may_be_told_before_it_is_online() {
    if !node("a_worker_may_be_told_before_it_is_online") {
        return;
    }
    for policy in POLICIES {
        let primary = Parent::cluster(policy, fixture(), "worker", 0);
        primary.tell(json!({ "do": "fork", "count": 2, "leave": true }));
        for exit in primary.events(2, json!({ "event": "exit" })) {
            assert_eq!((&exit["code"], &exit["wanted"]), (&json!(0), &json!(true)), "{policy}");
        }
    }
}

#[test]
fn a_killed_worker_is_seen_and_others_go_on() {
    if !node("a_killed_worker_is_seen_and_others_go_on") {
        return;
    }
    for policy in POLICIES {
        let (primary, address) = lines(policy, 2);
        primary.tell(json!({ "do": "kill", "worker": 1, "signal": "SIGKILL" }));
        let exit = json!({ "event": "exit", "worker": 1, "signal": "SIGKILL", "wanted": false });
        primary.event(exit);
        for _ in 0..10 {
            assert_eq!(Lines::connect(&address).unwrap().ask("hello").unwrap(), 2, "{policy}");
        }
    }
}

#[test]
fn nobody_outlives_a_killed_primary() {
    if !node("nobody_outlives_a_killed_primary") {
        return;
    }
    for policy in POLICIES {
        let (mut primary, address) = lines(policy, 3);
        let workers = primary.program().children();
        assert_eq!(workers.len(), 3);
        let _idle = Lines::connect(&address).unwrap();
        primary.program().signal(SIGKILL);
        wait_until("the workers' end", || workers.iter().all(|&pid| process_is_gone(pid)));
    }
}

#[test]
fn a_child_lets_go_of_its_parent_and_the_other_way_round() {
    if !node("a_child_lets_go_of_its_parent_and_the_other_way_round") {
        return;
    }
    for by_child in [true, false] {
        let parent = Parent::fork(fixture(), "worker");
        parent.send(0, json!("hello"));
        parent.message(0, json!("hello"));
        match by_child {
            true => parent.send(0, json!({ "do": "disconnect" })),
            false => parent.tell(json!({ "do": "disconnect", "worker": 0 })),
        }
        parent.event(json!({ "event": "disconnect" }));
        parent.event(json!({ "event": "exit", "code": 0 }));
    }
}
