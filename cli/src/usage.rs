//! What processes use, from `/proc`.

use std::{fs, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

/// What one process has used so far, and has now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Time on a CPU, since its start.
    pub(crate) cpu: Duration,
    /// Its part of the memory, in bytes: shared pages count in proportion where the system
    /// tells, else whole.
    pub(crate) memory: u64,
}

impl Usage {
    /// `None` if the process is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
        let memory = memory.and_then(|rollup| share(&rollup)).or_else(|| resident(pid));
        Some(Self { cpu: cpu(&stat)?, memory: memory.unwrap_or(0) })
    }
}

/// The time in user and kernel mode.
fn cpu(stat: &str) -> Option<Duration> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

fn share(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn resident(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let size = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    Some(pages * size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.memory > 100_000 && usage.memory < 10_000_000_000, "{usage:?}");
        assert!(usage.cpu < Duration::from_secs(3600));
        assert_eq!(Usage::of(u32::MAX), None);
    }

    #[test]
    fn names_with_brackets() {
        let stat = format!("7 (a) b (c)) S {} 150 50 0", ["1"; 10].join(" "));
        let per_second = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap() as f64;
        assert_eq!(cpu(&stat), Some(Duration::from_secs_f64(200.0 / per_second)));
        assert_eq!(cpu("7 (a"), None);
    }

    #[test]
    fn the_proportional_share() {
        assert_eq!(share("Rss:  9 kB\nPss:     1234 kB\nPss_Dirty: 1 kB"), Some(1234 * 1024));
        assert_eq!(share("Rss: 9 kB"), None);
    }
}
