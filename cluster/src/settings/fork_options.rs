//! What one worker has of its own.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
};

use crate::child_process::Stdio;

/// What one worker has of its own, beyond the [`Settings`](crate::Settings).
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct ForkOptions {
    pub(super) exec: Option<OsString>,
    pub(super) args: Option<Vec<OsString>>,
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) stdio: Option<Arc<[Stdio]>>,
    pub(super) slot: Option<usize>,
    /// Where stdout and stderr go that would be this process's own.
    output: Option<[Arc<OwnedFd>; 2]>,
}

impl ForkOptions {
    /// Nothing of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another program.
    pub fn exec(mut self, program: impl AsRef<OsStr>) -> Self {
        self.exec = Some(program.as_ref().to_owned());
        self
    }

    /// One more argument of its own; with any, the settings' do not count.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.get_or_insert_default().push(arg.as_ref().to_owned());
        self
    }

    /// These arguments, and no others.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args = Some(args.into_iter().map(|arg| arg.as_ref().to_owned()).collect());
        self
    }

    /// A variable besides the settings'.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// A variable that this worker does not get.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// Another working directory.
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Other descriptors, from 0 on, with one [`Stdio::Ipc`] among them.
    pub fn stdio(mut self, list: impl IntoIterator<Item = Stdio>) -> Self {
        self.stdio = Some(list.into_iter().collect());
        self
    }

    /// Whose place the worker takes, from 0 on: with
    /// [`Settings::pin_cpus`](crate::Settings::pin_cpus) that decides on its CPU. Default: the
    /// first place that no living worker has.
    pub fn slot(mut self, slot: usize) -> Self {
        self.slot = Some(slot);
        self
    }

    pub(crate) fn output(mut self, out: impl Into<OwnedFd>, err: impl Into<OwnedFd>) -> Self {
        self.output = Some([Arc::new(out.into()), Arc::new(err.into())]);
        self
    }

    pub(super) fn divert_output(&self, layout: &mut [Stdio]) -> io::Result<()> {
        for (place, stream) in layout.iter_mut().skip(1).zip(self.output.iter().flatten()) {
            if matches!(place, Stdio::Inherit) {
                *place = Stdio::Fd(stream.try_clone()?);
            }
        }
        Ok(())
    }

    pub(crate) fn wanted_slot(&self) -> Option<usize> {
        self.slot
    }
}
