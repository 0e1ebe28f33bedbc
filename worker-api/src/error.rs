//! What can go wrong on the worker's side and on a channel.

use std::{error, fmt, io};

use crate::Address;

/// How many characters of a broken protocol's description are kept.
const LONGEST_REASON: usize = 200;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an act of a worker or on a channel failed.
///
/// `Display` names the act and its object; the cause is [`source`](error::Error::source).
/// `Debug`, which `main` prints, shows both.
#[non_exhaustive]
pub enum Error {
    /// A worker's act was asked of a process that is a master, or that no master started.
    NotWorker,
    /// The channel is closed: the other process has gone or either side has disconnected.
    Disconnected,
    /// The channel that the environment promises cannot be used, or the system refused it.
    Channel {
        /// What the system said.
        source: io::Error,
    },
    /// The text is no address, or its host cannot be resolved.
    Address {
        /// The text as it was given.
        address: String,
        /// Why it is no address.
        source: io::Error,
    },
    /// The address cannot be listened on or bound.
    Listen {
        /// The address that was asked for.
        address: Address,
        /// What the system, here or in the master, said.
        source: io::Error,
    },
    /// The value cannot be written as JSON, or as whatever else the channel speaks.
    Encode {
        /// What `serde_json` or [`structured`](crate::structured) said.
        source: Box<dyn error::Error + Send + Sync>,
    },
    /// The value can only be sent over a channel with
    /// [`Serialization::Advanced`](crate::Serialization::Advanced), and this one speaks JSON.
    NotAdvanced,
    /// The message cannot be read, or is not of the wanted shape.
    Decode {
        /// What `serde_json` or [`structured`](crate::structured) said.
        source: Box<dyn error::Error + Send + Sync>,
    },
    /// The other process broke the protocol; its channel has been closed.
    Protocol {
        /// What it did.
        what: String,
    },
    /// The other process reads too slowly and so much is queued for it that the message was
    /// not taken.
    Full,
    /// [`preload`](crate::preload) found threads besides the first in a mold.
    Threads {
        /// Their names; a thread has its program's name unless it was given another.
        names: Vec<String>,
    },
    /// The system refused something else.
    Io(io::Error),
}

impl Error {
    /// The nearest of std's kinds.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NotWorker | Self::Threads { .. } => io::ErrorKind::Unsupported,
            Self::Disconnected => io::ErrorKind::NotConnected,
            Self::Full => io::ErrorKind::WouldBlock,
            Self::Encode { .. } | Self::NotAdvanced => io::ErrorKind::InvalidInput,
            Self::Decode { .. } | Self::Protocol { .. } => io::ErrorKind::InvalidData,
            Self::Channel { source }
            | Self::Address { source, .. }
            | Self::Listen { source, .. }
            | Self::Io(source) => source.kind(),
        }
    }

    /// What the other process wrote may be part of it: it must not fill the log.
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        let mut what: String = what.into();
        if let Some((end, _)) = what.char_indices().nth(LONGEST_REASON) {
            what.replace_range(end.., "…");
        }
        Self::Protocol { what }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWorker => f.write_str("this process is not a worker"),
            Self::Disconnected => f.write_str("the channel is closed"),
            Self::Channel { .. } => f.write_str("cannot use the channel to the other process"),
            Self::Address { address, .. } => write!(f, "cannot use {address:?} as an address"),
            Self::Listen { address, .. } => write!(f, "cannot listen on {address}"),
            Self::Encode { .. } => f.write_str("cannot write the message"),
            Self::NotAdvanced => f.write_str("the channel speaks JSON, which has no such values"),
            Self::Decode { .. } => f.write_str("cannot read the message"),
            Self::Protocol { what } => write!(f, "the other process broke the protocol: {what}"),
            Self::Full => f.write_str("too much is queued for the other process"),
            Self::Threads { names } => write!(
                f,
                "a program with other threads ({}) cannot be copied: they may start after `preload` only",
                names.join(", ")
            ),
            Self::Io(source) => source.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
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
            Self::Channel { source }
            | Self::Address { source, .. }
            | Self::Listen { source, .. } => Some(source),
            Self::Encode { source } | Self::Decode { source } => Some(&**source),
            Self::Io(source) => source.source(),
            Self::NotWorker
            | Self::Disconnected
            | Self::NotAdvanced
            | Self::Protocol { .. }
            | Self::Threads { .. }
            | Self::Full => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(source) => source,
            other => Self::new(other.kind(), other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_causes() {
        let error = Error::Listen {
            address: Address::Tcp(([0, 0, 0, 0], 80).into()),
            source: io::Error::from_raw_os_error(13),
        };
        assert_eq!(error.to_string(), "cannot listen on 0.0.0.0:80");
        assert_eq!(
            format!("{error:?}"),
            "cannot listen on 0.0.0.0:80: Permission denied (os error 13)"
        );
    }

    #[test]
    fn a_broken_protocol_is_told_in_few_words() {
        let what = |text: String| match Error::protocol(text) {
            Error::Protocol { what } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what("ä".repeat(1 << 20)), "ä".repeat(LONGEST_REASON) + "…");
        assert_eq!(what("ä".repeat(LONGEST_REASON)), "ä".repeat(LONGEST_REASON));
    }

    #[test]
    fn an_io_error_survives_both_ways() {
        let error = Error::from(io::Error::from_raw_os_error(98));
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(io::Error::from(error).raw_os_error(), Some(98));
    }
}
