//! How a master starts its workers and shares its sockets.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    path::PathBuf,
    sync::Arc,
};

use standing::Standing;
use worker_api::{Address, Handle, Serialization, ToAddress, wire::MOLD};

use crate::{
    Error, Readiness, Result,
    child_process::{Command, Stdio},
    cpus,
    listeners::{WIDEST, WINDOW},
    schedule::{Rule, Schedule},
};

mod fork_options;
mod reading;
mod spread;
mod standing;

pub use fork_options::ForkOptions;

/// The most sockets of one worker, unless said otherwise.
const MOST_SOCKETS: usize = 256;

/// How workers get their connections.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The workers accept from one shared socket: least work, any runtime. Node's `none`.
    #[default]
    Shared,
    /// The master accepts and hands the connections over in turn: an even spread. Node's
    /// `rr`.
    RoundRobin,
    /// Each worker accepts from a TCP socket of its own, and the kernel chooses among them by the
    /// connection's addresses (`SO_REUSEPORT`): one worker wakes up for a connection, in any
    /// runtime, and none is handed over. For all else as [`Shared`](Self::Shared).
    ///
    /// The master has all sockets open. A worker that replaces another in its slot gets the
    /// other's socket, and whoever comes next one that has no worker. Meanwhile the kernel chooses
    /// among the others, and the master hands over what it had chosen before. So nothing queued is
    /// lost. A worker that hangs or is full keeps its share waiting.
    /// [`spread_by_cpu`](Settings::spread_by_cpu) has the kernel choose otherwise.
    ReusePort,
}

impl Policy {
    /// What `NODE_CLUSTER_SCHED_POLICY` says: `none` or `rr`.
    fn from_environment() -> Result<Self> {
        match env::var_os("NODE_CLUSTER_SCHED_POLICY") {
            None => Ok(Self::default()),
            Some(value) if value == "none" || value.is_empty() => Ok(Self::Shared),
            Some(value) if value == "rr" => Ok(Self::RoundRobin),
            Some(value) => Err(Error::Settings {
                what: "NODE_CLUSTER_SCHED_POLICY",
                value: format!("{} (it may be `none` or `rr`)", value.display()),
            }),
        }
    }
}

/// How a master starts its workers and shares its sockets. Unless said otherwise a worker is
/// this program with these arguments, this environment and these standard streams.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct Settings {
    exec: Option<OsString>,
    args: Option<Vec<OsString>>,
    environment: Vec<(OsString, Option<OsString>)>,
    cwd: Option<PathBuf>,
    stdio: Option<Arc<[Stdio]>>,
    standing: Standing,
    policy: Option<Policy>,
    serialization: Option<Serialization>,
    rule: Option<Rule>,
    window: Option<u32>,
    spreads_by_cpu: bool,
    listen: Vec<Result<Address, String>>,
    allow_listen: Option<Vec<Result<Address, String>>>,
    passed: Vec<Arc<OwnedFd>>,
    adopted: Vec<Arc<OwnedFd>>,
    most_sockets: Option<usize>,
    ignores_interrupt: bool,
    pub(crate) readiness: Option<Readiness>,
    pub(crate) passes_listeners: bool,
}

fn read(address: impl ToAddress) -> Result<Address, String> {
    address.to_address().and_then(Address::absolute).map_err(|error| format!("{error:?}"))
}

impl Settings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The workers' program: a path, or a name that is sought in `PATH`. Default: this one.
    pub fn exec(mut self, program: impl AsRef<OsStr>) -> Self {
        self.exec = Some(program.as_ref().to_owned());
        self
    }

    /// One more argument. Default, without any: this program's, if it is this program that
    /// runs, else none.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.get_or_insert_default().push(arg.as_ref().to_owned());
        self
    }

    /// These arguments, and no others.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args = Some(args.into_iter().map(|arg| arg.as_ref().to_owned()).collect());
        self
    }

    /// A variable in the workers' environment, besides this process's own.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// A variable that the workers do not get.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// The workers' working directory. Default: this process's.
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// The workers' descriptors from 0 on, with one [`Stdio::Ipc`] among them. Default: this
    /// process's standard streams, and the channel as number 3.
    pub fn stdio(mut self, list: impl IntoIterator<Item = Stdio>) -> Self {
        self.stdio = Some(list.into_iter().collect());
        self
    }

    /// The workers' standard streams are pipes, which
    /// [`WorkerRef::stdio`](crate::WorkerRef::stdio) gives. [`stdio`](Self::stdio) is stronger.
    pub fn silent(self) -> Self {
        if self.stdio.is_some() {
            return self;
        }
        self.stdio([Stdio::Pipe, Stdio::Pipe, Stdio::Pipe, Stdio::Ipc])
    }

    /// How workers get their connections. Default: what `NODE_CLUSTER_SCHED_POLICY` says
    /// (`none` or `rr`), else [`Policy::Shared`]. A master keeps its first policy.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// How the workers' channels write messages, those of the cluster among them. Default:
    /// [`Serialization::Json`].
    pub fn serialization(mut self, serialization: Serialization) -> Self {
        self.serialization = Some(serialization);
        self
    }

    /// Who gets the connections that the master hands over: the workers in turn without this.
    /// The policy is [`Policy::RoundRobin`] then, whatever `NODE_CLUSTER_SCHED_POLICY` says. Each
    /// listener has a clone of the rule. A master keeps its first one.
    pub fn schedule(mut self, schedule: impl Schedule + Clone + 'static) -> Self {
        self.rule = Some(Rule::new(schedule));
        self
    }

    /// How many connections that are handed over may wait at a worker for its `accept`, for each
    /// listener; 1 to 128. More even out a burst, fewer give each connection to somebody who has
    /// time for it. A worker that has taken none for 0.1 to 0.2 s gets no more for a
    /// while, and others get those that wait. Node workers have one at a time. Default: 64.
    pub fn window(mut self, connections: u32) -> Self {
        self.window = Some(connections);
        self
    }

    /// An address to listen on at once, before any worker asks, and until the master ends, or
    /// its supervisor stops: an address that cannot be had is an error of the master's then.
    pub fn listen(mut self, address: impl ToAddress) -> Self {
        self.listen.push(read(address));
        self
    }

    /// A UDP address to bind at once, as [`listen`](Self::listen) does it for TCP.
    pub fn bind(mut self, address: impl ToAddress) -> Self {
        self.listen.push(read(address).and_then(|address| match address {
            Address::Tcp(address) | Address::Udp(address) => Ok(Address::Udp(address)),
            Address::Port(port) => Ok(Address::Udp((Ipv4Addr::UNSPECIFIED, port).into())),
            other => Err(format!("{other} is no UDP address")),
        }));
        self
    }

    /// The only addresses that workers may listen on, besides those of
    /// [`listen`](Self::listen) and [`bind`](Self::bind); others are answered with `EACCES`.
    /// Default: any.
    pub fn allow_listen<A: ToAddress>(mut self, addresses: impl IntoIterator<Item = A>) -> Self {
        self.allow_listen.get_or_insert_default().extend(addresses.into_iter().map(read));
        self
    }

    /// A socket that workers may ask for by its number in this process
    /// ([`Address::Fd`]). Without this they get none.
    pub fn pass_fd(mut self, socket: impl Into<Handle>) -> Self {
        self.passed.push(Arc::new(OwnedFd::from(socket.into())));
        self
    }

    /// A socket that is open already: whoever asks for its address gets this one, and may, also
    /// by [`listen`](Self::listen) and [`bind`](Self::bind). It listens if it does not yet, and
    /// stays open as long as the master. Those of a service manager come from
    /// [`systemd::sockets`](crate::systemd::sockets).
    pub fn adopt(mut self, socket: impl Into<Handle>) -> Self {
        self.adopted.push(Arc::new(OwnedFd::from(socket.into())));
        self
    }

    /// How many sockets one worker may listen on and bind at a time; it is answered with
    /// `EMFILE` when it wants more. So no worker uses up the master's descriptors, of which
    /// there are often 1024. Default: 256.
    pub fn most_sockets(mut self, sockets: usize) -> Self {
        self.most_sockets = Some(sockets);
        self
    }

    /// When a worker counts as ready. Default: [`Readiness::Listen`].
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = Some(readiness);
        self
    }

    /// Workers find the sockets of [`listen`](Self::listen) and [`bind`](Self::bind) as their
    /// descriptors from 3 on, as systemd passes sockets: `LISTEN_FDS`, `LISTEN_FDNAMES` (the
    /// addresses, with `_` for `:` and `/`) and `LISTEN_PID` tell of them. So a program that
    /// knows nothing of a master can be a worker. Default: they ask for them on the channel.
    ///
    /// Until a worker asks for such a socket on the channel, it waits in `accept`, as systemd's
    /// do; under [`Policy::RoundRobin`] it does not. All workers share this, also under
    /// [`Policy::ReusePort`].
    pub fn pass_listeners(mut self) -> Self {
        self.passes_listeners = true;
        self
    }

    /// Workers start with `SIGINT` ignored, for masters that end them themselves: a terminal's
    /// Ctrl-C reaches the workers as well. Default: they do not; a
    /// [`Supervisor`](crate::Supervisor)'s do.
    pub fn ignore_interrupt(mut self) -> Self {
        self.ignores_interrupt = true;
        self
    }

    /// These settings with what the other, later ones say.
    pub(crate) fn merged(mut self, later: Self) -> Self {
        fn take<T>(old: &mut Option<T>, new: Option<T>) {
            if new.is_some() {
                *old = new;
            }
        }
        take(&mut self.exec, later.exec);
        take(&mut self.args, later.args);
        take(&mut self.cwd, later.cwd);
        take(&mut self.stdio, later.stdio);
        self.standing.update(later.standing);
        take(&mut self.policy, later.policy);
        take(&mut self.serialization, later.serialization);
        take(&mut self.rule, later.rule);
        take(&mut self.window, later.window);
        self.spreads_by_cpu |= later.spreads_by_cpu;
        take(&mut self.allow_listen, later.allow_listen);
        take(&mut self.most_sockets, later.most_sockets);
        take(&mut self.readiness, later.readiness);
        self.passes_listeners |= later.passes_listeners;
        self.environment.extend(later.environment);
        self.listen.extend(later.listen);
        self.passed.extend(later.passed);
        self.adopted.extend(later.adopted);
        self.ignores_interrupt |= later.ignores_interrupt;
        self
    }

    /// Checks once what can be checked before any worker starts.
    pub(crate) fn check(&self) -> Result<()> {
        self.chosen_policy()?;
        self.standing.check()?;
        self.check_spread()?;
        self.addresses()?;
        self.stdio.as_deref().map_or(Ok(()), check_layout)
    }

    /// The policy that workers get: the one of these settings, else of the environment.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`] if `NODE_CLUSTER_SCHED_POLICY` is neither `none` nor `rr`, or a
    /// [`schedule`](Self::schedule) is for another policy.
    pub fn chosen_policy(&self) -> Result<Policy> {
        match (self.policy, &self.rule) {
            (Some(Policy::RoundRobin) | None, Some(_)) => Ok(Policy::RoundRobin),
            (Some(policy), Some(_)) => Err(Error::Settings {
                what: "schedule",
                value: format!("it needs Policy::RoundRobin, and not Policy::{policy:?}"),
            }),
            (Some(policy), None) => Ok(policy),
            (None, None) => Policy::from_environment(),
        }
    }

    /// See [`window`](Self::window), which sets it.
    pub(crate) fn chosen_window(&self) -> u32 {
        self.window.unwrap_or(WINDOW).clamp(1, WIDEST)
    }

    pub(crate) fn rule(&self) -> Option<Rule> {
        self.rule.clone()
    }

    /// What [`serialization`](Self::serialization) has set, or its default.
    pub fn chosen_serialization(&self) -> Serialization {
        self.serialization.unwrap_or_default()
    }

    /// The addresses to listen on at once, and those that workers may ask for.
    pub(crate) fn addresses(&self) -> Result<(Vec<Address>, Option<Vec<Address>>)> {
        fn all(list: &[Result<Address, String>], what: &'static str) -> Result<Vec<Address>> {
            list.iter()
                .map(|one| one.clone().map_err(|value| Error::Settings { what, value }))
                .collect()
        }
        let listen = all(&self.listen, "listen")?;
        let allowed = self.allow_listen.as_ref();
        Ok((listen, allowed.map(|list| all(list, "allow_listen")).transpose()?))
    }

    /// The socket that was passed in on purpose under this number.
    pub(crate) fn passed(&self, number: RawFd) -> Option<&Arc<OwnedFd>> {
        self.passed.iter().find(|socket| socket.as_raw_fd() == number)
    }

    /// The sockets that are open already.
    pub(crate) fn adopted(&self) -> &[Arc<OwnedFd>] {
        &self.adopted
    }

    /// What [`most_sockets`](Self::most_sockets) has set, or its default.
    pub fn socket_limit(&self) -> usize {
        self.most_sockets.unwrap_or(MOST_SOCKETS)
    }

    /// The user that workers run as, if it is another.
    pub(crate) fn worker_uid(&self) -> Result<Option<u32>> {
        self.standing.owner().map(|(uid, _)| uid)
    }

    /// The command that starts a worker, and the program's name for messages. `listeners` are
    /// the sockets that it finds from 3 on.
    pub(crate) fn command(
        &self,
        own: &ForkOptions,
        slot: usize,
        listeners: Vec<OwnedFd>,
    ) -> Result<(Command, String)> {
        let exec = own.exec.as_ref().or(self.exec.as_ref());
        own.stdio.as_deref().map_or(Ok(()), check_layout)?;
        let program = exec.cloned().unwrap_or_else(this_program);
        let name = program.to_string_lossy().into_owned();
        let mut command = Command::new(program);
        match own.args.as_ref().or(self.args.as_ref()) {
            Some(args) => command.args(args),
            None if exec.is_none() => command.args(env::args_os().skip(1)),
            None => &mut command,
        };
        for (name, value) in self.environment.iter().chain(&own.environment) {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(cwd) = own.cwd.as_ref().or(self.cwd.as_ref()) {
            command.cwd(cwd);
        }
        command.stdio(self.layout(own, listeners)?).serialization(self.chosen_serialization());
        self.standing.give(&mut command, slot)?;
        command.ignore_interrupt(self.ignores_interrupt);
        Ok((command, name))
    }

    /// The workers' descriptors; `listeners` are those from 3 on.
    fn layout(&self, own: &ForkOptions, listeners: Vec<OwnedFd>) -> Result<Vec<Stdio>> {
        let mut layout = layout(own.stdio.as_deref().or(self.stdio.as_deref()))?;
        own.divert_output(&mut layout)?;
        let behind = layout.len().min(3);
        layout.splice(behind..behind, listeners.into_iter().map(Stdio::Fd));
        Ok(layout)
    }

    /// The command that starts a mold of such workers. It has what they have, but what is one
    /// worker's alone; the numbers of that are kept for them. Where they have their channel it
    /// has `control`.
    pub(crate) fn mold_command(
        &self,
        own: &ForkOptions,
        listeners: Vec<OwnedFd>,
        control: OwnedFd,
    ) -> Result<(Command, String)> {
        let copies = listeners.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
        let (mut command, name) = self.command(own, 0, copies)?;
        let (mut layout, mut control) = (self.layout(own, listeners)?, Some(control));
        for (number, one) in layout.iter_mut().enumerate() {
            match (number, &*one) {
                (_, Stdio::Ipc) => {
                    command.env(MOLD, number.to_string());
                    *one = control.take().map_or(Stdio::Ignore, Stdio::Fd);
                }
                (0, Stdio::Pipe) => *one = Stdio::Ignore,
                (1 | 2, Stdio::Pipe) => *one = Stdio::Inherit,
                (_, Stdio::Pipe) => *one = File::open("/dev/null")?.into(),
                _ => {}
            }
        }
        command.stdio(layout);
        if self.standing.pins_cpus() {
            command.cpus(cpus::allowed()?);
        }
        Ok((command, name))
    }
}

/// A copy of the list, which serves many workers.
fn layout(list: Option<&[Stdio]>) -> Result<Vec<Stdio>> {
    let Some(list) = list else {
        return Ok(vec![Stdio::Inherit, Stdio::Inherit, Stdio::Inherit, Stdio::Ipc]);
    };
    list.iter()
        .map(|one| {
            Ok(match one {
                Stdio::Pipe => Stdio::Pipe,
                Stdio::Ignore => Stdio::Ignore,
                Stdio::Inherit => Stdio::Inherit,
                Stdio::Ipc => Stdio::Ipc,
                Stdio::Fd(number) => Stdio::Fd(number.as_fd().try_clone_to_owned()?),
            })
        })
        .collect()
}

/// Without exactly one channel it would be no worker.
fn check_layout(list: &[Stdio]) -> Result<()> {
    let channels = list.iter().filter(|one| matches!(one, Stdio::Ipc)).count();
    if channels == 1 {
        return Ok(());
    }
    let value = format!("{channels} channels (exactly one Stdio::Ipc must be there)");
    Err(Error::Settings { what: "stdio", value })
}

/// This program by its path, so that a new build is found; by the image that runs if the path
/// is gone.
fn this_program() -> OsString {
    match env::current_exe() {
        Ok(path) if path.exists() => path.into(),
        _ => "/proc/self/exe".into(),
    }
}
