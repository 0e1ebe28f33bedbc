//! The master becomes another program, and nobody notices.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGKILL, SIGTERM, SIGUSR2};

use crate::{
    POLICIES,
    load::Load,
    support::{
        Client, Port7000, Program, example, fixture, get, kill, process_is_gone, stop, wait_until,
    },
    under,
};

const ADDRESS: &str = "127.0.0.1:7000";

fn hello(program: &Path, policy: &str, workers: usize) -> Program {
    let mut command = Command::new(program);
    under(&mut command, policy).env("WORKERS", workers.to_string());
    let program = Program::start(command.env("RUST_LOG", "debug"));
    (0..workers).for_each(|worker| drop(program.nth_line("listens on", worker)));
    program
}

/// A folder with two releases of `hello`, and a link to the first.
struct Releases(tempfile::TempDir);

impl Releases {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for release in ["one", "two"] {
            fs::copy(example("hello"), folder.path().join(release)).unwrap();
        }
        let releases = Self(folder);
        releases.choose("one");
        releases
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn choose(&self, release: &str) {
        symlink(self.path(release), self.path("new")).unwrap();
        fs::rename(self.path("new"), self.path("current")).unwrap();
    }

    /// A release that is a script.
    fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What a process runs; nothing if it has ended.
fn image(pid: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default()
}

#[test]
fn upgrades_in_a_row_lose_nothing() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut program = hello(&example("hello"), policy, 4);
        let load = Load::on(ADDRESS, 2, 2);
        for upgrade in 1..=5 {
            let old = program.children();
            program.signal(SIGUSR2);
            program.line(&format!("upgraded: generation {upgrade}"));
            wait_until("the end of the old workers", || {
                let now = program.children();
                now.len() == 4 && now.iter().all(|pid| !old.contains(pid))
            });
        }
        let tally = load.end();
        assert_eq!(tally.failures, [""; 0], "{policy}, of {}", tally.answers);
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
        assert!(get(ADDRESS).is_err(), "nothing is left open");
    }
}

#[test]
fn a_link_leads_to_the_new_release() {
    let _port = Port7000::take();
    let releases = Releases::new();
    let program = hello(&releases.path("current"), "none", 1);
    assert_eq!(image(program.pid()), releases.path("one"));
    releases.choose("two");
    program.signal(SIGUSR2);
    program.line("upgraded: generation 1");
    assert_eq!(image(program.pid()), releases.path("two"));
    wait_until(
        "a worker of the new release alone",
        || matches!(program.children()[..], [pid] if image(pid) == releases.path("two")),
    );
}

#[test]
fn a_program_that_does_not_work_is_not_taken() {
    let _port = Port7000::take();
    let releases = Releases::new();
    releases.script("crash", "#!/bin/sh\necho 'no such database' >&2\nexit 7\n");
    releases.script("other", "#!/bin/sh\nexit 0\n");
    fs::write(releases.path("data"), "no program").unwrap();
    let program = hello(&releases.path("current"), "rr", 2);
    let workers = program.children();
    let mut client = Client::connect(ADDRESS).unwrap();
    client.get("/").unwrap();
    let faults = [
        ("crash", "it failed (exit status: 7): no such database"),
        ("other", "it ended without a look at what it was given"),
        ("data", "ermission denied"),
        ("missing", "o such file"),
    ];
    for (number, (release, reason)) in faults.into_iter().enumerate() {
        releases.choose(release);
        program.signal(SIGUSR2);
        let line = program.nth_line("the upgrade failed", number);
        assert!(line.contains(reason), "{release}: {line}");
        client.get("/").unwrap();
    }
    assert_eq!(program.children(), workers);
    releases.choose("two");
    program.signal(SIGUSR2);
    program.line("upgraded: generation 1");
}

#[test]
fn if_the_new_program_dies_before_it_has_taken_over_the_old_one_is_back() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let releases = Releases::new();
        let one = releases.path("one");
        let stands_the_trial = format!(
            "#!/bin/sh\n[ -n \"$CLUSTER_UPGRADE_TRIAL\" ] && exec {}\nexit 9\n",
            one.display()
        );
        releases.script("broken", &stands_the_trial);
        let mut program = hello(&releases.path("current"), policy, 2);
        let load = Load::on(ADDRESS, 2, 2);
        releases.choose("broken");
        program.signal(SIGUSR2);
        let line = program.line("goes on with the old one");
        assert_eq!(program.wait().code(), Some(9));
        program.line("the upgrade failed: the new program ended before it had taken over");
        let pid = line.split("pid ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let pid = pid.parse().unwrap();
        kill(pid, SIGHUP);
        program.line("reloaded: generation 1");
        let tally = load.end();
        assert_eq!(tally.failures, [""; 0], "{policy}, of {}", tally.answers);
        kill(pid, SIGTERM);
        wait_until("its end", || process_is_gone(pid));
        assert!(get(ADDRESS).is_err());
    }
}

#[test]
fn workers_that_die_meanwhile_and_reloads_before_and_after() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut program = hello(&example("hello"), policy, 2);
        program.signal(SIGHUP);
        program.line("reloaded: generation 1");
        wait_until("the new ones alone", || program.children().len() == 2);
        let workers = program.children(); // the program on trial will be another child
        program.signal(SIGUSR2);
        workers.into_iter().for_each(|pid| kill(pid, SIGKILL));
        program.line("upgraded: generation 2");
        program.signal(SIGHUP);
        program.line("reloaded: generation 3");
        assert!((0..20).all(|_| get(ADDRESS).is_ok()));
        wait_until("two workers", || program.children().len() == 2);
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}

/// Asks for a socket, and reads no answer: the socket is on its way when the upgrade comes.
const DEAF: &str = r#"
printf '%s\n' '{"cmd":"NODE_CLUSTER","act":"online","seq":1}' >&$NODE_CHANNEL_FD
printf '%s\n' '{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"127.0.0.1","port":7000,"addressType":4,"flags":0,"backlog":0,"seq":2}' >&$NODE_CHANNEL_FD
exec sleep 1000
"#;

#[test]
fn sockets_on_their_way_go_along() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut command = Command::new(fixture());
        command.args(["supervise", "bash", "-c", DEAF]);
        under(&mut command, policy).env("WORKERS", "1");
        let mut program = Program::start(command.env("RUST_LOG", "debug"));
        program.line("opened 127.0.0.1:7000");
        program.line("worker 1 is online");
        program.signal(SIGUSR2);
        program.line("worker 2 (pid"); // the new program's own
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
        assert!(!program.lines().iter().any(|line| line.contains("the old one")), "{policy}");
    }
}

/// How many connections wait at sockets that listen on [`ADDRESS`].
fn backlog() -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1] == "0100007F:1B58" && row[3] == "0A")
        .map(|row| row[4].split_once(':').unwrap().1)
        .map(|waiting| usize::from_str_radix(waiting, 16).unwrap())
        .sum()
}

/// All workers stand still with as many connections in their lanes as these hold, others behind
/// them: everybody gets an answer, from the workers that come with the new program.
#[test]
fn connections_that_nobody_has_taken_go_along() {
    const CLIENTS: usize = 200;
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut program = hello(&example("hello"), policy, 2);
        let old = program.children();
        old.iter().for_each(|&pid| stop(pid));
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(ADDRESS).unwrap()).collect();
        for client in &mut clients {
            client.ask("/", "close").unwrap();
        }
        let in_lanes = if policy == "rr" { 2 * 64 } else { 0 };
        wait_until("full lanes", || backlog() == CLIENTS - in_lanes);
        program.signal(SIGUSR2);
        program.line("upgraded: generation 1");
        for (number, client) in clients.iter_mut().enumerate() {
            let answer = client.answer();
            let is_new = |text: &String| !old.iter().any(|pid| text.contains(&format!(" {pid} ")));
            assert!(answer.as_ref().is_ok_and(is_new), "{policy}, {number}: {answer:?}");
        }
        old.iter().for_each(|&pid| kill(pid, SIGCONT));
        wait_until("the old workers' end", || old.iter().all(|&pid| process_is_gone(pid)));
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn as_the_first_process_of_a_container() {
    let test = "as_the_first_process_of_a_container";
    let space = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let permitted = Command::new("unshare").args(space).arg("true").output();
    if !permitted.is_ok_and(|output| output.status.success()) {
        // Not `eprintln!`, which libtest holds back.
        writeln!(io::stderr(), "SKIPPED {test}: namespaces are not permitted").unwrap();
        return;
    }
    let _port = Port7000::take();
    for policy in POLICIES {
        let mut command = Command::new("unshare");
        command.args(space).arg(example("hello"));
        under(&mut command, policy).env("WORKERS", "2");
        let mut program = Program::start(command.env("RUST_LOG", "debug"));
        program.nth_line("listens on", 1);
        let [master] = program.children()[..] else { panic!("no master") };
        for upgrade in 1..=2 {
            kill(master, SIGUSR2);
            program.line(&format!("upgraded: generation {upgrade}"));
            get(ADDRESS).unwrap();
        }
        assert_eq!(program.children(), [master]);
        kill(master, SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{policy}");
    }
}

#[test]
fn descriptors_do_not_pile_up() {
    let _port = Port7000::take();
    for policy in POLICIES {
        let program = hello(&example("hello"), policy, 2);
        let count = || fs::read_dir(format!("/proc/{}/fd", program.pid())).unwrap().count();
        let before = count();
        for upgrade in 1..=4 {
            program.signal(SIGUSR2);
            program.line(&format!("upgraded: generation {upgrade}"));
            wait_until("as many descriptors as before", || count() == before);
        }
    }
}
