//! `exec` and `execFile`, waited for or not.

use std::{
    thread,
    time::{Duration, Instant},
};

use cluster::{
    Error, Signal,
    child_process::{self, Abort, Command, Output},
};
use nix::libc::ENOENT;

use crate::{
    family::{End, KILL, TERM, guarded, how, idle, spawn_errno, text},
    house::{Form, rows},
    support::PATIENCE,
};

rows! {
    child_process_exec_abortcontroller_promisified: rust;
    child_process_exec_cwd: rust;
    child_process_exec_encoding: rust;
    child_process_exec_env: rust;
    child_process_exec_error: rust;
    child_process_exec_maxbuf: rust;
    child_process_exec_stdout_stderr_data_string: rust;
    child_process_exec_timeout_expire: rust;
    child_process_exec_timeout_kill: rust;
    child_process_exec_timeout_not_expired: rust;
    child_process_exec_file_promisified_abort_controller: rust;
    child_process_execfile_maxbuf: rust;
    child_process_execfile: rust;
    child_process_execfilesync_maxbuf: rust;
    child_process_execsync_maxbuf: rust;
    child_process_execsync: rust;
    child_process_promisified: rust;
}

const MEBI: usize = 1 << 20;
const SOON: Duration = Duration::from_millis(50);

/// One aborted while it runs, and one before it starts.
fn abort_both(make: impl Fn() -> Command) {
    for early in [false, true] {
        let abort = Abort::new();
        if early {
            abort.abort();
        }
        let child = make().abort_on(&abort).spawn().unwrap();
        let waiting = thread::spawn(|| child.output());
        abort.abort();
        let result = waiting.join().unwrap();
        assert!(matches!(&result, Err(Error::Aborted { .. })), "{result:?}");
    }
}

fn child_process_exec_abortcontroller_promisified(_: Form) {
    abort_both(|| Command::shell("exec sleep 600"));
}

fn child_process_exec_file_promisified_abort_controller(_: Form) {
    abort_both(idle);
}

fn child_process_exec_cwd(_: Form) {
    assert_eq!(text(Command::shell("pwd").cwd("/dev").output()), "/dev\n");
}

fn child_process_exec_encoding(_: Form) {
    let output = child_process::exec(r"printf 'foo\377'; echo bar >&2").unwrap().output().unwrap();
    assert_eq!((output.stdout, output.stderr), (b"foo\xff".to_vec(), b"bar\n".to_vec()));
}

fn child_process_exec_env(_: Form) {
    let mut command = Command::shell("/usr/bin/env");
    let said = text(command.env_clear().env("HELLO", "WORLD").output());
    let ours = |line: &&str| !line.starts_with("PWD=") && !line.starts_with("_="); // the shell's own
    assert_eq!(said.lines().filter(ours).collect::<Vec<_>>(), ["HELLO=WORLD"]);
}

fn child_process_exec_error(_: Form) {
    let child = child_process::exec("does-not-exist").unwrap();
    assert!(child.pid() > 0);
    let result = child.output().and_then(Output::exit_ok);
    let Err(Error::Failed { program, output }) = result else { panic!("{result:?}") };
    assert_eq!((program.as_str(), output.status.code()), ("does-not-exist", Some(127)));
    let missing = child_process::exec_file("does-not-exist", [""; 0]);
    assert!(missing.as_ref().unwrap_err().to_string().contains("does-not-exist"));
    assert_eq!(spawn_errno(missing), ENOENT);
}

/// Too much is cut at the limit and kills; what just fits does not.
fn check_limits(write: impl Fn(usize, &str) -> Command, run: impl Fn(&Command) -> Collected) {
    for stream in ["1", "2"] {
        let of =
            |output: &Output| if stream == "1" { &output.stdout } else { &output.stderr }.len();
        let mut command = write(MEBI + 1, stream);
        let result = run(&command);
        let Err(Error::Overflow { output, .. }) = result else { panic!("{result:?}") };
        assert_eq!(of(&output), MEBI);
        assert_eq!(of(&run(&write(MEBI, stream)).unwrap()), MEBI);
        assert_eq!(of(&run(command.max_buffer(usize::MAX)).unwrap()), MEBI + 1);
        let result = run(write(100, stream).max_buffer(99));
        let Err(Error::Overflow { output, .. }) = result else { panic!("{result:?}") };
        assert_eq!(of(&output), 99);
    }
}

type Collected = cluster::Result<Output>;

fn as_line(count: usize, stream: &str) -> Command {
    Command::shell(format!("head -c {count} /dev/zero >&{stream}"))
}

fn as_file(count: usize, stream: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("head -c {count} /dev/zero >&{stream}")]);
    command
}

/// Started with the limit of `exec`, and then waited for.
fn later(command: &Command) -> Collected {
    command.spawn()?.output()
}

fn child_process_exec_maxbuf(_: Form) {
    let exec = child_process::exec(format!("head -c {} /dev/zero", MEBI + 1)).unwrap();
    let result = exec.output();
    let Err(Error::Overflow { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!(output.stdout.len(), MEBI);
    // A limit counts bytes, and may fall between those of a character.
    let result = later(Command::shell("printf 中文").max_buffer(4));
    let Err(Error::Overflow { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!(output.stdout, &"中文".as_bytes()[..4]);
}

fn child_process_execfile_maxbuf(_: Form) {
    let count = (MEBI + 1).to_string();
    let args = ["-c", &count, "/dev/zero"];
    let result = child_process::exec_file("head", args).unwrap().output();
    let Err(Error::Overflow { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!(output.stdout.len(), MEBI);
    assert_eq!(text(later(Command::new("echo").arg("hi").max_buffer(3))), "hi\n");
}

fn child_process_execfilesync_maxbuf(_: Form) {
    check_limits(as_file, Command::output);
    let result = child_process::exec_file_sync("head", ["-c", "2000000", "/dev/zero"]);
    assert!(matches!(result, Err(Error::Overflow { .. })));
}

fn child_process_execsync_maxbuf(_: Form) {
    check_limits(as_line, Command::output);
    let result = child_process::exec_sync("head -c 2000000 /dev/zero");
    assert!(matches!(result, Err(Error::Overflow { .. })));
}

fn child_process_exec_stdout_stderr_data_string(_: Form) {
    let output = child_process::exec("ls /").unwrap().output().unwrap();
    assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    let output = child_process::exec("fhqwhgads").unwrap().output().unwrap();
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}

fn killed_in_time(command: &mut Command, end: End) {
    let result = later(command.timeout(SOON));
    let Err(Error::TimedOut { program, output }) = result else { panic!("{result:?}") };
    assert_eq!((program.as_str(), how(output.status)), ("exec sleep 600", end));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}

fn child_process_exec_timeout_expire(_: Form) {
    killed_in_time(&mut Command::shell("exec sleep 600"), TERM);
}

fn child_process_exec_timeout_kill(_: Form) {
    killed_in_time(Command::shell("exec sleep 600").kill_signal(Signal::KILL), KILL);
}

fn child_process_exec_timeout_not_expired(_: Form) {
    let begin = Instant::now();
    let mut command = Command::shell("echo child stdout; echo child stderr >&2");
    let output = later(command.timeout(Duration::from_secs(86_400))).unwrap().exit_ok().unwrap();
    assert_eq!(output.stdout, b"child stdout\n");
    assert_eq!(output.stderr, b"child stderr\n");
    assert!(begin.elapsed() < PATIENCE);
}

fn child_process_execfile(_: Form) {
    let result = child_process::exec_file("sh", ["-c", "exit 42"]).unwrap().output();
    let error = result.and_then(Output::exit_ok).unwrap_err();
    assert_eq!(error.to_string(), "sh failed with exit status: 42");
    let waiting = guarded(child_process::exec_file("sleep", ["600"]));
    assert!(waiting.kill(Signal::TERM).unwrap() && waiting.killed());
    let mut line = Command::shell("\"$NODE\" \"$1\"");
    assert_eq!(text(line.arg("a b").env("NODE", "echo").output()), "a b\n");
    abort_both(idle);
    let abort = Abort::new();
    assert_eq!(
        text(Command::new("echo").args(["foo", "bar"]).abort_on(&abort).output()),
        "foo bar\n"
    );
    abort.abort(); // it has ended: nobody is killed
    assert_eq!(child_process::exec_file_sync("echo", ["foo", "bar"]).unwrap(), b"foo bar\n");
}

fn child_process_execsync(_: Form) {
    let mut missing = Command::new("/no/such/shell");
    assert_eq!(spawn_errno(missing.args(["-c", "exit"]).output()), ENOENT);
    let begin = Instant::now();
    let result = idle().timeout(SOON).output();
    let Err(Error::TimedOut { output, .. }) = result else { panic!("{result:?}") };
    assert!(output.pid > 0 && how(output.status) == TERM && begin.elapsed() < PATIENCE);

    assert_eq!(child_process::exec_sync("echo foobar").unwrap(), b"foobar\n");
    assert_eq!(child_process::exec_file_sync("echo", ["foobar"]).unwrap(), b"foobar\n");
    assert_eq!(text(Command::new("pwd").cwd("/dev").output()), "/dev\n");
    let result = child_process::exec_file_sync("sh", ["-c", "echo bad >&2; exit 33"]);
    let Err(Error::Failed { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!((output.status.code(), output.stdout), (Some(33), vec![]));
    assert_eq!(output.stderr, b"bad\n");
    use cluster::child_process::Stdio::Ignore;
    let output = Command::shell("echo x; echo y >&2").stdio([Ignore, Ignore, Ignore]).output();
    let output = output.unwrap();
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}

fn child_process_promisified(_: Form) {
    let output = child_process::exec("printf 42").unwrap().output().unwrap().exit_ok().unwrap();
    assert_eq!((output.stdout, output.stderr), (b"42".to_vec(), vec![]));
    let output = child_process::exec_file("printf", ["42"]).unwrap().output().unwrap();
    assert_eq!((output.stdout, output.stderr), (b"42".to_vec(), vec![]));
    assert_eq!(spawn_errno(child_process::exec_file("doesntexist", [""; 0])), ENOENT);
    let child = child_process::exec("echo 1; echo 2 >&2; exit 7").unwrap();
    assert!(child.pid() > 0);
    let result = child.output().and_then(Output::exit_ok);
    let Err(Error::Failed { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!((output.stdout, output.stderr), (b"1\n".to_vec(), b"2\n".to_vec()));
    assert_eq!(output.status.code(), Some(7));
}
