//! The signals a supervisor obeys.

use std::{
    io::{self, IsTerminal},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH},
    iterator::{backend::SignalDelivery, exfiltrator::SignalOnly},
};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Stop,
    Reload,
    ReopenLogs,
    Upgrade,
    OneMore,
    OneFewer,
    Pause,
}

/// The signals of this process, as bytes in a socket, until dropped.
#[derive(Debug)]
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    /// A terminal sends `SIGWINCH` whenever its window changes.
    at_terminal: bool,
}

impl Signals {
    pub(super) fn take() -> io::Result<Self> {
        let all = [SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH];
        let (ours, handlers) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(ours, handlers, SignalOnly, all)?;
        let at_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
        Ok(Self { delivery, at_terminal })
    }

    /// What was asked for since the last call. The same signal twice in between counts once, as
    /// ever with signals.
    pub(super) fn wishes(&mut self) -> Vec<Wish> {
        let at_terminal = self.at_terminal;
        self.delivery.pending().filter_map(|signal| wish(signal, at_terminal)).collect()
    }
}

fn wish(signal: i32, at_terminal: bool) -> Option<Wish> {
    Some(match signal {
        SIGTERM | SIGQUIT | SIGINT => Wish::Stop,
        SIGHUP => Wish::Reload,
        SIGUSR1 => Wish::ReopenLogs,
        SIGUSR2 => Wish::Upgrade,
        SIGTTIN => Wish::OneMore,
        SIGTTOU => Wish::OneFewer,
        SIGWINCH if !at_terminal => Wish::Pause,
        _ => return None,
    })
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.delivery.get_read().as_raw_fd()
    }
}
