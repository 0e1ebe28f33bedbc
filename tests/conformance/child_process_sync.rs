//! `spawnSync`: a program run to its end.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    time::{Duration, Instant},
};

use cluster::{
    Error, Signal,
    child_process::{self, Command, Stdio},
};
use nix::libc::ENOENT;

use crate::{
    family::{End, KILL, TERM, how, idle, spawn_errno, text},
    house::{Form, rows},
    support::PATIENCE,
};

rows! {
    child_process_spawnsync_args: rust;
    child_process_spawnsync_env: rust;
    child_process_spawnsync_input: rust;
    child_process_spawnsync_kill_signal: rust;
    child_process_spawnsync_maxbuf: rust;
    child_process_spawnsync_shell: rust;
    child_process_spawnsync_timeout: rust;
    child_process_spawnsync_validation_errors: rust;
    child_process_spawnsync: rust;
}

const MEBI: usize = 1 << 20;
const SOON: Duration = Duration::from_millis(50);

fn child_process_spawnsync_args(_: Form) {
    let output = child_process::spawn_sync("pwd", [""; 0]).unwrap();
    let with_options = Command::new("pwd").cwd("/dev").output().unwrap();
    assert_eq!(
        output.stdout.trim_ascii(),
        std::env::current_dir().unwrap().as_os_str().as_encoded_bytes()
    );
    assert_eq!(with_options.stdout, b"/dev\n");
}

fn child_process_spawnsync_env(_: Form) {
    let mut command = Command::shell("printf %s \"$foo\"");
    assert_eq!(text(command.env("foo", "bar").output()), "bar");
}

fn child_process_spawnsync_input(_: Form) {
    // What was written is there even if the program fails.
    let output =
        Command::shell("printf 'this is stdout'; printf 'this is stderr' >&2; exit 1").output();
    let output = output.unwrap();
    assert_eq!(how(output.status), End::Code(1));
    assert_eq!(
        (&*output.stdout, &*output.stderr),
        (&b"this is stdout"[..], &b"this is stderr"[..])
    );
    for input in [&b"this is stdin"[..], b"", b"\0\xff\xfe"] {
        assert_eq!(Command::new("cat").input(input).output().unwrap().stdout, input);
    }
    let mut file = tempfile::tempfile().unwrap();
    let streams = [Stdio::Ignore, file.try_clone().unwrap().into(), Stdio::Inherit];
    let output = Command::shell("printf inherited").stdio(streams).output().unwrap();
    assert!(output.stdout.is_empty());
    assert_eq!(from_start(&mut file), "inherited");
    file.rewind().unwrap();
    file.write_all(b"in a file").unwrap();
    file.rewind().unwrap();
    assert_eq!(text(Command::new("cat").stdin(file).output()), "in a file");
}

fn from_start(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

fn child_process_spawnsync_kill_signal(_: Form) {
    let by_name: Signal = "SIGKILL".parse().unwrap();
    let by_number = Signal::from_number(9).unwrap();
    assert!("SIG_THIS_IS_NONE".parse::<Signal>().is_err());
    for (signal, end) in [(None, TERM), (Some(by_name), KILL), (Some(by_number), KILL)] {
        let mut command = idle();
        if let Some(signal) = signal {
            command.kill_signal(signal);
        }
        let result = command.timeout(SOON).output();
        let Err(Error::TimedOut { output, .. }) = result else { panic!("{result:?}") };
        assert_eq!(how(output.status), end);
    }
}

fn child_process_spawnsync_maxbuf(_: Form) {
    let zeros = |count: usize| {
        let mut command = Command::new("head");
        command.args(["-c", &count.to_string(), "/dev/zero"]);
        command
    };
    let result = zeros(2).max_buffer(1).output();
    let Err(Error::Overflow { output, .. }) = result else { panic!("{result:?}") };
    assert_eq!(output.stdout.len(), 1);
    assert_eq!(zeros(14).max_buffer(14).output().unwrap().stdout.len(), 14);
    assert_eq!(zeros(14).max_buffer(usize::MAX).output().unwrap().stdout.len(), 14);
    assert_eq!(zeros(MEBI).output().unwrap().stdout.len(), MEBI);
    assert!(matches!(zeros(MEBI + 1).output(), Err(Error::Overflow { .. })));
}

fn child_process_spawnsync_shell(_: Form) {
    let output = Command::shell("does-not-exist").output().unwrap();
    assert_eq!(how(output.status), End::Code(127));
    assert_eq!(text(Command::shell("echo \"$1\"").arg("foo").output()), "foo\n");
    assert_eq!(text(Command::shell("echo bar | cat").output()), "bar\n");
    assert_eq!(text(Command::shell("echo $BAZ").env("BAZ", "buzz").output()), "buzz\n");
    let child = Command::shell("true").spawn().unwrap();
    assert_eq!(child.spawnfile(), "/bin/sh");
    assert_eq!(child.spawnargs(), ["/bin/sh", "-c", "true"]);
    assert_eq!(text(Command::new("bash").args(["-c", "echo $BASH"]).output()).lines().count(), 1);
}

fn child_process_spawnsync_timeout(_: Form) {
    let begin = Instant::now();
    let result = idle().timeout(SOON).output();
    assert!(matches!(result, Err(Error::TimedOut { .. })), "{result:?}");
    assert!(begin.elapsed() < PATIENCE);
    let output = Command::new("true").timeout(PATIENCE).output().unwrap();
    assert_eq!(how(output.status), End::Code(0));
}

fn child_process_spawnsync_validation_errors(_: Form) {
    assert!("sigterm".parse::<Signal>().is_ok_and(|signal| signal == Signal::TERM));
    for name in ["SIGNOTAVALIDSIGNALNAME", ""] {
        assert!(name.parse::<Signal>().is_err(), "{name:?}");
    }
    for number in [-1, 0, 500] {
        assert!(Signal::from_number(number).is_none(), "{number}");
    }
    for command in [Command::new("true").cwd("\0"), Command::new("true").argv0("\0")] {
        assert!(matches!(command.output(), Err(Error::Settings { .. })));
    }
    let ipc = [Stdio::Pipe, Stdio::Pipe, Stdio::Pipe, Stdio::Ipc];
    assert!(matches!(Command::new("true").stdio(ipc).output(), Err(Error::Settings { .. })));
}

fn child_process_spawnsync(_: Form) {
    let output = child_process::spawn_sync("true", [""; 0]).unwrap();
    assert_eq!(how(output.status), End::Code(0));
    assert!(output.pid > 0);
    let missing = child_process::spawn_sync("command_does_not_exist", ["bar"]);
    assert!(missing.as_ref().unwrap_err().to_string().contains("command_does_not_exist"));
    assert_eq!(spawn_errno(missing), ENOENT);
    assert_eq!(text(Command::new("pwd").cwd("/dev").output()), "/dev\n");
    let output = Command::shell("echo stdout; echo stderr >&2").output().unwrap();
    assert_eq!((&*output.stdout, &*output.stderr), (&b"stdout\n"[..], &b"stderr\n"[..]));
}
