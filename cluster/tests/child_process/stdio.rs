//! Pipes and other descriptors.

use crate::support::{PATIENCE, guarded, text};
use cluster::{
    Error,
    child_process::{Command, Stdio},
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

fn temporary(content: &str) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(content.as_bytes()).expect("written");
    file.rewind().expect("a file");
    file
}

fn read(mut stream: impl Read) -> String {
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("text");
    all
}

#[test]
fn pipes_both_ways() {
    let mut child = guarded(Command::new("cat").spawn());
    let (mut stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take());
    stdout.as_ref().expect("a pipe").set_read_timeout(Some(PATIENCE)).expect("a socket");
    for line in ["one\n", "two\n"] {
        stdin.write_all(line.as_bytes()).expect("read");
        let mut answer = [0; 4];
        stdout.as_ref().expect("a pipe").read_exact(&mut answer).expect("echoed");
        assert_eq!(answer, line.as_bytes());
    }
    drop(stdin);
    assert_eq!(read(stdout.expect("a pipe")), "");
    assert!(child.wait().expect("ends").success());
}

#[test]
fn wait_closes_stdin() {
    let mut child = guarded(Command::new("cat").spawn());
    assert!(child.wait().expect("ends").success());
    assert!(child.stdin.is_none());
}

#[test]
fn one_childs_output_is_anothers_input() {
    let mut first = guarded(Command::shell("printf 'b\na\n'").spawn());
    let mut sort = Command::new("sort");
    sort.stdin(first.stdout.take().expect("a pipe"));
    assert_eq!(text(sort.output()), "a\nb\n");
}

#[test]
fn ignored_streams_are_null() {
    let mut command = Command::shell("cat; echo out; readlink /proc/self/fd/0");
    assert_eq!(text(command.stdin(Stdio::Ignore).output()), "out\n/dev/null\n");
    let mut child = guarded(command.stdio([Stdio::Ignore, Stdio::Ignore, Stdio::Ignore]).spawn());
    assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
    assert!(child.wait().expect("ends").success());
}

#[test]
fn extra_pipes_are_duplex() {
    let mut command = Command::shell("read line <&4; echo \"got $line\" >&4");
    let list = [Stdio::Ignore, Stdio::Inherit, Stdio::Inherit, Stdio::Ignore, Stdio::Pipe];
    let mut child = guarded(command.stdio(list).spawn());
    assert!(child.stdio(3).is_none() && child.stdio(9).is_none());
    let mut pipe = child.stdio(4).expect("a pipe");
    assert!(child.stdio(4).is_none(), "taken");
    pipe.write_all(b"it\n").expect("read");
    assert_eq!(read(pipe), "got it\n");
    assert!(child.wait().expect("ends").success());
}

#[test]
fn swapped_descriptors() {
    let (a, b) = (temporary("a"), temporary("b"));
    let (at_a, at_b) = (a.as_raw_fd() as usize, b.as_raw_fd() as usize);
    let mut list: Vec<Stdio> = (0..=at_a.max(at_b)).map(|_| Stdio::Ignore).collect();
    list[1] = Stdio::Pipe;
    list[2] = Stdio::Inherit;
    let (mut a, mut b) = (Some(a), Some(b));
    list[at_a] = b.take().expect("there").into();
    list[at_b] = a.take().expect("there").into();
    let line = format!("cat /proc/self/fd/{at_a}; cat /proc/self/fd/{at_b}");
    assert_eq!(text(Command::shell(line).stdio(list).output()), "ba");
}

#[test]
fn one_descriptor_at_several_places() {
    let list = || {
        let file = temporary("");
        let copy: OwnedFd = file.try_clone().expect("a copy").into();
        ([Stdio::Ignore, Stdio::Fd(copy), file.try_clone().expect("a copy").into()], file)
    };
    let (stdio, mut file) = list();
    let mut command = Command::shell("echo out; echo err >&2");
    command.stdio(stdio);
    for _ in 0..2 {
        assert!(command.output().expect("runs").stdout.is_empty()); // may be started again
    }
    file.rewind().expect("a file");
    assert_eq!(read(file), "out\nerr\nout\nerr\n");
}

#[test]
fn a_child_gets_nothing_else() {
    let keep = |number: &str| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
        flags.is_some_and(|flags| flags & nix::libc::O_CLOEXEC == 0)
    };
    let _mine = (temporary("x"), TcpListener::bind("127.0.0.1:0").expect("bound"));
    // 3 is the directory that ls reads. What the tests' own parent left open is not our doing.
    let listing = text(Command::new("ls").arg("/proc/self/fd").output());
    let others: Vec<&str> = listing
        .lines()
        .filter(|number| !["0", "1", "2", "3"].contains(number) && !keep(number))
        .collect();
    assert_eq!(others, [""; 0]);
}

#[test]
fn standard_streams_are_made_to_wait() {
    let (ours, childs) = UnixStream::pair().expect("a pair");
    childs.set_nonblocking(true).expect("a socket");
    let mut command = Command::shell("cat /proc/self/fdinfo/1");
    let mut child = guarded(command.stdout(childs).spawn());
    drop(command);
    assert!(child.wait().expect("ends").success());
    let info = read(ours);
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags");
    let flags = i32::from_str_radix(flags.trim(), 8).expect("octal");
    assert_eq!(flags & nix::libc::O_NONBLOCK, 0);
}

#[test]
fn a_connection_as_standard_output() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (connection, _) = listener.accept().expect("accepted");
    let mut command = Command::new("echo");
    command.arg("hello").stdout(connection);
    assert!(guarded(command.spawn()).wait().expect("ends").success());
    drop(command); // it holds the connection
    assert_eq!(read(client), "hello\n");
}

#[test]
fn a_closed_inherited_descriptor_is_an_error() {
    let mut list: Vec<Stdio> = (0..200).map(|_| Stdio::Ignore).collect();
    list.push(Stdio::Inherit);
    let error = Command::new("true").stdio(list).spawn().expect_err("nothing at 200");
    let Error::Spawn { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "cannot place its descriptors");
}

#[test]
fn input_needs_a_pipe() {
    let error = Command::new("cat").stdin(Stdio::Ignore).input("x").output().expect_err("no pipe");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
