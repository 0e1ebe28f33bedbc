//! The system calls that no library offers in a safe form, and all `unsafe` of this crate.
#![allow(unsafe_code)]

mod door;
mod inherited;
mod page;
#[cfg(feature = "tokio")]
mod reactor;
mod rights;
mod sibling;

pub use door::{accept, pass_on};
pub(crate) use door::{add_exclusive, remove};
pub(crate) use inherited::{claim, copy, forget_variable, set_variable};
pub(crate) use page::Page;
#[cfg(feature = "tokio")]
pub(crate) use reactor::watch;
pub use rights::unread;
pub(crate) use rights::{receive, receive_one, transmit};
pub(crate) use sibling::{flush_c_streams, fork_sibling, other_threads, place, vanish};
