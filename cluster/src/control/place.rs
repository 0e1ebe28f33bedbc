//! Where control sockets are, and which masters are there.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use super::claim::{Tenant, tenant};

/// So much of a name is in a path, which a socket's address keeps short.
const LONGEST_NAME: usize = 32;

/// Where the sockets of this user's masters are: `cluster` in `$XDG_RUNTIME_DIR`, else
/// `cluster-UID` in the temporary directory.
pub fn folder() -> PathBuf {
    match env::var_os("XDG_RUNTIME_DIR").filter(|folder| Path::new(folder).is_absolute()) {
        Some(folder) => PathBuf::from(folder).join("cluster"),
        None => env::temp_dir().join(format!("cluster-{}", geteuid())),
    }
}

/// Where a master of this name, this process, has its socket unless told otherwise:
/// `NAME-PID.sock` in [`folder`].
pub fn default_path(name: &str) -> PathBuf {
    folder().join(format!("{}-{}.sock", plain(name), std::process::id()))
}

/// A name as it stands in a path.
fn plain(name: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "._-".contains(one);
    let name: String =
        name.chars().map(|one| if is_plain(one) { one } else { '_' }).take(LONGEST_NAME).collect();
    if name.is_empty() { "cluster".into() } else { name }
}

/// Makes the folder if need be; nobody else may be able to write to it.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|parent| *parent == folder()) else { return Ok(()) };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let data = fs::symlink_metadata(folder)?;
    let is_ours = data.is_dir() && data.uid() == geteuid().as_raw() && data.mode() & 0o022 == 0;
    if !is_ours {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not this user's alone", folder.display()),
        ));
    }
    sweep(folder);
    Ok(())
}

/// Removes what dead masters have left.
fn sweep(folder: &Path) {
    for path in sockets(folder) {
        if matches!(tenant(&path), Ok(Tenant::Nobody)) {
            let _ = fs::remove_file(path); // another master may have been faster
        }
    }
}

fn sockets(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()))
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::from_bytes(b"sock")))
        .collect();
    all.sort();
    all
}

/// A master that was found by looking.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its socket.
    pub path: PathBuf,
    /// Its process.
    pub pid: u32,
    /// Its name, as it is in the path.
    pub name: String,
}

/// This user's masters with a socket at the usual place; with a name only those of that name.
pub fn find(name: Option<&str>) -> Vec<Found> {
    let wanted = name.map(plain);
    let all = sockets(&folder()).into_iter();
    all.filter_map(|path| {
        let Ok(Tenant::Process(pid)) = tenant(&path) else { return None };
        let stem = path.file_stem()?.to_str()?;
        let name = stem.rsplit_once('-').map_or(stem, |(name, _)| name).to_owned();
        wanted.as_ref().is_none_or(|wanted| *wanted == name).then_some(Found { path, pid, name })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_plain() {
        assert_eq!(plain("api server/1"), "api_server_1");
        assert_eq!(plain(""), "cluster");
        assert_eq!(plain(&"x".repeat(100)).len(), LONGEST_NAME);
    }
}
