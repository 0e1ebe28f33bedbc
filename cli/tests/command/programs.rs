//! Programs of all kinds, as they are.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::support::{
    Place, Program, file, get, has, path, pid_at, process_is_gone, ready, wait_for, wait_until,
};

/// Where a master's workers listen.
fn address(master: &Program) -> String {
    master.line("listens on ").rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_rust_server_that_knows_nothing_of_a_master() {
    let place = Place::new();
    let (_master, address) = place.serve(&["-w", "2"]);
    let status = place.wait_for_workers(2);
    let pid = pid_at(&address);
    assert!(ready(&status).iter().any(|one| one["pid"] == pid));
}

#[test]
fn nobody_outlives_a_killed_master_though_it_knows_nothing_of_it() {
    let place = Place::new();
    let (master, _) = place.serve(&["-w", "2"]);
    let status = place.wait_for_workers(2);
    master.signal(nix::sys::signal::Signal::SIGKILL);
    wait_until("the workers' end", || ready(&status).into_iter().all(is_gone));
}

/// Whether the process of a slot has ended.
fn is_gone(slot: &Value) -> bool {
    process_is_gone(u32::try_from(slot["pid"].as_u64().unwrap()).unwrap())
}

const NODE_SERVER: &str = "
const server = require('http').createServer((request, response) => {
  response.end(String(process.pid));
});
server.listen(0, '127.0.0.1', () => console.log(process.argv[2], server.address().port));
";

#[test]
fn an_unmodified_node_server() {
    if !has("an_unmodified_node_server", "node", &["--version"]) {
        return;
    }
    let place = Place::new();
    let script = place.path().join("server.js");
    fs::write(&script, NODE_SERVER).unwrap();
    let others: [(&str, &[&str]); 4] = [
        ("shared", &[]),
        ("round-robin", &[]),
        ("reuse-port", &[]),
        ("reuse-port", &["--pin-cpus", "--spread-by-cpu"]),
    ];
    for (policy, options) in others {
        let line = [&["-w", "2", "--policy", policy], options, &[path(&script), "port"]].concat();
        let master = place.run(&line);
        let status = place.wait_for_workers(2);
        assert_eq!((&status["name"], &status["policy"]), (&"server".into(), &policy.into()));
        let port = master.line("port ").rsplit(' ').next().unwrap().to_owned();
        let pids: BTreeSet<String> =
            ready(&status).iter().map(|one| one["pid"].to_string()).collect();
        assert!(pids.contains(&get(&format!("127.0.0.1:{port}")).unwrap()));
        assert_eq!(place.cluster(&["reload"]).code, 0);
        wait_until("only new ones answer", || {
            !pids.contains(&get(&format!("127.0.0.1:{port}")).unwrap())
        });
        assert_eq!(place.cluster(&["stop"]).code, 0);
    }
}

#[test]
fn a_python_server() {
    if !has("a_python_server", "python3", &["--version"]) {
        return;
    }
    let place = Place::new();
    let script = file("tests/foreign/web.py");
    let master = place.run(&["-w", "2", "--listen", "127.0.0.1:0", "--", "python3", path(&script)]);
    let address = address(&master);
    let status = place.wait_for_workers(2);
    let pid: u32 = get(&address).unwrap().parse().unwrap();
    assert!(ready(&status).iter().any(|one| one["pid"] == pid));
    assert_eq!(place.cluster(&["reload"]).code, 0);
    // This server ends at once by SIGTERM, whomever it serves.
    wait_until("the old ones are gone", || ready(&status).into_iter().all(is_gone));
    assert_ne!(get(&address).unwrap(), pid.to_string());
}

const WSGI: &str = "
import os
def app(environ, start_response):
    start_response('200 OK', [('content-length', str(len(str(os.getppid()))))])
    return [str(os.getppid()).encode()]
";

#[test]
fn gunicorn() {
    if !has("gunicorn", "python3", &["-m", "gunicorn", "--version"]) {
        return;
    }
    let place = Place::new();
    fs::write(place.path().join("shop.py"), WSGI).unwrap();
    let cwd = path(place.path());
    let master = place.run(&[
        "-w",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--cwd",
        cwd,
        "--",
        "python3",
        "-m",
        "gunicorn",
        "--workers",
        "2",
        "shop:app",
    ]);
    let status = place.wait_for_workers(1);
    let line = master.line("Listening at: http://");
    let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    let pid: u32 = get(address).unwrap().parse().unwrap();
    assert_eq!(ready(&status)[0]["pid"], pid, "the parent of who answers is our worker");
    assert_eq!(place.cluster(&["reload"]).code, 0);
    wait_until("the old one is gone", || process_is_gone(pid));
    assert_ne!(get(address).unwrap(), pid.to_string());
    assert_eq!(place.cluster(&["stop"]).code, 0);
}

#[test]
fn options_from_a_file() {
    let place = Place::new();
    let options = place.path().join("shop.toml");
    let server = crate::support::example("activated");
    let text = format!(
        "workers = 2\nname = 'shop'\nlisten = '127.0.0.1:0'\nstop-timeout = '5s'\n\
         env = ['A=b']\nprogram = ['{}']\n",
        server.display()
    );
    fs::write(&options, text).unwrap();
    let _master = place.run(&["--config", path(&options), "-w", "1"]);
    let status = place.wait_for_workers(1);
    assert_eq!((&status["name"], &status["workers"]), (&"shop".into(), &1.into()));
    let pid = ready(&status)[0]["pid"].to_string();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let has =
        |wanted: &str| environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
    assert!(has("A=b") && has("LISTEN_FDS=1") && has(&format!("LISTEN_PID={pid}")));
}

#[test]
fn ready_as_said() {
    let place = Place::new();
    let master = place.run(&["-w", "1", "--ready", "start", "--", "sleep", "1000"]);
    place.wait_for_workers(1);
    drop(master);
    let place = Place::new();
    let master = place.run(&["-w", "1", "--quorum-timeout", "500ms", "--", "sleep", "1000"]);
    let line = master.line("--ready start");
    assert!(line.contains("neither speaks with its master"), "{line}");
    let mut master = master;
    assert_eq!(wait_for("its end", || master.wait().code()), 1);
}
