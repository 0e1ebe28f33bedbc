//! A parent and its children, for the rows of `child_process`.

use std::{
    io::Read,
    ops::{Deref, DerefMut},
    os::unix::{net::UnixStream, process::ExitStatusExt},
    process::ExitStatus,
};

use cluster::{
    Error, Message, Signal,
    child_process::{Child, Command, Output},
};

use crate::{
    house::{Form, player},
    support::{PATIENCE, fixture},
};

/// Kills the child when a test is left early.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Waits for the end: the code or the signal.
    #[track_caller]
    pub(crate) fn end(&mut self) -> End {
        let status = self.0.wait_timeout(PATIENCE).unwrap();
        how(status.expect("the child does not end"))
    }
}

impl Deref for Guard {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.0.kill(Signal::KILL);
    }
}

#[track_caller]
pub(crate) fn guarded(child: cluster::Result<Child>) -> Guard {
    Guard(child.unwrap())
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

pub(crate) const TERM: End = End::Signal(15);
pub(crate) const KILL: End = End::Signal(9);

pub(crate) fn how(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), None) => End::Code(code),
        (None, Some(signal)) => End::Signal(signal),
        _ => panic!("{status:?}"),
    }
}

/// A child that runs until it is killed.
pub(crate) fn idle() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    command
}

/// What a child wrote that was content.
#[track_caller]
pub(crate) fn text(output: cluster::Result<Output>) -> String {
    String::from_utf8(output.and_then(Output::exit_ok).unwrap().stdout).unwrap()
}

/// All that comes out of a stream, to its end.
#[track_caller]
pub(crate) fn all(stream: impl Into<UnixStream>) -> String {
    let mut stream = stream.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// As many bytes of a stream as this text has.
#[track_caller]
pub(crate) fn expect(stream: &UnixStream, text: &str) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = vec![0; text.len()];
    (&mut &*stream).read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
}

/// A child that plays a scenario: `players/child.rs`, or its twin in Node.
pub(crate) fn child(form: Form, scenario: &str) -> Command {
    let mut command = match form {
        Form::Rust => Command::new(fixture()),
        Form::Worker => Command::new("node"),
        Form::Primary => panic!("the child's parent is Node"),
    };
    match form {
        Form::Rust => command.arg("conformance-child"),
        _ => command.arg(player("child.js")),
    };
    command.arg(scenario).env("NODE_NO_WARNINGS", "1");
    command
}

/// Has a Node parent play a scenario with a child of ours that plays one, too.
#[track_caller]
pub(crate) fn under_node(parents: &str, childs: &[&str]) {
    let mut node = Command::new("node");
    node.arg(player("parent.js")).arg(parents).arg(fixture()).arg("conformance-child").args(childs);
    let output = node.timeout(PATIENCE).kill_signal(Signal::KILL).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The next message, which must come.
#[track_caller]
pub(crate) fn hear(child: &Child) -> Message {
    child.recv_timeout(PATIENCE).unwrap().expect("a message")
}

/// That nothing more comes, because the other side has closed.
#[track_caller]
pub(crate) fn expect_silence(child: &Child) {
    let message = child.recv_timeout(PATIENCE).unwrap();
    assert!(message.is_none(), "{message:?}");
    assert!(!child.channel().unwrap().is_connected());
}

/// The errno with which a program could not be started.
#[track_caller]
pub(crate) fn spawn_errno(result: cluster::Result<impl std::fmt::Debug>) -> i32 {
    let Err(Error::Spawn { source, .. }) = result else { panic!("no spawn error: {result:?}") };
    let mut cause: &dyn std::error::Error = &source;
    loop {
        if let Some(code) = cause.downcast_ref::<std::io::Error>().and_then(|io| io.raw_os_error())
        {
            return code;
        }
        cause = cause.source().expect("an errno");
    }
}
