//! Sockets that systemd has opened, by its own `systemd-socket-activate`.

mod support;

use std::io::Write as _;
use std::{net::UdpSocket, process::Command};

use nix::sys::signal::Signal;
use support::{Lines, PATIENCE, Port7000, Program, fixture, wait_for};

const ADDRESS: &str = "127.0.0.1:7000";

/// Starts the fixture `under-systemd` with these options of the command that opens the sockets;
/// without that command a line says so.
fn activate(test: &str, options: &[&str], listen_on: &[&str]) -> Option<Program> {
    const PROGRAM: &str = "systemd-socket-activate";
    if Command::new(PROGRAM).arg("--version").output().is_err() {
        // Not `eprintln!`, which libtest holds back.
        writeln!(std::io::stderr(), "SKIPPED {test}: there is no {PROGRAM}").unwrap();
        return None;
    }
    let mut command = Command::new(PROGRAM);
    command.args(options).arg(fixture()).arg("under-systemd").args(listen_on);
    Some(Program::start(&mut command))
}

/// Connects as soon as somebody listens: then the program is started.
fn connect(address: &str) -> Lines {
    wait_for(address, || Lines::connect(address).ok())
}

#[test]
fn workers_get_the_sockets_that_systemd_opened() {
    let _port = Port7000::take();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let path = path.to_str().unwrap();
    for policy in ["none", "rr"] {
        let policy = format!("NODE_CLUSTER_SCHED_POLICY={policy}");
        let options = ["-E", &policy, "-l", ADDRESS, "-l", path, "--fdname", "web:admin"];
        let Some(mut program) = activate("sockets", &options, &[ADDRESS, path]) else { return };
        let mut first = connect(ADDRESS); // before anybody accepts
        program.line(&format!("inherited {ADDRESS} as web"));
        program.line(&format!("inherited {path} as admin"));
        (1..=2).for_each(|id| drop(program.line(&format!("worker {id} listens"))));
        assert!((1..=2).contains(&first.ask("hello").unwrap()));
        drop(first); // nobody keeps the workers from leaving
        assert!((1..=2).contains(&connect(path).ask("hello").unwrap()));
        program.signal(Signal::SIGTERM);
        assert!(program.wait().success());
        assert!(std::fs::exists(path).unwrap(), "the file is systemd's");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn datagrams_and_all_addresses() {
    let _port = Port7000::take();
    let udp = format!("udp:{ADDRESS}");
    let Some(mut program) = activate("datagrams", &["--datagram", "-l", ADDRESS], &[&udp]) else {
        return;
    };
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    let answer = wait_for("an answer", || {
        let mut bytes = [0; 8];
        client.send_to(b"hello", ADDRESS).ok()?;
        let (length, _) = client.recv_from(&mut bytes).ok()?;
        Some(bytes[..length].to_vec())
    });
    assert!(matches!(&answer[..], b"1" | b"2"), "{answer:?}");
    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());

    // A port alone is one for all addresses, over IPv4 as well.
    for asked in ["7000", "0.0.0.0:7000", "[::]:7000"] {
        let Some(mut program) = activate("all", &["-l", "7000"], &[asked]) else { return };
        let mut lines = connect(ADDRESS);
        lines.be_patient(PATIENCE).unwrap();
        program.line("inherited [::]:7000 as unknown");
        assert!((1..=2).contains(&lines.ask("hello").unwrap()), "{asked}");
        drop(lines);
        program.signal(Signal::SIGTERM);
        assert!(program.wait().success());
    }
}
