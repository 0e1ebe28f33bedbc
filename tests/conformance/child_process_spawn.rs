//! Starting programs: what they get, and why they do not start.

use std::net::{Ipv4Addr, SocketAddr};

use cluster::{
    Error, ListenOptions, Signal,
    child_process::{self, Command},
};
use nix::{
    libc::{EMFILE, ENOENT, EPERM},
    unistd::geteuid,
};

use crate::{
    family::{End, TERM, all, guarded, spawn_errno, text},
    house::{Form, rows},
    support::{Program, fixture},
};

rows! {
    child_process_constructor: rust;
    child_process_cwd: rust;
    child_process_default_options: rust;
    child_process_env: rust;
    child_process_dgram_reuseport: rust;
    child_process_net_reuseport: rust;
    child_process_exit_code: rust;
    child_process_reject_null_bytes: rust;
    child_process_spawn_args: rust;
    child_process_spawn_argv0: rust worker;
    child_process_spawn_error: rust;
    child_process_spawn_event: rust;
    child_process_spawn_shell: rust;
    child_process_uid_gid: rust;
    child_process_emfile: rust;
}

fn child_process_constructor(_: Form) {
    let mut child = guarded(Command::new("cat").spawn());
    assert!(child.pid() > 0 && !child.killed());
    assert!("foo".parse::<Signal>().is_err());
    assert!(child.kill(Signal::TERM).unwrap());
    assert_eq!(child.end(), TERM);
}

fn child_process_cwd(_: Form) {
    let missing = Command::new("pwd").cwd("does-not-exist").spawn();
    assert_eq!(spawn_errno(missing), ENOENT);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let ours = std::env::current_dir().unwrap();
    for (said, found) in
        [(&*folder, &*folder), ("/dev".as_ref(), "/dev".as_ref()), ("".as_ref(), &ours)]
    {
        let child = Command::new("pwd").cwd(said).spawn().unwrap();
        assert!(child.pid() > 0);
        assert_eq!(text(child.output()).trim_end(), found.to_str().unwrap());
    }
}

fn child_process_default_options(_: Form) {
    let said = text(child_process::spawn("/usr/bin/env", [""; 0]).unwrap().output());
    let path = std::env::var("PATH").unwrap();
    assert!(said.lines().any(|line| line == format!("PATH={path}")));
}

fn child_process_env(_: Form) {
    let mut command = Command::new("/usr/bin/env");
    command.env("HELLO", "WORLD").env("EMPTY", "").env("NULL", "null").env_remove("PATH");
    command.env("duplicate", "lowercase").env("DUPLICATE", "uppercase");
    let said = text(command.output());
    let has = |line: &str| said.lines().any(|one| one == line);
    assert!(has("HELLO=WORLD") && has("EMPTY=") && has("NULL=null"));
    assert!(has("duplicate=lowercase") && has("DUPLICATE=uppercase"));
    assert!(!said.contains("\nPATH="));
}

/// Two processes have one port, each with a socket of its own, as `child.rs` has it.
fn share_a_port(act: &str) {
    let start = |address: &str| {
        let mut command = std::process::Command::new(fixture());
        Program::start_obedient(command.args(["conformance-child", act, address]))
    };
    let first = start("127.0.0.1:0");
    let line = first.line("open on ");
    let address = line.rsplit(' ').next().unwrap();
    let second = start(address);
    assert_eq!(second.line("open on "), line);
}

fn child_process_net_reuseport(_: Form) {
    share_a_port("listen beside others");
    let options = ListenOptions::new().reuse_port(true);
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let first = cluster::listen_with(anywhere, &options).unwrap();
    cluster::listen_with(first.local_addr(), &options).unwrap();
}

fn child_process_dgram_reuseport(_: Form) {
    share_a_port("bind beside others");
}

fn child_process_exit_code(_: Form) {
    for (line, code) in [("exit 23", 23), ("true", 0), ("this-is-no-command", 127)] {
        assert_eq!(guarded(child_process::exec(line)).end(), End::Code(code));
    }
}

fn child_process_reject_null_bytes(_: Form) {
    let commands = [
        Command::new("BBB\0XXX"),
        Command::shell("BBB\0XXX"),
        std::mem::replace(Command::new("true").arg("BBB\0XXX"), Command::new("true")),
        std::mem::replace(Command::new("true").argv0("BBB\0XXX"), Command::new("true")),
        std::mem::replace(Command::new("true").cwd("BBB\0XXX"), Command::new("true")),
        std::mem::replace(Command::new("true").env("BBB\0XXX", ""), Command::new("true")),
        std::mem::replace(Command::new("true").env("BBB", "\0XXX"), Command::new("true")),
    ];
    for command in commands {
        let results =
            [command.spawn().map(drop), command.fork().map(drop), command.output().map(drop)];
        for result in results {
            let Err(Error::Settings { value, .. }) = result else {
                panic!("{command:?}: {result:?}")
            };
            assert!(value.contains("NUL") || value.contains("\\0"), "{value}");
        }
    }
}

fn child_process_spawn_args(_: Form) {
    let none: [&str; 0] = [];
    for command in [&mut Command::new("pwd"), Command::new("pwd").args(none)] {
        assert_eq!(text(command.cwd("/dev").spawn().unwrap().output()), "/dev\n");
    }
}

fn child_process_spawn_argv0(form: Form) {
    let said = |argv0: Option<&str>| {
        let mut command = match form {
            Form::Worker => Command::new("node"),
            _ => Command::new("sh"),
        };
        match form {
            Form::Worker => command.args(["-p", "process.argv0"]),
            _ => command.args(["-c", "echo $0"]),
        };
        if let Some(name) = argv0 {
            command.argv0(name);
        }
        text(command.output())
    };
    assert_eq!(said(None), if form == Form::Worker { "node\n" } else { "sh\n" });
    assert_eq!(said(Some("withArgv0")), "withArgv0\n");
}

fn child_process_spawn_error(_: Form) {
    let result = child_process::spawn("foo123doesnotexist", ["a"]);
    let Err(Error::Spawn { program, source }) = &result else { panic!("{result:?}") };
    assert_eq!(
        (program.as_str(), source.kind()),
        ("foo123doesnotexist", std::io::ErrorKind::NotFound)
    );
    assert_eq!(spawn_errno(result), ENOENT);
}

fn child_process_spawn_event(_: Form) {
    // That it has started is what `spawn` returns; all else comes later.
    let mut child = guarded(child_process::spawn("echo", ["ok"]));
    assert!(child.pid() > 0);
    assert_eq!(all(child.stdout.take().unwrap()), "ok\n");
    assert_eq!(child.end(), End::Code(0));
}

fn child_process_spawn_shell(_: Form) {
    let mut missing = guarded(Command::shell("does-not-exist").spawn());
    assert_ne!(missing.spawnfile(), "does-not-exist");
    assert_eq!(missing.end(), End::Code(127));
    let echo = Command::shell("echo foo").spawn().unwrap();
    assert_eq!(echo.spawnargs().last().unwrap(), "echo foo");
    assert_eq!(text(echo.output()), "foo\n");
    assert_eq!(text(Command::shell("echo bar | cat").spawn().unwrap().output()), "bar\n");
    let line = Command::shell("\"$PRINT\" $BAZ").env("BAZ", "buzz").env("PRINT", "echo").spawn();
    assert_eq!(text(line.unwrap().output()), "buzz\n");
}

fn child_process_uid_gid(_: Form) {
    if !geteuid().is_root() {
        assert_eq!(spawn_errno(Command::new("echo").uid(0).spawn()), EPERM);
        assert_eq!(spawn_errno(Command::new("echo").gid(0).spawn()), EPERM);
        return;
    }
    // Root may: so it becomes somebody who may not.
    let child = Command::new(fixture())
        .args(["conformance-child", "become root"])
        .uid(65534)
        .gid(65534)
        .output();
    assert_eq!(text(child), format!("{EPERM} {EPERM}\n"));
}

/// In a process of its own, which may open few descriptors.
fn child_process_emfile(_: Form) {
    let mut command = Command::shell("ulimit -n 64; exec \"$@\"");
    let said = text(command.arg(fixture()).args(["conformance-child", "use up"]).output());
    assert_eq!(said, format!("{EMFILE}\n"));
}
