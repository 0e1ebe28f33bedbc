//! What a child is to the system where that is not what we are: whose it is, what it may do,
//! where it runs.

use super::failure::{Failure, Step, check};
use crate::files;
use nix::{
    errno::Errno,
    libc,
    sched::{CpuSet, sched_setaffinity},
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
    unistd::{Pid, geteuid, getpid, getppid},
};
use std::io;

/// What the child becomes before it execs; what is absent stays as it is with us.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    /// All its supplementary groups. Absent: none if root changes user or group, else ours.
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) umask: Option<Mode>,
    pub(crate) no_new_privs: bool,
    /// Comes when the thread that starts the child ends.
    pub(crate) death_signal: Option<i32>,
    pub(crate) cpus: Option<Vec<usize>>,
}

/// A standing, and what the child cannot find out by itself.
pub(super) struct Plan<'a> {
    standing: &'a Standing,
    leaves_groups: bool,
    cpus: Option<CpuSet>,
    /// How many files it may have open, if not as many as we.
    files: Option<u64>,
    parent: Pid,
}

impl Standing {
    pub(super) fn changes_identity(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    pub(super) fn plan(&self) -> io::Result<Plan<'_>> {
        let leaves_groups = self.changes_identity() && geteuid().is_root();
        let cpus = self.cpus.as_deref().map(cpu_set).transpose()?;
        let files = files::former();
        Ok(Plan { standing: self, leaves_groups, cpus, files, parent: getpid() })
    }
}

impl Plan<'_> {
    /// In the child: no allocation, no panic. The identity goes before what its change undoes
    /// (the death signal), and after what it would forbid (the groups).
    pub(super) fn carry_out(&self) -> Result<(), Failure> {
        if let Some(cpus) = &self.cpus {
            done(Step::Cpus, sched_setaffinity(Pid::from_raw(0), cpus))?;
        }
        if let Some(files) = self.files {
            let (_, hard) = given(Step::Files, getrlimit(Resource::RLIMIT_NOFILE))?;
            done(Step::Files, setrlimit(Resource::RLIMIT_NOFILE, files, hard))?;
        }
        self.take_identity()?;
        if let Some(mask) = self.standing.umask {
            umask(mask);
        }
        if self.standing.no_new_privs {
            done(Step::NoNewPrivileges, prctl::set_no_new_privs())?;
        }
        if let Some(signal) = self.standing.death_signal {
            // SAFETY: no memory is involved.
            let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
            check(Step::DeathSignal, result.into())?;
            if getppid() != self.parent {
                return Err(Failure { step: Step::DeathSignal, errno: libc::ESRCH }); // too late
            }
        }
        Ok(())
    }

    /// Raw system calls: glibc's functions would tell the threads of the parent to follow.
    fn take_identity(&self) -> Result<(), Failure> {
        let standing = self.standing;
        let groups = standing.groups.as_deref().or(self.leaves_groups.then_some(&[]));
        if let Some(groups) = groups {
            // SAFETY: the kernel reads as many groups as there are.
            let result = unsafe { libc::syscall(SETGROUPS, groups.len(), groups.as_ptr()) };
            check(Step::Groups, result)?;
        }
        if let Some(gid) = standing.gid {
            // SAFETY: no memory is involved.
            check(Step::Gid, unsafe { libc::syscall(SETGID, gid) })?;
        }
        if let Some(uid) = standing.uid {
            // SAFETY: no memory is involved.
            check(Step::Uid, unsafe { libc::syscall(SETUID, uid) })?;
        }
        Ok(())
    }
}

fn cpu_set(cpus: &[usize]) -> Result<CpuSet, Failure> {
    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|&cpu| done(Step::Cpus, set.set(cpu)))?;
    Ok(set)
}

fn done(step: Step, result: nix::Result<()>) -> Result<(), Failure> {
    given(step, result)
}

fn given<T>(step: Step, result: nix::Result<T>) -> Result<T, Failure> {
    result.map_err(|errno: Errno| Failure { step, errno: errno as i32 })
}

#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
use libc::{SYS_setgid as SETGID, SYS_setgroups as SETGROUPS, SYS_setuid as SETUID};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use libc::{SYS_setgid32 as SETGID, SYS_setgroups32 as SETGROUPS, SYS_setuid32 as SETUID};
