//! Sockets that systemd has opened.

use std::{io, os::fd::OwnedFd};

use worker_api::{Address, Handle};

use crate::{listeners::local_address, sys::take_listen_fds};

/// A socket that systemd has opened for this process.
#[derive(Debug)]
pub struct Inherited {
    name: String,
    address: Address,
    socket: Handle,
}

/// The sockets that systemd has opened for this process (`LISTEN_FDS`), in order; none if it is
/// not meant. The variables are gone then, so workers do not take them for theirs. For the
/// beginning of `main`, before there are other threads.
///
/// # Errors
///
/// `InvalidInput` for variables that make no sense and for what is no TCP, Unix stream or UDP
/// socket that one can listen on.
pub fn sockets() -> io::Result<Vec<Inherited>> {
    let descriptors = take_listen_fds()?.into_iter();
    descriptors.map(|(descriptor, name)| Inherited::new(descriptor, name)).collect()
}

impl Inherited {
    fn new(descriptor: OwnedFd, name: String) -> io::Result<Self> {
        let refuse = || {
            let why = format!("the socket {name} of LISTEN_FDS is none to listen on");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        let socket = Handle::of(descriptor).map_err(|_| refuse())?;
        match socket {
            Handle::TcpListener(_) | Handle::UnixListener(_) | Handle::UdpSocket(_) => {
                Ok(Self { address: local_address(&socket)?, name, socket })
            }
            _ => Err(refuse()),
        }
    }

    /// Its name, as the socket unit has it (`FileDescriptorName=`).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn address(&self) -> Address {
        self.address.clone()
    }
}

impl From<Inherited> for Handle {
    fn from(inherited: Inherited) -> Self {
        inherited.socket
    }
}
