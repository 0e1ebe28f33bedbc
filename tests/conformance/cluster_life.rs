//! A worker's life: its start, its states and its end.

use std::net::TcpListener;

use nix::sys::signal::Signal::SIGKILL;
use serde_json::{Value, json};

use crate::{
    house::{Form, House, POLICIES, anywhere, rows},
    support::{process_is_gone, wait_until},
};

rows! {
    cluster_basic: rust worker primary;
    cluster_call_and_destroy: rust worker primary;
    cluster_kill_infinite_loop: rust worker primary;
    cluster_primary_error: rust worker primary;
    cluster_primary_kill: rust worker primary;
    cluster_process_disconnect: rust worker primary;
    cluster_uncaught_exception: rust worker primary;
    cluster_worker_constructor: rust primary;
    cluster_worker_death: rust worker primary;
    cluster_worker_exit: rust worker primary;
    cluster_worker_init: rust worker primary;
    cluster_worker_isconnected: rust worker primary;
    cluster_worker_isdead: rust worker primary;
    cluster_worker_kill: rust worker primary;
    cluster_worker_kill_signal: rust worker primary;
    cluster_worker_no_exit: rust worker primary;
}

fn cluster_basic(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.when(json!({ "event": "listening" }), json!([{ "do": "leave", "worker": "it" }]));
        house.fork(1);
        house.order(1, json!({ "do": "look", "names": ["NODE_UNIQUE_ID"] }));
        let seen = house.event(json!({ "event": "message" }));
        assert_eq!(seen["message"]["env"], json!({ "NODE_UNIQUE_ID": null }));
        let listening = house.listen(1, "a", anywhere());
        assert!(listening["port"].as_u64().unwrap() > 0);
        house.exits(1, 0);

        let life = house.life(1);
        let names: Vec<_> = life.iter().map(|event| &event["event"]).collect();
        let wanted = json!(["fork", "online", "message", "listening", "disconnect", "exit"]);
        assert_eq!(json!(names), wanted);
        for (number, state) in [(0, "none"), (1, "online"), (3, "listening"), (5, "dead")] {
            assert_eq!(life[number]["state"], state, "{policy}");
        }
        let at = json!({ "addressType": 4, "address": "127.0.0.1", "port": listening["port"] });
        assert_eq!(life[3]["at"], at);
        assert_eq!(life[5]["wanted"], true);
    }
}

fn cluster_call_and_destroy(form: Form) {
    let house = House::new(form, "rr");
    let kill = json!([{ "do": "kill", "worker": "it" }]);
    house.when(json!({ "event": "disconnect", "connected": false }), kill);
    house.fork(1);
    house.order(1, json!({ "do": "leave" }));
    let exit = house.event(json!({ "event": "exit" }));
    // Node's `kill` lets a worker that has gone be; ours is the signal.
    assert!(exit["code"] == 0 || exit["signal"] == "SIGTERM", "{exit}");
    house.is_alive();
}

fn cluster_kill_infinite_loop(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.order(1, json!({ "do": "spin" }));
    house.event(json!({ "report": "spinning" }));
    house.tell(json!({ "do": "signal", "worker": 1, "signal": "SIGTERM" }));
    let exit = house.event(json!({ "event": "exit" }));
    assert_eq!((&exit["code"], &exit["signal"]), (&Value::Null, &json!("SIGTERM")));
}

/// A house with two workers that listen, and their process numbers.
fn two_listening(form: Form) -> (House, Vec<u32>) {
    let house = House::new(form, "rr");
    house.fork(2);
    (1..=2).for_each(|worker| drop(house.listen(worker, "a", anywhere())));
    let forks = house.so_far(json!({ "event": "fork" }));
    (house, forks.iter().map(|fork| fork["pid"].as_u64().unwrap() as u32).collect())
}

fn cluster_primary_error(form: Form) {
    let (mut house, pids) = two_listening(form);
    house.tell(json!({ "do": "fail" }));
    assert!(house.program().wait().code().unwrap() > 0);
    wait_until("the workers' end", || pids.iter().all(|&pid| process_is_gone(pid)));
}

fn cluster_primary_kill(form: Form) {
    let (mut house, pids) = two_listening(form);
    house.tell(json!({ "do": "exit", "code": 0 }));
    assert_eq!(house.program().wait().code(), Some(0));
    wait_until("the workers' end", || pids.iter().all(|&pid| process_is_gone(pid)));
    let (mut house, pids) = two_listening(form);
    house.program().signal(SIGKILL);
    wait_until("the workers' end", || pids.iter().all(|&pid| process_is_gone(pid)));
}

fn cluster_process_disconnect(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.fork(1);
        house.prepare(1, json!({ "report": "listening" }), json!([{ "do": "cut" }]));
        house.listen(1, "a", anywhere());
        house.exits(1, 0);
    }
}

fn cluster_uncaught_exception(form: Form) {
    let mut house = House::new(form, "rr");
    house.tell(json!({ "do": "fork" }));
    house.tell(json!({ "do": "exit", "code": 42 }));
    assert_eq!(house.program().wait().code(), Some(42));
}

fn cluster_worker_constructor(form: Form) {
    let house = House::new(form, "rr");
    house.fork(2);
    for worker in 1..=2 {
        let fork = house.event(json!({ "event": "fork", "worker": worker }));
        let like = [&fork["state"], &fork["wanted"], &fork["connected"], &fork["dead"]];
        assert_eq!(json!(like), json!(["none", false, true, false]));
    }
}

fn cluster_worker_death(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.order(1, json!({ "do": "exit", "code": 42 }));
    house.exits(1, 42);
    assert_eq!(house.so_far(json!({ "event": "exit" })).len(), 1);
}

fn cluster_worker_exit(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.fork(1);
        let exit = json!([{ "do": "exit", "code": 42 }]);
        house.prepare(1, json!({ "report": "listening" }), exit);
        house.order(1, json!({ "do": "listen", "options": anywhere() }));
        let exit = house.exits(1, 42);
        assert_eq!((&exit["wanted"], &exit["dead"]), (&json!(false), &json!(true)));
        let disconnect = house.event(json!({ "event": "disconnect" }));
        assert_eq!(
            (&disconnect["wanted"], &disconnect["connected"]),
            (&json!(false), &json!(false))
        );
        assert_eq!(house.so_far(json!({ "event": "disconnect" })).len(), 1);
        assert_eq!(house.so_far(json!({ "event": "exit" })).len(), 1);
    }
}

fn cluster_worker_init(form: Form) {
    let house = House::new(form, "rr");
    let send = json!([{ "do": "send", "worker": 1, "message": "foo" }]);
    house.when(json!({ "event": "online" }), send);
    house.fork(1);
    house.event(json!({ "report": "message", "message": "foo" }));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_worker_isconnected(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.event(json!({ "event": "fork", "connected": true }));
    house.order(1, json!({ "do": "state" }));
    house.event(json!({ "report": "state", "connected": true }));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.event(json!({ "event": "disconnect", "connected": false }));
    house.event(json!({ "report": "disconnect", "connected": false }));
    house.exits(1, 0);
}

fn cluster_worker_isdead(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.event(json!({ "event": "fork", "dead": false }));
    house.order(1, json!({ "do": "state" }));
    house.event(json!({ "report": "state", "dead": false }));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    assert_eq!(house.exits(1, 0)["dead"], true);
}

/// What is true of a worker that a signal has ended.
fn is_killed(house: &House) {
    let exit = house.event(json!({ "event": "exit", "worker": 1 }));
    let like = [&exit["code"], &exit["signal"], &exit["dead"], &exit["wanted"], &exit["left"]];
    assert_eq!(json!(like), json!([null, "SIGKILL", true, false, []]));
    let disconnects = house.so_far(json!({ "event": "disconnect" }));
    assert_eq!(disconnects.len(), 1);
    assert_eq!(
        (&disconnects[0]["connected"], &disconnects[0]["wanted"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(house.so_far(json!({ "event": "exit" })).len(), 1);
    let pid = exit["pid"].as_u64().unwrap() as u32;
    assert!(process_is_gone(pid));
}

fn cluster_worker_kill(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.listen(1, "a", anywhere());
    house.tell(json!({ "do": "signal", "worker": 1, "signal": "SIGKILL" }));
    is_killed(&house);
}

fn cluster_worker_kill_signal(form: Form) {
    let house = House::new(form, "none");
    house.fork(1);
    house.listen(1, "a", anywhere());
    house.tell(json!({ "do": "kill", "worker": 1, "signal": "SIGKILL" }));
    is_killed(&house);
}

fn cluster_worker_no_exit(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    house.order(1, json!({ "do": "connect", "port": port }));
    let (connection, _) = server.accept().unwrap();
    house.event(json!({ "report": "connected" }));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.event(json!({ "event": "disconnect", "dead": false }));
    let fork = house.event(json!({ "event": "fork" }));
    assert!(!process_is_gone(fork["pid"].as_u64().unwrap() as u32));
    drop(connection);
    house.event(json!({ "report": "client closed" }));
    house.exits(1, 0);
}
