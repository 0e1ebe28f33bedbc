//! `child_process` over real processes.

mod channel;
mod end;
mod limits;
mod resources;
mod standing;
mod start;
mod stdio;
mod support;
