//! The program that this process runs, and the one that is there in its place now.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs, io,
    os::{
        fd::RawFd,
        unix::{ffi::OsStrExt, fs::PermissionsExt},
    },
    path::{Path, PathBuf},
};

use nix::unistd::execve;

use crate::sys;

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

    /// Becomes the program, with the descriptors of these numbers and this in its environment.
    /// Comes back only if that fails.
    pub(super) fn exec(&self, variable: (&str, String), numbers: &[RawFd]) -> io::Result<()> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
        let path = text(self.path.as_os_str())?;
        let name = env::args_os().next().unwrap_or_else(|| self.path.clone().into());
        let args =
            [name].iter().chain(&self.args).map(|one| text(one)).collect::<io::Result<Vec<_>>>()?;
        let environment = environment(variable)?;
        sys::keep_over_exec(numbers.iter().copied(), true)?;
        let Err(error) = execve(&path, &args, &environment);
        sys::keep_over_exec(numbers.iter().copied(), false)?;
        Err(error.into())
    }
}

fn environment((name, value): (&str, String)) -> io::Result<Vec<CString>> {
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
