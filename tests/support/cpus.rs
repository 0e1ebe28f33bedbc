//! Threads that run on one CPU.

use std::{io::Write, thread};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// The CPUs that this process may use, if they are two at least; else the test says that it is
/// over.
pub(crate) fn several_cpus(test: &str) -> Option<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let all: Vec<_> = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap()).collect();
    if all.len() > 1 {
        return Some(all);
    }
    // Not `eprintln!`, which libtest holds back.
    writeln!(std::io::stderr(), "SKIPPED {test}: it needs two CPUs").unwrap();
    None
}

/// Does something on a CPU.
pub(crate) fn on_cpu<T: Send>(cpu: usize, act: impl FnOnce() -> T + Send) -> T {
    let mut only = CpuSet::new();
    only.set(cpu).unwrap();
    thread::scope(|scope| {
        let there = scope.spawn(|| {
            sched_setaffinity(Pid::from_raw(0), &only).unwrap();
            act()
        });
        there.join().unwrap()
    })
}
