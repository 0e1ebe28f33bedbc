//! What a server listens on.

use std::{
    env,
    ffi::OsStr,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs},
    os::{fd::RawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{Error, Result, wire::read_host};

/// What a server listens on, or a client came from.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A UDP address.
    Udp(SocketAddr),
    /// A TCP port on all addresses: IPv6 and IPv4 where the system has IPv6.
    Port(u16),
    /// The path of a Unix socket; one that begins with a NUL byte is a name without a file
    /// (Linux's abstract namespace).
    Unix(PathBuf),
    /// A socket that the master was given on purpose, by its number there.
    Fd(RawFd),
}

impl Address {
    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) | Self::Udp(address) => Some(address.ip()),
            Self::Port(_) | Self::Unix(_) | Self::Fd(_) => None,
        }
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) | Self::Udp(address) => Some(address.port()),
            Self::Port(port) => Some(*port),
            Self::Unix(_) | Self::Fd(_) => None,
        }
    }

    /// The same with the working directory before a relative path: another process may stand
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// What the system says when there is no working directory.
    pub fn absolute(self) -> Result<Self> {
        match self {
            Self::Unix(path) if path.is_relative() && abstract_name(&path).is_none() => {
                let path = env::current_dir()?.join(path);
                Ok(Self::Unix(path.components().collect()))
            }
            other => Ok(other),
        }
    }
}

/// What follows the NUL byte of a name without a file.
fn abstract_name(path: &Path) -> Option<&OsStr> {
    path.as_os_str().as_bytes().strip_prefix(b"\0").map(OsStr::from_bytes)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Port(port) => write!(f, "*:{port}"),
            Self::Unix(path) => match abstract_name(path) {
                Some(name) => write!(f, "@{}", name.display()),
                None => path.display().fmt(f),
            },
            Self::Fd(number) => write!(f, "fd:{number}"),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads `127.0.0.1:80`, `[::1]:80`, `[fe80::1%eth0]:80`, `host:80`, `80`, `*:80`,
    /// `/run/a.sock`, `@name`, `fd:3`, and `udp:` before an address with a host.
    ///
    /// A text with a slash is a path, and one that begins with `@` or a NUL byte a Unix name
    /// without a file. A host name is resolved, which may block.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::Address {
            address: text.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, why),
        };
        let name = text.strip_prefix(['@', '\0']);
        if name.unwrap_or(text).contains('\0') {
            return Err(refuse("it holds a NUL byte"));
        }
        if let Some(name) = name {
            return Ok(Self::Unix(format!("\0{name}").into()));
        }
        if text.contains('/') {
            return Ok(Self::Unix(text.into()));
        }
        if let Some(rest) = text.strip_prefix("udp:") {
            return match rest.parse()? {
                Self::Tcp(address) => Ok(Self::Udp(address)),
                _ => Err(refuse("expected host:port after `udp:`")),
            };
        }
        if let Some(number) = text.strip_prefix("fd:") {
            return number.parse().map(Self::Fd).map_err(|_| refuse("no number after `fd:`"));
        }
        let port = text.strip_prefix("*:").unwrap_or(text);
        if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
            return port.parse().map(Self::Port).map_err(|_| refuse("a port is at most 65535"));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(refuse("expected host:port, a port, or a path with a slash"));
        };
        if host.is_empty() {
            return Err(refuse("no host before the port"));
        }
        let Ok(number) = port.parse() else {
            return Err(refuse("the port is no number from 0 to 65535"));
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bare.and_then(|host| read_host(host, number)) {
            Some(address) => Ok(Self::Tcp(address)),
            None => resolve(text, text),
        }
    }
}

fn resolve(address: impl ToSocketAddrs, text: &str) -> Result<Address> {
    let refuse = |source| Error::Address { address: text.to_owned(), source };
    let mut found = address.to_socket_addrs().map_err(refuse)?;
    found
        .next()
        .map(Address::Tcp)
        .ok_or_else(|| refuse(io::Error::new(io::ErrorKind::NotFound, "the host has no address")))
}

/// What can be named as an address: `"1.2.3.4:80"`, `"host:80"`, `"/run/a.sock"`, `80`,
/// `("host", 80)`, a `SocketAddr`, a `Path`, an [`Address`], and references to these.
pub trait ToAddress {
    /// The address that is meant.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] if the text is no address or its host cannot be resolved.
    fn to_address(&self) -> Result<Address>;
}

impl<T: ToAddress + ?Sized> ToAddress for &T {
    fn to_address(&self) -> Result<Address> {
        (**self).to_address()
    }
}

impl ToAddress for Address {
    fn to_address(&self) -> Result<Address> {
        Ok(self.clone())
    }
}

impl ToAddress for str {
    fn to_address(&self) -> Result<Address> {
        self.parse()
    }
}

impl ToAddress for String {
    fn to_address(&self) -> Result<Address> {
        self.parse()
    }
}

impl ToAddress for u16 {
    fn to_address(&self) -> Result<Address> {
        Ok(Address::Port(*self))
    }
}

impl ToAddress for (&str, u16) {
    fn to_address(&self) -> Result<Address> {
        resolve(*self, &format!("{}:{}", self.0, self.1))
    }
}

impl ToAddress for Path {
    fn to_address(&self) -> Result<Address> {
        Ok(Address::Unix(self.to_owned()))
    }
}

impl ToAddress for PathBuf {
    fn to_address(&self) -> Result<Address> {
        Ok(Address::Unix(self.clone()))
    }
}

macro_rules! plain {
    ($($kind:ty),*) => {$(
        impl ToAddress for $kind {
            fn to_address(&self) -> Result<Address> {
                Ok(Address::Tcp((*self).into()))
            }
        }
    )*};
}
plain!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(read("127.0.0.1:80"), Address::Tcp(([127, 0, 0, 1], 80).into()));
        assert_eq!(read("[::1]:80"), Address::Tcp((Ipv6Addr::LOCALHOST, 80).into()));
        assert_eq!(read("80"), Address::Port(80));
        assert_eq!(read("*:80"), Address::Port(80));
        assert_eq!(read("/run/a.sock"), Address::Unix("/run/a.sock".into()));
        assert_eq!(read("./a.sock"), Address::Unix("./a.sock".into()));
        assert_eq!(read("@a"), Address::Unix("\0a".into()));
        assert_eq!(read("\0a/b"), Address::Unix("\0a/b".into()));
        assert_eq!(read("[fe80::1%lo]:80"), read("[fe80::1%1]:80"));
        assert_eq!(read("fd:3"), Address::Fd(3));
        assert_eq!(read("localhost:0").port(), Some(0));
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("", "expected host:port"),
            ("app.sock", "expected host:port"),
            ("65536", "at most 65535"),
            (":80", "no host"),
            ("host:", "no number"),
            ("host:99999", "no number"),
            ("a\0/b", "NUL"),
            ("@a\0", "NUL"),
            ("fd:x", "after `fd:`"),
            ("udp:80", "after `udp:`"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(format!("{error:?}").contains(why), "{text:?}: {error:?}");
        }
    }

    #[test]
    fn a_path_becomes_absolute_and_a_name_stays() {
        let here = env::current_dir().unwrap();
        let path = Address::Unix("./a/../s".into()).absolute().unwrap();
        assert_eq!(path, Address::Unix(here.join("a/../s")));
        assert_eq!(read("@s").absolute().unwrap(), read("@s"));
    }

    #[test]
    fn display_reads_back() {
        for text in
            ["127.0.0.1:80", "[::1]:80", "*:80", "/run/a.sock", "@a", "fd:3", "udp:[::1]:80"]
        {
            assert_eq!(read(text).to_string(), text);
        }
    }
}
