//! How workers are started.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
};

use cluster::{Error, Event, ForkOptions, Master, Settings};
use serde_json::{Value, json};

use crate::{
    role, says,
    support::{Cluster, fixture},
};

fn reports(cluster: &Cluster, options: ForkOptions) -> Value {
    let worker = cluster.with(move |master| master.fork_with(&options).unwrap());
    says(cluster, &worker, |value| value.get("args").is_some())
}

#[test]
fn setup_is_cumulative_and_counts_for_later_forks() {
    let cluster = Cluster::new(role("report").arg("a").env("COLOUR", "red"));
    let first = reports(&cluster, ForkOptions::new());
    cluster.with(|master| master.setup(Settings::new().env("SHAPE", "round")).unwrap());
    let second = reports(&cluster, ForkOptions::new());
    cluster.with(|master| {
        let settings = Settings::new().args(["report", "b"]).env_remove("COLOUR");
        master.setup(settings).unwrap();
    });
    let third = reports(&cluster, ForkOptions::new());
    let facts =
        |report: &Value| json!([report["id"], report["args"], report["colour"], report["shape"]]);
    assert_eq!(facts(&first), json!([1, ["a"], "red", null]));
    assert_eq!(facts(&second), json!([2, ["a"], "red", "round"]));
    assert_eq!(facts(&third), json!([3, ["b"], null, "round"]));
}

#[test]
fn settings_that_cannot_be_used_change_nothing() {
    let cluster = Cluster::new(role("report").env("COLOUR", "red"));
    cluster.with(|master| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refused = master.setup(Settings::new().env("COLOUR", "blue").listen(address));
        assert!(matches!(refused, Err(Error::Worker(worker_api::Error::Listen { .. }))));
        let unknown = master.setup(Settings::new().env("COLOUR", "blue").user("no such user"));
        assert!(matches!(unknown, Err(Error::Settings { what: "user", .. })), "{unknown:?}");
    });
    assert_eq!(reports(&cluster, ForkOptions::new())["colour"], "red");
}

#[test]
fn one_worker_has_things_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(folder.path()).unwrap();
    let settings = Settings::new().exec("no such program").env("COLOUR", "red");
    let cluster = Cluster::new(settings);
    let own = ForkOptions::new()
        .exec(fixture())
        .args(["report", "x", "y z"])
        .env("COLOUR", "blue")
        .cwd(&path);
    let report = reports(&cluster, own);
    assert_eq!(report["args"], json!(["x", "y z"]));
    assert_eq!(report["colour"], "blue");
    assert_eq!(report["cwd"], path.to_str().unwrap());
    let plain = reports(&cluster, ForkOptions::new().exec(fixture()).arg("report"));
    assert_eq!((&plain["colour"], &plain["args"]), (&json!("red"), &json!([])));
    assert_eq!(plain["cwd"], env::current_dir().unwrap().to_str().unwrap());
}

#[test]
fn node_s_variables_are_gone_when_the_program_runs() {
    let ours: Vec<String> =
        env::vars().map(|(name, _)| name).filter(|name| name.starts_with("NODE_")).collect();
    let cluster = Cluster::new(role("report").env("NODE_UNIQUE_ID", "77"));
    let report = reports(&cluster, ForkOptions::new());
    assert_eq!(report["node"], json!(ours));
    assert_eq!(report["id"], 1, "the master's word counts");
}

#[test]
fn silent_workers_have_pipes() {
    let cluster = Cluster::new(role("report").silent());
    let worker = cluster.with(|master| master.fork().unwrap());
    let stdin = worker.stdio(0).unwrap();
    let mut stdout = BufReader::new(worker.stdio(1).unwrap()).lines();
    let mut stderr = BufReader::new(worker.stdio(2).unwrap()).lines();
    assert!(worker.stdio(1).is_none(), "given once");
    assert!(worker.stdio(3).is_none() && worker.stdio(99).is_none());
    assert_eq!(stdout.next().unwrap().unwrap(), "to stdout");
    assert_eq!(stderr.next().unwrap().unwrap(), "to stderr");
    (&stdin).write_all(b"over and out\n").unwrap();
    worker.send("echo").unwrap();
    assert_eq!(stdout.next().unwrap().unwrap(), "heard over and out");
    worker.disconnect();
    assert!(stdout.next().is_none(), "and they end with the worker");
    assert_eq!(cluster.end(&worker), (Some(0), true));
}

#[test]
fn without_that_they_have_ours() {
    let cluster = Cluster::new(role("worker"));
    let worker = cluster.with(|master| master.fork().unwrap());
    assert!((0..4).all(|number| worker.stdio(number).is_none()));
}

#[test]
fn a_program_that_is_not_there() {
    let mut master = Master::new(Settings::new().exec("/no/such/program")).unwrap();
    for _ in 0..2 {
        let error = master.fork().unwrap_err();
        let Error::Fork { program, source } = &error else { panic!("{error:?}") };
        assert_eq!(program, "/no/such/program");
        assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        assert!(error.to_string().contains("cannot start the worker"), "{error}");
    }
    let folder = ForkOptions::new().exec(fixture()).arg("worker").cwd("/no/such/folder");
    assert!(matches!(master.fork_with(&folder), Err(Error::Fork { .. })));
    assert!(master.is_finished() && master.poll(None).unwrap().is_none(), "nobody is there");
    let worker = master.fork_with(&ForkOptions::new().exec(fixture()).arg("worker")).unwrap();
    assert_eq!(worker.id(), 1, "a number is given to who was started");
    assert!(matches!(master.poll(None).unwrap(), Some(Event::Fork { .. })));
}

#[test]
fn settings_are_checked_first() {
    use cluster::child_process::Stdio;
    let what = |settings: Settings| match Master::new(settings) {
        Err(Error::Settings { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(Settings::new().stdio([Stdio::Inherit])), "stdio");
    assert_eq!(what(Settings::new().stdio([Stdio::Ipc, Stdio::Ipc])), "stdio");
    assert_eq!(what(Settings::new().user("no such user")), "user");
    assert_eq!(what(Settings::new().group("no such group")), "group");
    assert_eq!(what(Settings::new().listen("nonsense")), "listen");
    assert_eq!(what(Settings::new().allow_listen(["nonsense"])), "allow_listen");
}
