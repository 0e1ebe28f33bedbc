//! `fork`: children that start with a channel.

use std::io::Write;

use cluster::child_process::Stdio;

use crate::{
    family::{End, all, child, expect, expect_silence, guarded, hear, text, under_node},
    house::{Form, rows},
};

rows! {
    child_process_fork: rust worker primary;
    child_process_fork_and_spawn: rust worker;
    child_process_fork_args: rust worker;
    child_process_fork_close: rust worker primary;
    child_process_fork_exec_path: rust worker primary;
    child_process_fork_no_shell: rust worker;
    child_process_fork_ref: rust worker;
    child_process_fork_ref2: worker;
    child_process_fork_stdio_string_variant: rust worker;
    child_process_fork_stdio: rust worker primary;
    child_process_fork_url: rust worker;
    child_process_fork3: rust worker;
    child_process_silent: rust worker;
    child_process_stdin_ipc: rust worker primary;
    child_process_stdout_ipc: rust worker primary;
}

fn child_process_fork(form: Form) {
    if form == Form::Primary {
        return under_node("echo", &["echo"]);
    }
    let mut echo = guarded(child(form, "echo").fork());
    for said in [serde_json::json!({ "hello": "world" }), serde_json::Value::Null] {
        echo.send(&said).unwrap();
        assert_eq!(hear(&echo).value, said);
    }
    echo.disconnect();
    assert_eq!(echo.end(), End::Code(0));
}

fn child_process_fork_and_spawn(form: Form) {
    let mut one = guarded(child(form, "spawn").fork());
    assert_eq!(hear(&one).value["said"], "undefined undefined\n", "the grandchild has no channel");
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_fork_args(form: Form) {
    let mut one = guarded(child(form, "look").args(["a", "b c"]).env("FOO", "bar").fork());
    let seen = hear(&one).value;
    assert_eq!(seen, serde_json::json!({ "args": ["a", "b c"], "foo": "bar" }));
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_fork_close(form: Form) {
    if form == Form::Primary {
        return under_node("hello", &["hello"]);
    }
    let one = child(form, "hello").silent().fork().unwrap();
    assert_eq!(hear(&one).value, "hello");
    expect_silence(&one);
    assert_eq!(text(one.output()), "", "the streams are closed, too");
}

fn child_process_fork_exec_path(form: Form) {
    if form == Form::Primary {
        return under_node("hello", &["hello"]); // all children of ours are other programs
    }
    let mut one = guarded(child(form, "hello").fork());
    assert_eq!(hear(&one).value, "hello");
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_fork_no_shell(form: Form) {
    let mut one = guarded(child(form, "look").arg("$FOO; exit 1").env("FOO", "x").fork());
    assert_eq!(hear(&one).value["args"], serde_json::json!(["$FOO; exit 1"]));
    assert_eq!(one.end(), End::Code(0));
}

/// Who waits for the end of the channel lives so long.
fn child_process_fork_ref(form: Form) {
    let mut one = guarded(child(form, "wait").silent().fork());
    assert_eq!((hear(&one).value, hear(&one).value), ("1".into(), "2".into()));
    assert!(one.try_wait().unwrap().is_none());
    one.disconnect();
    assert_eq!(all(one.stdout.take().unwrap()), "3");
    assert_eq!(one.end(), End::Code(0));
}

/// Who listens only after the end of the channel does not.
fn child_process_fork_ref2(form: Form) {
    let mut one = guarded(child(form, "listen late").fork());
    one.disconnect();
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_fork_stdio_string_variant(form: Form) {
    let mut piped = guarded(child(form, "say").silent().fork());
    assert_eq!(all(piped.stdout.take().unwrap()), "out\n");
    assert_eq!(all(piped.stderr.take().unwrap()), "err\n");
    assert_eq!(hear(&piped).value, "said");
    assert_eq!(piped.end(), End::Code(0));
    let mut ignored = child(form, "say");
    ignored.stdin(Stdio::Ignore).stdout(Stdio::Ignore).stderr(Stdio::Ignore);
    let mut ignored = guarded(ignored.fork());
    assert!(ignored.stdout.is_none() && hear(&ignored).value == "said");
    assert_eq!(ignored.end(), End::Code(0));
}

fn child_process_fork_stdio(form: Form) {
    if form == Form::Primary {
        return under_node("pipe at 4", &["pipe at 4"]);
    }
    assert!(child(form, "hello").stdio([Stdio::Pipe, Stdio::Pipe]).fork().is_err(), "no channel");
    let list = [Stdio::Ignore, Stdio::Pipe, Stdio::Inherit, Stdio::Ipc, Stdio::Pipe];
    let mut one = guarded(child(form, "pipe at 4").stdio(list).fork());
    assert!(one.stdin.is_none() && one.stderr.is_none() && one.stdio(3).is_none());
    let mut pipe = one.stdio(4).unwrap();
    pipe.write_all(b"via fd 4").unwrap();
    expect(&pipe, "via fd 4");
    drop(pipe);
    one.disconnect();
    assert_eq!(one.end(), End::Code(0));
}

/// The end of the channel comes before the end of the process.
fn child_process_fork_url(form: Form) {
    let mut one = guarded(child(form, "hello").fork());
    assert_eq!(hear(&one).value, "hello");
    expect_silence(&one);
    assert_eq!(one.end(), End::Code(0));
}

/// A child that asks for nothing holds up nobody.
fn child_process_fork3(form: Form) {
    assert_eq!(guarded(child(form, "nothing").fork()).end(), End::Code(0));
}

fn child_process_silent(form: Form) {
    // What the grandchild says goes to its parent, and not further.
    let mut grandchild = child(form, "say");
    let silent = grandchild.silent().fork().unwrap();
    assert_eq!(hear(&silent).value, "said");
    let output = silent.output().unwrap();
    assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
}

fn channel_at(form: Form, place: usize) {
    if form == Form::Primary {
        return under_node("hello at", &["hello at", &place.to_string()]);
    }
    let mut list = [Stdio::Ignore, Stdio::Ignore, Stdio::Inherit];
    list[place] = Stdio::Ipc;
    let mut one = guarded(child(form, "hello").stdio(list).spawn());
    assert_eq!(hear(&one).value, "hello");
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_stdin_ipc(form: Form) {
    channel_at(form, 0);
}

fn child_process_stdout_ipc(form: Form) {
    channel_at(form, 1);
}
