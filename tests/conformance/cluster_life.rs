//! A worker's life: its start, its states and its end.

use serde_json::json;

use crate::house::{Form, House, POLICIES, rows};

rows! {
    cluster_basic: rust worker primary;
    cluster_worker_death: rust worker primary;
    cluster_worker_kill: rust worker primary;
}

fn cluster_basic(form: Form) {
    for policy in POLICIES {
        let house = House::new(form, policy);
        house.when(json!({ "event": "listening" }), json!([{ "do": "leave", "worker": "it" }]));
        house.fork(1);
        let listening = house.listen(1, "a", json!({ "port": 0, "host": "127.0.0.1" }));
        assert!(listening["port"].as_u64().unwrap() > 0);
        house.exits(1, 0);
        let life = house
            .so_far(json!({ "worker": 1, "pid": house.event(json!({ "event": "fork" }))["pid"] }));
        let names: Vec<_> = life.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["fork", "online", "listening", "disconnect", "exit"]);
        let states = ["none", "online", "listening", "disconnected", "dead"];
        for (event, state) in life.iter().zip(states) {
            let seen = event["state"].as_str().unwrap();
            // Ours may have gone on when its end is heard together with that of its channel.
            let may_be_over = form != Form::Primary && state == "disconnected";
            assert!(seen == state || may_be_over && seen == "dead", "{event}");
        }
        let at = json!({ "addressType": 4, "address": "127.0.0.1", "port": listening["port"] });
        assert_eq!(life[2]["at"], at);
        assert_eq!(life[4]["wanted"], true);
    }
}

fn cluster_worker_death(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.order(1, json!({ "do": "exit", "code": 42 }));
    house.exits(1, 42);
    assert_eq!(house.so_far(json!({ "event": "exit" })).len(), 1);
}

fn cluster_worker_kill(form: Form) {
    let house = House::new(form, "rr");
    house.fork(1);
    house.listen(1, "a", json!({ "port": 0, "host": "127.0.0.1" }));
    house.tell(json!({ "do": "signal", "worker": 1, "signal": "SIGKILL" }));
    let exit = house.event(json!({ "event": "exit", "worker": 1 }));
    let like = [&exit["code"], &exit["signal"], &exit["dead"], &exit["wanted"], &exit["left"]];
    assert_eq!(json!(like), json!([null, "SIGKILL", true, false, []]));
    assert_eq!(house.so_far(json!({ "event": "disconnect", "connected": false })).len(), 1);
    assert_eq!(house.so_far(json!({ "event": "exit" })).len(), 1);
}
