//! What systemd hears of a supervisor.

use std::{os::unix::net::UnixDatagram, process::Command};

use nix::sys::signal::Signal::{SIGHUP, SIGTERM, SIGUSR2};

use crate::support::{PATIENCE, Program, fixture};

/// systemd, as far as it listens.
struct Systemd {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Systemd {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    fn start(&self) -> Program {
        let mut command = Command::new(fixture());
        command.arg("hanging").env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env("WATCHDOG_USEC", "200000").env("RUST_LOG", "info");
        Program::start(&mut command)
    }

    fn hear(&self) -> String {
        let mut bytes = [0; 512];
        let length = self.socket.recv(&mut bytes).expect("something to hear");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Waits for this; what came before.
    fn await_word(&self, what: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let word = self.hear();
            if word.starts_with(what) {
                return before;
            }
            before.push(word);
        }
    }
}

fn has(words: &[String], what: &str) -> bool {
    words.iter().any(|word| word.starts_with(what))
}

#[test]
fn everything_from_the_start_to_the_stop() {
    let systemd = Systemd::new();
    let mut program = systemd.start();
    let before = systemd.await_word("READY=1");
    assert!(!has(&before, "RELOADING"), "{before:?}");
    let before = systemd.await_word("STATUS=2 of 2 workers, generation 0\n");
    assert!(!has(&before, "STATUS"), "all were ready: {before:?}");
    (0..3).for_each(|_| drop(systemd.await_word("WATCHDOG=1")));

    program.signal(SIGHUP);
    systemd.await_word("RELOADING=1\nMONOTONIC_USEC=");
    systemd.await_word("READY=1");
    program.line("reloaded: generation 1");

    program.signal(SIGUSR2);
    systemd.await_word("RELOADING=1\nMONOTONIC_USEC=");
    let during = systemd.await_word("READY=1");
    assert!(!has(&during, "STOPPING") && !has(&during, "MAINPID"), "{during:?}");
    program.line("upgraded: generation 2");
    (0..3).for_each(|_| drop(systemd.await_word("WATCHDOG=1")));

    program.signal(SIGTERM);
    let during = systemd.await_word("STOPPING=1");
    assert!(!has(&during, "READY"), "{during:?}");
    assert_eq!(program.wait().code(), Some(0));
}
