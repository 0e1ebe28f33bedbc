//! What a child starts with, and why it may not start.

use crate::support::{line, text, write_program};
use cluster::{
    Error,
    child_process::{self, Command},
};
use nix::{
    libc,
    sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask},
    unistd::geteuid,
};
use std::{error::Error as _, io, path::Path};

fn spawn_error(command: &Command) -> io::Error {
    match command.output() {
        Err(Error::Spawn { source, .. }) => source,
        other => panic!("not a spawn error: {other:?}"),
    }
}

fn setting_error(command: &Command) -> String {
    match command.output() {
        Err(error @ Error::Settings { .. }) => error.to_string(),
        other => panic!("not a settings error: {other:?}"),
    }
}

#[test]
fn arguments_reach_the_child() {
    let output = Command::new("printf").args(["[%s]", "", "a b", "*", "ä"]).output();
    assert_eq!(text(output), "[][a b][*][ä]");
}

#[test]
fn argv0_is_the_program_or_what_is_said() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "printf %s \"$0\""]);
    assert_eq!(text(command.output()), "/bin/sh");
    assert_eq!(text(command.argv0("another").output()), "another");
}

#[test]
fn shell_lines_take_arguments_as_data() {
    assert_eq!(text(Command::shell("echo a; echo b").output()), "a\nb\n");
    let mut command = Command::shell("printf '[%s]' \"$@\"");
    assert_eq!(text(command.args(["$(id)", "; id"]).output()), "[$(id)][; id]");
}

#[test]
fn environment() {
    let mut command = Command::new("/usr/bin/env");
    command.env_clear().env("A", "1").envs([("B", "2"), ("C", "")]).env_remove("A");
    assert_eq!(text(command.output()), "B=2\nC=\n");
    let inherited = text(Command::new("env").env("CLUSTER_TEST_ADDED", "1").output());
    assert!(inherited.contains("PATH=") && inherited.contains("CLUSTER_TEST_ADDED=1"));
}

#[test]
fn working_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().canonicalize().expect("exists");
    assert_eq!(text(Command::new("pwd").cwd(&path).output()).trim(), path.to_str().expect("text"));
    let ours = std::env::current_dir().expect("exists");
    assert_eq!(text(Command::new("pwd").cwd("").output()).trim(), ours.to_str().expect("text"));

    write_program(&path, "tool", "755", "#!/bin/sh\necho relative\n");
    assert_eq!(text(Command::new("./tool").cwd(&path).output()), "relative\n");

    let error = spawn_error(Command::new("pwd").cwd("/no/such/directory"));
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(error.to_string(), "cannot enter its working directory");
    assert!(error.source().is_some());
}

#[test]
fn the_childs_path_is_searched() {
    let (first, second) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let path = format!("/no/such:{}:{}", first.path().display(), second.path().display());
    let mut command = Command::new("cluster-test-tool");
    command.env("PATH", &path);
    assert_eq!(spawn_error(&command).raw_os_error(), Some(libc::ENOENT));

    write_program(first.path(), "cluster-test-tool", "644", "#!/bin/sh\necho first\n");
    assert_eq!(spawn_error(&command).raw_os_error(), Some(libc::EACCES));

    write_program(second.path(), "cluster-test-tool", "755", "#!/bin/sh\necho second\n");
    assert_eq!(text(command.output()), "second\n");

    write_program(first.path(), "cluster-test-tool", "755", "#!/bin/sh\necho first\n");
    assert_eq!(text(command.output()), "first\n");
    assert_eq!(text(Command::new("true").env_remove("PATH").output()), "");
}

#[test]
fn a_script_without_a_first_line_is_for_the_shell() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = write_program(directory.path(), "script", "755", "echo \"$1, $2\"\n");
    assert_eq!(text(Command::new(&script).args(["one", "two"]).output()), "one, two\n");
}

#[test]
fn a_missing_program_is_an_error_at_once() {
    let error = child_process::spawn("/no/such/program", ["x"]).expect_err("missing");
    assert_eq!(
        format!("{error:?}"),
        "cannot start /no/such/program: No such file or directory (os error 2)"
    );
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let denied = spawn_error(&Command::new(Path::new("/etc/passwd")));
    assert_eq!(denied.raw_os_error(), Some(libc::EACCES));
    assert_eq!(spawn_error(&Command::new("/")).raw_os_error(), Some(libc::EACCES));
}

#[test]
fn null_bytes_and_empty_names_are_refused() {
    assert_eq!(setting_error(&Command::new("")), "invalid program: empty");
    let holds = |command: &Command| {
        let error = setting_error(command);
        assert!(error.ends_with("which holds a NUL byte"), "{error}");
    };
    holds(&Command::new("a\0b"));
    holds(&Command::shell("a\0b"));
    holds(Command::new("true").arg("\0"));
    holds(Command::new("true").argv0("\0"));
    holds(Command::new("true").cwd("\0"));
    holds(Command::new("true").env("A", "\0"));
    holds(Command::new("true").env("A\0", ""));
    assert!(setting_error(Command::new("true").env("", "x")).contains("name of a variable"));
    assert!(setting_error(Command::new("true").env("A=B", "x")).contains("name of a variable"));
}

#[test]
fn signals_start_fresh() {
    // Rust ignores PIPE, and here we block USR1: neither is for the child.
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGUSR1);
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&mask), Some(&mut before)).expect("blocked");
    let status = text(Command::new("cat").arg("/proc/self/status").output());
    let after = SigSet::thread_get_mask().expect("a mask");
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None).expect("restored");

    for name in ["SigBlk", "SigIgn", "SigCgt"] {
        let set = u64::from_str_radix(line(&status, name), 16).expect("hexadecimal");
        assert_eq!(set, 0, "{name} of the child");
    }
    mask.extend(&before);
    assert_eq!(after, mask, "our own mask is as it was");
}

#[test]
fn a_detached_child_leads_a_session() {
    let session = |command: &mut Command| -> (u32, u32, u32) {
        let output = command.arg("/proc/self/stat").output().expect("runs");
        let stat = String::from_utf8(output.stdout).expect("text");
        let mut fields = stat.rsplit_once(')').expect("name").1.split_whitespace();
        let mut field = |skipped| fields.nth(skipped).and_then(|text| text.parse().ok());
        let (group, session) = (field(2).expect("group"), field(0).expect("session"));
        (output.pid, group, session)
    };
    let (pid, group, own) = session(Command::new("cat").detached(true));
    assert_eq!((group, own), (pid, pid));
    let (pid, group, ours) = session(&mut Command::new("cat"));
    assert!(group != pid && ours != pid);
}

#[test]
fn user_and_group() {
    let mut command = Command::new("cat");
    command.arg("/proc/self/status").uid(65534).gid(65533);
    if !geteuid().is_root() {
        let error = spawn_error(&command);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        return;
    }
    let status = text(command.output());
    assert_eq!(line(&status, "Uid"), "65534\t65534\t65534\t65534");
    assert_eq!(line(&status, "Gid"), "65533\t65533\t65533\t65533");
    assert_eq!(line(&status, "Groups"), "");
    assert_eq!(line(&status, "CapEff"), "0000000000000000");
    // The child shared our memory while it became another user: that leaves no mark.
    assert!(nix::sys::prctl::get_dumpable().expect("known"));

    let own = text(Command::new("cat").arg("/proc/self/status").gid(65533).output());
    assert_eq!(line(&own, "Uid"), "0\t0\t0\t0");
}
