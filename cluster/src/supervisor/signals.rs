//! The signals a supervisor obeys.

use std::{
    io::{self, IsTerminal},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
};

use nix::sys::signal::{SigSet, Signal};
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

/// All that are obeyed.
const ALL: [i32; 9] =
    [SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH];

/// The signals of this process, as bytes in a socket, until dropped.
#[derive(Debug)]
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    /// A terminal sends `SIGWINCH` whenever its window changes.
    at_terminal: bool,
}

impl Signals {
    pub(super) fn take() -> io::Result<Self> {
        let (ours, handlers) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(ours, handlers, SignalOnly, ALL)?;
        unblock()?; // the program that this process was before may have left them blocked
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

fn set() -> io::Result<SigSet> {
    ALL.into_iter().map(|number| Ok(Signal::try_from(number)?)).collect()
}

fn unblock() -> io::Result<()> {
    Ok(set()?.thread_unblock()?)
}

/// These signals wait while this is there; over an exec, too.
#[derive(Debug)]
pub(crate) struct Blocked(());

impl Blocked {
    pub(crate) fn new() -> io::Result<Self> {
        set()?.thread_block()?;
        Ok(Self(()))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Err(error) = unblock() {
            log::error!("cannot unblock signals: {error}");
        }
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
