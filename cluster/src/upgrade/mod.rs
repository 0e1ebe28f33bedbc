//! Becoming another program: the same process, with its workers and its sockets, after an
//! `exec`.
//!
//! The program that is there now is tried first: it is started beside this one, reads what it
//! will be given, and ends ([`Trial`]). Then this process writes down what it knows
//! ([`State`]), keeps its descriptors open, and becomes the new program, which finds a variable
//! in its environment and goes on. If any of this fails this program goes on as if nothing had
//! been asked; if the new one fails later, but before it has taken over, this one does so in
//! another process ([`guard`]).

mod guard;
mod image;
mod state;
mod trial;

pub(crate) use image::Image;
pub(crate) use state::{Heir, State, taken};
pub(crate) use trial::Trial;

/// In the environment of a program that takes over: the descriptor with the state.
const TAKES_OVER: &str = "CLUSTER_UPGRADE";

/// In the environment of a program on trial: that it is on trial.
const ON_TRIAL: &str = "CLUSTER_UPGRADE_TRIAL";

/// In the environment of the old program while it stands guard: its descriptors.
const ON_GUARD: &str = "CLUSTER_UPGRADE_GUARD";
