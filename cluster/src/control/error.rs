//! What can go wrong between a client and a master.

use std::{error, fmt, io, path::PathBuf, time::Duration};

/// Why there is no answer.
#[non_exhaustive]
#[derive(Debug)]
pub enum Error {
    /// No master listens there.
    NoMaster {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The socket cannot be used: not permitted, too long a path.
    Connect {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A master is there and does not answer.
    Silent {
        /// Its process, if that is known.
        pid: Option<u32>,
        /// It was stopped by a signal.
        is_stopped: bool,
        /// How long was waited.
        after: Duration,
    },
    /// The master has closed before it answered.
    Closed,
    /// What it says is no answer.
    Nonsense {
        /// What is wrong with it.
        what: String,
    },
    /// The operating system failed us.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMaster { path, .. } => write!(f, "no master listens at {}", path.display()),
            Self::Connect { path, .. } => write!(f, "cannot connect to {}", path.display()),
            Self::Silent { pid: Some(pid), is_stopped: true, .. } => write!(
                f,
                "the master (pid {pid}) does not answer: it is stopped; `kill -CONT {pid}` lets \
                 it go on"
            ),
            Self::Silent { pid: Some(pid), after, .. } => {
                write!(f, "the master (pid {pid}) does not answer within {after:.1?}")
            }
            Self::Silent { pid: None, .. } => {
                f.write_str("the master does not answer: others wait for it already")
            }
            Self::Closed => f.write_str("the master has closed the connection without an answer"),
            Self::Nonsense { what } => write!(f, "the master's answer makes no sense: {what}"),
            Self::Io(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NoMaster { source, .. } | Self::Connect { source, .. } => Some(source),
            Self::Io(error) => error.source(),
            Self::Silent { .. } | Self::Closed | Self::Nonsense { .. } => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
