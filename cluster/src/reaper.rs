//! Children that nobody has started here: those of PID 1.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use nix::sys::prctl;
use signal_hook::{
    SigId,
    consts::SIGCHLD,
    low_level::{pipe, unregister},
};

use crate::{own, sys::strangers};

/// How long a child that has ended may wait for somebody else in this program, who has started
/// it by other means than ours.
const GRACE: Duration = Duration::from_secs(1);

/// How soon to look again while one of ours is being born.
const SOON: Duration = Duration::from_millis(10);

/// Reaps strangers: processes whose parent is gone, and whose new one is this process because
/// it is PID 1, say of a container, or a subreaper. Nobody else would, and each holds a number.
///
/// It never takes the end of a child that this crate has started. Of the children that the
/// program starts by std or others, it leaves each for a second after its end.
///
/// Its descriptor is readable when there may be something to reap.
#[derive(Debug)]
pub struct Reaper {
    arrived: UnixStream,
    registered: SigId,
    /// Strangers that have ended, and since when that is known.
    seen: HashMap<u32, Instant>,
    again: Option<Instant>,
}

impl Reaper {
    /// A reaper, where there may be strangers; `None`: this process gets none. It hears
    /// `SIGCHLD`, and leaves it to others as well.
    ///
    /// # Errors
    ///
    /// What the system says: no descriptors.
    pub fn take() -> io::Result<Option<Self>> {
        if std::process::id() != 1 && !prctl::get_child_subreaper()? {
            return Ok(None);
        }
        let (arrived, handler) = UnixStream::pair()?;
        arrived.set_nonblocking(true)?;
        let registered = pipe::register(SIGCHLD, handler)?;
        let again = Some(Instant::now()); // some may have ended before
        Ok(Some(Self { arrived, registered, seen: HashMap::new(), again }))
    }

    /// Reaps the strangers whose time has come; how many. Call it when the descriptor is
    /// readable, and at the [`deadline`](Self::deadline). Never waits.
    pub fn reap(&mut self, now: Instant) -> usize {
        while matches!((&self.arrived).read(&mut [0; 64]), Ok(64)) {}
        self.again = None;
        match own::among_strangers(|is_own| self.look(is_own, now)) {
            Some(Ok(count)) => count,
            Some(Err(error)) => {
                log::error!("cannot reap strangers: {error}");
                0
            }
            None => {
                self.again = Some(now + SOON);
                0
            }
        }
    }

    /// When to call [`reap`](Self::reap) though nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let due = self.seen.values().min().map(|since| *since + GRACE);
        [due, self.again].into_iter().flatten().min()
    }

    fn look(&mut self, is_own: &dyn Fn(u32) -> bool, now: Instant) -> io::Result<usize> {
        let Some(first) = strangers::any_ended()? else {
            self.seen.clear();
            return Ok(0);
        };
        let mut children = children().unwrap_or_else(|| vec![first]);
        children.retain(|&pid| !is_own(pid));
        let mut ended = HashMap::new();
        let mut count = 0;
        for pid in children {
            if !strangers::has_ended(pid)? {
                continue;
            }
            let since = self.seen.get(&pid).copied().unwrap_or(now);
            if now.saturating_duration_since(since) < GRACE {
                ended.insert(pid, since);
            } else if strangers::reap(pid)? {
                log::debug!("reaped process {pid}, a stranger");
                count += 1;
            }
        }
        self.seen = ended;
        Ok(count)
    }
}

/// The children of this process; `None`: the kernel does not say.
fn children() -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for task in fs::read_dir("/proc/self/task").ok()? {
        // A task may end just now.
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("children")) else { continue };
        all.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    (!all.is_empty()).then_some(all)
}

impl AsFd for Reaper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        unregister(self.registered);
    }
}
