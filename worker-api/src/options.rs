//! How to listen.

use std::io;

use serde_json::Value;

use crate::{
    Address, Error, Result,
    roster::query,
    wire::{Family, IPV6_ONLY, Query, REUSE_ADDRESS, host_text},
};

/// How to listen, beyond the address. All workers share one socket for each address,
/// so the first one's `backlog`, `ipv6_only` and file mode count, as in Node.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct ListenOptions {
    pub(crate) backlog: Option<u32>,
    pub(crate) ipv6_only: bool,
    pub(crate) exclusive: bool,
    pub(crate) reuse_port: bool,
    pub(crate) reuse_address: bool,
    pub(crate) readable_all: bool,
    pub(crate) writable_all: bool,
    pub(crate) max_connections: Option<usize>,
    pub(crate) data: Value,
}

impl ListenOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections the system keeps until somebody accepts them. Default: 511.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(connections);
        self
    }

    /// An IPv6 address does not take IPv4 connections as well. Default: it does.
    pub fn ipv6_only(mut self, on: bool) -> Self {
        self.ipv6_only = on;
        self
    }

    /// A socket of this worker's own, without the master. Default: shared.
    pub fn exclusive(mut self, on: bool) -> Self {
        self.exclusive = on;
        self
    }

    /// A socket of this worker's own whose port others may have as well if they say the same,
    /// each with its share of what comes in (`SO_REUSEPORT`). Default: one socket, shared.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// UDP: others may bind the same port (`SO_REUSEADDR`). Default: they may not.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// Every user may read the Unix socket's file. Default: as the umask says.
    pub fn readable_all(mut self, on: bool) -> Self {
        self.readable_all = on;
        self
    }

    /// Every user may write the Unix socket's file, that is, connect. Default: as the umask
    /// says.
    pub fn writable_all(mut self, on: bool) -> Self {
        self.writable_all = on;
        self
    }

    /// With so many connections this worker takes no more: others get them, or they wait.
    /// Default: no limit.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Something for all workers with the same address: the first one's is what everybody
    /// finds in [`Listener::data`](crate::Listener::data), say a key for TLS tickets. Up to
    /// 64 KiB as JSON. Default: `Null`, which leaves it to the next.
    pub fn data(mut self, value: impl Into<Value>) -> Self {
        self.data = value.into();
        self
    }

    /// Whether the master is not asked.
    pub(crate) fn bypasses_master(&self) -> bool {
        self.exclusive || self.reuse_port
    }

    /// What to ask the master for TCP and Unix sockets.
    pub(crate) fn query(&self, address: &Address) -> Result<Query> {
        let mut query = match address {
            Address::Udp(_) => return Err(refuse(address, "a UDP address is for `bind`")),
            Address::Tcp(socket) => {
                let family = if socket.is_ipv6() { Family::V6 } else { Family::V4 };
                let mut query = query(Some(host_text(socket)), Some(socket.port().into()), family);
                query.flags = Some(if self.ipv6_only { IPV6_ONLY } else { 0 });
                query
            }
            Address::Port(port) => query(None, Some((*port).into()), Family::V4),
            Address::Unix(path) => {
                let path = path.to_str().ok_or_else(|| {
                    refuse(address, "the master is asked in JSON, so the path must be UTF-8")
                })?;
                let mut query = query(Some(path.to_owned()), Some(-1), Family::Path);
                query.readable_all = self.readable_all.then_some(true);
                query.writable_all = self.writable_all.then_some(true);
                query
            }
            Address::Fd(number) => {
                let mut query = query(None, None, Family::Fd);
                query.fd = Some((*number).into());
                query
            }
        };
        query.backlog = Some(self.backlog.unwrap_or(0).into());
        query.data = self.data.clone();
        Ok(query)
    }

    /// What to ask the master for a UDP socket.
    pub(crate) fn datagram_query(&self, address: &Address) -> Result<Query> {
        let mut query = match address {
            Address::Tcp(socket) | Address::Udp(socket) => {
                let family = if socket.is_ipv6() { Family::Udp6 } else { Family::Udp4 };
                query(Some(host_text(socket)), Some(socket.port().into()), family)
            }
            Address::Port(port) => {
                query(Some("0.0.0.0".to_owned()), Some((*port).into()), Family::Udp4)
            }
            Address::Fd(number) => {
                let mut query = query(None, None, Family::Udp4);
                query.fd = Some((*number).into());
                query
            }
            Address::Unix(_) => return Err(refuse(address, "a path is no UDP address")),
        };
        query.fd.get_or_insert(-1);
        let v6_only = if self.ipv6_only { IPV6_ONLY } else { 0 };
        let reuse = if self.reuse_address { REUSE_ADDRESS } else { 0 };
        query.flags = Some(v6_only | reuse);
        Ok(query)
    }
}

fn refuse(address: &Address, why: &str) -> Error {
    let source = io::Error::new(io::ErrorKind::InvalidInput, why);
    Error::Address { address: address.to_string(), source }
}

/// The query with which a worker asks for this address: to bind a UDP one, else to listen.
///
/// # Errors
///
/// [`Error::Address`] for a path that is not UTF-8.
pub fn query_for(address: &Address, options: &ListenOptions) -> Result<Query> {
    match address {
        Address::Udp(_) => options.datagram_query(address),
        _ => options.query(address),
    }
}
