//! What can go wrong, by act and object.

use crate::child_process::Output;
use std::{error, fmt, io, path::PathBuf};

/// `std`'s result with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An act that failed, on what, and why.
///
/// `Display` says its own level only, the cause is `source()`. `Debug`, which a `main` that
/// returns `Err` prints, is `Display` with all causes behind it.
#[non_exhaustive]
pub enum Error {
    /// The master's act was asked of a process that is a worker.
    NotMaster,
    /// A setting that cannot be used.
    Settings {
        /// Which one.
        what: &'static str,
        /// What it was, or what is wrong with it.
        value: String,
    },
    /// A worker could not be started.
    Fork {
        /// What should have run.
        program: String,
        /// Why it does not.
        source: io::Error,
    },
    /// A child could not be started.
    Spawn {
        /// What should have run.
        program: String,
        /// Why it does not.
        source: io::Error,
    },
    /// A child ended with a signal or a status other than 0.
    Failed {
        /// What ran.
        program: String,
        /// Its status, and all it wrote.
        output: Box<Output>,
    },
    /// A child did not end in time and was killed.
    TimedOut {
        /// What ran.
        program: String,
        /// Its status, and what it wrote until then.
        output: Box<Output>,
    },
    /// A child wrote more than `max_buffer` and was killed.
    Overflow {
        /// What ran.
        program: String,
        /// Its status, and what it wrote, cut at the limit.
        output: Box<Output>,
    },
    /// A child was killed by its `Abort`.
    Aborted {
        /// What ran.
        program: String,
    },
    /// Too few workers became ready.
    Quorum {
        /// How many did.
        ready: usize,
        /// How many were to.
        wanted: usize,
        /// What the last one failed with, if that is known.
        last: Option<Box<dyn error::Error + Send + Sync>>,
    },
    /// A supervisor's workers could not be replaced.
    Reload {
        /// Why.
        reason: String,
    },
    /// The control socket cannot be made.
    Control {
        /// Where.
        path: PathBuf,
        /// Why not: another master listens there, the path is too long.
        source: io::Error,
    },
    /// The workers' program could not be loaded for all of them, or not be copied.
    Preload {
        /// Why.
        reason: String,
    },
    /// The program could not be replaced by the one that is there now.
    Upgrade {
        /// Why.
        reason: String,
    },
    /// The worker's side, or a channel, failed.
    Worker(worker_api::Error),
    /// The operating system failed us, on nothing in particular.
    Io(io::Error),
}

impl Error {
    /// The kind of the cause, for code that treats all errors as `io::Error`.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NotMaster => io::ErrorKind::Unsupported,
            Self::Settings { .. } => io::ErrorKind::InvalidInput,
            Self::TimedOut { .. } => io::ErrorKind::TimedOut,
            Self::Fork { source, .. }
            | Self::Spawn { source, .. }
            | Self::Control { source, .. }
            | Self::Io(source) => source.kind(),
            Self::Worker(source) => source.kind(),
            Self::Failed { .. }
            | Self::Overflow { .. }
            | Self::Aborted { .. }
            | Self::Quorum { .. }
            | Self::Preload { .. }
            | Self::Upgrade { .. }
            | Self::Reload { .. } => io::ErrorKind::Other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMaster => f.write_str("this process is a worker, not the master"),
            Self::Settings { what, value } => write!(f, "invalid {what}: {value}"),
            Self::Fork { program, .. } => write!(f, "cannot start the worker {program}"),
            Self::Spawn { program, .. } => write!(f, "cannot start {program}"),
            Self::Failed { program, output } => {
                write!(f, "{program} failed with {}", output.status)?;
                match last_line(&output.stderr) {
                    Some(line) => write!(f, ", saying: {line}"),
                    None => Ok(()),
                }
            }
            Self::TimedOut { program, .. } => write!(f, "{program} did not end in time"),
            Self::Overflow { program, .. } => {
                write!(f, "{program} wrote more than its buffer holds")
            }
            Self::Aborted { program } => write!(f, "{program} was aborted"),
            Self::Quorum { ready, wanted, .. } => {
                write!(f, "only {ready} of at least {wanted} workers became ready")
            }
            Self::Preload { reason } => write!(f, "the program cannot be preloaded: {reason}"),
            Self::Upgrade { reason } => write!(f, "the upgrade failed: {reason}"),
            Self::Reload { reason } => write!(f, "the reload failed: {reason}"),
            Self::Control { path, .. } => {
                write!(f, "cannot make the control socket {}", path.display())
            }
            Self::Worker(error) => fmt::Display::fmt(error, f),
            Self::Io(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// What a program says last is mostly why it failed.
fn last_line(stderr: &[u8]) -> Option<String> {
    let line = stderr.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
    (!line.is_empty()).then(|| String::from_utf8_lossy(line).into_owned())
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let mut cause = error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Fork { source, .. }
            | Self::Spawn { source, .. }
            | Self::Control { source, .. } => Some(source),
            Self::Quorum { last, .. } => last.as_ref().map(|last| &**last as _),
            // These two speak for their error, so its cause is theirs.
            Self::Worker(error) => error.source(),
            Self::Io(error) => error.source(),
            Self::NotMaster
            | Self::Settings { .. }
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::Overflow { .. }
            | Self::Aborted { .. }
            | Self::Preload { .. }
            | Self::Upgrade { .. }
            | Self::Reload { .. } => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<worker_api::Error> for Error {
    fn from(error: worker_api::Error) -> Self {
        Self::Worker(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            error => Self::new(error.kind(), error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_is_display_with_causes() {
        let source = io::Error::from_raw_os_error(nix::libc::ENOENT);
        let error = Error::Spawn { program: "nothing".into(), source };
        assert_eq!(error.to_string(), "cannot start nothing");
        assert_eq!(
            format!("{error:?}"),
            "cannot start nothing: No such file or directory (os error 2)"
        );
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn io_errors_go_in_and_out() {
        let error = Error::from(io::Error::from_raw_os_error(nix::libc::EMFILE));
        assert_eq!(io::Error::from(error).raw_os_error(), Some(nix::libc::EMFILE));
    }

    #[test]
    fn last_lines() {
        assert_eq!(last_line(b"one\ntwo\n\n").as_deref(), Some("two"));
        assert_eq!(last_line(b"one").as_deref(), Some("one"));
        assert_eq!(last_line(b"\n"), None);
        assert_eq!(last_line(b""), None);
    }
}
