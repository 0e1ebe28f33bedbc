//! Opening the socket that a query asks for: in the master, or in a program that runs alone.

use std::{
    env, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
        },
    },
    path::{Path, PathBuf},
};

use nix::libc::{EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, ENAMETOOLONG};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    cluster::{Family, IPV6_ONLY, Query, REUSE_ADDRESS},
    host::read_host,
};

/// Node's backlog where none is asked for.
const BACKLOG: i32 = 511;

/// `sun_path` holds 108 bytes, of a path the last of them a NUL.
const LONGEST_PATH: usize = 107;
const LONGEST_NAME: usize = 108;

/// A bound socket, non-blocking and, but for UDP, listening.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub socket: OwnedFd,
    /// Its file, if it is a Unix socket's.
    pub file: Option<SocketFile>,
}

/// The file of a Unix socket; dropping this removes the file if it is still the same.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The file that is there now.
    ///
    /// # Errors
    ///
    /// What the system says, if none is there.
    pub fn of(path: &Path) -> io::Result<Self> {
        let (device, inode) = identity(path)?;
        // The working directory may be another one when the file is to go.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { path, device, inode })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = identity(&self.path).is_ok_and(|now| now == (self.device, self.inode));
        if same && let Err(error) = fs::remove_file(&self.path) {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Binds and listens.
///
/// # Errors
///
/// What the system says, always with an errno; `EINVAL` for what is no address here,
/// `ENAMETOOLONG` for a path that no Unix socket can have.
pub fn bind(query: &Query) -> io::Result<Bound> {
    open(query, Beside::Nobody)
}

/// As [`bind`]; others who say the same may have the port as well (`SO_REUSEPORT`).
///
/// # Errors
///
/// As [`bind`].
pub fn bind_beside_others(query: &Query) -> io::Result<Bound> {
    open(query, Beside::Others)
}

/// As [`bind`]; the port has to be free, and others who say the same may come to a TCP port
/// later.
///
/// # Errors
///
/// As [`bind`].
pub fn bind_before_others(query: &Query) -> io::Result<Bound> {
    open(query, Beside::Later)
}

/// Who else may have the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nobody,
    /// Those who are there, and those who come.
    Others,
    /// Those who come.
    Later,
}

fn open(query: &Query, beside: Beside) -> io::Result<Bound> {
    match query.family {
        Family::Fd => Err(errno(EINVAL)),
        Family::Path => bind_path(query),
        Family::Udp4 | Family::Udp6 => bind_udp(query, beside == Beside::Others),
        Family::V4 | Family::V6 => bind_tcp(query, beside),
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// The backlog that a query asks for.
pub fn backlog(query: &Query) -> i32 {
    match query.backlog {
        Some(asked) if asked > 0 => i32::try_from(asked).unwrap_or(i32::MAX),
        _ => BACKLOG,
    }
}

fn has(query: &Query, flag: i64) -> bool {
    query.flags.is_some_and(|flags| flags & flag != 0)
}

fn socket_address(query: &Query, absent: IpAddr) -> io::Result<SocketAddr> {
    let port = query.port.unwrap_or(0).try_into().map_err(|_| errno(EINVAL))?;
    match query.address.as_deref() {
        Some(text) => read_host(text, port).ok_or_else(|| errno(EINVAL)),
        None => Ok(SocketAddr::new(absent, port)),
    }
}

fn bind_tcp(query: &Query, beside: Beside) -> io::Result<Bound> {
    let both = socket_address(query, Ipv6Addr::UNSPECIFIED.into())?;
    let listen = |address| -> io::Result<Bound> {
        let socket = socket(address, Type::STREAM)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(beside == Beside::Others)?;
        bind_ip(&socket, address, has(query, IPV6_ONLY))?;
        socket.set_reuse_port(beside != Beside::Nobody)?; // before it listens: so it begins a group
        socket.listen(backlog(query))?;
        Ok(Bound { socket: socket.into(), file: None })
    };
    match listen(both) {
        Err(error)
            if query.address.is_none()
                && matches!(error.raw_os_error(), Some(EAFNOSUPPORT | EADDRNOTAVAIL)) =>
        {
            listen(socket_address(query, Ipv4Addr::UNSPECIFIED.into())?)
        }
        outcome => outcome,
    }
}

fn bind_udp(query: &Query, reuse_port: bool) -> io::Result<Bound> {
    let absent: IpAddr = match query.family {
        Family::Udp6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let address = socket_address(query, absent)?;
    if address.is_ipv6() != (query.family == Family::Udp6) {
        return Err(errno(EINVAL));
    }
    let socket = socket(address, Type::DGRAM)?;
    socket.set_reuse_address(has(query, REUSE_ADDRESS))?;
    socket.set_reuse_port(reuse_port)?;
    bind_ip(&socket, address, has(query, IPV6_ONLY))?;
    Ok(Bound { socket: socket.into(), file: None })
}

fn socket(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), kind.nonblocking().cloexec(), None)
}

fn bind_ip(socket: &Socket, address: SocketAddr, v6_only: bool) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.bind(&address.into())
}

fn bind_path(query: &Query) -> io::Result<Bound> {
    let path = socket_path(query.address.as_deref().unwrap_or_default());
    if is_abstract(path) {
        return bind_name(path, query);
    }
    let path = shortest(path);
    if path.as_os_str().as_bytes().contains(&0) || path.as_os_str().is_empty() {
        return Err(errno(EINVAL));
    }
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(errno(ENAMETOOLONG));
    }
    let address = SockAddr::unix(&path)?;
    let socket = unix_socket()?;
    let bound = match socket.bind(&address) {
        Err(error) if error.raw_os_error() == Some(EADDRINUSE) && is_stale(&path, &address) => {
            fs::remove_file(&path)?;
            socket.bind(&address)
        }
        outcome => outcome,
    };
    bound?;
    let file = SocketFile::of(&path)?;
    open_up(&path, query)?;
    socket.listen(backlog(query))?;
    Ok(Bound { socket: socket.into(), file: Some(file) })
}

fn unix_socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)
}

/// Linux's names without a file, which begin with a NUL byte.
fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(b"\0")
}

fn bind_name(name: &Path, query: &Query) -> io::Result<Bound> {
    let bytes = name.as_os_str().as_bytes();
    let has_mode = query.readable_all == Some(true) || query.writable_all == Some(true);
    if bytes.len() < 2 || bytes[1..].contains(&0) || has_mode {
        return Err(errno(EINVAL));
    }
    if bytes.len() > LONGEST_NAME {
        return Err(errno(ENAMETOOLONG));
    }
    let socket = unix_socket()?;
    socket.bind(&SockAddr::unix(name)?)?;
    socket.listen(backlog(query))?;
    Ok(Bound { socket: socket.into(), file: None })
}

/// The path that a query's address means. A Node worker puts its working directory before a
/// name without a file, as it does with relative paths.
pub fn socket_path(address: &str) -> &Path {
    match address.split_once('\0') {
        Some((directory, name)) if directory.ends_with('/') => {
            Path::new(&address[address.len() - name.len() - 1..])
        }
        _ => Path::new(address),
    }
}

/// The path, or its form from the working directory if that is shorter: `sun_path` is short.
fn shortest(path: &Path) -> PathBuf {
    let Ok(here) = env::current_dir() else { return path.to_owned() };
    match path.strip_prefix(&here) {
        Ok(short) if !short.as_os_str().is_empty() => short.to_owned(),
        _ => path.to_owned(),
    }
}

/// A socket file that nobody listens on: its server was killed.
fn is_stale(path: &Path, address: &SockAddr) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    is_socket
        && Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)
            .and_then(|probe| probe.connect(address))
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Gives everybody the rights to a socket's file that the query wants.
pub(crate) fn open_up(path: &Path, query: &Query) -> io::Result<()> {
    let mut more = 0;
    if query.readable_all == Some(true) {
        more |= 0o444;
    }
    if query.writable_all == Some(true) {
        more |= 0o222;
    }
    if more == 0 {
        return Ok(());
    }
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::os::unix::net::UnixStream;

    fn query(address: Option<&str>, port: i64, family: Family) -> Query {
        Query {
            index: 0,
            data: Value::Null,
            address: address.map(Into::into),
            port: Some(port),
            family,
            fd: None,
            flags: None,
            backlog: None,
            readable_all: None,
            writable_all: None,
        }
    }

    fn code(query: &Query) -> Option<i32> {
        bind(query).unwrap_err().raw_os_error()
    }

    #[test]
    fn no_address_means_both_families() {
        let bound = bind(&query(None, 0, Family::V4)).unwrap();
        let port = Socket::from(bound.socket.try_clone().unwrap())
            .local_addr()
            .unwrap()
            .as_socket()
            .unwrap()
            .port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        std::net::TcpStream::connect(("::1", port)).unwrap();
    }

    #[test]
    fn nonsense_has_an_errno() {
        assert_eq!(code(&query(Some("x"), 0, Family::V4)), Some(EINVAL));
        assert_eq!(code(&query(None, -1, Family::V4)), Some(EINVAL));
        assert_eq!(code(&query(None, 65536, Family::V4)), Some(EINVAL));
        assert_eq!(code(&query(Some(""), -1, Family::Path)), Some(EINVAL));
        assert_eq!(code(&query(Some("/tmp/x\0y"), -1, Family::Path)), Some(EINVAL));
        assert_eq!(code(&query(Some(&"/x".repeat(60)), -1, Family::Path)), Some(ENAMETOOLONG));
        assert_eq!(code(&query(Some("::1"), 0, Family::Udp4)), Some(EINVAL));
        assert_eq!(code(&query(None, 0, Family::Fd)), Some(EINVAL));
    }

    #[test]
    fn a_socket_file_goes_with_its_socket_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut query = query(path.to_str(), -1, Family::Path);
        (query.readable_all, query.writable_all) = (Some(true), Some(true));
        let bound = bind(&query).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o777);
        assert_eq!(code(&query), Some(EADDRINUSE), "it is alive");
        let Bound { socket, file } = bound;
        drop(socket);
        std::mem::forget(file);
        assert!(path.exists());
        let bound = bind(&query).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_name_without_a_file() {
        let name = format!("\0cluster {}", std::process::id());
        let bound = bind(&query(Some(&name), -1, Family::Path)).unwrap();
        assert!(bound.file.is_none());
        let from_node = format!("/some/where/{name}");
        assert_eq!(code(&query(Some(&from_node), -1, Family::Path)), Some(EADDRINUSE));
        drop(bound);
        let longest = |length| format!("{name:x<length$}");
        bind(&query(Some(&longest(108)), -1, Family::Path)).unwrap();
        assert_eq!(code(&query(Some(&longest(109)), -1, Family::Path)), Some(ENAMETOOLONG));
        let writable = Query { writable_all: Some(true), ..query(Some(&name), -1, Family::Path) };
        for nonsense in [writable, query(Some("\0"), -1, Family::Path)] {
            assert_eq!(code(&nonsense), Some(EINVAL));
        }
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert_eq!(code(&query(path.to_str(), -1, Family::Path)), Some(EADDRINUSE));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
