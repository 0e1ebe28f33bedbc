//! Threads of which a test waits no longer than the deadline.

use std::{
    fs,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
};

use nix::unistd::gettid;

use super::*;

/// For so long nothing may happen where nothing is to happen.
const CALM: Duration = Duration::from_millis(200);

/// A thread, and what it brings.
pub(super) struct Task<T> {
    outcome: Receiver<T>,
    number: i32,
}

pub(super) fn start<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let ((sender, outcome), (number_sender, number)) = (channel(), channel());
    thread::spawn(move || {
        number_sender.send(gettid().as_raw()).unwrap();
        sender.send(act())
    });
    Task { outcome, number: number.recv().unwrap() }
}

impl<T> Task<T> {
    #[track_caller]
    pub(super) fn end(self) -> T {
        self.outcome.recv_timeout(DEADLINE).expect("the thread does not end")
    }

    /// Whether it sleeps, and how many hundredths of a second it has run so far.
    fn state(&self) -> (bool, u64) {
        let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", self.number)).unwrap();
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ran = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        (fields[0] == "S", ran)
    }

    #[track_caller]
    pub(super) fn wait_until_it_sleeps(&self) {
        wait_until("the thread sleeps", || self.state().0);
    }

    /// It goes on waiting, without running in circles.
    #[track_caller]
    pub(super) fn expect_calm(&self) {
        self.wait_until_it_sleeps();
        let (_, before) = self.state();
        assert!(matches!(self.outcome.recv_timeout(CALM), Err(RecvTimeoutError::Timeout)));
        let (_, after) = self.state();
        assert!(after - before <= 5, "it ran for {} ms", (after - before) * 10);
    }
}
