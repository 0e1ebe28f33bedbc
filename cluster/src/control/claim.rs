//! Getting a socket's path: from a dead master, never from a living one.

use std::{
    fs, io,
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{peer::Peer, place::make_folder};

/// How often a path is cleared that others fill again.
const TRIES: usize = 8;

/// Who is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    /// A socket that nobody listens at.
    Nobody,
    /// A process listens; 0 if it cannot be seen which.
    Process(u32),
}

/// A listening socket and its file, which goes with it.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
    pub(super) identity: (u64, u64),
}

impl Claim {
    /// Listens at this path, with mode 0600.
    ///
    /// The socket listens under another name before it gets this one, by a link, which
    /// overwrites nothing: so what does not answer at the path is dead, and two masters never
    /// both believe they have it.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        make_folder(&path)?;
        let draft = Draft(beside(&path, "new"));
        let listener = listen(&draft.0)?;
        let metadata = fs::symlink_metadata(&draft.0)?;
        take_place(&draft.0, &path)?;
        Ok(Self { listener, path, identity: (metadata.dev(), metadata.ino()) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, if it still is this one's: others may have the path from now on.
    pub(super) fn withdraw(&self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|now| (now.dev(), now.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The socket's first name.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // it may not have come so far
    }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}{what}", std::process::id()));
    name.into()
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let address = SockAddr::unix(path).map_err(|_| {
        let text = format!("{} is too long a path for a socket", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    // The file gets the socket's mode, so there is no moment at which others could connect.
    fchmod(socket.as_fd(), Mode::S_IRUSR | Mode::S_IWUSR)?;
    let _ = fs::remove_file(path); // a process of the same number has died here
    socket.bind(&address)?;
    socket.listen(64)?;
    Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}

fn take_place(draft: &Path, path: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match fs::hard_link(draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => clear(path)?,
            outcome => return outcome,
        }
    }
    fs::hard_link(draft, path)
}

/// Takes a dead master's file out of the way; an error if it is no such file.
fn clear(path: &Path) -> io::Result<()> {
    let in_use = |pid| {
        let text = format!("the master with pid {pid} listens at {}", path.display());
        io::Error::new(io::ErrorKind::AddrInUse, text)
    };
    match tenant(path) {
        Ok(Tenant::Process(pid)) => return Err(in_use(pid)),
        Ok(Tenant::Nobody) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    // Somebody else may be doing the same: what is removed must be what was looked at.
    let aside = beside(path, "old");
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome?,
    }
    let found = tenant(&aside);
    if let Ok(Tenant::Process(pid)) = found {
        let _ = fs::hard_link(&aside, path);
        let _ = fs::remove_file(&aside);
        return Err(in_use(pid));
    }
    fs::remove_file(&aside)
}

/// Who listens at a path. A master that was stopped by a signal listens, too.
pub(super) fn tenant(path: &Path) -> io::Result<Tenant> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = format!("{} is there, and is no socket", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match connect(path) {
        Ok(socket) => Ok(Tenant::Process(Peer::of(&socket).map_or(0, |peer| peer.pid))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Tenant::Nobody),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Tenant::Process(0)),
        Err(error) => Err(error),
    }
}

/// Connects without waiting: a full queue is `WouldBlock`. The socket is non-blocking.
pub(super) fn connect(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_private_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let claim = Claim::new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside it");
        drop(claim);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_living_one_is_left_alone_and_a_dead_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let first = Claim::new(&path).unwrap();
        let refused = Claim::new(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let pid = format!("pid {}", std::process::id());
        assert!(refused.to_string().contains(&pid), "{refused}");

        let Claim { ref listener, .. } = first;
        nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(listener),
            nix::sys::socket::Shutdown::Both,
        )
        .unwrap(); // as if its process had died
        assert_eq!(tenant(&path).unwrap(), Tenant::Nobody);
        let second = Claim::new(&path).unwrap();
        drop(first);
        assert_eq!(tenant(&path).unwrap(), Tenant::Process(std::process::id()), "not its file");
        drop(second);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert!(Claim::new(&path).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let long = folder.path().join("x".repeat(120));
        assert!(Claim::new(&long).unwrap_err().to_string().contains("too long"));
    }
}
