//! The `cluster` command, as a person or a program uses it.

mod events;
mod health;
mod mistakes;
mod output;
mod preload;
mod programs;
mod status;
mod steering;
mod support;
mod systemd;
