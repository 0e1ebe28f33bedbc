//! Node's functions, for when nothing but the program and its arguments is to be said.

use super::{Child, Command};
use crate::Result;
use std::{
    ffi::OsStr,
    io::{self, Write},
};

/// Starts a program with pipes as its standard streams, and does not wait for it.
///
/// # Errors
///
/// [`Error::Spawn`](crate::Error::Spawn) if the program cannot be started,
/// [`Error::Settings`](crate::Error::Settings) if a name or an argument holds a NUL byte.
pub fn spawn<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Result<Child> {
    Command::new(program).args(args).spawn()
}

/// Starts a line of `/bin/sh` and does not wait for it; [`Child::output`] collects what it writes,
/// at most 1 MiB a stream.
///
/// # Errors
///
/// As [`spawn`]. A program in the line that does not exist is none: the shell ends with 127.
pub fn exec(line: impl AsRef<OsStr>) -> Result<Child> {
    Command::shell(line).bounded().spawn()
}

/// Starts a program and does not wait for it; [`Child::output`] collects what it writes, at most
/// 1 MiB a stream.
///
/// # Errors
///
/// As [`spawn`].
pub fn exec_file<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Result<Child> {
    Command::new(program).args(args).bounded().spawn()
}

/// Starts a program that has our standard streams and a channel to us: see [`Command::fork`].
///
/// # Errors
///
/// As [`spawn`].
pub fn fork<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Result<Child> {
    Command::new(program).args(args).fork()
}

/// Runs a program to its end. Its status, be it 0 or not, is in the [`Output`](super::Output).
///
/// # Errors
///
/// As [`spawn`], and [`Error::Overflow`](crate::Error::Overflow) after 1 MiB on one stream.
pub fn spawn_sync<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Result<super::Output> {
    Command::new(program).args(args).output()
}

/// Runs a line of `/bin/sh` to its end and gives what it wrote to stdout; what it wrote to
/// stderr goes to ours.
///
/// # Errors
///
/// As [`spawn_sync`], and [`Error::Failed`](crate::Error::Failed) if the status is not 0.
pub fn exec_sync(line: impl AsRef<OsStr>) -> Result<Vec<u8>> {
    stdout_of(&Command::shell(line))
}

/// Runs a program to its end and gives what it wrote to stdout; what it wrote to stderr goes to
/// ours.
///
/// # Errors
///
/// As [`spawn_sync`], and [`Error::Failed`](crate::Error::Failed) if the status is not 0.
pub fn exec_file_sync<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Result<Vec<u8>> {
    stdout_of(Command::new(program).args(args))
}

fn stdout_of(command: &Command) -> Result<Vec<u8>> {
    let output = command.output()?;
    let _ = io::stderr().write_all(&output.stderr); // nobody to tell if our stderr is gone
    Ok(output.exit_ok()?.stdout)
}
