//! What keeps a child from becoming its program.

use nix::{
    errno::Errno,
    libc::{c_int, c_long},
};
use std::{error, fmt, io};

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Session,
    Descriptors,
    Directory,
    Cpus,
    Files,
    Groups,
    Gid,
    Uid,
    NoNewPrivileges,
    DeathSignal,
    Exec,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: c_int,
}

/// A system call's result; runs in the child.
pub(super) fn check(step: Step, result: c_long) -> Result<c_long, Failure> {
    if result == -1 { Err(Failure { step, errno: Errno::last_raw() }) } else { Ok(result) }
}

impl From<Failure> for io::Error {
    /// A failed exec is the plain OS error; before that, the error says at what.
    fn from(failure: Failure) -> Self {
        let source = Self::from_raw_os_error(failure.errno);
        match failure.step {
            Step::Exec => source,
            step => Self::new(source.kind(), StepError { step, source }),
        }
    }
}

#[derive(Debug)]
struct StepError {
    step: Step,
    source: io::Error,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Session => "cannot begin a session",
            Step::Descriptors => "cannot place its descriptors",
            Step::Directory => "cannot enter its working directory",
            Step::Cpus => "cannot be bound to its CPUs",
            Step::Files => "cannot get its limit of open files",
            Step::Groups => "cannot take its groups",
            Step::Gid => "cannot take its group id",
            Step::Uid => "cannot take its user id",
            Step::NoNewPrivileges => "cannot renounce new privileges",
            Step::DeathSignal => "cannot be bound to our life",
            Step::Exec => "cannot execute",
        })
    }
}

impl error::Error for StepError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}
