//! What copies share. How long their starts take, `bench/preload.rs` measures.

use std::fs;

use crate::site::Site;

const MEGABYTES: u64 = 200;

/// A figure of `/proc/PID/smaps_rollup`, in megabytes.
fn rollup(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
fn what_is_loaded_is_there_once_for_all() {
    let site = Site::plan("none", 4).env("MEGABYTES", &MEGABYTES.to_string()).start();
    let workers: Vec<_> = (0..4).map(|nth| site.worker(nth)).collect();
    site.settle(4);
    for worker in &workers {
        assert_eq!(worker.sum as u64, MEGABYTES << 8, "it has read a byte of each page");
        assert!(rollup(worker.pid, "Rss:") >= MEGABYTES, "it has all of it");
    }
    // Of four workers, the mold and its copy each has a sixth, and some memory of its own.
    let family = site.program.children();
    let shares: Vec<u64> = family.iter().map(|&pid| rollup(pid, "Pss:")).collect();
    assert_eq!(shares.len(), 6);
    assert!(shares.iter().all(|&share| share < MEGABYTES / 6 + 10), "{shares:?}");
    assert!(shares.iter().sum::<u64>() < MEGABYTES + 60, "{shares:?}");
}
