//! The same for programs that run on tokio: the worker's side, children, and a master in a
//! runtime.
//!
//! ```no_run
//! use cluster::{Event, Master, Settings};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> cluster::Result<()> {
//! let mut master = Master::new(Settings::new().exec("./worker"))?.into_tokio()?;
//! master.fork()?;
//! let mut tick = tokio::time::interval(Duration::from_secs(10));
//! loop {
//!     tokio::select! {
//!         event = master.next() => match event? {
//!             Some(Event::Exit { .. }) => drop(master.fork()?),
//!             Some(_) => {}
//!             None => return Ok(()),
//!         },
//!         _ = tick.tick() => for worker in master.workers() {
//!             worker.send("tick")?;
//!         },
//!     }
//! }
//! # }
//! ```

use std::{
    ops::{Deref, DerefMut},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use tokio::io::unix::AsyncFd;

mod child;

pub use child::Child;
pub use worker_api::with_tokio::*;

use crate::{Event, Result, sys::watch};

/// A master in a tokio runtime; it derefs to the plain [`Master`](crate::Master). It works
/// only while [`next`](Self::next) is awaited.
#[derive(Debug)]
pub struct Master {
    master: crate::Master,
    readable: AsyncFd<OwnedFd>,
}

impl crate::Master {
    /// This master in the current runtime.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Panics
    ///
    /// Outside a runtime with I/O.
    pub fn into_tokio(self) -> Result<Master> {
        let readable = watch(self.as_fd())?;
        Ok(Master { master: self, readable })
    }
}

impl Master {
    /// The next event; `None` when no worker is left. A call that is dropped loses nothing.
    ///
    /// # Errors
    ///
    /// As [`Master::poll`](crate::Master::poll).
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let event = self.master.poll(Some(Duration::ZERO))?;
            if event.is_some() || self.master.is_finished() {
                return Ok(event);
            }
            let mut ready = self.readable.readable().await?;
            // Cleared before the next look, so what comes during that look is told again.
            ready.clear_ready();
        }
    }
}

impl Deref for Master {
    type Target = crate::Master;

    fn deref(&self) -> &crate::Master {
        &self.master
    }
}

impl DerefMut for Master {
    fn deref_mut(&mut self) -> &mut crate::Master {
        &mut self.master
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ForkOptions, Settings};

    #[tokio::test]
    async fn a_worker_lives_and_ends_in_a_runtime() {
        let settings = Settings::new().exec("/bin/sh").args(["-c", "exit 7"]);
        let mut master = crate::Master::new(settings).unwrap().into_tokio().unwrap();
        master.fork_with(&ForkOptions::new()).unwrap();
        let mut seen = Vec::new();
        let all = async {
            while let Some(event) = master.next().await.unwrap() {
                seen.push(match event {
                    Event::Fork { worker } => format!("fork {}", worker.id()),
                    Event::Disconnect { .. } => "disconnect".into(),
                    Event::Exit { status, .. } => format!("exit {:?}", status.code()),
                    other => format!("{other:?}"),
                });
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
        assert_eq!(seen, ["fork 1", "disconnect", "exit Some(7)"]);
    }
}
