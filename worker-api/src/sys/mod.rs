//! The system calls that no library offers in a safe form, and all `unsafe` of this crate.
#![allow(unsafe_code)]

mod door;
mod inherited;
mod rights;

pub(crate) use door::{accept, add_exclusive, remove};
pub(crate) use inherited::{claim, forget_variable};
pub(crate) use rights::{receive, transmit};
