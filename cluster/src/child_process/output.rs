//! What is left of a child that has ended.

use crate::{Error, Result};
use std::process::ExitStatus;

/// How a child ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// The process id it had.
    pub pid: u32,
    /// Its exit code or the signal that ended it.
    pub status: ExitStatus,
    /// What it wrote to standard output; empty if that was no pipe.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error; empty if that was no pipe.
    pub stderr: Vec<u8>,
    /// For errors: what ran.
    pub(super) program: String,
}

impl Output {
    /// The output of a child that ended with status 0.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`], which holds the output, if it ended otherwise.
    pub fn exit_ok(self) -> Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        Err(Error::Failed { program: self.program.clone(), output: Box::new(self) })
    }
}
