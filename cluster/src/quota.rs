//! The CPU time that control groups leave to this process, in whole CPUs.
//!
//! Std looks for it, too, but not in a container that sees the host's groups: there the path
//! of its group does not exist below the mount, whose root is the group.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Where the hierarchy is where `mountinfo` does not say it.
const USUAL: &str = "/sys/fs/cgroup";

/// The least quota of our group and those above it; `None`: there is none.
pub(crate) fn cpus() -> Option<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let places = groups.lines().filter_map(|line| place(line, &mounts));
    let quotas = places.filter_map(|place| place.least(|path| fs::read_to_string(path).ok()));
    quotas.min()
}

/// A group with a say about CPU time.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    is_v2: bool,
    mount: PathBuf,
    /// Below the mount.
    group: PathBuf,
}

/// What one line of `/proc/self/cgroup` stands for: `ID:CONTROLLERS:PATH`.
fn place(line: &str, mounts: &str) -> Option<Place> {
    let (_, line) = line.split_once(':')?;
    let (controllers, path) = line.split_once(':')?;
    let is_v2 = controllers.is_empty();
    if !is_v2 && !controllers.split(',').any(|one| one == "cpu") {
        return None;
    }
    let usual = if is_v2 { PathBuf::from(USUAL) } else { Path::new(USUAL).join(controllers) };
    let found = mounts.lines().find_map(|line| mount(line, is_v2));
    let (root, mount) = found.unwrap_or(("/".into(), usual));
    // A group outside of what is mounted: the mount's own is the nearest that can be seen.
    let below = Path::new(path).strip_prefix(&root).unwrap_or(Path::new(""));
    let is_plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let group = below.components().skip_while(|part| *part == Component::RootDir);
    Some(Place { is_v2, mount, group: group.take_while(is_plain).collect() })
}

/// The root and the place of a hierarchy that counts CPU time, from a line of `mountinfo`:
/// `ID PARENT DEVICE ROOT PLACE OPTIONS [FIELDS] - TYPE SOURCE OPTIONS`.
fn mount(line: &str, is_v2: bool) -> Option<(PathBuf, PathBuf)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let is_it = match kind {
        "cgroup2" => is_v2,
        "cgroup" => !is_v2 && options.split(',').any(|one| one == "cpu"),
        _ => false,
    };
    let mut before = before.split(' ').skip(3);
    is_it.then_some((before.next()?.into(), before.next()?.into()))
}

impl Place {
    /// The least quota from this group up to the mount.
    fn least(&self, read: impl Fn(&Path) -> Option<String>) -> Option<usize> {
        let folders = self.group.ancestors().map(|group| self.mount.join(group));
        folders.filter_map(|folder| self.quota(&folder, &read)).min()
    }

    fn quota(&self, folder: &Path, read: impl Fn(&Path) -> Option<String>) -> Option<usize> {
        let both = match self.is_v2 {
            true => read(&folder.join("cpu.max"))?,
            false => {
                let quota = read(&folder.join("cpu.cfs_quota_us"))?;
                format!("{quota} {}", read(&folder.join("cpu.cfs_period_us"))?)
            }
        };
        whole(&both)
    }
}

/// Whole CPUs of `QUOTA PERIOD`, at least 1; `None`: no number (`max`, `-1`).
fn whole(both: &str) -> Option<usize> {
    let mut numbers = both.split_ascii_whitespace().map(str::parse::<usize>);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(quota.checked_div(period)?.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
    const CONTAINER: &str = "30 23 0:26 /docker/1 /sys/fs/cgroup ro shared:4 - cgroup2 cgroup rw";
    const V1: &str = "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";
    const OTHER: &str = "32 30 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset";

    fn least(line: &str, mounts: &str, files: &[(&str, &str)]) -> Option<usize> {
        let files: HashMap<PathBuf, String> = files
            .iter()
            .map(|(path, text)| (Path::new(USUAL).join(path), (*text).into()))
            .collect();
        place(line, mounts)?.least(|path| files.get(path).cloned())
    }

    #[test]
    fn the_least_of_all_above_counts() {
        let files = [("a/b/cpu.max", "400000 100000\n"), ("a/cpu.max", "300000 100000\n")];
        assert_eq!(least("0::/a/b", V2, &files), Some(3));
        assert_eq!(least("0::/a/b", "", &files), Some(3), "where it usually is");
        assert_eq!(least("0::/", V2, &files), None);
        assert_eq!(least("0::/a/b", V2, &[("a/b/cpu.max", "max 100000\n")]), None);
    }

    #[test]
    fn a_container_with_the_hosts_groups() {
        let files = [("cpu.max", "500000 100000\n"), ("sub/cpu.max", "200000 100000\n")];
        assert_eq!(least("0::/docker/1", CONTAINER, &files), Some(5));
        assert_eq!(least("0::/docker/1/sub", CONTAINER, &files), Some(2));
        assert_eq!(least("0::/docker/2", CONTAINER, &files), Some(5), "elsewhere");
        assert_eq!(least("0::/../2", V2, &files), Some(5), "above the namespace");
    }

    #[test]
    fn the_first_version() {
        let files = [
            ("cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n"),
            ("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
        ];
        for mounts in ["", &format!("{OTHER}\n{V1}")] {
            assert_eq!(least("3:cpu,cpuacct:/a", mounts, &files), Some(2));
        }
        assert_eq!(least("4:cpuset:/a", V1, &files), None);
        let none = [("cpu/cpu.cfs_quota_us", "-1\n"), ("cpu/cpu.cfs_period_us", "100000\n")];
        assert_eq!(least("3:cpu:/", "", &none), None);
    }

    #[test]
    fn numbers() {
        assert_eq!(whole("50000 100000"), Some(1));
        assert_eq!(whole("199999 100000"), Some(1));
        assert_eq!(whole("100000 0"), None);
        assert_eq!(whole(""), None);
    }

    proptest! {
        #[test]
        fn whatever_the_files_say(groups in ".{0,60}", mounts in ".{0,60}", file in ".{0,20}") {
            for line in groups.lines().chain(["0::/a", "1:cpu:/a"]) {
                let quota = place(line, &mounts).and_then(|place| place.least(|_| Some(file.clone())));
                prop_assert!(quota != Some(0));
            }
        }
    }
}
