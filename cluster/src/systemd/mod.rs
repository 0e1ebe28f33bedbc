//! Living under systemd: the sockets it opens, and what it wants to hear.
//!
//! ```no_run
//! use cluster::{Settings, systemd};
//!
//! let mut settings = Settings::new();
//! for socket in systemd::sockets()? {
//!     settings = settings.listen(socket.address()).adopt(socket);
//! }
//! let notifier = systemd::Notifier::from_environment();
//! // Workers are started, and listen.
//! if let Some(notifier) = &notifier {
//!     notifier.ready();
//! }
//! # Ok::<(), cluster::Error>(())
//! ```
//!
//! `docs/systemd.md` has the units.

mod notifier;
mod sockets;

pub use notifier::Notifier;
pub use sockets::{Inherited, sockets};
