//! Preloading together with what else a supervisor can do.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use cluster::{
    Event, MoldPhase, Policy, Recycle, Settings, Signal, Supervised, Supervisor, WorkerRef,
};

use crate::support::{Lines, PATIENCE, fixture, process_is_gone};

fn settings() -> Settings {
    Settings::new().exec(fixture()).arg("preloaded").policy(Policy::Shared)
}

/// A supervisor in this process, whose workers print into a file.
struct House {
    supervised: Supervised,
    folder: tempfile::TempDir,
    /// Those that listen, and where, in this order.
    listening: Vec<(WorkerRef, String)>,
}

impl House {
    fn start(settings: Settings, change: impl FnOnce(Supervisor) -> Supervisor) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::new(settings).workers(1).without_signals().preload();
        let supervisor = change(supervisor.log_file(folder.path().join("log")));
        Self { supervised: supervisor.start().unwrap(), folder, listening: Vec::new() }
    }

    /// Serves until something is so.
    #[track_caller]
    fn wait<T>(&mut self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(Instant::now() < end, "waited in vain: {what}; {}", self.log());
            let event = self.supervised.poll(Some(Duration::from_millis(5))).unwrap();
            if let Some(Event::Listening { worker, address }) = event {
                self.listening.push((worker, address.to_string()));
            }
        }
    }

    /// The worker that was the `nth` to listen, and where it does.
    #[track_caller]
    fn worker(&mut self, nth: usize) -> (WorkerRef, String) {
        self.wait("a worker", |house| house.listening.get(nth).cloned())
    }

    /// The mold, when it has a copy that waits.
    #[track_caller]
    fn mold(&mut self) -> (u32, u32) {
        self.wait("a mold", |house| match &house.supervised.status().molds[..] {
            [one] if one.state == MoldPhase::Ready => Some((one.pid, one.spare?)),
            _ => None,
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

/// A worker's answer.
fn ask(address: &str, line: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(client, "{line}").unwrap();
    let mut answer = String::new();
    BufReader::new(client).read_line(&mut answer).unwrap();
    answer.trim_end().to_owned()
}

/// A line of `/proc/PID/status`.
fn proc_status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn each_worker_has_the_environment_of_its_time() {
    let mut house = House::start(settings().env("COLOUR", "red"), |one| one);
    let (one, address) = house.worker(0);
    assert_eq!(ask(&address, "env COLOUR"), "red");
    house.mold();
    let change = settings().env("COLOUR", "blue").env("SIZE", "large");
    house.supervised.setup(change).unwrap();
    one.kill(Signal::KILL).unwrap();
    let (two, address) = house.worker(1);
    let both = |address: &str| [ask(address, "env COLOUR"), ask(address, "env SIZE")];
    assert_eq!(both(&address), ["blue", "large"]);
    // As in the mold, again.
    house.mold();
    house.supervised.setup(settings().env("COLOUR", "red")).unwrap();
    two.kill(Signal::KILL).unwrap();
    let (_, address) = house.worker(2);
    assert_eq!(ask(&address, "env COLOUR"), "red");
}

#[test]
fn a_worker_has_the_cpu_of_its_place_and_the_mold_all() {
    let all = proc_status(std::process::id(), "Cpus_allowed_list");
    let mut house = House::start(settings().pin_cpus(), |one| one.workers(2));
    let cpus = [house.worker(0).0, house.worker(1).0]
        .map(|worker| proc_status(worker.pid(), "Cpus_allowed_list"));
    assert!(cpus.iter().all(|list| list.parse::<usize>().is_ok()), "{cpus:?}");
    assert!(cpus[0] != cpus[1] || all.parse::<usize>().is_ok(), "{cpus:?}");
    let (mold, spare) = house.mold();
    assert_eq!(proc_status(mold, "Cpus_allowed_list"), all);
    assert_eq!(proc_status(spare, "Cpus_allowed_list"), all);
}

#[test]
fn sockets_are_passed_to_copies_as_systemd_does() {
    let settings = settings().listen("127.0.0.1:0").pass_listeners();
    let mut house = House::start(settings, |one| one);
    for nth in 0..3 {
        let (worker, address) = house.worker(nth);
        assert_eq!(ask(&address, "env LISTEN_FDS"), "1");
        assert_eq!(ask(&address, "env LISTEN_PID"), worker.pid().to_string());
        let passed = fs::read_link(format!("/proc/{}/fd/3", worker.pid())).unwrap();
        assert!(passed.to_string_lossy().starts_with("socket:["), "{passed:?}");
        let own = fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|fd| fd.ok()?.path().read_link().ok());
        assert!(own.into_iter().any(|one| one == passed), "it is the master's");
        house.mold();
        worker.kill(Signal::KILL).unwrap();
    }
}

#[test]
fn who_hangs_is_replaced_by_a_copy() {
    let mut house = House::start(settings(), |one| one.watchdog(Duration::from_secs(2)));
    let (one, address) = house.worker(0);
    let (mold, spare) = house.mold();
    ask(&address, "hang");
    let mut victim = TcpStream::connect(&address).unwrap();
    victim.write_all(b"x\n").unwrap();
    let (two, _) = house.worker(1);
    assert_eq!(two.pid(), spare);
    house.wait("its end", |_| process_is_gone(one.pid()).then_some(()));
    assert_eq!(house.mold().0, mold);
    // A copy that waits for longer than the watchdog's time is not taken for one that hangs.
    let waiting = house.mold().1;
    let rested = Instant::now() + Duration::from_millis(2500);
    house.wait("more than its time", |_| (Instant::now() > rested).then_some(()));
    assert_eq!((house.mold().1, two.pid()), (waiting, spare));
    assert!(!process_is_gone(spare));
}

#[test]
fn a_spent_worker_is_replaced_by_a_copy_of_the_same_mold() {
    let recycle = Recycle::new().connections(5);
    let mut house = House::start(settings(), |one| one.recycle(recycle));
    let (one, address) = house.worker(0);
    let (mold, spare) = house.mold();
    for _ in 0..8 {
        Lines::connect(&address).unwrap().ask("x").unwrap();
    }
    let (two, address) = house.worker(1);
    assert_eq!(two.pid(), spare);
    house.wait("the end of the first", |_| process_is_gone(one.pid()).then_some(()));
    assert_eq!(house.mold().0, mold);
    Lines::connect(&address).unwrap().ask("x").unwrap();
}

#[test]
fn copies_begin_with_the_signal_of_their_masters_end() {
    let mut house = House::start(settings().death_signal(Signal::TERM), |one| one);
    for nth in 0..2 {
        let (worker, address) = house.worker(nth);
        assert_eq!(ask(&address, "death"), "Some(SIGTERM)");
        house.mold();
        worker.kill(Signal::KILL).unwrap();
    }
}

#[test]
fn later_copies_have_no_more_descriptors() {
    let mut house = House::start(settings(), |one| one);
    let (one, _) = house.worker(0);
    house.mold();
    let count = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let first = count(one.pid());
    let mut last = one;
    for nth in 1..6 {
        last.kill(Signal::KILL).unwrap();
        last = house.worker(nth).0;
        house.mold();
    }
    assert_eq!(count(last.pid()), first, "none more with each");
}
