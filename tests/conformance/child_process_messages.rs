//! What parent and child say to each other.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use cluster::{Signal, child_process::Stdio, worker_api};
use serde_json::{Value, json};

use crate::{
    family::{End, TERM, all, child, expect, expect_silence, guarded, hear, under_node},
    house::{Form, rows},
};

rows! {
    child_process_disconnect: rust worker primary;
    child_process_internal: rust worker primary;
    child_process_ipc_next_tick: rust worker;
    child_process_recv_handle: rust worker primary;
    child_process_send_after_close: rust worker primary;
    child_process_send_cb: rust worker primary;
    child_process_send_returns_boolean: rust worker primary;
    child_process_send_utf8: rust worker primary;
}

fn child_process_disconnect(form: Form) {
    if form == Form::Primary {
        return under_node("disconnect", &["disconnect"]);
    }
    let mut one = guarded(child(form, "disconnect").fork());
    let port = hear(&one).value["port"].as_u64().unwrap() as u16;
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut ready = [0; 5];
    client.read_exact(&mut ready).unwrap();
    one.disconnect();
    assert!(!one.channel().unwrap().is_connected());
    one.disconnect(); // once more is no error here
    expect_silence(&one);
    // The child hears of it, and is no longer connected then.
    assert_eq!(all(std::os::fd::OwnedFd::from(client)), "false");
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_internal(form: Form) {
    if form == Form::Primary {
        return under_node("internal", &["internal"]);
    }
    let mut one = guarded(child(form, "internal").fork());
    // The third one is internal, and unknown: nobody hears of it.
    for said in [json!({ "cmd": "fooNODE_" }), json!({ "cmd": "NODE_" }), json!("last")] {
        assert_eq!(hear(&one).value, said);
    }
    one.disconnect();
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_ipc_next_tick(form: Form) {
    let mut one = guarded(child(form, "refuse").fork());
    for number in 0..10 {
        one.send(&number).unwrap();
    }
    assert_eq!(hear(&one).value, 10);
    assert_eq!(one.end(), End::Code(0));
}

/// Messages that are read at once, one of them with a socket: it belongs to that one.
fn child_process_recv_handle(form: Form) {
    if form == Form::Primary {
        return under_node("three at once", &["three at once"]);
    }
    let list = [Stdio::Pipe, Stdio::Pipe, Stdio::Inherit, Stdio::Ipc];
    let mut one = guarded(child(form, "three at once").stdio(list).fork());
    expect(one.stdout.as_ref().unwrap(), "ok\n");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    std::thread::scope(|scope| {
        let channel = one.channel().unwrap();
        channel.try_send("one").unwrap();
        // This waits until the child has the socket, which waits for a word on stdin.
        scope.spawn(|| channel.send_handle("two", server).unwrap());
        one.stdin.as_ref().unwrap().write_all(b"ok\n").unwrap();
    });
    one.channel().unwrap().try_send("three").unwrap();
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_send_after_close(form: Form) {
    if form == Form::Primary {
        return under_node("hello", &["hello"]);
    }
    let mut one = guarded(child(form, "nothing").fork());
    assert_eq!(one.end(), End::Code(0));
    expect_silence(&one);
    for _ in 0..2 {
        let error = one.send("ping").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotConnected, "{error:?}");
    }
}

fn child_process_send_cb(form: Form) {
    if form == Form::Primary {
        return under_node("echo", &["echo"]);
    }
    let mut one = guarded(child(form, "hello").fork());
    assert_eq!(hear(&one).value, "hello"); // the child ends when its `send` has succeeded
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_send_returns_boolean(form: Form) {
    if form == Form::Primary {
        return under_node("stay", &["stay"]);
    }
    let mut one = guarded(child(form, "stay").fork());
    assert!(one.channel().unwrap().try_send(&json!({ "h": "w" })).unwrap());
    // A child that stands still takes nothing: what waits grows until it is too much.
    one.kill(Signal::STOP).unwrap();
    let text = "x".repeat(1 << 10);
    let sends = (1..).find(|_| !one.channel().unwrap().try_send(&text).unwrap()).unwrap();
    assert!(sends > 100, "after {sends} KiB");
    one.kill(Signal::TERM).unwrap();
    one.kill(Signal::CONT).unwrap();
    assert_eq!(one.end(), TERM);
    let error = one.send("late").unwrap_err();
    let cluster::Error::Worker(worker_api::Error::Disconnected) = error else {
        panic!("{error:?}")
    };
}

fn child_process_send_utf8(form: Form) {
    if form == Form::Primary {
        return under_node("echo", &["echo"]);
    }
    let mut one = guarded(child(form, "echo").fork());
    let said: Value = "ß".repeat(400_000).into();
    one.send(&said).unwrap();
    assert!(hear(&one).value == said, "not the same");
    one.disconnect();
    assert_eq!(one.end(), End::Code(0));
}
