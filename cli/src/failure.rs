//! Why the command has not done what it was to do, in one line.

use std::{fmt, process::ExitCode};

use cluster::control::Error;

/// What to print on stderr, and the exit code that says the same to programs.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 1: it was tried, and failed.
    Failed(String),
    /// 2: what was asked cannot be meant.
    Usage(String),
    /// 3: no master is there.
    NoMaster(String),
}

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoMaster(_) => 3,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(text) | Self::Usage(text) | Self::NoMaster(text)) = self;
        // One line, whatever went wrong.
        f.write_str(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::NoMaster { .. } => Self::NoMaster(format!("{error}; `cluster run` starts one")),
            Error::Connect { source, .. } => Self::Failed(format!("{error}: {source}")),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// An error of the library with its causes.
pub(crate) fn failed(error: &cluster::Error) -> Failure {
    Failure::Failed(format!("{error:?}"))
}
