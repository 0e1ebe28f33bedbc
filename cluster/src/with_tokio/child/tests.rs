use std::{future::Future, os::unix::process::ExitStatusExt, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::*;
use crate::child_process::{Command, exec, exec_file, fork};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("not in time")
}

/// Answers every line of its channel with the same line.
const ECHO: &str = r#"while read -r line <&"$NODE_CHANNEL_FD"; do
    printf '%s\n' "$line" >&"$NODE_CHANNEL_FD"
done"#;

#[tokio::test]
async fn a_child_is_waited_for() {
    let mut child = exec("cat; exit 7").unwrap().into_tokio().unwrap();
    assert!(child.pid() > 0);
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(7));
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(7), "and again");
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_nothing() {
    let mut child = exec("read line; exit 3").unwrap().into_tokio().unwrap();
    let mut stdin = child.stdin().unwrap().expect("a pipe");
    assert!(timeout(Duration::from_millis(20), child.wait()).await.is_err());
    stdin.write_all(b"go\n").await.unwrap();
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn the_timeout_of_a_command_holds() {
    let mut command = Command::new("sleep");
    command.arg("1000").timeout(Duration::from_millis(30));
    let mut child = command.spawn().unwrap().into_tokio().unwrap();
    assert_eq!(soon(child.wait()).await.unwrap().signal(), Some(15));
    assert!(child.killed());
    let error = soon(command.spawn().unwrap().into_tokio().unwrap().output()).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn output_is_collected() {
    let output = exec_file("echo", ["a"]).unwrap().into_tokio().unwrap().output();
    assert_eq!(soon(output).await.unwrap().exit_ok().unwrap().stdout, b"a\n");
    let output = exec("echo b >&2; exit 1").unwrap().into_tokio().unwrap().output();
    let error = soon(output).await.unwrap().exit_ok().unwrap_err();
    assert!(error.to_string().contains('b'), "{error}");
}

#[tokio::test]
async fn streams_are_tokios() {
    let mut child = exec("tr a-z A-Z").unwrap().into_tokio().unwrap();
    let (stdin, stdout) = (child.stdin().unwrap(), child.stdout().unwrap());
    let (mut stdin, mut stdout) = (stdin.unwrap(), stdout.unwrap());
    stdin.write_all(b"shout").await.unwrap();
    drop(stdin);
    let mut text = String::new();
    soon(stdout.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "SHOUT");
    assert!(child.stdin().unwrap().is_none(), "taken");
    assert!(soon(child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn messages_go_to_a_child_and_come_back() {
    let mut child = fork("sh", ["-c", ECHO]).unwrap().into_tokio().unwrap();
    for number in 0..100 {
        soon(child.send(&json!({ "number": number }))).await.unwrap();
    }
    for number in 0..100 {
        let message = soon(child.recv()).await.unwrap().expect("a message");
        assert_eq!(message.value, json!({ "number": number }));
    }
    child.disconnect();
    assert!(soon(child.recv()).await.unwrap().is_none());
    assert!(soon(child.wait()).await.unwrap().success());
    let error = child.send("late").await.unwrap_err();
    assert!(matches!(error, Error::Worker(worker_api::Error::Disconnected)), "{error:?}");
}

/// More than a socket holds, and both sides write before they read.
#[tokio::test]
async fn much_goes_both_ways_at_once() {
    let child = fork("sh", ["-c", ECHO]).unwrap().into_tokio().unwrap();
    let text = "x".repeat(1 << 16);
    let send = async {
        for _ in 0..32 {
            child.send(&text).await.unwrap();
        }
    };
    let receive = async {
        for _ in 0..32 {
            assert_eq!(child.recv().await.unwrap().expect("a message").value, text.as_str());
        }
    };
    soon(async { tokio::join!(send, receive) }).await;
}

/// The task that serves the channel must not keep it open.
#[tokio::test]
async fn a_child_that_is_dropped_hears_the_end_of_its_channel() {
    let child = fork("sh", ["-c", ECHO]).unwrap().into_tokio().unwrap();
    let ended = watch(child.pidfd()).unwrap();
    drop(child);
    soon(ended.readable()).await.unwrap().retain_ready();
}
