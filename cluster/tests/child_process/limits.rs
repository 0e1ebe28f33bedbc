//! Input, output and their limits; time; aborting.

use crate::support::{PATIENCE, guarded, idle, text};
use cluster::{
    Error, Signal,
    child_process::{self, Abort, Command, Stdio},
};
use std::{
    os::unix::process::ExitStatusExt,
    thread,
    time::{Duration, Instant},
};

const MEBI: usize = 1024 * 1024;
const SOON: Duration = Duration::from_millis(50);

#[test]
fn much_goes_in_and_out() {
    let input: Vec<u8> = (0_u32..10 * 1024 * 1024 / 4).flat_map(u32::to_le_bytes).collect();
    let mut command = Command::new("cat");
    let output = command.input(input.clone()).max_buffer(usize::MAX).output().expect("runs");
    assert!(output.status.success());
    assert!(output.stdout == input, "not the same"); // assert_eq would print it all
}

#[test]
fn input_that_nobody_reads_is_no_error() {
    let output = Command::new("true").input(vec![0; MEBI]).output().expect("runs");
    assert!(output.status.success());
}

#[test]
fn without_input_stdin_is_at_its_end() {
    assert_eq!(text(Command::new("cat").output()), "");
    assert!(child_process::exec("cat").expect("started").output().expect("ends").stdout.is_empty());
}

#[test]
fn both_streams_are_read() {
    let output = Command::shell("head -c 500000 /dev/zero >&2; head -c 500000 /dev/zero")
        .output()
        .expect("runs");
    assert_eq!((output.stdout.len(), output.stderr.len()), (500_000, 500_000));
}

#[test]
fn too_much_output_kills() {
    let endless = "exec cat /dev/zero";
    let child = child_process::exec(endless).expect("started");
    for result in [child.output(), Command::shell(endless).output()] {
        let Err(Error::Overflow { program, output }) = result else { panic!("{result:?}") };
        assert_eq!(program, endless);
        assert_eq!(output.stdout.len(), MEBI);
        assert!(!output.status.success());
    }
    let error = child_process::exec_sync(format!("{endless} >&2")).expect_err("too much");
    assert_eq!(error.to_string(), format!("{endless} >&2 wrote more than its buffer holds"));
}

#[test]
fn just_enough_output_does_not() {
    let mut command = Command::shell("head -c 1000 /dev/zero");
    assert_eq!(command.max_buffer(1000).output().expect("fits").stdout.len(), 1000);
    let result = command.max_buffer(999).output();
    let Err(Error::Overflow { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!(output.stdout.len(), 999);

    let much = Command::shell("head -c 3000000 /dev/zero").spawn().expect("started");
    assert_eq!(much.output().expect("no limit after spawn").stdout.len(), 3_000_000);
}

#[test]
fn too_much_time_kills() {
    let result = idle().timeout(SOON).output();
    let Err(Error::TimedOut { program, output }) = result else { panic!("{result:?}") };
    assert_eq!((program.as_str(), output.status.signal()), ("sleep", Some(15)));

    let result = idle().timeout(SOON).kill_signal(Signal::KILL).output();
    let Err(Error::TimedOut { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!(output.status.signal(), Some(9));

    let mut child = guarded(idle().timeout(SOON).spawn());
    assert_eq!(child.wait().expect("ends").signal(), Some(15));
    assert!(child.killed());

    let mut child = guarded(idle().timeout(SOON).spawn());
    while child.try_wait().expect("known").is_none() {
        thread::yield_now();
    }
    assert!(child.killed());
}

#[test]
fn time_that_is_not_used_up_delays_nothing() {
    let begin = Instant::now();
    assert_eq!(text(Command::new("echo").timeout(PATIENCE * 10).output()), "\n");
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(text(Command::new("echo").timeout(Duration::MAX).output()), "\n");
}

#[test]
fn what_was_written_before_the_timeout_is_kept() {
    // A grandchild holds the streams; it ends when its stdin does.
    let (ours, childs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut command = Command::shell("echo first; cat <&3 & ");
    command.stdio([Stdio::Ignore, Stdio::Pipe, Stdio::Pipe, childs.into()]);
    let child = command.timeout(Duration::from_secs(2)).spawn().expect("started");
    let result = child.output();
    drop(ours);
    let Err(Error::TimedOut { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!(output.stdout, b"first\n");
    assert!(output.status.success(), "the child itself had ended");
}

#[test]
fn aborting() {
    let abort = Abort::new();
    let (mut one, two) = (idle(), idle());
    let waiting = one.abort_on(&abort).spawn().expect("started");
    let untouched = guarded(two.spawn());
    let mut watched = guarded(one.kill_signal(Signal::KILL).spawn());
    let mut ended = guarded(Command::new("true").abort_on(&abort).spawn());
    assert!(ended.wait().expect("ends").success());
    let waiting = thread::spawn(|| waiting.output());

    assert!(!abort.is_aborted());
    abort.clone().abort();
    assert!(abort.is_aborted());
    let result = waiting.join().expect("no panic");
    assert!(matches!(result, Err(Error::Aborted { .. })), "{result:?}");
    assert_eq!(watched.wait().expect("ends").signal(), Some(9));
    assert!(watched.killed() && !ended.killed() && !untouched.killed());

    // Once is for ever.
    let result = one.output();
    assert!(matches!(result, Err(Error::Aborted { .. })), "{result:?}");
    abort.abort();
}

#[test]
fn an_abort_does_not_wait_for_grandchildren() {
    let (ours, childs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let abort = Abort::new();
    let mut command = Command::shell("cat <&3 & wait");
    command.stdio([Stdio::Ignore, Stdio::Pipe, Stdio::Pipe, childs.into()]).abort_on(&abort);
    let child = command.spawn().expect("started");
    let waiting = thread::spawn(|| child.output());
    abort.abort();
    let result = waiting.join().expect("no panic");
    assert!(matches!(result, Err(Error::Aborted { .. })), "{result:?}");
    drop(ours);
}
