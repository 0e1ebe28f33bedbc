//! What is told as it happens.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::Value;

use crate::support::{Guard, PATIENCE, Place, Program, ready, wait_for};

#[test]
fn events_as_they_happen() {
    let place = Place::new();
    let (_master, _) = place.serve(&["-w", "1"]);
    place.wait_for_workers(1);
    let mut text = Program::start(place.command().arg("events"));
    let mut json = Program::start(place.command().args(["events", "--json"]));
    let listens = |program: &Program| !program.lines().is_empty();
    wait_for("both hear", || {
        place.cluster(&["reload"]);
        (listens(&text) && listens(&json)).then_some(())
    });
    assert!(!text.line(" listening 127.0.0.1:").is_empty());
    let line = text.line(" reload generation ");
    assert!(line.contains('Z'), "{line}");
    let line = json.line("\"exit\"");
    let exit: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(exit["event"], "exit");
    assert!(exit["time"].as_f64().unwrap() > 1e9 && exit["worker"].is_u64(), "{exit}");
    assert_eq!(place.cluster(&["stop"]).code, 0);
    for program in [&mut text, &mut json] {
        assert!(program.wait().success());
        program.line("end");
    }
}

#[test]
fn top_for_programs() {
    let place = Place::new();
    let (master, _) = place.serve(&["-w", "1"]);
    place.wait_for_workers(1);
    let top = Program::start(place.command().args(["top", "--json", "--interval", "100ms"]));
    let line = top.nth_line("\"slots\"", 2);
    let report: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(report["pid"], master.pid());
    assert!(ready(&report)[0]["cpu"].is_number());
    let said = place.cluster(&["top"]);
    assert!(said.complains(2).contains("--json"), "{said:?}");
}

#[test]
fn top_on_a_terminal() {
    if !crate::support::has("top_on_a_terminal", "script", &["--version"]) {
        return;
    }
    let place = Place::new();
    let (_master, _) = place.serve(&["-w", "1", "--name", "shop"]);
    let line = format!("stty rows 24 cols 100; {} top", place.command().get_program().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env("XDG_RUNTIME_DIR", place.path()).env("TERM", "xterm");
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut top = Guard(script.spawn().unwrap());
    let mut screen = top.0.stdout.take().unwrap();
    let (seen, shown) = mpsc::channel();
    let reader = thread::spawn(move || {
        let (mut all, mut bytes) = (Vec::new(), [0; 1024]);
        while let Ok(length @ 1..) = screen.read(&mut bytes) {
            all.extend_from_slice(&bytes[..length]);
            let text = String::from_utf8_lossy(&all);
            if text.contains("SLOT") && text.contains("shop") {
                let _ = seen.send(()); // the test may have seen enough
            }
        }
    });
    shown.recv_timeout(PATIENCE).expect("a screen");
    top.0.stdin.as_ref().unwrap().write_all(b"q").unwrap();
    let status = wait_for("the end of top", || top.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    reader.join().unwrap();
}

#[test]
fn completions_for_shells() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = place.cluster(&["completions", shell]);
        assert_eq!(said.code, 0);
        assert!(said.out.contains("reload") && said.out.contains("cluster"), "{shell}");
    }
}

#[test]
fn help_names_what_there_is() {
    let place = Place::new();
    let help = place.cluster(&["--help"]);
    assert_eq!(help.code, 0);
    for word in
        ["run", "status", "top", "events", "logs", "scale", "reload", "stop", "kill", "Exit codes"]
    {
        assert!(help.out.contains(word), "{word}");
    }
    let run = place.cluster(&["run", "--help"]);
    for word in ["--listen", "--ready", "--config", "LISTEN_FDS", "[default: 30s]", "Examples"] {
        assert!(run.out.contains(word), "{word}");
    }
    assert_eq!(place.cluster(&["--version"]).code, 0);
}
