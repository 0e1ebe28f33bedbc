//! Programs under test, each ended when its guard is dropped.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use cluster::WorkerRef;
use nix::sys::signal::Signal;

use super::{PATIENCE, wait_for, wait_until};

/// A program that runs, and what it has printed so far on both streams.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    output: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// Starts a program that is [told](Self::tell) what to do.
    pub(crate) fn start_obedient(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::piped())
    }

    fn start_with(command: &mut Command, stdin: Stdio) -> Self {
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let output = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        collect(child.stdout.take().unwrap(), &output);
        collect(child.stderr.take().unwrap(), &output);
        Self { child, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&self, line: &str) {
        let mut stdin = self.child.stdin.as_ref().expect("an obedient program");
        writeln!(stdin, "{line}").unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.child.stdin = None;
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.0.lock().unwrap().clone()
    }

    /// Waits for a line that holds this text.
    #[track_caller]
    pub(crate) fn line(&self, text: &str) -> String {
        self.nth_line(text, 0)
    }

    /// Waits for the line number `nth`, from 0 on, of those that hold this text.
    #[track_caller]
    pub(crate) fn nth_line(&self, text: &str, nth: usize) -> String {
        let what = format!("line {nth} with {text:?}");
        self.look(&what, |lines| lines.iter().filter(|line| line.contains(text)).nth(nth).cloned())
    }

    /// Waits until the lines so far have something.
    #[track_caller]
    pub(crate) fn look<T>(&self, what: &str, found: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let (lines, changed) = &*self.output;
        let mut lines = lines.lock().unwrap();
        loop {
            if let Some(found) = found(&lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in {lines:#?}");
            lines = changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        kill(self.pid(), signal);
    }

    /// Waits for the program's end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let lines = self.lines();
        wait_for(&format!("the end of a program that printed {lines:#?}"), || {
            self.child.try_wait().unwrap()
        })
    }

    /// The children that it has now and that have not ended.
    pub(crate) fn children(&self) -> Vec<u32> {
        children(self.pid())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The children of a master that is killed end by themselves, as is tested elsewhere;
        // here they are only kept from outliving a failed test.
        let children = children(self.pid());
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        for child in children {
            while !process_is_gone(child) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn collect(stream: impl std::io::Read + Send + 'static, to: &Arc<(Mutex<Vec<String>>, Condvar)>) {
    let output = Arc::clone(to);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            output.0.lock().unwrap().push(line);
            output.1.notify_all();
        }
    });
}

pub(crate) fn kill(pid: u32, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

/// Whether a process has ended, though it may be a zombie. One whose first thread is a zombie
/// while another still ends has its sockets yet.
pub(crate) fn process_is_gone(pid: u32) -> bool {
    stat(pid).is_none_or(|stat| stat.is_over)
}

struct Stat {
    parent: u32,
    is_over: bool,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let is_zombie = matches!(*fields.first()?, "Z" | "X");
    let (parent, threads) = (fields.get(1)?.parse().ok()?, fields.get(17)?.parse::<u32>().ok()?);
    Some(Stat { parent, is_over: is_zombie && threads <= 1 })
}

fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| stat(pid).is_some_and(|stat| stat.parent == parent && !stat.is_over))
        .collect()
}

/// The open descriptors of a process: number and what it is.
pub(crate) fn open_descriptors(pid: u32) -> BTreeMap<u32, String> {
    let Ok(list) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeMap::new() };
    list.filter_map(Result::ok)
        .filter_map(|entry| {
            let what = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, what.display().to_string()))
        })
        .collect()
}

/// A program of `examples/`.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, ()>> = Mutex::new(BTreeMap::new());
    let this = std::env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap();
    BUILT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(name.to_owned())
        .or_insert_with(|| build_example(name, folder.ends_with("release")));
    let path = folder.join("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --examples`", path.display());
    path
}

/// `cargo test` has built it already, `cargo test --test NAME` has not.
fn build_example(name: &str, release: bool) {
    let Some(cargo) = std::env::var_os("CARGO") else { return };
    let profile = if release { "--release" } else { "--profile=dev" };
    let features = if cfg!(feature = "runtimes") { "runtimes" } else { "" };
    let mut command = Command::new(cargo);
    // What cargo tells a test about its package would have dependencies built again.
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| is_of_a_package(name)) {
        command.env_remove(name);
    }
    let status = command
        .args(["build", "--quiet", "--package", "cluster-house", "--example", name, profile])
        .args(["--features", features])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.unwrap().success(), "the example {name} does not build");
}

fn is_of_a_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| variable.starts_with(prefix))
}

/// Stops a worker, and waits until all its threads stand still.
pub(crate) fn stopped(worker: &WorkerRef) {
    stop(worker.pid());
}

/// The same for any process.
pub(crate) fn stop(pid: u32) {
    kill(pid, Signal::SIGSTOP);
    let is_still = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap();
        stat[stat.rfind(')').unwrap()..].starts_with(") T")
    };
    wait_until("a worker that stands still", || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.map(Result::unwrap).all(is_still)
    });
}
