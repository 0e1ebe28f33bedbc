//! A program to start, and how.

use super::{
    Abort, Child, Output, Stdio,
    child::Limits,
    environment::Environment,
    job::Job,
    launch::Started,
    stdio::{Layout, Purpose},
};
use crate::{Result, Serialization, Signal, sys::Standing};
use std::{
    ffi::{OsStr, OsString},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use worker_api::Channel;

/// Node's default for the forms that collect what a child writes.
const MAX_BUFFER: usize = 1024 * 1024;

/// A program to start, in the manner of `std::process::Command`, with Node's options.
///
/// A command may be started any number of times.
///
/// ```
/// use cluster::{Error, child_process::Command};
/// use std::time::Duration;
///
/// let result = Command::new("sleep").arg("60").timeout(Duration::from_millis(10)).output();
/// assert!(matches!(result, Err(Error::TimedOut { .. })));
/// ```
#[derive(Debug)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    /// What the program, a shell, is to run.
    pub(super) line: Option<OsString>,
    pub(super) argv0: Option<OsString>,
    pub(super) environment: Environment,
    pub(super) cwd: Option<PathBuf>,
    pub(super) stdio: Layout,
    pub(super) serialization: Serialization,
    pub(super) detached: bool,
    pub(super) standing: Standing,
    pub(super) ignores_interrupt: bool,
    pub(super) tells_pid: bool,
    pub(super) input: Option<Arc<[u8]>>,
    /// A descriptor for the child besides its list, and the variable that gets its number.
    pub(super) passed: Option<(&'static str, OwnedFd)>,
    timeout: Option<Duration>,
    kill_signal: Signal,
    max_buffer: Option<usize>,
    abort: Option<Abort>,
}

impl Command {
    /// A program by its path, or by a name that is sought in the child's `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            line: None,
            argv0: None,
            environment: Environment::default(),
            cwd: None,
            stdio: Layout::default(),
            serialization: Serialization::default(),
            detached: false,
            standing: Standing::default(),
            ignores_interrupt: false,
            tells_pid: false,
            input: None,
            passed: None,
            timeout: None,
            kill_signal: Signal::TERM,
            max_buffer: None,
            abort: None,
        }
    }

    /// A line for `/bin/sh`.
    ///
    /// Arguments are not pasted into the line, where they would be read as code: the line finds
    /// them as `"$1"`, `"$2"`, … and `"$@"`.
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        Self { line: Some(line.as_ref().to_owned()), ..Self::new("/bin/sh") }
    }

    /// One argument more.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = A>) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// What the child sees as its own name. Default: the program as given.
    pub fn argv0(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.argv0 = Some(name.as_ref().to_owned());
        self
    }

    /// Sets a variable of the child's environment, which otherwise is ours.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment.set(name.as_ref(), value.as_ref());
        self
    }

    /// Sets several variables.
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> &mut Self {
        for (name, value) in variables {
            self.environment.set(name.as_ref(), value.as_ref());
        }
        self
    }

    /// Takes a variable out.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.environment.remove(name.as_ref());
        self
    }

    /// Takes all variables out, the ones set so far, too.
    pub fn env_clear(&mut self) -> &mut Self {
        self.environment.clear();
        self
    }

    /// The child's working directory. Default, also if empty: ours.
    ///
    /// A program given by a relative path is sought from there, as in Node.
    pub fn cwd(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.cwd = Some(directory.into()).filter(|directory| !directory.as_os_str().is_empty());
        self
    }

    /// The child's descriptors, from 0 on; a list shorter than three is filled up with pipes.
    ///
    /// Default: three pipes, for [`fork`](Self::fork) our own three and the channel.
    pub fn stdio(&mut self, list: impl IntoIterator<Item = Stdio>) -> &mut Self {
        self.stdio.set(list);
        self
    }

    /// The child's standard input alone.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stdio.set_standard(0, stdio.into());
        self
    }

    /// The child's standard output alone.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stdio.set_standard(1, stdio.into());
        self
    }

    /// The child's standard error alone.
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stdio.set_standard(2, stdio.into());
        self
    }

    /// How the channel writes messages, if there is one. Default: [`Serialization::Json`].
    pub fn serialization(&mut self, serialization: Serialization) -> &mut Self {
        self.serialization = serialization;
        self
    }

    /// The standard streams are pipes, for [`fork`](Self::fork), too, whose default are our own.
    pub fn silent(&mut self) -> &mut Self {
        self.stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(Stdio::Pipe)
    }

    /// Whether the child gets a session, and so a process group, of its own: the terminal's
    /// signals do not reach it. Default: no.
    pub fn detached(&mut self, detached: bool) -> &mut Self {
        self.detached = detached;
        self
    }

    /// Whether the child starts with `SIGINT` ignored. Default: no.
    pub fn ignore_interrupt(&mut self, on: bool) -> &mut Self {
        self.ignores_interrupt = on;
        self
    }

    /// The child finds its own number in `LISTEN_PID`.
    pub(crate) fn tell_pid(&mut self) -> &mut Self {
        self.tells_pid = true;
        self
    }

    /// Gives the child a copy of a descriptor, at a number that nothing else has there and that
    /// this variable names.
    pub(crate) fn pass(&mut self, variable: &'static str, descriptor: OwnedFd) -> &mut Self {
        self.passed = Some((variable, descriptor));
        self
    }

    /// How long the child may run before it gets the [`kill_signal`](Self::kill_signal).
    /// Default: for ever.
    ///
    /// This acts only while someone waits: in [`output`](Self::output), [`Child::output`],
    /// [`Child::wait`], [`Child::wait_timeout`] and [`Child::try_wait`].
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.timeout = Some(timeout);
        self
    }

    /// The signal for a child that runs too long, writes too much or is aborted. Default: TERM.
    ///
    /// Whoever waits then waits for the child's real end: one that ignores this signal runs on.
    pub fn kill_signal(&mut self, signal: Signal) -> &mut Self {
        self.kill_signal = signal;
        self
    }

    /// How many bytes `output` collects of stdout, and of stderr, before it kills the child.
    /// Default: 1 MiB for [`output`](Self::output); no limit for [`spawn`](Self::spawn) and
    /// [`fork`](Self::fork), followed by [`Child::output`].
    pub fn max_buffer(&mut self, bytes: usize) -> &mut Self {
        self.max_buffer = Some(bytes);
        self
    }

    /// What `output` writes to the child's standard input, which must be a pipe. Default: nothing.
    pub fn input(&mut self, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.input = Some(bytes.into().into());
        self
    }

    /// Lets this [`Abort`] kill the child. If it has been aborted already, the child is started
    /// and killed at once, as in Node.
    pub fn abort_on(&mut self, abort: &Abort) -> &mut Self {
        self.abort = Some(abort.clone());
        self
    }

    /// Starts the program and does not wait for it.
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`](crate::Error::Spawn) if the program cannot be started,
    /// [`Error::Settings`](crate::Error::Settings) if a name, value or argument is unusable.
    pub fn spawn(&self) -> Result<Child> {
        self.child(Purpose::Spawn, self.max_buffer.unwrap_or(usize::MAX))
    }

    /// Starts the program with a channel to it, Node's or [`parent`](super::parent)'s.
    ///
    /// The channel is the child's descriptor 3, or where a list of [`stdio`](Self::stdio) has its
    /// [`Stdio::Ipc`].
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); also if a list of `stdio` has no `Ipc`.
    pub fn fork(&self) -> Result<Child> {
        self.child(Purpose::Fork, self.max_buffer.unwrap_or(usize::MAX))
    }

    /// Runs the program to its end and collects what it writes.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::output`]; also if `stdio` has an `Ipc`.
    pub fn output(&self) -> Result<Output> {
        self.child(Purpose::Output, self.max_buffer.unwrap_or(MAX_BUFFER))?.output()
    }

    /// Collects no more than Node's `exec` by default.
    pub(super) fn bounded(&mut self) -> &mut Self {
        self.max_buffer(MAX_BUFFER)
    }

    fn child(&self, purpose: Purpose, max_buffer: usize) -> Result<Child> {
        let Started { process, stdio, ipc } = self.launch(purpose)?;
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let job = Arc::new(Job::new(process));
        if let Some(abort) = &self.abort {
            abort.watch(&job, self.kill_signal);
        }
        let limits = Limits { deadline, max_buffer, kill_signal: self.kill_signal };
        let channel =
            ipc.map(|ipc| Channel::from_stream_with(ipc, self.serialization)).transpose()?;
        Ok(Child::new(self, job, stdio, channel, limits))
    }
}
