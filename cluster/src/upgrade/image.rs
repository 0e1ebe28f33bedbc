//! The program that this process runs, and the one that is there in its place now.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::{ffi::OsStrExt, fs::PermissionsExt},
    },
    path::{Path, PathBuf},
};

use nix::unistd::execve;

use super::State;
use crate::{supervisor::BlockedSignals, sys};

/// A program by the name it was called by, so that another build, or a link that leads
/// elsewhere now, is found.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    path: PathBuf,
    args: Vec<OsString>,
}

impl Image {
    /// This program. To be asked before the working directory may change.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let mut args = env::args_os();
        let name = args.next().unwrap_or_default();
        let path = match find(&name) {
            Some(path) => path,
            None => env::current_exe()?,
        };
        Ok(Self { path, args: args.collect() })
    }

    /// For people.
    pub(crate) fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn args(&self) -> &[OsString] {
        &self.args
    }

    /// Becomes the program, with these descriptors and the file of the state. Comes back only
    /// if that fails.
    pub(crate) fn exec(&self, state: &File, numbers: &[RawFd]) -> io::Error {
        let outcome = self.try_exec(state, numbers);
        outcome.err().unwrap_or_else(|| io::ErrorKind::Other.into())
    }

    fn try_exec(&self, state: &File, numbers: &[RawFd]) -> io::Result<()> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
        let path = text(self.path.as_os_str())?;
        let name = env::args_os().next().unwrap_or_else(|| self.path.clone().into());
        let args =
            [name].iter().chain(&self.args).map(|one| text(one)).collect::<io::Result<Vec<_>>>()?;
        let environment = environment(state)?;
        // A signal that came before the new program can take it would end the process.
        let _blocked = BlockedSignals::new()?;
        let all = || numbers.iter().copied().chain([state.as_raw_fd()]);
        sys::keep_over_exec(all(), true)?;
        let Err(error) = execve(&path, &args, &environment);
        sys::keep_over_exec(all(), false)?;
        Err(error.into())
    }
}

fn environment(state: &File) -> io::Result<Vec<CString>> {
    let (name, value) = State::variable(state);
    let all = env::vars_os().chain([(name.into(), value.into())]);
    all.map(|(name, value)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).map_err(io::Error::other)
    })
    .collect()
}

/// Where a program of this name is, as a shell finds it. Links are not followed.
fn find(name: &OsStr) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    if name.as_bytes().contains(&b'/') {
        return std::path::absolute(name).ok();
    }
    let runs = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(runs)
}

impl State {
    /// Writes the state down and becomes the program with it. Comes back only if that fails.
    pub(crate) fn go_on_as(&self, image: &Image) -> io::Error {
        match self.write() {
            Ok(file) => image.exec(&file, &self.numbers),
            Err(error) => error,
        }
    }
}
