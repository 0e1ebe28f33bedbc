use std::{
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        select::{FdSet, select},
        stat::fstat,
    },
};

use super::*;

fn listen() -> (TcpListener, Sockets) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let sockets = Sockets::from([(fstat(&listener).unwrap().st_ino, address)]);
    (listener, sockets)
}

fn found(sockets: &Sockets) -> bool {
    waits_at(std::process::id(), sockets).is_some()
}

fn wait_until_found(sockets: &Sockets) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !found(sockets) {
        assert!(Instant::now() < deadline, "not seen to wait");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A thread that waits is found; not before, and not after.
fn check(wait: impl FnOnce(&TcpListener) + Send + 'static) {
    let (listener, sockets) = listen();
    assert!(!found(&sockets), "nobody waits yet");
    let address = listener.local_addr().unwrap();
    let waiting = thread::spawn(move || {
        wait(&listener);
        listener
    });
    wait_until_found(&sockets);
    let _client = TcpStream::connect(address).unwrap();
    let _listener = waiting.join().unwrap();
    assert!(!found(&sockets), "nobody waits any more");
}

#[test]
fn in_accept() {
    check(|listener| drop(listener.accept().unwrap()));
}

#[test]
fn in_poll() {
    check(|listener| {
        let (quiet, _end) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut polled = [
            PollFd::new(quiet.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut polled, PollTimeout::NONE).unwrap();
    });
}

#[test]
fn in_select() {
    check(|listener| {
        let mut set = FdSet::new();
        set.insert(listener.as_fd());
        select(None, &mut set, None, None, None).unwrap();
    });
}

#[test]
fn who_polls_for_something_else_does_not_wait_at_it() {
    let (listener, sockets) = listen();
    let (end, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let number = other.as_raw_fd().cast_unsigned();
    let waiting = thread::spawn(move || {
        let mut polled = [
            PollFd::new(other.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::empty()),
        ];
        poll(&mut polled, PollTimeout::NONE).unwrap();
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while !somebody_awaits(number) {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(2));
    }
    assert!(!found(&sockets));
    drop(end);
    waiting.join().unwrap();
}

fn somebody_awaits(descriptor: u32) -> bool {
    numbers("/proc/self/task").any(|thread| {
        let call = fs::read_to_string(format!("/proc/self/task/{thread}/syscall"));
        let call = call.ok().and_then(|call| Call::read(&call));
        let on = call.and_then(|call| awaited(&call, "/proc/self/mem"));
        on.is_some_and(|on| on.contains(&descriptor))
    })
}

#[test]
fn in_an_epoll() {
    let (listener, sockets) = listen();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    assert!(!found(&sockets));
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLOUT, 1)).unwrap();
    assert!(!found(&sockets), "not for reading");
    epoll.modify(&listener, &mut EpollEvent::new(EpollFlags::EPOLLIN, 1)).unwrap();
    assert!(found(&sockets));
}

#[test]
fn lines_of_an_epoll() {
    let sockets = Sockets::from([(0x61ef, Address::Port(1))]);
    let line = |events, inode| {
        format!("tfd:        5 events: {events} data:       5  pos:0 ino:{inode} sdev:9\n")
    };
    assert_eq!(watched(&line("      19", "61ef"), &sockets), Some(0x61ef));
    assert_eq!(watched(&line("80000019", "61ef"), &sockets), Some(0x61ef));
    assert_eq!(watched(&line("      1c", "61ef"), &sockets), None, "for writing");
    assert_eq!(watched(&line("      19", "61ee"), &sockets), None);
    assert_eq!(watched("pos:\t0\nflags:\t02\ntfd:\ntfd: 1\n", &sockets), None);
}

#[test]
fn lines_of_a_call() {
    let call = |text| Call::read(text).map(|call| (call.number, call.args));
    assert_eq!(call("43 0x3 0x0 0x10 0x0 0x0 0x0 0x7ffe 0x7f"), Some((43, [3, 0, 16])));
    assert_eq!(call("running"), None);
    assert_eq!(call("-1 0x7ffe 0x7f"), None);
    assert_eq!(call(""), None);
}

/// A child, killed at the end.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn descendants_belong_to_the_family() {
    let mut shell = Command::new("sh");
    let shell = Guard(shell.args(["-c", "sleep 1000 & wait"]).spawn().unwrap());
    let pid = shell.0.id();
    let deadline = Instant::now() + Duration::from_secs(30);
    while family(pid).len() < 2 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(2));
    }
    let grandchild = family(pid)[1];
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(grandchild.cast_signed()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    assert_eq!(waits_at(u32::MAX, &listen().1), None, "no such process");
}
