//! Sockets of the worker's own, sockets without a master, and UDP.

use std::io::Write as _;
use std::{
    net::UdpSocket as Plain,
    os::{fd::AsRawFd, linux::net::SocketAddrExt},
};

use super::*;
use crate::{listener::listen_alone, udp::bind_alone};

const HERE: Address =
    Address::Tcp(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0));

fn socket_address(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        other => panic!("{other}"),
    }
}

#[test]
fn an_exclusive_listener_is_unknown_to_the_master_but_ends_with_the_worker() {
    let (worker, mut master) = pair();
    let listener = worker.listen_with(&HERE, &ListenOptions::new().exclusive(true)).unwrap();
    let client = client(socket_address(listener.local_addr()));
    let connection = accept(&listener);
    assert_eq!(worker.connections(), 1);
    let accepting = start(move || listener.accept().unwrap().is_none());
    accepting.expect_calm();
    master.expect_silence();
    master.send(DISCONNECT);
    assert!(accepting.end());
    master.expect_silence();
    greet(connection);
    assert_eq!(read_all(client), "hello");
    master.expect_end();
    assert!(worker.listen_with(&HERE, &ListenOptions::new().exclusive(true)).is_err());
}

#[test]
fn a_program_that_runs_alone_listens_by_itself() {
    let listener = Arc::new(listen_alone(HERE, &ListenOptions::new()).unwrap());
    let client = client(socket_address(listener.local_addr()));
    greet(accept(&listener));
    assert_eq!(read_all(client), "hello");
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let accepting = {
        let listener = Arc::clone(&listener);
        start(move || listener.accept().unwrap().is_none())
    };
    accepting.expect_calm();
    listener.close();
    assert!(accepting.end());
    assert!(listener.with_socket(|_| ()).is_none());
}

#[test]
fn a_unix_socket_of_ones_own_takes_its_file_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = listen_alone(Address::Unix(path.clone()), &ListenOptions::new()).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    greet(accept(&listener));
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_port_may_be_reused_on_both_sides() {
    let (worker, mut master) = pair();
    let options = ListenOptions::new().reuse_port(true);
    let listeners = [
        worker.listen_with(&HERE, &options).unwrap(),
        worker.listen_with(&HERE, &options).unwrap(), // another port: nothing is shared
    ];
    let address = socket_address(listeners[0].local_addr());
    assert_ne!(address, socket_address(listeners[1].local_addr()));
    let second = listen_alone(Address::Tcp(address), &options).unwrap();
    assert_eq!(*second.local_addr(), Address::Tcp(address));
    let only_one = listen_alone(Address::Tcp(address), &ListenOptions::new());
    assert_eq!(only_one.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let socket = worker.bind_with(&HERE, &options).unwrap();
    bind_alone(Address::Udp(socket.local_addr()), &options).unwrap();
    assert!(bind_alone(Address::Udp(socket.local_addr()), &ListenOptions::new()).is_err());
    master.expect_silence();
}

#[test]
fn a_descriptor_of_ones_own_by_its_number() {
    let (worker, mut master) = pair();
    let (socket, address) = tcp();
    let number = Address::Fd(socket.as_raw_fd());
    let exclusive = ListenOptions::new().exclusive(true);
    for listener in [
        worker.listen_with(&number, &exclusive).unwrap(),
        listen_alone(number.clone(), &ListenOptions::new()).unwrap(),
    ] {
        assert_eq!(*listener.local_addr(), Address::Tcp(address));
        let client = client(address);
        greet(accept(&listener));
        assert_eq!(read_all(client), "hello");
    }
    let udp = Plain::bind("127.0.0.1:0").unwrap();
    let of_udp = Address::Fd(udp.as_raw_fd());
    let bound = bind_alone(of_udp.clone(), &ListenOptions::new()).unwrap();
    assert_eq!(bound.local_addr(), udp.local_addr().unwrap());
    for (refused, errno) in [
        (listen_alone(of_udp, &ListenOptions::new()).err(), nix::libc::EINVAL),
        (bind_alone(number, &ListenOptions::new()).err(), nix::libc::EINVAL),
        (listen_alone(Address::Fd(99_999), &ListenOptions::new()).err(), nix::libc::EBADF),
    ] {
        let error = io::Error::from(refused.expect("a refusal"));
        let cause = error.get_ref().and_then(std::error::Error::source).unwrap().to_string();
        assert!(cause.contains(&format!("os error {errno}")), "{cause}");
    }
    master.expect_silence();
}

#[test]
fn a_name_without_a_file() {
    let name = format!("@worker-api {}", std::process::id());
    let address: Address = name.parse().unwrap();
    let listener = listen_alone(address.clone(), &ListenOptions::new()).unwrap();
    assert_eq!(*listener.local_addr(), address);
    assert_eq!(listener.local_addr().to_string(), name);
    let path = std::os::unix::net::SocketAddr::from_abstract_name(&name[1..]).unwrap();
    let mut client = UnixStream::connect_addr(&path).unwrap();
    let connection = accept(&listener);
    assert_eq!(*connection.local_addr(), address);
    greet(connection);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

/// On a machine that has a link-local address.
#[test]
fn a_link_local_address_keeps_its_zone() {
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let local = interfaces.lines().find_map(|line| {
        let (ip, rest) = line.split_once(' ')?;
        let ip = std::net::Ipv6Addr::from(u128::from_str_radix(ip, 16).ok()?);
        ip.is_unicast_link_local().then(|| (ip, rest.split_whitespace().last().unwrap()))
    });
    let Some((ip, zone)) = local else {
        return writeln!(
            std::io::stderr(),
            "SKIPPED a_link_local_address_keeps_its_zone: there is none"
        )
        .unwrap();
    };
    let address = format!("[{ip}%{zone}]:0").parse().unwrap();
    let listener = listen_alone(address, &ListenOptions::new()).unwrap();
    let client = client(socket_address(listener.local_addr()));
    greet(accept(&listener));
    assert_eq!(read_all(client), "hello");
}

#[test]
fn a_listener_can_be_made_of_a_socket() {
    let (socket, address) = tcp();
    let listener = Listener::from_socket(socket).unwrap();
    assert_eq!(*listener.local_addr(), Address::Tcp(address));
    let client = client(address);
    greet(accept(&listener));
    assert_eq!(read_all(client), "hello");
    let error = Listener::from_socket(connection().0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_owner_of_a_socket_may_close_it_while_looking_at_it() {
    let listener = listen_alone(HERE, &ListenOptions::new()).unwrap();
    let looking = start(move || {
        let kind = listener.with_socket(|socket| {
            listener.close();
            socket2::SockRef::from(&socket).r#type().unwrap()
        });
        assert!(listener.with_socket(|_| ()).is_none());
        kind
    });
    assert_eq!(looking.end(), Some(socket2::Type::STREAM));
}

#[test]
fn udp_is_shared_and_ends_with_the_worker() {
    let (worker, mut master) = pair();
    let socket = Plain::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let task = {
        let worker = worker.clone();
        start(move || worker.bind("127.0.0.1:0").unwrap())
    };
    master.share("u", &socket);
    let listening = master.expect_listening();
    assert_eq!(
        (&listening["port"], &listening["addressType"]),
        (&address.port().into(), &"udp4".into())
    );
    let bound = Arc::new(task.end());
    assert_eq!(bound.local_addr(), address);
    let client = Plain::bind("127.0.0.1:0").unwrap();
    let mut buffer = [0; 16];
    for text in ["", "one"] {
        client.send_to(text.as_bytes(), address).unwrap();
        let received = bound.recv_from(&mut buffer).unwrap().unwrap();
        assert_eq!(received, (text.len(), client.local_addr().unwrap()));
    }
    let empty = bound.try_recv_from(&mut buffer).unwrap_err();
    assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    bound.send_to(b"two", client.local_addr().unwrap()).unwrap();
    assert_eq!(client.recv_from(&mut buffer).unwrap(), (3, address));
    let receiving = {
        let bound = Arc::clone(&bound);
        start(move || bound.recv_from(&mut [0]).unwrap())
    };
    receiving.expect_calm();
    master.send(DISCONNECT);
    assert_eq!(receiving.end(), None);
    assert!(bound.send_to(b"late", address).is_err());
    master.expect_close("u");
    master.expect_end();
}

#[test]
fn a_udp_socket_that_is_none_is_given_back() {
    let (worker, mut master) = pair();
    let task = {
        let worker = worker.clone();
        start(move || worker.bind("127.0.0.1:0").is_err())
    };
    master.share("u", UnixStream::pair().unwrap().0);
    assert!(task.end());
    master.expect_close("u");
    master.expect_silence();
}

#[test]
fn udp_without_a_master() {
    let (worker, mut master) = pair();
    let exclusive = ListenOptions::new().exclusive(true);
    let here = "127.0.0.1:0".parse::<Address>().unwrap();
    for bound in [
        bind_alone(here.clone(), &ListenOptions::new()).unwrap(),
        worker.bind_with(&here, &exclusive).unwrap(),
    ] {
        let plain = Plain::bind("127.0.0.1:0").unwrap();
        bound.send_to(b"hello", plain.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 16];
        let (length, from) = plain.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"hello"[..], bound.local_addr()));
        plain.send_to(b"!", from).unwrap();
        assert_eq!(bound.recv_from(&mut buffer).unwrap(), Some((1, plain.local_addr().unwrap())));
        let address = bound.local_addr();
        assert_eq!(bound.into_std().unwrap().local_addr().unwrap(), address);
    }
    master.expect_silence();
}
