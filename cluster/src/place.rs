//! What the master's loop watches, as mio's tokens.

use mio::Token;

/// One thing that the loop watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Mailbox,
    Alarm,
    /// The channel of the worker with this number.
    Channel(u32),
    /// The process of the worker with this number.
    Process(u32),
    /// The socket with this number.
    Socket(usize),
    /// The `NOTIFY_SOCKET` of the worker with this number.
    Notices(u32),
}

impl Place {
    pub(crate) fn token(self) -> Token {
        let (kind, number) = match self {
            Self::Mailbox => (0, 0),
            Self::Alarm => (1, 0),
            Self::Channel(id) => (2, id as usize),
            Self::Process(id) => (3, id as usize),
            Self::Socket(number) => (4, number),
            Self::Notices(id) => (5, id as usize),
        };
        Token(number << 3 | kind)
    }

    pub(crate) fn of(Token(token): Token) -> Self {
        let (kind, number) = (token & 7, token >> 3);
        match kind {
            0 => Self::Mailbox,
            1 => Self::Alarm,
            2 => Self::Channel(number as u32),
            3 => Self::Process(number as u32),
            4 => Self::Socket(number),
            _ => Self::Notices(number as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back() {
        for place in [
            Place::Mailbox,
            Place::Alarm,
            Place::Channel(u32::MAX),
            Place::Process(1),
            Place::Socket(1 << 40),
            Place::Notices(7),
        ] {
            assert_eq!(Place::of(place.token()), place);
        }
    }
}
