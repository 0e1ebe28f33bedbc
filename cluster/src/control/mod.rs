//! The control socket: how a person or a program talks to a master at work.
//!
//! A Unix stream socket of mode 0600, for the master's user and root. Each line is a JSON
//! object: a [`Request`] one way, its [`Answer`]s the other. What takes time is answered twice,
//! when it has [begun](Answer::Begun) and when it is done; [`Request::Events`] is answered for
//! as long as the client listens, and so is [`Request::Logs`], if it is to follow.
//!
//! [`Client`] is the asking side.

mod caller;
mod claim;
mod client;
mod desk;
mod error;
mod logs;
mod peer;
mod place;
mod protocol;
mod report;
mod server;
mod state;

pub use client::Client;
pub use desk::Control;
pub(crate) use desk::Desk;
pub use error::Error;
pub use place::{Found, default_path, find, folder};
pub use protocol::{Answer, Happening, Printed, Request};
pub use report::{MoldRow, Report, Row};
pub(crate) use server::{Asker, Order, Server};
pub(crate) use state::DeskState;
