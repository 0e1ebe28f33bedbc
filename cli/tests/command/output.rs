//! What workers print, on its way to those who read it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use nix::sys::signal::Signal::SIGUSR1;

use serde_json::{Value, json};

use crate::support::{Guard, Place, Program, has, path, wait_for, wait_until};

/// A worker that prints a line on each stream, and stays.
const SPEAKS: &str = "echo to stdout; echo to stderr >&2; exec sleep 1000";

/// A worker that goes on printing.
const COUNTS: &str = "while :; do echo line $((n = n + 1)); sleep 0.02; done";

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// `run`, for a program that is ready when it runs.
fn run<'a>(options: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [&["run", "-w", "1", "--ready", "start"], options, &["--", "sh", "-c", script]].concat()
}

#[test]
fn lines_are_untouched_where_no_terminal_is() {
    let place = Place::new();
    let (out, err) = (place.path().join("out"), place.path().join("err"));
    let mut master = place.command();
    master.args(run(&[], SPEAKS)).stdin(Stdio::null());
    master.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let _master = Guard(master.spawn().unwrap());
    wait_until("a line on each stream", || {
        text(&out).contains("to stdout") && text(&err).contains("to stderr")
    });
    assert_eq!(place.cluster(&["stop"]).code, 0);
    assert_eq!(text(&out), "to stdout\n");
    assert!(text(&err).lines().any(|line| line == "to stderr"), "{}", text(&err));
}

#[test]
fn lines_say_whose_they_are_on_a_terminal() {
    if !has("lines_say_whose_they_are_on_a_terminal", "script", &["--version"]) {
        return;
    }
    let place = Place::new();
    let program = place.path().join("speaks");
    fs::write(&program, SPEAKS).unwrap();
    let (command, program) = (place.command(), path(&program).to_owned());
    let command = command.get_program().display();
    let line = format!("{command} run -w 1 --ready start -- sh {program}");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env("XDG_RUNTIME_DIR", place.path());
    let screen = place.path().join("screen");
    script.stdin(Stdio::piped()).stdout(File::create(&screen).unwrap());
    let mut script = Guard(script.spawn().unwrap());
    let stop = Stop(&place);
    for line in ["worker 1 | to stdout\r\n", "worker 1 | to stderr\r\n"] {
        wait_until("lines on the screen", || text(&screen).contains(line));
    }
    drop(stop);
    assert!(wait_for("the end", || script.0.try_wait().unwrap()).success());
}

/// Stops a master in any case: one that loses its terminal only reloads.
struct Stop<'a>(&'a Place);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.cluster(&["stop"]);
    }
}

#[test]
fn a_log_file_is_opened_again() {
    let place = Place::new();
    let (log, old) = (place.path().join("log"), place.path().join("log.1"));
    let master = place.start(&run(&["--log", path(&log)], COUNTS));
    wait_until("lines in the log", || text(&log).contains("line 3\n"));
    fs::rename(&log, &old).unwrap();
    master.signal(SIGUSR1);
    wait_until("lines in the new log", || !text(&log).is_empty());
    assert_eq!(place.cluster(&["stop"]).code, 0);
    let all = text(&old) + &text(&log);
    for (number, line) in all.lines().enumerate() {
        assert_eq!(line, format!("line {}", number + 1), "{all}");
    }
    assert!(!master.lines().iter().any(|line| line.starts_with("line ")));
}

#[test]
fn a_log_that_cannot_be() {
    let place = Place::new();
    let said = place.cluster(&run(&["--log", "/no/such/folder/log"], SPEAKS));
    let line = said.err.lines().last().unwrap();
    assert!(line.contains("cannot open the log /no/such/folder/log"), "{said:?}");
    assert_eq!(said.code, 1);
}

#[test]
fn last_words_are_in_the_status() {
    let place = Place::new();
    let died = place.path().join("died");
    let script = format!(
        "[ -e {died} ] || {{ touch {died}; echo no database >&2; exit 3; }}; exec sleep 1000",
        died = path(&died)
    );
    let _master = place.start(&run(&[], &script));
    let exit = "exit status: 3, saying: no database";
    wait_until("a last exit", || place.status()["slots"][0]["last_exit"] == exit);
    assert!(place.cluster(&["status"]).out.contains(exit));
}

#[test]
fn logs_of_before() {
    let place = Place::new();
    let script = "echo one; echo two; echo three; echo oh >&2; exec sleep 1000";
    let _master = place.start(&run(&[], script));
    wait_until("all lines", || {
        let said = place.cluster(&["logs"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
        said.out.lines().count() == 4
    });
    let mut all: Vec<String> = place.cluster(&["logs"]).out.lines().map(str::to_owned).collect();
    all.retain(|line| line != "worker 1 | oh"); // it comes by another way
    assert_eq!(all, ["worker 1 | one", "worker 1 | two", "worker 1 | three"]);
    assert_eq!(place.cluster(&["logs", "-n", "1"]).out.lines().count(), 1);
    assert_eq!(place.cluster(&["logs", "-n", "0"]).out, "");
    let said = place.cluster(&["logs", "--json"]);
    let has = |line: Value| {
        let line = line.to_string();
        said.out.lines().any(|one| one == line)
    };
    assert!(has(json!({ "line": { "worker": 1, "stream": "stderr", "text": "oh" } })), "{said:?}");
    assert!(has(json!({ "line": { "worker": 1, "stream": "stdout", "text": "two" } })), "{said:?}");
}

#[test]
fn logs_are_followed_over_an_upgrade_to_the_end() {
    let place = Place::new();
    let master = place.start(&run(&[], COUNTS));
    let mut logs = Program::start(place.command().args(["logs", "--follow", "-n", "100000"]));
    logs.line("worker 1 | line 3");
    let said = place.cluster(&["upgrade"]);
    assert_eq!(said.code, 0, "{said:?}");
    logs.line("worker 2 | line 3");
    assert_eq!(place.cluster(&["stop"]).code, 0);
    assert_eq!(logs.wait().code(), Some(0));
    drop(master);
    let lines = logs.lines();
    for worker in ["worker 1", "worker 2"] {
        let own = lines.iter().filter(|line| line.starts_with(worker));
        for (number, line) in own.enumerate() {
            assert_eq!(line, &format!("{worker} | line {}", number + 1), "{lines:#?}");
        }
    }
    assert!(!lines.iter().any(|line| line.contains("missed")), "{lines:#?}");
}

#[test]
fn logs_for_a_reader_that_goes() {
    let place = Place::new();
    let _master = place.start(&run(&[], COUNTS));
    let mut logs = place.command();
    logs.args(["logs", "--follow"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut logs = Guard(logs.spawn().unwrap());
    drop(logs.0.stdout.take());
    let status = wait_for("its end", || logs.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}
