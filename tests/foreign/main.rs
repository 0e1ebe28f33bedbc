//! Workers that know nothing of the channel.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use cluster::{Event, Readiness, Settings, State, WorkerRef, child_process};
use nix::sys::signal::Signal::SIGTERM;
use support::{Cluster, PATIENCE, example, get, wait_until};

#[path = "../support/mod.rs"]
mod support;

/// Whether there is `python3`. Where it is missing the test says so and is over; in CI it
/// must be there.
fn python(test: &str) -> bool {
    let found = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{test}: python3 is missing in CI");
        // Not `eprintln!`, which libtest holds back.
        writeln!(std::io::stderr(), "SKIPPED {test}: python3 is not installed").unwrap();
    }
    found
}

fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "foreign", name].iter().collect()
}

fn passing() -> Settings {
    Settings::new().listen("127.0.0.1:0").pass_listeners().readiness(Readiness::Auto)
}

fn web(args: &[&str]) -> Settings {
    let settings = passing().exec("python3").arg(script("web.py"));
    args.iter().fold(settings, |settings, arg| settings.arg(arg))
}

/// Waits until a worker listens; where.
fn listening(cluster: &Cluster, worker: &WorkerRef) -> String {
    let event = cluster.event(
        &format!("{worker} listens"),
        |event| matches!(event, Event::Listening { worker: of, .. } if of == worker),
    );
    let Event::Listening { address, .. } = event else { unreachable!() };
    address.to_string()
}

#[test]
fn a_python_server_listens_when_the_kernel_says_so_and_leaves_by_a_signal() {
    if !python("a_python_server") {
        return;
    }
    let cluster = Cluster::new(web(&[]));
    let workers = cluster.fork(2);
    let places: BTreeSet<_> = workers.iter().map(|worker| listening(&cluster, worker)).collect();
    assert_eq!(places.len(), 1, "{places:?}");
    let address = places.first().unwrap().clone();
    assert!(workers.iter().all(|worker| worker.state() == State::Listening));
    let pids: BTreeSet<u32> = workers.iter().map(WorkerRef::pid).collect();
    let mut seen = BTreeSet::new();
    wait_until("both have answered", || {
        seen.insert(get(&address).unwrap().parse::<u32>().unwrap());
        seen == pids
    });
    for worker in &workers {
        worker.disconnect();
        let what = "its end, by SIGTERM";
        cluster.event(what, |event| {
            matches!(event, Event::Exit { worker: of, status }
                if of == worker && status.signal() == Some(SIGTERM as i32))
        });
        assert!(worker.exited_after_disconnect());
    }
}

#[test]
fn a_program_that_closes_its_channel_has_not_left() {
    if !python("a_program_that_closes") {
        return;
    }
    let cluster = Cluster::new(web(&["closing"]));
    let [worker] = cluster.fork(1).try_into().unwrap();
    let address = listening(&cluster, &worker);
    assert_eq!(get(&address).unwrap(), worker.pid().to_string());
    assert!(!cluster.has_seen(|event| matches!(event, Event::Disconnect { .. })));
    worker.disconnect();
    cluster.event("disconnect", |event| matches!(event, Event::Disconnect { .. }));
    assert_eq!(cluster.end(&worker), (None, true));
}

#[test]
fn a_rust_server_waits_in_accept() {
    let cluster = Cluster::new(passing().exec(example("activated")));
    let [worker] = cluster.fork(1).try_into().unwrap();
    let address = listening(&cluster, &worker);
    let mut said = String::new();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.read_to_string(&mut said).unwrap();
    assert_eq!(said.trim(), worker.pid().to_string());
}

#[test]
fn a_notice_makes_ready_and_nothing_else_does() {
    if !python("a_notice") {
        return;
    }
    let list = [child_process::Stdio::Pipe, child_process::Stdio::Inherit];
    let rest = [child_process::Stdio::Inherit, child_process::Stdio::Ipc];
    let settings =
        Settings::new().readiness(Readiness::Notify).exec("python3").arg(script("notify.py"));
    let cluster = Cluster::new(settings.stdio(list.into_iter().chain(rest)));
    let [worker] = cluster.fork(1).try_into().unwrap();
    let mut stdin = worker.stdio(0).unwrap();
    wait_until("it waits", || {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", worker.pid()));
        call.is_ok_and(|call| call.starts_with("0 0x0 ")) // read of its standard input
    });
    assert_eq!(worker.state(), State::Starting);
    stdin.write_all(b"\n").unwrap();
    cluster.event("ready", |event| matches!(event, Event::Ready { .. }));
    assert_eq!(worker.state(), State::Listening);
}

#[test]
fn ready_by_being_started() {
    let settings = Settings::new().exec("sleep").arg("1000").readiness(Readiness::Start);
    let cluster = Cluster::new(settings);
    let [worker] = cluster.fork(1).try_into().unwrap();
    cluster.event("ready", |event| matches!(event, Event::Ready { .. }));
    worker.disconnect();
    assert_eq!(cluster.end(&worker), (None, true));
}

#[test]
fn who_speaks_is_not_taken_for_a_foreigner() {
    let settings = passing().exec(support::fixture()).arg("worker");
    let cluster = Cluster::new(settings);
    let [worker] = cluster.fork(1).try_into().unwrap();
    cluster.event("online", |event| matches!(event, Event::Online { .. }));
    cluster.tell(&worker, serde_json::json!({ "do": "listen", "address": "127.0.0.1:0" }));
    listening(&cluster, &worker);
    worker.disconnect();
    let (code, on_purpose) = cluster.end(&worker);
    assert_eq!((code, on_purpose), (Some(0), true), "asked on its channel, not by a signal");
}
