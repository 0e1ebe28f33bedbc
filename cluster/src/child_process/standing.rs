//! What a child is to the system where that is not what we are.

use super::Command;
use crate::Signal;
use nix::sys::stat::Mode;

/// What the child is, where it is not what we are. Whatever of it fails, it does not start.
impl Command {
    /// The child's user id. If we are root, it also leaves our supplementary groups.
    pub fn uid(&mut self, uid: u32) -> &mut Self {
        self.standing.uid = Some(uid);
        self
    }

    /// The child's group id. If we are root, it also leaves our supplementary groups.
    pub fn gid(&mut self, gid: u32) -> &mut Self {
        self.standing.gid = Some(gid);
        self
    }

    /// All supplementary groups of the child, which needs the right to change them. Default:
    /// ours, or none if we are root and it gets another user or group.
    pub fn groups(&mut self, groups: impl IntoIterator<Item = u32>) -> &mut Self {
        self.standing.groups = Some(groups.into_iter().collect());
        self
    }

    /// The permissions that files made by the child do not get: `0o027`. Default: ours.
    pub fn umask(&mut self, mask: u32) -> &mut Self {
        self.standing.umask = Some(Mode::from_bits_truncate(mask));
        self
    }

    /// No program that the child runs gets it more rights than it starts with, not by a setuid
    /// bit and not by file capabilities (`PR_SET_NO_NEW_PRIVS`).
    pub fn no_new_privs(&mut self) -> &mut Self {
        self.standing.no_new_privs = true;
        self
    }

    /// The child gets this signal when the **thread** that starts it ends
    /// (`PR_SET_PDEATHSIG`): so even a killed parent leaves no orphan. Start such children from
    /// a thread that lives as long as the program. What runs with a setuid bit or file
    /// capabilities does not get it, and neither do the child's own children.
    pub fn death_signal(&mut self, signal: Signal) -> &mut Self {
        self.standing.death_signal = Some(signal.number());
        self
    }

    /// The only CPUs that the child runs on, by number. Default: ours. Those that we may not use
    /// do not count; when no other is left, the child does not start.
    pub fn cpus(&mut self, cpus: impl IntoIterator<Item = usize>) -> &mut Self {
        self.standing.cpus = Some(cpus.into_iter().collect());
        self
    }
}
