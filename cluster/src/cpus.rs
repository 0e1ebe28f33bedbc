//! The CPUs that this process may use, and how workers share them.

use std::io;

use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};

/// The CPUs that this thread may use: affinity and cpuset, as the kernel has them joined.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

/// The CPU of a worker by its place among the workers, who take turns with the CPUs.
pub(crate) fn of_slot(allowed: &[usize], slot: usize) -> Option<usize> {
    allowed.get(slot.checked_rem(allowed.len())?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_turns() {
        let places =
            |allowed: &[usize]| (0..4).map(|slot| of_slot(allowed, slot)).collect::<Vec<_>>();
        assert_eq!(places(&[0, 1, 2, 3]), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(places(&[5, 9]), [Some(5), Some(9), Some(5), Some(9)]);
        assert_eq!(places(&[]), [None; 4]);
    }

    #[test]
    fn there_is_one_at_least() {
        assert!(!allowed().expect("known").is_empty());
    }
}
