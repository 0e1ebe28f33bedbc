//! What a process has, its children do not get, and they leave nothing behind. Each of these is
//! about a whole process, so it runs in its own.

use crate::support::{CHANNEL, alone, idle, line, open_descriptors, text, wait_until};
use cluster::{
    Error, Signal,
    child_process::{self, Command},
};
use nix::{
    errno::Errno,
    sys::wait::waitpid,
    unistd::{Gid, geteuid, setgroups},
};
use std::fs::File;

#[test]
fn no_descriptor_is_left() {
    if !alone("resources::no_descriptor_is_left") {
        return;
    }
    let before = open_descriptors();
    for round in 0..200 {
        assert_eq!(child_process::exec_sync("echo a").expect("0"), b"a\n");
        child_process::spawn("/no/such/program", [""; 0]).expect_err("missing");
        drop(child_process::fork("true", [""; 0]).expect("started"));
        assert!(open_descriptors().len() < 60, "round {round}");
    }
    // The dropped ones are reaped as later ones start.
    wait_until("all are closed", || {
        child_process::spawn_sync("true", [""; 0]).expect("runs");
        open_descriptors() == before
    });
    assert_eq!(waitpid(None, None), Err(Errno::ECHILD), "no zombie either");
}

#[test]
fn no_descriptors_left_is_an_error() {
    if !alone("resources::no_descriptors_left_is_an_error") {
        return;
    }
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    while !files.is_empty() {
        match idle().spawn() {
            Ok(child) => {
                assert!(child.kill(Signal::KILL).expect("sent"));
                break;
            }
            Err(Error::Spawn { source, .. }) => {
                assert_eq!(source.raw_os_error(), Some(nix::libc::EMFILE));
            }
            Err(other) => panic!("{other:?}"),
        }
        files.pop();
    }
    assert!(!files.is_empty(), "three pipes and a pidfd are enough");
}

#[test]
fn our_own_channel_is_not_the_childs() {
    if !alone("resources::our_own_channel_is_not_the_childs") {
        return;
    }
    assert!(std::env::var_os("NODE_UNIQUE_ID").is_some());
    let environment = text(Command::new("env").output());
    for name in ["NODE_CHANNEL_FD=", "NODE_UNIQUE_ID=", "NODE_CHANNEL_SERIALIZATION_MODE="] {
        assert!(!environment.lines().any(|line| line.starts_with(name)), "{name}");
    }
    assert!(open_descriptors().contains(&(CHANNEL as i32)));
    let listing = text(Command::new("ls").arg("/proc/self/fd").output());
    assert!(!listing.lines().any(|number| number == CHANNEL.to_string()), "{listing}");
    let given = text(Command::new("env").env("NODE_UNIQUE_ID", "1").output());
    assert!(given.contains("NODE_UNIQUE_ID=1\n"));
}

#[test]
fn our_groups_are_left_with_our_user() {
    if !geteuid().is_root() || !alone("resources::our_groups_are_left_with_our_user") {
        return;
    }
    setgroups(&[Gid::from_raw(7), Gid::from_raw(8)]).expect("we are root");
    let mut command = Command::new("cat");
    command.arg("/proc/self/status");
    assert_eq!(line(&text(command.output()), "Groups"), "7 8");
    assert_eq!(line(&text(command.uid(65534).output()), "Groups"), "");
    assert_eq!(line(&text(command.uid(0).gid(0).output()), "Groups"), "");
}
