//! Requests that are done or not.

use std::{fs, os::unix::fs::PermissionsExt};

use nix::sys::signal::Signal::SIGTERM;
use serde_json::json;

use crate::support::{Place, Program, example, path, pid_at, process_is_gone, ready, wait_for};

#[test]
fn scale() {
    let place = Place::new();
    let (_master, _) = place.serve(&["-w", "1"]);
    let said = place.cluster(&["scale", "3"]);
    assert_eq!((said.code, said.out.trim()), (0, "from 1 to 3 workers"), "{said:?}");
    place.wait_for_workers(3);
    assert_eq!(place.cluster(&["scale", "1"]).code, 0);
    let status = place.wait_for_workers(1);
    assert_eq!(status["workers"], 1);
    assert!(place.cluster(&["scale", "0"]).complains(1).contains("at least 1"));
    assert!(place.cluster(&["scale", "1000000"]).complains(1).contains("too many"));
}

#[test]
fn reload() {
    let place = Place::new();
    let (_master, address) = place.serve(&["-w", "2"]);
    let before = place.wait_for_workers(2);
    let said = place.cluster(&["reload"]);
    assert_eq!((said.code, said.out.trim()), (0, "reloaded: generation 1"), "{said:?}");
    let after = place.wait_for_workers(2);
    for old in ready(&before) {
        assert!(ready(&after).iter().all(|new| new["pid"] != old["pid"]));
        let pid = u32::try_from(old["pid"].as_u64().unwrap()).unwrap();
        wait_for("the old one's end", || process_is_gone(pid).then_some(()));
    }
    assert!(ready(&after).iter().all(|new| new["generation"] == 1), "{after}");
    let pid = pid_at(&address);
    assert!(ready(&after).iter().any(|new| new["pid"] == pid));
    let said = place.cluster(&["reload", "--json"]);
    assert_eq!(said.out, "{\"done\":\"reloaded: generation 2\"}\n", "{said:?}");
}

/// A script that becomes the server.
fn script(place: &Place, text: &str) -> String {
    let file = place.path().join("server");
    let draft = place.path().join("draft");
    fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(draft, &file).unwrap();
    path(&file).to_owned()
}

#[test]
fn a_reload_that_fails_leaves_the_old_ones_in_place() {
    let place = Place::new();
    let server = example("activated");
    let program = script(&place, &format!("exec {}", path(&server)));
    let master: Program = place.run(&["-w", "2", "--listen", "127.0.0.1:0", "--", &program]);
    let line = master.line("listens on ");
    let address = line.rsplit(' ').next().unwrap();
    let before = place.wait_for_workers(2);
    script(&place, "exit 7");
    let said = place.cluster(&["reload"]);
    let line = said.complains(1);
    assert!(line.contains("reload failed") && line.contains("exit status: 7"), "{line}");
    let after = place.wait_for_workers(2);
    let pids = |status| ready(status).iter().map(|one| one["pid"].clone()).collect::<Vec<_>>();
    assert_eq!(pids(&before), pids(&after));
    assert!(pids(&after).contains(&json!(pid_at(address))));
    let said = place.cluster(&["reload", "--json"]);
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("{\"failed\":"), "{said:?}");
}

#[test]
fn upgrade() {
    let place = Place::new();
    let (master, address) = place.serve(&["-w", "1"]);
    let before = place.wait_for_workers(1);
    let said = place.cluster(&["upgrade"]);
    assert_eq!((said.code, said.out.trim()), (0, "upgraded: generation 1"), "{said:?}");
    let after = place.wait_for_workers(1);
    assert_eq!(after["pid"], master.pid(), "the same process");
    assert_ne!(ready(&after)[0]["pid"], ready(&before)[0]["pid"], "with another worker");
    let pid = u32::try_from(ready(&before)[0]["pid"].as_u64().unwrap()).unwrap();
    wait_for("the old one's end", || process_is_gone(pid).then_some(()));
    assert_eq!(ready(&after)[0]["pid"], pid_at(&address), "at the same socket");
    assert_eq!(place.cluster(&["upgrade"]).code, 0, "once more");
    assert_eq!(place.cluster(&["stop"]).code, 0);
}

#[test]
fn an_upgrade_to_what_does_not_start() {
    let place = Place::new();
    let command = place.path().join("cluster-command");
    fs::copy(place.command().get_program(), &command).unwrap();
    let server = example("activated");
    let mut run = std::process::Command::new(&command);
    run.args(["run", "-w", "1", "--listen", "127.0.0.1:0", "--", path(&server)]);
    let master = Program::start(run.env("XDG_RUNTIME_DIR", place.path()));
    master.line("listens on ");
    let before = place.wait_for_workers(1);
    fs::remove_file(&command).unwrap();
    fs::write(&command, "#!/bin/sh\nexit 9\n").unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    let said = place.cluster(&["upgrade"]);
    assert!(said.complains(1).contains("exit status: 9"), "{said:?}");
    assert_eq!(ready(&place.status())[0]["pid"], ready(&before)[0]["pid"], "all as before");
}

#[test]
fn stop_returns_when_all_have_gone() {
    let place = Place::new();
    let (mut master, _) = place.serve(&["-w", "2"]);
    place.wait_for_workers(2);
    let children = master.children();
    assert_eq!(children.len(), 2);
    let said = place.cluster(&["stop"]);
    assert_eq!((said.code, said.out.trim()), (0, "stopped"), "{said:?}");
    assert!(children.into_iter().all(process_is_gone));
    assert_eq!(master.wait().code(), Some(0));
    assert_eq!(place.cluster(&["stop"]).code, 3);
}

#[test]
fn a_signal_stops_as_well() {
    let place = Place::new();
    let (mut master, _) = place.serve(&["-w", "1"]);
    master.signal(SIGTERM);
    assert_eq!(master.wait().code(), Some(0));
}

#[test]
fn kill() {
    let place = Place::new();
    let (_master, _) = place.serve(&["-w", "1"]);
    let status = place.wait_for_workers(1);
    let worker = ready(&status)[0]["worker"].to_string();
    let pid = u32::try_from(ready(&status)[0]["pid"].as_u64().unwrap()).unwrap();
    assert!(place.cluster(&["kill", "99"]).complains(1).contains("no worker 99"));
    let said = place.cluster(&["kill", &worker, "--signal", "nonsense"]);
    assert!(said.complains(1).contains("nonsense"), "{said:?}");
    let said = place.cluster(&["kill", &worker, "--signal", "kill"]);
    assert_eq!((said.code, said.out.contains("SIGKILL")), (0, true), "{said:?}");
    let status = wait_for("another in its place", || {
        Some(place.status()).filter(|status| ready(status).iter().any(|one| one["pid"] != pid))
    });
    assert_eq!(ready(&status)[0]["restarts"], 1);
    assert_eq!(ready(&status)[0]["last_exit"], "signal: 9 (SIGKILL)");
}

#[test]
fn too_few_workers_are_an_error() {
    let place = Place::new();
    let program = script(&place, "echo broken >&2; exit 7");
    let mut command = place.command();
    let args = ["run", "-w", "1", "--quorum-timeout", "300ms", "--", &program];
    let mut master = Program::start(command.args(args));
    assert_eq!(master.wait().code(), Some(1));
    let line = master.line("cluster: only 0 of at least 1 workers became ready");
    assert!(line.contains("exit status: 7, saying: broken"), "{line}");
}
