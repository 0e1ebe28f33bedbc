//! What a person may get wrong: one line that says what to do, and the exit code.

use std::{
    fs,
    net::TcpListener,
    os::unix::net::{UnixListener, UnixStream},
};

use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP};

use crate::support::{Place, path, wait_for};

#[track_caller]
fn assert_has(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no {part:?} in: {line}");
    }
}

#[test]
fn no_master_is_there() {
    let place = Place::new();
    let requests: [&[&str]; 9] = [
        &["status"],
        &["top", "--json"],
        &["events"],
        &["logs"],
        &["scale", "2"],
        &["reload"],
        &["upgrade"],
        &["stop"],
        &["kill", "1"],
    ];
    for request in requests {
        let said = place.cluster(request);
        assert_has(said.complains(3), &["no master is running", "--control"]);
        let there = [request, &["--control", "/no/such/socket"]].concat();
        let said = place.cluster(&there);
        assert_has(said.complains(3), &["no master listens at /no/such/socket", "cluster run"]);
    }
}

#[test]
fn wrong_usage() {
    let place = Place::new();
    let wrong: [&[&str]; 10] = [
        &[],
        &["dance"],
        &["status", "--colour"],
        &["scale"],
        &["scale", "many"],
        &["kill", "x"],
        &["run", "-w", "0", "true"],
        &["run", "--workrs", "2", "true"],
        &["run", "--policy", "fair", "true"],
        &["run", "--drain-timeout", "soon", "true"],
    ];
    for args in wrong {
        let said = place.cluster(args);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.out.is_empty() && !said.err.is_empty(), "{said:?}");
    }
    let said = place.cluster(&["status", "--control", "x", "--name", "y"]);
    assert_eq!(said.code, 2, "{said:?}");
}

#[test]
fn what_spreading_by_cpu_needs() {
    let place = Place::new();
    let run = |options: &[&str]| place.cluster(&[&["run", "-q"], options, &["true"]].concat());
    let said = run(&["--spread-by-cpu", "--pin-cpus", "--policy", "round-robin"]);
    assert_has(said.complains(2), &["spread_by_cpu", "it needs the policy ReusePort"]);
    let said = run(&["--spread-by-cpu", "--policy", "reuse-port"]);
    assert_has(said.complains(2), &["spread_by_cpu", "it needs pin_cpus"]);
}

#[test]
fn programs_that_cannot_run() {
    let place = Place::new();
    let file = place.path().join("script");
    fs::write(&file, "echo").unwrap();
    let script = path(&file);
    assert_has(place.cluster(&["run"]).complains(2), &["no program"]);
    let said = place.cluster(&["run", "no-such-program"]);
    assert_has(said.complains(1), &["no-such-program", "PATH"]);
    assert_has(place.cluster(&["run", "./none"]).complains(1), &["there is no program ./none"]);
    assert_has(place.cluster(&["run", "none.js"]).complains(1), &["there is no script none.js"]);
    let said = place.cluster(&["run", script]);
    assert_has(said.complains(1), &["is not executable", "chmod +x"]);
    assert_has(place.cluster(&["run", "/tmp"]).complains(1), &["is a directory"]);
}

#[test]
fn addresses_that_cannot_be_had() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = place.cluster(&["run", "--quiet", "--listen", &address, "sleep", "1000"]);
    assert_has(said.complains(1), &["cannot listen on", &address, "choose another address"]);
    let said = place.cluster(&["run", "--listen", "nonsense", "sleep", "1000"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert_has(&said.err, &["nonsense", "--listen"]);
}

#[test]
fn two_masters_at_one_address() {
    let place = Place::new();
    let (_first, address) = place.serve(&["-w", "1"]);
    let said = place.cluster(&["run", "--quiet", "--listen", &address, "sleep", "1000"]);
    assert_has(said.complains(1), &["cannot listen on", "choose another address"]);
}

#[test]
fn two_masters_at_one_control_socket() {
    let place = Place::new();
    let socket = place.path().join("s");
    let (first, _) = place.serve(&["-w", "1", "--control", path(&socket)]);
    let said = place.cluster(&["run", "-q", "--control", path(&socket), "sleep", "1000"]);
    let pid = format!("pid {}", first.pid());
    assert_has(said.complains(1), &["control socket", &pid, "choose another --control"]);
    let said = place.cluster(&["status", "--control", path(&socket)]);
    assert_eq!(said.code, 0, "the first goes on: {said:?}");
}

#[test]
fn a_dead_master_s_socket_is_replaced() {
    let place = Place::new();
    let socket = place.path().join("s");
    let (mut first, _) = place.serve(&["-w", "1", "--control", path(&socket)]);
    first.signal(SIGKILL);
    first.wait();
    assert!(socket.exists());
    let said = place.cluster(&["status", "--control", path(&socket)]);
    assert_has(said.complains(3), &["no master listens at"]);
    let (_second, _) = place.serve(&["-w", "1", "--control", path(&socket)]);
    assert_eq!(place.cluster(&["status", "--control", path(&socket)]).code, 0);
}

#[test]
fn files_with_mistakes() {
    let place = Place::new();
    let file = place.path().join("options.toml");
    let said = place.cluster(&["run", "--config", path(&file)]);
    assert_has(said.complains(2), &["cannot read", "options.toml"]);
    let cases: [(&str, &[&str]); 5] = [
        ("workres = 3", &["options.toml", "no option `workres`", "`workers` is one"]),
        ("workers = 0", &["options.toml", "workers"]),
        ("policy = 'fair'", &["policy", "round-robin"]),
        ("workers = 1\nlisten = [", &["line 2"]),
        ("program = 'no-such-program'\n", &["no-such-program"]),
    ];
    for (text, parts) in cases {
        fs::write(&file, text).unwrap();
        let said = place.cluster(&["run", "--config", path(&file)]);
        let code = if text.contains("no-such-program") { 1 } else { 2 };
        assert_has(said.complains(code), parts);
    }
}

#[test]
fn a_master_that_is_stopped_does_not_answer() {
    let place = Place::new();
    let (master, _) = place.serve(&["-w", "1"]);
    master.signal(SIGSTOP);
    let pid = format!("pid {}", master.pid());
    for request in [&["status"][..], &["reload"], &["scale", "2"]] {
        let said = place.cluster(request);
        assert_has(said.complains(1), &["does not answer", &pid, "kill -CONT"]);
    }
    master.signal(SIGCONT);
    wait_for("it answers again", || (place.cluster(&["status"]).code == 0).then_some(()));
}

#[test]
fn somebody_else_at_the_control_socket() {
    let place = Place::new();
    let socket = place.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let other = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut client, _): (UnixStream, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 64]).unwrap();
        client.write_all(b"220 mail.example.org\r\n").unwrap();
    });
    let said = place.cluster(&["status", "--control", path(&socket)]);
    assert_has(said.complains(1), &["makes no sense"]);
    other.join().unwrap();
}
