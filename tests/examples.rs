//! The examples as a person runs them: programs that start others and send them sockets.

mod support;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    process::{Command, ExitStatus},
};

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use support::{Port7000, Program, example, hear, kill, process_is_gone, wait_until};

const ADDRESS: &str = "127.0.0.1:7000";

fn start(name: &str) -> Program {
    Program::start(&mut Command::new(example(name)))
}

/// Runs a program to its end; what it has printed, up to its last line, which holds `last`.
fn run(name: &str, last: &str) -> (ExitStatus, Vec<String>) {
    let mut program = start(name);
    let status = program.wait();
    program.line(last);
    (status, program.lines())
}

/// The number after `(pid ` or the like in a line.
fn pid(line: &str, before: &str) -> u32 {
    let rest = line.split(before).nth(1).and_then(|rest| rest.split([' ', ')']).next());
    rest.and_then(|number| number.parse().ok()).expect(line)
}

#[test]
fn child_process_shows_all_four_ways() {
    let (status, lines) = run("child_process", "exit status");
    assert!(status.success(), "{lines:#?}");
    assert_eq!(
        lines,
        [
            "spawn: HELLO THROUGH A PIPE",
            "exec: #2",
            "exec_file: $((6 * 7)) | tr 4 '#'",
            "fork: \"hello over the channel\"",
            "fork: exit status: 0",
        ]
    );
}

#[test]
fn messages_shows_what_arrives_and_what_does_not() {
    let (status, lines) = run("messages", "the child left");
    assert!(status.success(), "{lines:#?}");
    let of = |who: &str| -> Vec<String> {
        lines.iter().filter_map(|line| line.strip_prefix(who)).map(str::to_owned).collect()
    };
    assert_eq!(of("the child got "), [r#"{"question":"which messages arrive?"}"#]);
    assert_eq!(of("the child sends "), ["NODE_SECRET", "NODE_", "node_open", "open"]);
    assert_eq!(
        of("the parent got "),
        [r#"{"cmd":"NODE_"}"#, r#"{"cmd":"node_open"}"#, r#"{"cmd":"open"}"#]
    );
    assert_eq!(of("the child left: "), ["exit status: 0"]);
}

#[test]
fn sockets_of_three_kinds_arrive() {
    let (status, lines) = run("sockets", "over UDP");
    assert!(status.success(), "{lines:#?}");
    let is = |number: usize, text: &str| assert!(lines[number].starts_with(text), "{lines:#?}");
    is(0, "the child says: server is on 127.0.0.1:");
    is(1, "the child says: socket leads to 127.0.0.1:");
    is(2, "the child says: udp is on 127.0.0.1:");
    is(3, "the child left: exit status: 0");
    is(4, "over TCP: hello from the child");
    is(5, "over UDP: hello from the child");
}

#[test]
fn shared_server_is_served_by_parent_and_child_together() {
    let _port = Port7000::take();
    let mut program = start("shared_server");
    program.line("the parent (pid ");
    let child = pid(&program.line("the child (pid "), "(pid ");
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        seen.insert(hear(ADDRESS).unwrap());
        if seen.len() == 2 {
            break;
        }
    }
    assert_eq!(Vec::from_iter(seen), ["connection - child\n", "connection - parent\n"]);

    kill(child, SIGKILL);
    wait_until("the child's end", || process_is_gone(child));
    for _ in 0..10 {
        assert_eq!(hear(ADDRESS).unwrap(), "connection - parent\n");
    }
    program.signal(SIGTERM);
    program.wait();
    assert!(hear(ADDRESS).is_err(), "still listening");
}

#[test]
fn shared_server_ends_with_the_parent_and_takes_an_address() {
    let program = Program::start(Command::new(example("shared_server")).arg("127.0.0.1:0"));
    let line = program.line("the parent (pid ");
    let child = pid(&program.line("the child (pid "), "(pid ");
    let address = line.rsplit(' ').next().unwrap();
    assert!(hear(address).unwrap().starts_with("connection - "));
    program.signal(SIGTERM);
    wait_until("the child's end", || process_is_gone(child));
    assert!(hear(address).is_err(), "still listening");
}

#[test]
fn send_socket_gives_each_child_its_turn() {
    let _port = Port7000::take();
    let mut program = start("send_socket");
    program.line("listening on");
    let children = [0, 1].map(|nth| pid(&program.nth_line("is there", nth), "child "));
    let answer = |child: u32| format!("handled by child {child}\n");
    for _ in 0..10 {
        for child in children {
            assert_eq!(hear(ADDRESS).unwrap(), answer(child));
        }
    }

    kill(children[0], SIGKILL);
    wait_until("the child's end", || process_is_gone(children[0]));
    for _ in 0..10 {
        assert_eq!(hear(ADDRESS).unwrap(), answer(children[1]), "nobody is lost");
    }
    kill(children[1], SIGKILL);
    wait_until("the child's end", || process_is_gone(children[1]));
    let _ = hear(ADDRESS); // nobody is there to answer
    assert_eq!(program.wait().code(), Some(1));
    assert_eq!(program.line("Error: "), "Error: all children are gone");
}

#[test]
fn children_end_with_the_parent_of_send_socket() {
    let program = Program::start(Command::new(example("send_socket")).arg("127.0.0.1:0"));
    program.line("listening on");
    let children = program.children();
    assert_eq!(children.len(), 2);
    program.signal(SIGTERM);
    wait_until("the children's end", || children.iter().all(|&child| process_is_gone(child)));
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let _port = Port7000::take();
    let _hold = TcpListener::bind(ADDRESS).unwrap();
    let servers = ["shared_server", "send_socket", "mio_worker", "embedded_master", "chat"];
    for name in servers {
        let mut program = start(name);
        assert_eq!(program.wait().code(), Some(1), "{name}");
        assert_eq!(
            program.line("Error: "),
            "Error: cannot listen on 127.0.0.1:7000: Address already in use (os error 98)",
            "{name}"
        );
    }
}
