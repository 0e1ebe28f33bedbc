//! From a command to a running process.

use super::{
    Command, Stdio,
    environment::{CHANNEL_FD, SERIALIZATION_MODE},
    lookup::candidates,
    stdio::Purpose,
};
use crate::{
    Error, Result, orphans, own,
    process::Process,
    sys::{
        copy_above,
        spawn::{Descriptor, Program, spawn},
    },
};
use std::{
    collections::BTreeMap,
    env,
    ffi::{CString, OsStr, OsString},
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
};

/// A running process and our ends of its pipes.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: Process,
    /// By the child's descriptor number; `None` where there is no pipe.
    pub(crate) stdio: Vec<Option<UnixStream>>,
    /// Our end of the channel, non-blocking.
    pub(crate) ipc: Option<UnixStream>,
}

/// All that a new process is to have.
pub(crate) struct Birth<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) variables: &'a BTreeMap<OsString, OsString>,
    /// The variable with the number of the program's [passed](Program::passed) descriptor.
    pub(crate) passed: Option<&'static str>,
}

impl Birth<'_> {
    /// The usual way.
    pub(crate) fn start(&self) -> io::Result<Process> {
        let (pid, pidfd) = spawn(self.program)?;
        Ok(Process::new(pid, pidfd))
    }
}

impl Command {
    /// Starts the process in this way, with nothing of a [`Child`](super::Child) around it: no
    /// limits, and no `Channel` over the raw stream.
    pub(crate) fn start_by(
        &self,
        bear: impl FnOnce(&Birth<'_>) -> io::Result<Process>,
    ) -> Result<Started> {
        self.launch_by(Purpose::Spawn, bear)
    }

    pub(super) fn launch(&self, purpose: Purpose) -> Result<Started> {
        self.launch_by(purpose, |birth| birth.start())
    }

    fn launch_by(
        &self,
        purpose: Purpose,
        bear: impl FnOnce(&Birth<'_>) -> io::Result<Process>,
    ) -> Result<Started> {
        orphans::sweep();
        self.check()?;
        let layout = self.stdio.resolve(purpose)?;
        if self.input.is_some() && !matches!(layout.first(), Some(Stdio::Pipe)) {
            return Err(invalid("stdin", "not a pipe, which input needs"));
        }
        let cannot_start = |source| Error::Spawn { program: self.name(), source };
        let ends = layout.iter().zip(0..).map(|(stdio, number)| open(stdio, number));
        let ends: Vec<Ends<'_>> = ends.collect::<io::Result<_>>().map_err(cannot_start)?;

        let mut variables = self.environment.resolve(env::vars_os());
        if let Some(number) = layout.iter().position(|stdio| matches!(stdio, Stdio::Ipc)) {
            variables.insert(CHANNEL_FD.into(), number.to_string().into());
            variables.insert(SERIALIZATION_MODE.into(), self.serialization.to_string().into());
        }
        if self.tells_pid {
            variables.remove(OsStr::new("LISTEN_PID"));
        }
        let passed = self.pass_above(layout.len(), &mut variables).map_err(cannot_start)?;
        let path = variables.get(OsStr::new("PATH")).map(OsString::as_os_str);
        let candidates: Vec<CString> = candidates(&self.program, path)
            .iter()
            .map(|path| c_string("program", path.as_os_str()))
            .collect::<Result<_>>()?;
        let cwd = self.cwd.as_ref().map(|cwd| c_string("cwd", cwd.as_os_str())).transpose()?;
        let args = self.argv();
        let program = Program {
            candidates: &candidates,
            args: &args.iter().map(|arg| c_string("argument", arg)).collect::<Result<Vec<_>>>()?,
            env: &c_variables(&variables)?,
            cwd: cwd.as_deref(),
            descriptors: &ends.iter().map(Ends::of_child).collect::<Vec<_>>(),
            passed: passed.as_ref().map(AsFd::as_fd),
            // Our channel, if nobody has asked for it yet: then it still is as we inherited it.
            private: env::var(CHANNEL_FD).ok().and_then(|number| number.parse().ok()),
            detached: self.detached,
            standing: &self.standing,
            ignores_interrupt: self.ignores_interrupt,
            own_pid: self.tells_pid.then_some(c"LISTEN_PID"),
        };
        let _birth = own::birth();
        let passed = self.passed.as_ref().map(|&(variable, _)| variable);
        let birth = Birth { program: &program, variables: &variables, passed };
        let process = bear(&birth).map_err(cannot_start)?;

        let mut started = Started { process, stdio: Vec::new(), ipc: None };
        for end in ends {
            let (pipe, channel) = match end {
                Ends::Pipe { ours, .. } => (Some(ours), None),
                Ends::Channel { ours, .. } => (None, Some(ours)),
                Ends::Nothing | Ends::Same | Ends::Null(_) | Ends::Given(_) => (None, None),
            };
            started.stdio.push(pipe);
            started.ipc = started.ipc.or(channel);
        }
        Ok(started)
    }

    /// The descriptor that is passed besides the list, at a number behind it.
    fn pass_above(
        &self,
        floor: usize,
        variables: &mut BTreeMap<OsString, OsString>,
    ) -> io::Result<Option<OwnedFd>> {
        let Some((variable, descriptor)) = &self.passed else { return Ok(None) };
        let copy = copy_above(descriptor.as_fd(), floor)?;
        variables.insert(variable.into(), copy.as_raw_fd().to_string().into());
        Ok(Some(copy))
    }

    /// The arguments as the child sees them, its name among them.
    pub(super) fn argv(&self) -> Vec<OsString> {
        let mut all = vec![self.argv0.as_ref().unwrap_or(&self.program).clone()];
        if let Some(line) = &self.line {
            all.extend(["-c".into(), line.clone()]);
            if !self.args.is_empty() {
                all.push(self.program.clone()); // the line's $0
            }
        }
        all.extend(self.args.iter().cloned());
        all
    }

    /// For people: what runs.
    pub(super) fn name(&self) -> String {
        self.line.as_ref().unwrap_or(&self.program).to_string_lossy().into_owned()
    }

    fn check(&self) -> Result<()> {
        if self.program.is_empty() {
            return Err(invalid("program", "empty"));
        }
        for name in self.environment.names() {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(invalid("name of a variable", &format!("{name:?}")));
            }
        }
        Ok(())
    }
}

/// What becomes of one descriptor of the child: its end, and ours.
enum Ends<'a> {
    Nothing,
    Same,
    Null(File),
    Given(&'a OwnedFd),
    Pipe { ours: UnixStream, childs: UnixStream },
    Channel { ours: UnixStream, childs: UnixStream },
}

fn open(stdio: &Stdio, number: usize) -> io::Result<Ends<'_>> {
    Ok(match stdio {
        Stdio::Inherit => Ends::Same,
        Stdio::Ignore if number > 2 => Ends::Nothing,
        Stdio::Ignore => Ends::Null(OpenOptions::new().read(true).write(true).open("/dev/null")?),
        Stdio::Fd(fd) => Ends::Given(fd),
        Stdio::Pipe => {
            let (ours, childs) = UnixStream::pair()?;
            Ends::Pipe { ours, childs }
        }
        Stdio::Ipc => {
            let (ours, childs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            Ends::Channel { ours, childs }
        }
    })
}

impl Ends<'_> {
    fn of_child(&self) -> Descriptor<'_> {
        match self {
            Self::Nothing => Descriptor::Closed,
            Self::Same => Descriptor::Same,
            Self::Null(file) => Descriptor::Of(file.as_fd()),
            Self::Given(fd) => Descriptor::Of(fd.as_fd()),
            Self::Pipe { childs, .. } | Self::Channel { childs, .. } => {
                Descriptor::Of(childs.as_fd())
            }
        }
    }
}

fn c_variables(variables: &BTreeMap<OsString, OsString>) -> Result<Vec<CString>> {
    variables
        .iter()
        .map(|(name, value)| {
            let mut variable = name.clone();
            variable.push("=");
            variable.push(value);
            c_string("variable", &variable)
        })
        .collect()
}

fn c_string(what: &'static str, value: &OsStr) -> Result<CString> {
    CString::new(value.as_bytes())
        .map_err(|_| invalid(what, &format!("{value:?}, which holds a NUL byte")))
}

fn invalid(what: &'static str, value: &str) -> Error {
    Error::Settings { what, value: value.to_owned() }
}
