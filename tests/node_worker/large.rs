//! What large messages to and from Node cost us.

use std::time::Duration;

use cluster::child_process::Child;
use nix::time::{ClockId, clock_gettime};

use crate::{
    BOTH,
    support::{PATIENCE, node},
    talking::{fork, part},
};

const SMALL: usize = 16 << 20;
const LARGE: usize = 64 << 20;

/// See `worker-api/tests/large.rs`.
const MOST: u32 = 8;

/// The processor time of this thread for a text of this length that goes there and back.
fn cost(child: &Child, length: usize) -> Duration {
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let text = "x".repeat(length);
    let start = used();
    child.send(&text).unwrap();
    let message = child.recv_timeout(4 * PATIENCE).unwrap().expect("an answer in time");
    assert!(message.value == text);
    used() - start
}

#[test]
fn large_messages_cost_the_same_for_each_byte() {
    if !node("large_messages_cost_the_same_for_each_byte") {
        return;
    }
    for how in BOTH {
        let child = fork(how);
        let least = |length| (0..2).map(|_| cost(&child, length)).min().unwrap();
        let (small, large) = (least(SMALL), least(LARGE));
        assert!(large < MOST * small, "{how}: {small:?} for 16 MiB, {large:?} for 64 MiB");
        part(child);
    }
}
