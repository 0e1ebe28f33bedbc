//! How workers are started: settings, environment, streams.

use serde_json::{Value, json};

use crate::{
    house::{Form, House, rows},
    support::{Program, example, wait_for, wait_until},
};

rows! {
    cluster_cwd: rust worker primary;
    cluster_fork_env: rust worker primary;
    cluster_fork_stdio: rust worker primary;
    cluster_fork_windows_hide: rust worker primary;
    cluster_setup_primary: rust worker primary;
    cluster_setup_primary_argv: rust;
    cluster_setup_primary_cumulative: rust;
    cluster_setup_primary_emit: rust primary;
    cluster_setup_primary_multiple: rust;
}

fn setup(house: &House, settings: Value) {
    house.tell(json!({ "do": "setup", "settings": settings }));
}

/// What a new worker sees of its surroundings.
fn look(house: &House, worker: u32, names: &[&str], env: Value) -> Value {
    house.tell(json!({ "do": "fork", "env": env }));
    house.event(json!({ "event": "online", "worker": worker }));
    house.order(worker, json!({ "do": "look", "names": names }));
    house.event(json!({ "event": "message", "worker": worker }))["message"].take()
}

fn cluster_cwd(form: Form) {
    let house = House::new(form, "rr");
    let here = house.folder();
    let there = here.join("there");
    std::fs::create_dir(&there).unwrap();
    assert_eq!(look(&house, 1, &[], json!({}))["cwd"], *here.to_str().unwrap());
    setup(&house, json!({ "cwd": there }));
    assert_eq!(look(&house, 2, &[], json!({}))["cwd"], *there.to_str().unwrap());
}

fn cluster_fork_env(form: Form) {
    // The house's environment has a policy, which this overrides.
    const POLICY: &str = "NODE_CLUSTER_SCHED_POLICY";
    let house = House::new(form, "rr");
    let env = json!({ "OWN": "custom", POLICY: "none" });
    let seen = look(&house, 1, &["OWN", POLICY, "PATH"], env);
    assert_eq!((&seen["env"]["OWN"], &seen["env"][POLICY]), (&json!("custom"), &json!("none")));
    assert_eq!(seen["env"]["PATH"], std::env::var("PATH").unwrap());
    assert_eq!(look(&house, 2, &[POLICY], json!({}))["env"][POLICY], "rr");
    house.order(1, json!({ "do": "say", "message": "hello" }));
    house.event(json!({ "report": "said", "kept": true }));
}

fn cluster_fork_stdio(form: Form) {
    let house = House::new(form, "rr");
    setup(&house, json!({ "stdio": ["pipe", "pipe", "inherit", "ipc", "pipe"] }));
    house.fork(1);
    house.order(1, json!({ "do": "echo", "number": 4 }));
    house.tell(json!({ "do": "pipe", "worker": 1, "number": 4, "text": "foobar" }));
    house.event(json!({ "event": "piped", "text": "foobar" }));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_fork_windows_hide(form: Form) {
    let house = House::new(form, "rr");
    setup(&house, json!({ "silent": true, "windowsHide": true }));
    house.fork(1);
    house.order(1, json!({ "do": "say", "message": "hello" }));
    house.event(json!({ "event": "message", "message": "hello" }));
    house.tell(json!({ "do": "leave", "worker": 1 }));
    house.exits(1, 0);
}

fn cluster_setup_primary(form: Form) {
    let house = House::new(form, "rr");
    setup(&house, json!({ "silent": true, "args": house.args(&["custom argument"]) }));
    house.event(json!({ "event": "setup" }));
    for worker in 1..=2 {
        assert_eq!(look(&house, worker, &[], json!({}))["args"], json!(["custom argument"]));
        house.order(worker, json!({ "do": "state" })); // its report goes into a pipe
        house.tell(json!({ "do": "leave", "worker": worker }));
        house.exits(worker, 0);
    }
    assert!(house.so_far(json!({ "report": "state" })).is_empty());
}

/// Without arguments in the settings a worker of the same program gets the master's.
fn cluster_setup_primary_argv(_: Form) {
    let mut command = std::process::Command::new(example("hello"));
    let master = Program::start(command.args(["127.0.0.1:0", "OMG,OMG"]));
    let workers = wait_for("workers", || Some(master.children()).filter(|all| !all.is_empty()));
    for worker in workers {
        wait_until("its arguments", || {
            let line = std::fs::read_to_string(format!("/proc/{worker}/cmdline")).unwrap();
            line.split('\0').skip(1).eq(["127.0.0.1:0", "OMG,OMG", ""])
        });
    }
}

fn cluster_setup_primary_cumulative(form: Form) {
    let house = House::new(form, "rr");
    let there = house.folder().join("there");
    std::fs::create_dir(&there).unwrap();
    setup(&house, json!({ "args": house.args(&["one"]) }));
    setup(&house, json!({ "cwd": there }));
    setup(&house, json!({}));
    let seen = look(&house, 1, &[], json!({}));
    assert_eq!((&seen["cwd"], &seen["args"]), (&json!(there), &json!(["one"])));
    setup(&house, json!({ "args": house.args(&["two"]) }));
    let seen = look(&house, 2, &[], json!({}));
    assert_eq!((&seen["cwd"], &seen["args"]), (&json!(there), &json!(["two"])));
}

fn cluster_setup_primary_emit(form: Form) {
    let house = House::new(form, "rr");
    let before = house.so_far(json!({ "event": "setup" })).len();
    setup(&house, json!({ "cwd": "/" }));
    setup(&house, json!({}));
    house.events(before + 2, json!({ "event": "setup" }));
}

fn cluster_setup_primary_multiple(form: Form) {
    let house = House::new(form, "rr");
    let programs = ["node-next", "node-next-2", "node-next-3"];
    programs.iter().for_each(|exec| setup(&house, json!({ "exec": exec })));
    let events = house.events(3, json!({ "event": "setup" }));
    for (event, exec) in events.iter().zip(programs) {
        let settings = event["settings"].as_str().unwrap();
        assert!(settings.contains(&format!("{exec:?}")), "{exec} in {settings}");
    }
}
