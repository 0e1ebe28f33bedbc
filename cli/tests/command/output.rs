//! What workers print, on its way to those who read it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use nix::sys::signal::Signal::SIGUSR1;

use crate::support::{Guard, Place, has, path, wait_for, wait_until};

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
