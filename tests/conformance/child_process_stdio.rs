//! What a child reads and writes.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    net::{Shutdown, TcpListener, TcpStream},
};

use cluster::child_process::{self, Command, Stdio};

use crate::{
    family::{End, all, expect, guarded, text},
    house::{Form, rows},
};

rows! {
    child_process_can_write_to_stdout: rust;
    child_process_double_pipe: rust;
    child_process_flush_stdio: rust;
    child_process_ipc: rust;
    child_process_pipe_dataflow: rust;
    child_process_server_close: rust;
    child_process_set_blocking: rust;
    child_process_stdin: rust;
    child_process_stdio_big_write_end: rust;
    child_process_stdio_inherit: rust;
    child_process_stdio_merge_stdouts_into_cat: rust;
    child_process_stdio_reuse_readable_stdio: rust;
    child_process_stdio: rust;
    child_process_stdout_flush_exit: rust;
    child_process_stdout_flush: rust;
    child_process_validate_stdio: rust;
    child_process_exit: rust;
}

fn child_process_can_write_to_stdout(_: Form) {
    assert_eq!(text(child_process::exec("echo hello world").unwrap().output()), "hello world\n");
}

/// echo | grep | sed, with this process in between.
fn child_process_double_pipe(_: Form) {
    let mut echo = guarded(child_process::spawn("printf", ["hello\nnode\nand\nworld\n"]));
    let mut grep = guarded(child_process::spawn("grep", ["o"]));
    let mut sed = guarded(child_process::spawn("sed", ["s/o/O/"]));
    let pump = |from: &mut Option<_>, to: &mut Option<_>| {
        let text = all(from.take().unwrap());
        let mut to: std::os::unix::net::UnixStream = to.take().unwrap();
        to.write_all(text.as_bytes()).unwrap();
    };
    pump(&mut echo.stdout, &mut grep.stdin);
    pump(&mut grep.stdout, &mut sed.stdin);
    assert_eq!(all(sed.stdout.take().unwrap()), "hellO\nnOde\nwOrld\n");
    for child in [&mut echo, &mut grep, &mut sed] {
        assert_eq!(child.end(), End::Code(0));
    }
}

/// Output that nobody has read holds up nothing, and is there afterwards.
fn child_process_flush_stdio(_: Form) {
    let mut child = guarded(child_process::spawn("echo", ["123"]));
    assert_eq!(child.end(), End::Code(0));
    assert_eq!(all(child.stdout.take().unwrap()), "123\n");
    let mut child = guarded(child_process::spawn("echo", [""; 0]));
    drop(child.stdout.take());
    child.end();
}

/// Line for line through stdin and stdout.
fn child_process_ipc(_: Form) {
    let mut child = guarded(child_process::spawn("sh", ["-c", "echo hi; exec cat"]));
    let stdout = child.stdout.take().unwrap();
    expect(&stdout, "hi\n");
    for line in ["one\n", "two\n"] {
        child.stdin.as_ref().unwrap().write_all(line.as_bytes()).unwrap();
        expect(&stdout, line);
    }
    child.stdin = None;
    assert_eq!(all(stdout), "");
    assert_eq!(child.end(), End::Code(0));
}

/// One child's output is the next one's input, and this process reads none of it.
fn child_process_pipe_dataflow(_: Form) {
    const MEBI: usize = 1 << 20;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![b'x'; MEBI]).unwrap();
    file.write_all(b"\n").unwrap();
    let mut cat = guarded(Command::new("cat").arg(file.path()).spawn());
    let mut grep = guarded(Command::new("grep").arg("x").stdin(cat.stdout.take().unwrap()).spawn());
    let mut count = Command::new("wc");
    let counted = count.arg("-c").stdin(grep.stdout.take().unwrap()).output();
    assert_eq!(text(counted).trim(), (MEBI + 1).to_string());
    assert_eq!((cat.end(), grep.end()), (End::Code(0), End::Code(0)));
}

/// A child whose standard output is a connection.
fn child_process_server_close(_: Form) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let streams = [Stdio::Ignore, server.accept().unwrap().0.into(), Stdio::Ignore];
    let mut child = guarded(Command::new("echo").arg("v20").stdio(streams).spawn());
    assert_eq!(child.end(), End::Code(0));
    drop(server);
    let mut said = String::new();
    (&client).read_to_string(&mut said).unwrap();
    assert_eq!(said, "v20\n");
}

/// A child that does not expect it never meets a stream that does not wait.
fn child_process_set_blocking(_: Form) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut command = Command::new("head");
    let mut child = guarded(command.args(["-c", "1000000", "/dev/zero"]).stdout(theirs).spawn());
    drop(command);
    assert_eq!(all(ours).len(), 1_000_000);
    assert_eq!(child.end(), End::Code(0));
}

fn child_process_stdin(_: Form) {
    let mut child = guarded(child_process::spawn("cat", [""; 0]));
    let mut stdin = child.stdin.take().unwrap();
    for piece in ["hello", " ", "world"] {
        stdin.write_all(piece.as_bytes()).unwrap();
    }
    drop(stdin);
    assert_eq!(all(child.stdout.take().unwrap()), "hello world");
    assert_eq!(all(child.stderr.take().unwrap()), "");
    assert_eq!(child.end(), End::Code(0));
}

/// More than any buffer holds, and then the end: all of it arrives.
fn child_process_stdio_big_write_end(_: Form) {
    const COUNT: usize = 4 << 20;
    let mut child = guarded(child_process::spawn("wc", ["-c"]));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&vec![b'.'; COUNT]).unwrap();
    stdin.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(child.stdout.take().unwrap()).trim(), COUNT.to_string());
    assert_eq!(child.end(), End::Code(0));
}

/// A grandchild that inherits writes to the child's pipe.
fn child_process_stdio_inherit(_: Form) {
    let mut child = Command::new(crate::support::fixture());
    child.args(["conformance-child", "inherit"]).input("this should be logged");
    assert_eq!(text(child.output()), "this should be logged");
}

fn child_process_stdio_merge_stdouts_into_cat(_: Form) {
    let mut cat = guarded(child_process::spawn("cat", [""; 0]));
    let stdin = cat.stdin.take().unwrap();
    let stdout = cat.stdout.take().unwrap();
    for word in ["hello\n", "world\n"] {
        let mut one = Command::new("cat");
        one.stdout(stdin.try_clone().unwrap()).input(word);
        assert!(one.output().unwrap().status.success());
        expect(&stdout, word);
    }
    (&stdin).write_all(b"foobar\n").unwrap();
    expect(&stdout, "foobar\n");
    drop(stdin);
    assert_eq!((all(stdout).as_str(), cat.end()), ("", End::Code(0)));
}

/// A stream that was a child's input can be read here afterwards.
fn child_process_stdio_reuse_readable_stdio(_: Form) {
    let mut cat = guarded(child_process::spawn("cat", [""; 0]));
    let stdout = cat.stdout.take().unwrap();
    let mut head = Command::new("head");
    let mut head = guarded(head.arg("-n1").stdin(stdout.try_clone().unwrap()).spawn());
    cat.stdin.as_ref().unwrap().write_all(b"hello\n").unwrap();
    assert_eq!(all(head.stdout.take().unwrap()), "hello\n");
    head.end();
    cat.stdin.take().unwrap().write_all(b"world\n").unwrap();
    assert_eq!(all(stdout), "world\n");
}

fn child_process_stdio(_: Form) {
    let mut child = guarded(Command::new("pwd").stdio([Stdio::Pipe]).spawn());
    assert!(child.stdout.is_some() && child.stderr.is_some());
    child.end();
    let mut command = Command::new("pwd");
    command.stdio([Stdio::Ignore, Stdio::Ignore, Stdio::Ignore]);
    for _ in 0..2 {
        let mut child = guarded(command.spawn());
        assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
        assert_eq!(child.end(), End::Code(0));
    }
    let said = text(child_process::spawn("pwd", [""; 0]).unwrap().output());
    assert!(said.len() > 1 && said.ends_with('\n'));
    let two = [Stdio::Pipe, Stdio::Pipe, Stdio::Pipe, Stdio::Ipc, Stdio::Ipc];
    assert!(Command::new("pwd").stdio(two).spawn().is_err());
}

fn child_process_stdout_flush_exit(_: Form) {
    let mut child = Command::new(crate::support::fixture());
    let said = text(child.args(["conformance-child", "print and end"]).output());
    assert_eq!(said.lines().count(), 200);
    assert!(said.starts_with("hello") && said.ends_with("goodbye\n"));
}

fn child_process_stdout_flush(_: Form) {
    let count = 500_000;
    let child = Command::shell(format!("head -c {count} /dev/zero")).spawn().unwrap();
    assert_eq!(child.output().unwrap().stdout.len(), count);
}

fn child_process_validate_stdio(_: Form) {
    let mut short = guarded(Command::new("cat").stdio([]).spawn());
    assert!(short.stdin.is_some() && short.stdout.is_some() && short.stderr.is_some());
    short.stdin = None;
    short.end();
    let ipc = [Stdio::Ignore, Stdio::Ignore, Stdio::Ignore, Stdio::Ipc];
    assert!(Command::new("true").stdio(ipc).output().is_err());
    let mut file = tempfile::tempfile().unwrap();
    let list = || -> [Stdio; 3] {
        [File::open("/dev/null").unwrap().into(), file.try_clone().unwrap().into(), Stdio::Inherit]
    };
    assert!(Command::new("pwd").stdio(list()).output().unwrap().stdout.is_empty());
    file.rewind().unwrap();
    let mut said = String::new();
    file.read_to_string(&mut said).unwrap();
    assert!(said.ends_with('\n'));
}

/// Generations, each with a pipe to its parent: the end of one is seen by the one before.
fn child_process_exit(_: Form) {
    let mut eldest = Command::new(crate::support::fixture());
    let said = text(eldest.args(["conformance-child", "generations", "5"]).output());
    assert_eq!(said, "generation 0\nit ended\nit ended\nit ended\nit ended\nit ended\n");
}
