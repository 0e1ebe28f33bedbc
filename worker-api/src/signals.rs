//! Signals as a worker of a master should take them.

use std::{
    io,
    sync::{Mutex, PoisonError},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::Worker;

/// Whether this process's thread for them runs.
static TAKEN: Mutex<bool> = Mutex::new(false);

/// Starts the thread that takes them, once.
pub(crate) fn take(worker: &Worker) -> io::Result<()> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if *taken {
        return Ok(());
    }
    let signals = Signals::new([SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])?;
    let worker = worker.clone();
    thread::Builder::new().name("cluster-signals".into()).spawn(move || obey(&worker, signals))?;
    *taken = true;
    Ok(())
}

fn obey(worker: &Worker, mut signals: Signals) {
    for signal in signals.forever() {
        match signal {
            SIGTERM | SIGQUIT => worker.leave_as_told(),
            // From a terminal it goes to all, and the master decides; without one nobody does.
            SIGINT if !worker.is_connected() => {
                if let Err(error) = emulate_default_handler(signal) {
                    log::error!("cannot end by signal {signal}: {error}");
                }
            }
            _ => log::debug!("ignored signal {signal}, which is for the master"),
        }
    }
}
