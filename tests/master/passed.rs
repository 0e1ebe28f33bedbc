//! Sockets that the master has, asked for by their numbers.

use std::{
    net::{TcpListener, UdpSocket},
    os::{fd::AsRawFd, unix::net::UnixListener},
};

use cluster::Address;

use crate::{
    ANYWHERE, POLICIES, ask, listen, listens, obedient, role,
    support::{Cluster, Lines},
};

#[test]
fn a_socket_that_was_passed_in_is_shared_by_its_number() {
    for policy in POLICIES {
        let socket = TcpListener::bind(ANYWHERE).unwrap();
        let (address, fd) = (socket.local_addr().unwrap(), format!("fd:{}", socket.as_raw_fd()));
        let cluster = Cluster::new(role("worker").policy(policy).pass_fd(socket));
        let workers = cluster.fork(2);
        for worker in &workers {
            assert_eq!(listen(&cluster, worker, &fd), Ok(address.to_string()));
            assert_eq!(listens(&cluster, worker), Address::Tcp(address));
            assert_eq!(worker.addresses(), [Address::Tcp(address)]);
        }
        assert!(Lines::connect(&address.to_string()).unwrap().ask("x").is_ok());
        for worker in &workers {
            worker.disconnect();
            cluster.end(worker);
        }
        // It was passed in, so it is the master's as long as that lives.
        let mut early = Lines::connect(&address.to_string()).unwrap();
        early.say("early").unwrap();
        let worker = &cluster.fork(1)[0];
        assert_eq!(listen(&cluster, worker, &fd), Ok(address.to_string()));
        assert_eq!(early.hear("early").unwrap(), 3);
    }
}

#[test]
fn unix_and_udp_sockets_as_well() {
    for policy in POLICIES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s").to_str().unwrap().to_owned();
        let unix = UnixListener::bind(&path).unwrap();
        let udp = UdpSocket::bind(ANYWHERE).unwrap();
        let address = udp.local_addr().unwrap();
        let numbers = [unix.as_raw_fd(), udp.as_raw_fd()].map(|number| format!("fd:{number}"));
        let settings = role("worker").policy(policy).pass_fd(unix).pass_fd(udp);
        let cluster = Cluster::new(settings);
        let worker = &cluster.fork(1)[0];
        assert!(listen(&cluster, worker, &numbers[0]).is_ok());
        assert_eq!(Lines::connect(&path).unwrap().ask("x").unwrap(), 1);
        assert_eq!(ask(&cluster, worker, "bind", &numbers[1]), Ok(address.to_string()));
        let client = UdpSocket::bind(ANYWHERE).unwrap();
        client.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        client.send_to(b"x", address).unwrap();
        let mut answer = [0; 16];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"1 x");
        // One kind is not the other.
        assert_eq!(listen(&cluster, worker, &numbers[1]), Err("EINVAL".into()));
        assert_eq!(ask(&cluster, worker, "bind", &numbers[0]), Err("EINVAL".into()));
    }
}

#[test]
fn no_other_descriptor_of_the_master_is_given_away() {
    for policy in POLICIES {
        let ours = TcpListener::bind(ANYWHERE).unwrap();
        let cluster = obedient(policy);
        let worker = &cluster.fork(1)[0];
        for number in [ours.as_raw_fd(), 0, 9999] {
            let fd = format!("fd:{number}");
            assert_eq!(listen(&cluster, worker, &fd), Err("EACCES".into()), "{fd}");
        }
        assert!(ours.set_nonblocking(false).is_ok(), "and nobody has touched it");
    }
}
