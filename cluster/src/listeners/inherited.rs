//! Sockets that somebody else has opened, by where they are.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
};

use socket2::{SockRef, Type};
use worker_api::{
    Address,
    wire::{Query, backlog},
};

use super::rules;
use crate::Settings;

/// The socket of the settings that is where this query wants to listen.
pub(super) fn find<'a>(query: &Query, settings: &'a Settings) -> Option<&'a Arc<OwnedFd>> {
    let asked = rules::address(query)?;
    settings.adopted().iter().find(|socket| {
        local_address(*socket).is_ok_and(|local| is_at(&local, &asked, is_dual(socket)))
    })
}

/// A copy of it that listens and does not block.
pub(super) fn open(socket: &OwnedFd, query: &Query) -> io::Result<OwnedFd> {
    let socket = socket.try_clone()?;
    let reference = SockRef::from(&socket);
    reference.set_nonblocking(true)?;
    if !query.family.is_udp() && !reference.is_listener()? {
        reference.listen(backlog(query))?;
    }
    Ok(socket)
}

/// Where a socket is.
pub(crate) fn local_address(socket: &impl AsFd) -> io::Result<Address> {
    let descriptor = socket.as_fd();
    let socket = SockRef::from(&descriptor);
    let local = socket.local_addr()?;
    let is_udp = socket.r#type()? == Type::DGRAM;
    match (local.as_socket(), local.as_pathname(), local.as_abstract_namespace()) {
        (Some(local), ..) if is_udp => Ok(Address::Udp(local)),
        (Some(local), ..) => Ok(Address::Tcp(local)),
        (_, Some(path), _) => Ok(Address::Unix(path.to_owned())),
        (.., Some(name)) => {
            let name = [b"\0", name].concat();
            Ok(Address::Unix(Path::new(std::ffi::OsStr::from_bytes(&name)).to_owned()))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket has no address")),
    }
}

/// Whether connections over IPv4 come here as well as over IPv6.
fn is_dual(socket: &OwnedFd) -> bool {
    SockRef::from(socket).only_v6().is_ok_and(|only| !only)
}

/// Whether a socket here is what somebody means who asks for `asked`.
fn is_at(local: &Address, asked: &Address, is_dual: bool) -> bool {
    let is_all = |local: &SocketAddr, port| local.ip().is_unspecified() && local.port() == port;
    match (local, asked) {
        (Address::Tcp(local), Address::Port(port)) => is_all(local, *port),
        (Address::Tcp(local), Address::Tcp(asked)) | (Address::Udp(local), Address::Udp(asked))
            if is_dual && asked.ip() == Ipv4Addr::UNSPECIFIED =>
        {
            is_all(local, asked.port())
        }
        _ => local == asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    #[test]
    fn the_same_place() {
        assert!(is_at(&tcp("127.0.0.1:80"), &tcp("127.0.0.1:80"), false));
        assert!(!is_at(&tcp("127.0.0.1:80"), &tcp("127.0.0.1:81"), false));
        assert!(!is_at(
            &tcp("127.0.0.1:80"),
            &Address::Udp("127.0.0.1:80".parse().unwrap()),
            false
        ));
        assert!(!is_at(&tcp("127.0.0.1:80"), &Address::Port(80), false));
        assert!(is_at(&tcp("0.0.0.0:80"), &Address::Port(80), false));
        assert!(is_at(&tcp("[::]:80"), &Address::Port(80), true));
        assert!(is_at(&tcp("[::]:80"), &tcp("0.0.0.0:80"), true));
        assert!(!is_at(&tcp("[::]:80"), &tcp("0.0.0.0:80"), false));
        assert!(!is_at(&tcp("[::]:80"), &tcp("0.0.0.0:81"), true));
        assert!(!is_at(&tcp("[::]:80"), &tcp("127.0.0.1:80"), true));
        let path = |path: &str| Address::Unix(path.into());
        assert!(is_at(&path("/a"), &path("/a"), false) && !is_at(&path("/a"), &path("/b"), false));
    }

    #[test]
    fn where_sockets_are() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        assert_eq!(local_address(&listener).unwrap(), address);
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        assert_eq!(local_address(&udp).unwrap(), Address::Udp(udp.local_addr().unwrap()));
        assert!(local_address(&std::io::pipe().unwrap().0).is_err());
    }
}
