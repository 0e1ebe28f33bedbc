//! A master that a service manager has started.

use std::{
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
};

use crate::support::{
    Guard, PATIENCE, Place, Program, example, path, pid_at, process_is_gone, ready, wait_for,
    wait_until,
};

/// systemd, as far as it listens.
fn notices(place: &Place) -> UnixDatagram {
    let socket = UnixDatagram::bind(place.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Waits for a notice that begins so.
fn await_notice(socket: &UnixDatagram, what: &str) {
    let mut bytes = [0; 512];
    loop {
        let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no {what}: {error}"));
        if bytes[..length].starts_with(what.as_bytes()) {
            return;
        }
    }
}

#[test]
fn systemd_hears_how_it_goes() {
    let place = Place::new();
    let socket = notices(&place);
    let server = example("activated");
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", place.path().join("notify")).env("WATCHDOG_USEC", "200000");
    command.args(["run", "-w", "1", "--listen", "127.0.0.1:0", "--", path(&server)]);
    let mut master = Program::start(&mut command);
    await_notice(&socket, "READY=1");
    await_notice(&socket, "WATCHDOG=1");
    assert_eq!(place.cluster(&["reload"]).code, 0);
    await_notice(&socket, "RELOADING=1\nMONOTONIC_USEC=");
    await_notice(&socket, "READY=1");
    assert_eq!(place.cluster(&["stop"]).code, 0);
    await_notice(&socket, "STOPPING=1");
    assert_eq!(master.wait().code(), Some(0));
}

/// Passes its standard input on as systemd passes a socket.
const PASS: &str = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";

#[test]
fn sockets_that_systemd_has_opened() {
    let place = Place::new();
    let (server, listener) = (example("activated"), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", PASS]).arg(place.command().get_program());
    command.args(["run", "-w", "1", "--listen", &address, "--", path(&server)]);
    command.env("XDG_RUNTIME_DIR", place.path());
    command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut master = Guard(command.spawn().unwrap());
    let control = place.path().join("cluster");
    wait_until("a master", || control.read_dir().is_ok_and(|mut all| all.next().is_some()));
    let pid = ready(&place.wait_for_workers(1))[0]["pid"].clone();
    assert_eq!(pid_at(&address), pid);
    let said = place.cluster(&["upgrade"]);
    assert_eq!(said.code, 0, "{said:?}");
    // This server ends at once by SIGTERM, whomever it serves.
    let old = u32::try_from(pid.as_u64().unwrap()).unwrap();
    wait_until("the old worker's end", || process_is_gone(old));
    assert_ne!(pid_at(&address), old);
    assert_eq!(place.cluster(&["stop"]).code, 0);
    let status = wait_for("its end", || master.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    TcpStream::connect(&address).expect("the socket is systemd's, and waits");
    drop(listener);
}

#[test]
fn sockets_that_make_no_sense() {
    let place = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", PASS]).arg(place.command().get_program());
    let output = command.args(["run", "--", "sleep", "1"]).stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.starts_with("cluster: the sockets of LISTEN_FDS: "), "{err}");
}
