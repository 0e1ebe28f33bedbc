//! Workers that know nothing of the channel: when they are ready, and how they find sockets.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use nix::sys::stat::fstat;
use notice::Notices;
use proof::Sockets;
use serde::{Deserialize, Serialize};
use worker_api::Address;

use crate::{Settings, child_process::Command};

mod notice;
mod proof;
mod state;

pub(crate) use state::ForeignersState;

/// How soon the kernel is asked about a new worker, and how much later each time: times 3/2,
/// at most.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// When a worker counts as ready.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// When it says on its channel that it listens, or is ready. Every worker that speaks this
    /// protocol, Node's included, does.
    #[default]
    Listen,
    /// When it sends `READY=1` to the socket in `NOTIFY_SOCKET`, as to systemd.
    Notify,
    /// Whichever of these comes first; and for a program that does not use the channel, also
    /// when the kernel shows that it waits at one of the sockets it was
    /// [passed](Settings::pass_listeners). Such a program is told to leave by `SIGTERM`.
    Auto,
    /// When it is started. A program that does not use the channel is told to leave by
    /// `SIGTERM`.
    Start,
}

impl Readiness {
    /// Whether workers may be programs that know nothing of the channel.
    pub(crate) fn allows_foreigners(self) -> bool {
        self != Self::Listen
    }

    fn is_told(self) -> bool {
        matches!(self, Self::Notify | Self::Auto)
    }
}

/// What the master knows of workers beyond their channels.
#[derive(Debug, Default)]
pub(crate) struct Foreigners {
    readiness: Readiness,
    notices: BTreeMap<u32, Notices>,
    /// Workers that are not ready yet: when to look next, and how long to wait then.
    watched: BTreeMap<u32, Watched>,
}

#[derive(Debug)]
struct Watched {
    pid: u32,
    sockets: Sockets,
    due: Instant,
    pause: Duration,
}

/// What a new worker is given, before it is one.
#[derive(Debug, Default)]
pub(crate) struct Outfit {
    notices: Option<Notices>,
    sockets: Sockets,
}

impl Foreigners {
    /// Adds to a worker's command what lets it be ready without the channel.
    pub(crate) fn equip(
        &mut self,
        settings: &Settings,
        passed: &[(impl AsFd, Address)],
        command: &mut Command,
    ) -> io::Result<Outfit> {
        self.readiness = settings.readiness.unwrap_or_default();
        let mut outfit = Outfit::default();
        if !passed.is_empty() {
            let names: Vec<String> = passed.iter().map(|(_, address)| name(address)).collect();
            command.env("LISTEN_FDS", passed.len().to_string());
            command.env("LISTEN_FDNAMES", names.join(":")).tell_pid();
        }
        if self.readiness.is_told() {
            let uid = settings.worker_uid().map_err(io::Error::from)?;
            let notices = Notices::new(uid)?;
            command.env("NOTIFY_SOCKET", notices.address());
            outfit.notices = Some(notices);
        }
        if self.readiness == Readiness::Auto {
            for (socket, address) in passed {
                outfit.sockets.insert(fstat(socket)?.st_ino, address.clone());
            }
        }
        Ok(outfit)
    }

    /// The worker is there.
    pub(crate) fn admit(&mut self, id: u32, pid: u32, outfit: Outfit, now: Instant) {
        let Outfit { notices, sockets } = outfit;
        if !sockets.is_empty() {
            let (due, pause) = (now + FIRST_LOOK, FIRST_LOOK);
            self.watched.insert(id, Watched { pid, sockets, due, pause });
        }
        self.notices.extend(notices.map(|notices| (id, notices)));
    }

    /// Where this worker sends its notices, to be watched.
    pub(crate) fn notices(&self, id: u32) -> Option<BorrowedFd<'_>> {
        self.notices.get(&id).map(AsFd::as_fd)
    }

    /// Whether a worker is ready as soon as it runs.
    pub(crate) fn is_ready_at_once(&self) -> bool {
        self.readiness == Readiness::Start
    }

    /// Whether a worker that has never used its channel may be a program that does not know it.
    pub(crate) fn are_allowed(&self) -> bool {
        self.readiness.allows_foreigners()
    }

    /// Reads what a worker has sent to its `NOTIFY_SOCKET`.
    pub(crate) fn read(&mut self, id: u32) -> notice::News {
        self.notices.get_mut(&id).map(Notices::read).unwrap_or_default()
    }

    /// When to call [`look`](Self::look).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.watched.values().map(|watched| watched.due).min()
    }

    /// Asks the kernel about those whose time has come; who waits at which socket.
    pub(crate) fn look(&mut self, now: Instant) -> Vec<(u32, Address)> {
        let mut found = Vec::new();
        for (&id, watched) in &mut self.watched {
            if watched.due > now {
                continue;
            }
            match proof::waits_at(watched.pid, &watched.sockets) {
                Some(address) => found.push((id, address)),
                None => {
                    watched.due = now + watched.pause;
                    watched.pause = (watched.pause * 3 / 2).min(LONGEST_PAUSE);
                }
            }
        }
        for (id, _) in &found {
            self.watched.remove(id);
        }
        found
    }

    /// The worker needs not be looked at any more: it is ready, or uses its channel.
    pub(crate) fn is_settled(&mut self, id: u32) {
        self.watched.remove(&id);
    }

    /// The worker is gone.
    pub(crate) fn forget(&mut self, id: u32) {
        self.watched.remove(&id);
        self.notices.remove(&id);
    }
}

/// An address as the name of a descriptor, which must not hold a colon.
fn name(address: &Address) -> String {
    let text = address.to_string();
    let is_plain = |one: char| one.is_ascii_graphic() && one != ':' && one != '/';
    let name: String = text.chars().map(|one| if is_plain(one) { one } else { '_' }).collect();
    name.chars().take(255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses() {
        let name = |text: &str| name(&text.parse().unwrap());
        assert_eq!(name("127.0.0.1:7000"), "127.0.0.1_7000");
        assert_eq!(name("[::1]:80"), "[__1]_80");
        assert_eq!(name("/run/a.sock"), "_run_a.sock");
    }
}
