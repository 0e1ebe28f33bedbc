//! Children with a channel; here they are shells that speak its JSON lines.

use crate::support::{PATIENCE, guarded};
use cluster::child_process::{self, Command, Stdio};
use std::io;

const ANSWER: &str = r#"
    printf '{"fd":%s,"mode":"%s"}\n' "$NODE_CHANNEL_FD" "$NODE_CHANNEL_SERIALIZATION_MODE" >&"$1"
    read -r line <&"$1"
    printf '["%s",%s]\n' answer "$line" >&"$1"
"#;

fn talk(mut command: Command, number: usize) {
    let mut child = guarded(command.arg(number.to_string()).fork());
    let hello = child.recv_timeout(PATIENCE).expect("open").expect("a message");
    assert_eq!(hello.value["fd"], number);
    assert_eq!(hello.value["mode"], "json");
    child.send("question").expect("open");
    let answer = child.recv_timeout(PATIENCE).expect("open").expect("a message");
    assert_eq!(answer.value.to_string(), r#"["answer","question"]"#);
    assert!(child.recv().expect("closed").is_none());
    assert!(child.stdio(number).is_none(), "the channel is no pipe");
    assert!(child.wait().expect("ends").success());
}

#[test]
fn the_channel_is_descriptor_3() {
    talk(Command::shell(ANSWER), 3);
}

#[test]
fn the_channel_may_be_any_descriptor() {
    for number in [0, 1, 5] {
        let mut list: Vec<Stdio> = (0..=number.max(2)).map(|_| Stdio::Ignore).collect();
        list[number] = Stdio::Ipc;
        let mut command = Command::shell(ANSWER);
        command.stdio(list);
        talk(command, number);
    }
}

#[test]
fn spawn_with_a_channel() {
    let mut command = Command::shell("echo null >&3");
    let list = [Stdio::Ignore, Stdio::Ignore, Stdio::Ignore, Stdio::Ipc];
    let child = guarded(command.stdio(list).spawn());
    assert!(child.channel().is_some());
    assert!(child.recv().expect("open").expect("a message").value.is_null());
}

#[test]
fn a_child_ends_with_its_channel() {
    let mut child = guarded(child_process::fork("sh", ["-c", "read line <&3; exit 5"]));
    child.disconnect();
    child.disconnect();
    assert_eq!(child.wait().expect("ends").code(), Some(5));
    assert!(child.send("late").is_err());
}

#[test]
fn without_a_channel_there_is_nobody_to_talk_to() {
    let child = guarded(Command::new("true").spawn());
    assert!(child.channel().is_none());
    let error = child.send("hello").expect_err("no channel");
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert!(child.recv().is_err());
    child.disconnect();
}

#[test]
fn one_channel_and_only_where_it_is_served() {
    let two = [Stdio::Ipc, Stdio::Ipc];
    let error = Command::new("true").stdio(two).spawn().expect_err("two");
    assert_eq!(error.to_string(), "invalid stdio: more than one Ipc");
    let error = Command::new("true").stdio([Stdio::Pipe]).fork().expect_err("none");
    assert_eq!(error.to_string(), "invalid stdio: no Ipc, which fork needs");
    let error = Command::new("true").stdio([Stdio::Ipc]).output().expect_err("not served");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
