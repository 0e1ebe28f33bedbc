//! One worker's `NOTIFY_SOCKET`.

use std::{
    ffi::OsString,
    io::{self, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
        UnixCredentials, bind, getsockname, recvmsg, setsockopt, socket, sockopt::PassCred,
    },
    unistd::geteuid,
};

/// A notice is no longer; systemd's bound.
const LONGEST: usize = 4096;

/// Notices that are read at a time.
const BATCH: usize = 32;

/// A datagram socket with an abstract name that the kernel chose. It leaves no file behind, and
/// a worker of another user can reach it; who sends is seen from the credentials.
#[derive(Debug)]
pub(crate) struct Notices {
    socket: OwnedFd,
    address: OsString,
    uid: u32,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) is_ready: bool,
    /// There may be more to read.
    pub(crate) has_more: bool,
}

impl Notices {
    /// For a worker of this user; `None`: of ours.
    pub(super) fn new(uid: Option<u32>) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&socket, PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
        Self::of(socket, uid.unwrap_or_else(|| geteuid().as_raw()))
    }

    /// A socket that is there, for a worker of this user.
    pub(super) fn of(socket: OwnedFd, uid: u32) -> io::Result<Self> {
        let bound: UnixAddr = getsockname(socket.as_raw_fd())?;
        let name = bound.as_abstract().ok_or(Errno::EADDRNOTAVAIL)?;
        let address = OsString::from_vec([b"@", name].concat());
        Ok(Self { socket, address, uid })
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// As it stands in the variable.
    pub(super) fn address(&self) -> &OsString {
        &self.address
    }

    pub(super) fn read(&mut self) -> News {
        let mut news = News::default();
        for _ in 0..BATCH {
            match self.next() {
                Ok(is_ready) => news.is_ready |= is_ready,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return news,
                Err(error) => {
                    log::debug!("cannot read a notice: {error}");
                    return news;
                }
            }
        }
        News { has_more: true, ..news }
    }

    /// Takes one notice; whether it says that the worker is ready. Descriptors that come with it
    /// find no room, so the kernel closes them, which is what a barrier waits for.
    fn next(&self) -> Result<bool, Errno> {
        let mut bytes = [0; LONGEST];
        let mut space = cmsg_space!(UnixCredentials);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let mut into = [IoSliceMut::new(&mut bytes)];
        let (length, uid) = {
            let message =
                recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut into, Some(&mut space), flags)?;
            let mut messages = message.cmsgs()?;
            let uid = messages.find_map(|one| match one {
                ControlMessageOwned::ScmCredentials(sender) => Some(sender.uid()),
                _ => None,
            });
            (message.bytes, uid)
        };
        let may_speak = uid.is_some_and(|uid| uid == self.uid || uid == geteuid().as_raw());
        let text = bytes.get(..length).unwrap_or_default();
        Ok(may_speak && text.split(|byte| *byte == b'\n').any(|line| line == b"READY=1"))
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    };

    fn sender(notices: &Notices) -> UnixDatagram {
        let name = notices.address().as_bytes().strip_prefix(b"@").unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        sender
    }

    #[test]
    fn only_ready_is_news() {
        let mut notices = Notices::new(None).unwrap();
        let sender = sender(&notices);
        let nothing = News::default();
        assert_eq!(notices.read(), nothing);
        for text in ["STATUS=READY=1", "READY=0", "", "WATCHDOG=1\nSTATUS=x"] {
            sender.send(text.as_bytes()).unwrap();
            assert_eq!(notices.read(), nothing, "{text}");
        }
        sender.send(b"STATUS=up\nREADY=1\nMAINPID=1").unwrap();
        assert_eq!(notices.read(), News { is_ready: true, has_more: false });
    }

    #[test]
    fn a_flood_is_read_in_pieces() {
        let mut notices = Notices::new(None).unwrap();
        let sender = sender(&notices);
        sender.set_nonblocking(true).unwrap();
        while sender.send(&[b'x'; 8192]).is_ok() {}
        let mut reads = 1;
        while notices.read().has_more {
            reads += 1;
        }
        assert!(reads < 1000);
        sender.send(b"READY=1").unwrap();
        assert!(notices.read().is_ready);
    }

    #[test]
    fn strangers_are_not_heard() {
        let mut notices = Notices::new(None).unwrap();
        notices.uid = u32::MAX;
        let sender = sender(&notices);
        sender.send(b"READY=1").unwrap();
        assert!(notices.read().is_ready, "our own user may");
        let other = Notices::new(Some(12345)).unwrap();
        assert_eq!(other.uid, 12345);
    }
}
