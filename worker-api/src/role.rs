//! Which part this process plays, as its environment says.

use std::{
    env, io,
    os::{
        fd::{OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

use crate::{
    Channel, Error, ListenOptions, Listener, Result, Serialization, ToAddress, UdpSocket, Worker,
    listener::listen_alone,
    scoreboard::{SCOREBOARD, Scorecard},
    sys::{claim, forget_variable},
    udp::bind_alone,
    wire::{MOLD, MoldNotice},
};

/// The channel's number, in a process that has one.
const CHANNEL: &str = "NODE_CHANNEL_FD";
/// The worker's number, in a worker.
const ID: &str = "NODE_UNIQUE_ID";
/// How the channel writes values.
const MODE: &str = "NODE_CHANNEL_SERIALIZATION_MODE";

/// What this process is to other processes.
#[derive(Debug)]
enum Role {
    Alone,
    Master,
    /// It is copied for each worker; with the descriptor of its requests, until it is taken.
    Mold(Option<OwnedFd>),
    Worker(Worker),
    Child(Channel),
    /// The environment promises a channel that cannot be used: why.
    Broken(String),
}

static ROLE: Mutex<Option<Role>> = Mutex::new(None);

/// The role, found in the environment at the first call.
fn role() -> Result<MutexGuard<'static, Option<Role>>> {
    let mut role = ROLE.lock().unwrap_or_else(PoisonError::into_inner);
    match role.get_or_insert_with(|| find().unwrap_or_else(broken)) {
        Role::Broken(why) => Err(unusable(why.clone())),
        _ => Ok(role),
    }
}

fn broken(error: Error) -> Role {
    Role::Broken(match error {
        Error::Channel { source } => source.to_string(),
        other => format!("{other:?}"),
    })
}

fn find() -> Result<Role> {
    let (channel, id, mode) = (take(CHANNEL), take(ID), take(MODE));
    let scoreboard = take(SCOREBOARD);
    if let Some(control) = take(MOLD) {
        return Ok(Role::Mold(Some(open(MOLD, &control)?.into())));
    }
    let Some(channel) = channel else {
        return match id {
            Some(_) => Err(unusable(format!("{ID} is set, but {CHANNEL} is not"))),
            None => Ok(Role::Alone),
        };
    };
    let serialization = match mode.as_deref() {
        None | Some("") => Serialization::default(),
        Some(mode) => Serialization::of_name(mode)
            .ok_or_else(|| unusable(format!("{MODE} is {mode}: neither json nor advanced")))?,
    };
    let socket = open(CHANNEL, &channel)?;
    match id {
        // Node reads any text, and what is no number as 0.
        Some(id) => {
            let id = id.parse().unwrap_or(0);
            // The channel's end tells of the master's, and leaves time to finish.
            nix::sys::prctl::set_pdeathsig(None).map_err(io::Error::from)?;
            let card = Scorecard::of_environment(scoreboard.as_deref(), id)
                .map_err(|source| Error::Channel { source })?;
            Worker::with(id, socket, serialization, card).map(Role::Worker)
        }
        None => Channel::from_stream_with(socket, serialization).map(Role::Child),
    }
}

fn take(name: &str) -> Option<String> {
    let value = env::var_os(name)?;
    forget_variable(name);
    Some(value.to_string_lossy().into_owned())
}

fn unusable(what: String) -> Error {
    Error::Channel { source: io::Error::new(io::ErrorKind::InvalidInput, what) }
}

fn open(variable: &str, number: &str) -> Result<UnixStream> {
    let refuse = |why: &str| unusable(format!("{variable} is {number}: {why}"));
    let number: RawFd = number.parse().map_err(|_| refuse("no number"))?;
    let is_unix = getsockname::<SockaddrStorage>(number)
        .is_ok_and(|name| name.family() == Some(AddressFamily::Unix));
    if !is_unix {
        return Err(refuse("no open Unix socket"));
    }
    let descriptor = claim(number).map_err(|source| Error::Channel { source })?;
    Ok(descriptor.into())
}

/// The mold's end of the socket for requests, once, if this process is a mold.
pub(crate) fn take_mold() -> Result<Option<OwnedFd>> {
    match &mut *role()? {
        Some(Role::Mold(control)) => Ok(control.take()),
        _ => Ok(None),
    }
}

/// This process is another than the one that asked before: its environment says what it is.
pub(crate) fn begin_anew() {
    *ROLE.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The master hears of it at once: a program that does this was not written to be preloaded.
fn too_early<T>(control: Option<&OwnedFd>) -> Result<T> {
    if let Some(control) = control {
        let reason = "it is to be a worker before it has called `preload`";
        MoldNotice::Refused(reason.into()).send(control)?;
    }
    Err(unusable("this process loads for workers to come: call `preload` first".into()))
}

/// Whether a master started this process: one of ours or a Node primary. Also in the mold of
/// workers to come, see [`preload`](crate::preload).
///
/// The first call of this, [`worker`] or [`parent`] takes Node's variables out of the
/// environment; make it early in `main`, before there are other threads.
pub fn is_worker() -> bool {
    match role() {
        Ok(role) => matches!(*role, Some(Role::Worker(_) | Role::Mold(_))),
        Err(error) => {
            log::error!("{error:?}");
            false
        }
    }
}

/// This process as a worker; `None` if no master started it.
///
/// # Errors
///
/// [`Error::Channel`] if the environment promises a channel that cannot be used: this process
/// is nothing then, no master either. Also before [`preload`](crate::preload) in a mold.
pub fn worker() -> Result<Option<Worker>> {
    match &*role()? {
        Some(Role::Worker(worker)) => Ok(Some(worker.clone())),
        Some(Role::Mold(control)) => too_early(control.as_ref()),
        _ => Ok(None),
    }
}

/// The channel to the parent, in a process that was started with one and is no worker.
///
/// # Errors
///
/// As [`worker`].
pub fn parent() -> Result<Option<Channel>> {
    match &*role()? {
        Some(Role::Child(channel)) => Ok(Some(channel.clone())),
        _ => Ok(None),
    }
}

/// Makes this process a master for good, for those who build one; `false`: it is a worker.
///
/// # Errors
///
/// As [`worker`].
pub fn become_master() -> Result<bool> {
    let mut role = role()?;
    if let Some(Role::Worker(_) | Role::Mold(_)) = *role {
        return Ok(false);
    }
    // The child of a parent may be a master as well, and keeps its channel.
    if let Some(Role::Alone) = *role {
        *role = Some(Role::Master);
    }
    Ok(true)
}

/// The worker to listen through; `None` in a program that runs alone.
fn listening_worker() -> Result<Option<Worker>> {
    match &*role()? {
        Some(Role::Worker(worker)) => Ok(Some(worker.clone())),
        Some(Role::Master) => Err(Error::NotWorker),
        Some(Role::Mold(control)) => too_early(control.as_ref()),
        _ => Ok(None),
    }
}

/// Listens through the master; a program that runs alone binds by itself.
///
/// # Errors
///
/// As [`Worker::listen`]; [`Error::NotWorker`] in a master, where the workers listen.
pub fn listen(address: impl ToAddress) -> Result<Listener> {
    listen_with(address, &ListenOptions::new())
}

/// Listens with options.
///
/// # Errors
///
/// As [`listen`].
pub fn listen_with(address: impl ToAddress, options: &ListenOptions) -> Result<Listener> {
    match listening_worker()? {
        Some(worker) => worker.listen_with(address, options),
        None => listen_alone(address.to_address()?, options),
    }
}

/// Binds a UDP port through the master; a program that runs alone binds by itself.
///
/// # Errors
///
/// As [`listen`].
pub fn bind(address: impl ToAddress) -> Result<UdpSocket> {
    bind_with(address, &ListenOptions::new())
}

/// Binds a UDP port with options.
///
/// # Errors
///
/// As [`listen`].
pub fn bind_with(address: impl ToAddress, options: &ListenOptions) -> Result<UdpSocket> {
    match listening_worker()? {
        Some(worker) => worker.bind_with(address, options),
        None => bind_alone(address.to_address()?, options),
    }
}
