//! The number of workers that a machine is for: the quotas of all groups above count, too.

use crate::namespace::{is_inside, run};
use cluster::child_process::Command;

const TEST: &str = "parallelism::the_quota_counts";

/// The CPUs that this process may use, without any quota.
fn cpus() -> usize {
    let all = Command::new("nproc").output().unwrap();
    String::from_utf8(all.stdout).unwrap().trim().parse().unwrap()
}

/// A tree of control groups, made up, and this process in one of them. `files`: path, content.
fn counted(group: &str, files: &[(&str, &str)]) -> Option<usize> {
    let mut script = "mount -t tmpfs none /sys/fs/cgroup\ncd /sys/fs/cgroup\n".to_owned();
    for (path, content) in files {
        let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
        script.push_str(&format!(
            "mkdir -p {folder}; : > {folder}/cgroup.controllers\necho '{content}' > {path}\n"
        ));
    }
    script.push_str(&format!("echo '{group}' > self\n: > mounts\n"));
    script.push_str("mount --bind self /proc/$$/cgroup\nmount --bind mounts /proc/$$/mountinfo\n");
    let output = run(TEST, &["--mount"], &script)?;
    let text = String::from_utf8(output.stdout).unwrap();
    let count = text.lines().find_map(|line| line.split_once("counted "));
    Some(count.unwrap_or_else(|| panic!("{text}")).1.parse().unwrap())
}

#[test]
fn the_quota_counts() {
    if is_inside() {
        println!("counted {}", cluster::available_parallelism());
        return;
    }
    let one = "100000 100000";
    let v1 = |quota| {
        [("cpu,cpuacct/a/cpu.cfs_quota_us", quota), ("cpu,cpuacct/a/cpu.cfs_period_us", "100000")]
    };
    for (group, files, quota) in [
        ("0::/a/b", &[("a/b/cpu.max", one)][..], Some(1)),
        ("0::/a/b", &[("a/b/cpu.max", "max 100000"), ("a/cpu.max", one)], Some(1)),
        ("0::/a/b", &[("a/b/cpu.max", "max 100000")], None),
        ("0::/a/b", &[("a/b/cpu.max", "50000 100000")], Some(1)),
        ("0::/a/b", &[("a/b/cpu.max", "190000 100000")], Some(1)),
        ("0::/a/b", &[("a/b/cpu.max", "90000000 100000")], None),
        // A container without a namespace for groups: its path is the host's.
        ("0::/docker/4711", &[("cpu.max", one)], Some(1)),
        ("3:cpu,cpuacct:/a", &v1("100000"), Some(1)),
        ("3:cpu,cpuacct:/a", &v1("-1"), None),
    ] {
        let Some(counted) = counted(group, files) else { return };
        assert_eq!(counted, quota.unwrap_or(usize::MAX).min(cpus()), "{group} {files:?}");
    }
}
