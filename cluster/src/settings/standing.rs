//! What workers are to the system where that is not what the master is.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::Settings;
use crate::{Error, Result, Signal, child_process::Command, cpus};

/// The wishes of the settings, with names that are looked up at each start.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    user: Option<String>,
    group: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
    groups: Option<Groups>,
    umask: Option<u32>,
    no_new_privs: bool,
    death_signal: Option<Signal>,
    pins_cpus: bool,
}

#[derive(Clone, Debug)]
enum Groups {
    These(Vec<u32>),
    /// Those that the system's database has for the user.
    OfUser,
}

/// Whose the workers are, what they may do, where they run. Whatever of it fails, the worker
/// does not start, and the error says what failed.
impl Settings {
    /// The user that workers run as, by name. Needs the right to change it. The master's
    /// supplementary groups are left.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.standing.user = Some(name.into());
        self
    }

    /// The group that workers run as, by name. Default: that of [`user`](Self::user).
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.standing.group = Some(name.into());
        self
    }

    /// The user that workers run as, by number; stronger than [`user`](Self::user).
    pub fn uid(mut self, uid: u32) -> Self {
        self.standing.uid = Some(uid);
        self
    }

    /// The group that workers run as, by number; stronger than [`group`](Self::group).
    pub fn gid(mut self, gid: u32) -> Self {
        self.standing.gid = Some(gid);
        self
    }

    /// The workers' supplementary groups, by number. Default: none where root changes their
    /// user or group, else the master's.
    pub fn groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.standing.groups = Some(Groups::These(groups.into_iter().collect()));
        self
    }

    /// The workers' supplementary groups are those that the system's database has for their
    /// user, as initgroups(3) sets them.
    pub fn init_groups(mut self) -> Self {
        self.standing.groups = Some(Groups::OfUser);
        self
    }

    /// The permissions that files made by workers do not get: `0o027`. Default: the master's.
    pub fn umask(mut self, mask: u32) -> Self {
        self.standing.umask = Some(mask);
        self
    }

    /// No program that a worker runs gets it more rights than it starts with, not by a setuid
    /// bit and not by file capabilities.
    pub fn no_new_privs(mut self) -> Self {
        self.standing.no_new_privs = true;
        self
    }

    /// Workers get this signal when the master is gone, even killed: for programs that do not
    /// speak the channel, whose end tells all others (workers that use `worker-api` take it back). It comes when the **thread** that forks
    /// ends, which therefore must be one that stays; see
    /// [`Command::death_signal`] for what does not get it.
    pub fn death_signal(mut self, signal: Signal) -> Self {
        self.standing.death_signal = Some(signal);
        self
    }

    /// Binds each worker to one of the CPUs that the master may use, by its place among the
    /// workers ([`ForkOptions::slot`](crate::ForkOptions::slot)); a replacement gets the same.
    /// Worth it for as many busy workers as there are CPUs, and nothing else on them.
    pub fn pin_cpus(mut self) -> Self {
        self.standing.pins_cpus = true;
        self
    }
}

impl Standing {
    /// What the other, later one says comes first.
    pub(super) fn update(&mut self, later: Self) {
        self.user = later.user.or(self.user.take());
        self.group = later.group.or(self.group.take());
        self.uid = later.uid.or(self.uid);
        self.gid = later.gid.or(self.gid);
        self.groups = later.groups.or(self.groups.take());
        self.umask = later.umask.or(self.umask);
        self.no_new_privs |= later.no_new_privs;
        self.death_signal = later.death_signal.or(self.death_signal);
        self.pins_cpus |= later.pins_cpus;
    }

    /// What can be checked before any worker starts.
    pub(super) fn check(&self) -> Result<()> {
        let (uid, gid) = self.owner()?;
        self.group_numbers(uid, gid)?;
        match self.umask {
            Some(mask) if mask > 0o777 => Err(unusable("umask", format!("{mask:o}"))),
            _ => Ok(()),
        }
    }

    /// Has the worker in this place be so.
    pub(super) fn give(&self, command: &mut Command, slot: usize) -> Result<()> {
        let (uid, gid) = self.owner()?;
        if let Some(uid) = uid {
            command.uid(uid);
        }
        if let Some(gid) = gid {
            command.gid(gid);
        }
        if let Some(groups) = self.group_numbers(uid, gid)? {
            command.groups(groups);
        }
        if let Some(mask) = self.umask {
            command.umask(mask);
        }
        if self.no_new_privs {
            command.no_new_privs();
        }
        if let Some(signal) = self.death_signal {
            command.death_signal(signal);
        }
        if self.pins_cpus {
            command.cpus(self.cpu_of(slot)?);
        }
        Ok(())
    }

    /// The CPU of the worker in this place.
    pub(super) fn cpu_of(&self, slot: usize) -> Result<Option<usize>> {
        Ok(cpus::of_slot(&cpus::allowed()?, slot))
    }

    pub(super) fn pins_cpus(&self) -> bool {
        self.pins_cpus
    }

    pub(super) fn owner(&self) -> Result<(Option<u32>, Option<u32>)> {
        let (mut uid, mut gid) = (self.uid, self.gid);
        if let Some(name) = &self.user {
            let user = known("user", name, User::from_name(name))?;
            uid = uid.or(Some(user.uid.as_raw()));
            gid = gid.or_else(|| self.group.is_none().then_some(user.gid.as_raw()));
        }
        if let Some(name) = &self.group {
            let group = known("group", name, Group::from_name(name))?;
            gid = gid.or(Some(group.gid.as_raw()));
        }
        Ok((uid, gid))
    }

    fn group_numbers(&self, uid: Option<u32>, gid: Option<u32>) -> Result<Option<Vec<u32>>> {
        match &self.groups {
            None => Ok(None),
            Some(Groups::These(numbers)) => Ok(Some(numbers.clone())),
            Some(Groups::OfUser) => {
                let uid = uid.map_or_else(Uid::effective, Uid::from_raw);
                let user = known("user", &uid.to_string(), User::from_uid(uid))?;
                let name = CString::new(user.name)
                    .map_err(|error| unusable("user", format!("{uid}: {error}")))?;
                let groups = getgrouplist(&name, gid.map_or(user.gid, Gid::from_raw))
                    .map_err(|cause| unusable("user", format!("{uid}: {}", cause.desc())))?;
                Ok(Some(groups.into_iter().map(Gid::as_raw).collect()))
            }
        }
    }
}

fn known<T>(what: &'static str, name: &str, found: nix::Result<Option<T>>) -> Result<T> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(unusable(what, format!("{name} is not known on this system"))),
        Err(cause) => Err(unusable(what, format!("{name}: {}", cause.desc()))),
    }
}

fn unusable(what: &'static str, value: String) -> Error {
    Error::Settings { what, value }
}
