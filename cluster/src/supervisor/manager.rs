//! What a supervisor tells systemd.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Supervised, policy::Calm};
use crate::systemd::Notifier;

/// systemd, and what it has heard.
#[derive(Debug)]
pub(super) struct Manager {
    notifier: Notifier,
    heard: Heard,
    status: String,
    /// The policy's changes that it knows of, and whether it knows of a reload.
    seen: Option<(u64, bool)>,
    /// How often it wants to hear that we are alive, and when next.
    watchdog: Option<(Duration, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Heard {
    Nothing,
    Ready,
    Reloading,
    Stopping,
}

/// What the next program goes on with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ManagerState {
    socket: String,
    watchdog: Option<Duration>,
    heard: Heard,
}

impl Manager {
    /// `None`: nobody wants to hear.
    pub(super) fn from_environment() -> Option<Self> {
        Notifier::from_environment().map(|notifier| Self::new(notifier, Heard::Nothing))
    }

    fn new(notifier: Notifier, heard: Heard) -> Self {
        let watchdog = notifier.watchdog_interval().map(|pause| (pause, Instant::now()));
        Self { notifier, heard, status: String::new(), seen: None, watchdog }
    }

    /// For the next program. A name that is no text cannot go along.
    pub(super) fn state(&self) -> Option<ManagerState> {
        let socket = self.notifier.name().to_str()?.to_owned();
        Some(ManagerState { socket, watchdog: self.notifier.watchdog_timeout(), heard: self.heard })
    }

    /// What the former program had; as another process it says that it is the main one now.
    pub(super) fn restore(state: ManagerState, is_other_process: bool) -> Option<Self> {
        let notifier = Notifier::new(&state.socket);
        let notifier = notifier
            .inspect_err(|error| log::error!("cannot speak to {}: {error}", state.socket))
            .ok()?
            .watched(state.watchdog);
        if is_other_process {
            notifier.main_pid(std::process::id());
        }
        Some(Self::new(notifier, state.heard))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }

    /// Says what it has not heard yet.
    fn tell(&mut self, policy: &Calm, is_reloading: bool, now: Instant) {
        let seen = Some((policy.changes(), is_reloading));
        if seen != std::mem::replace(&mut self.seen, seen) {
            self.tell_news(policy, is_reloading);
        }
        if let Some((pause, due)) = &mut self.watchdog
            && *due <= now
        {
            *due = now + *pause;
            self.notifier.watchdog();
        }
    }

    fn tell_news(&mut self, policy: &Calm, is_reloading: bool) {
        let (ready, quorum) = policy.quorum();
        let heard = match self.heard {
            Heard::Stopping => Heard::Stopping,
            _ if policy.is_stopping() => Heard::Stopping,
            // Those that are not ready and not starting fail, and are tried again.
            Heard::Nothing if ready >= quorum && !policy.is_starting() => Heard::Ready,
            Heard::Nothing => Heard::Nothing,
            _ if is_reloading => Heard::Reloading,
            _ => Heard::Ready,
        };
        if heard != std::mem::replace(&mut self.heard, heard) {
            match heard {
                Heard::Nothing => {}
                Heard::Ready => self.notifier.ready(),
                Heard::Reloading => self.notifier.reloading(),
                Heard::Stopping => self.notifier.stopping(),
            }
        }
        let (size, generation) = (policy.size(), policy.generation());
        let status = format!("{ready} of {size} workers, generation {generation}");
        if status != self.status {
            self.notifier.status(&status);
            self.status = status;
        }
    }
}

impl Supervised {
    /// Tells systemd how it goes.
    pub(super) fn tell_manager(&mut self) {
        let is_reloading = self.is_reloading();
        if let Some(manager) = &mut self.manager {
            manager.tell(&self.policy, is_reloading, Instant::now());
        }
    }
}
