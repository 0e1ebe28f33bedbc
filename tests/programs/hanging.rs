//! A supervisor over two workers which answer lines as those of `supervised`; the line `hang`
//! makes one hang in an endless loop, and `orphan` start a process that nobody waits for, whose
//! number it answers.
//!
//! In the environment, all for the supervisor: `WATCHDOG`, its time in milliseconds;
//! `CONNECTIONS`, `AGE` (milliseconds) and `MEMORY` (bytes), when workers are recycled.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    os::fd::AsFd,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use cluster::{Connection, Recycle, Result, Settings, Supervisor, Worker};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

static HANGS: AtomicBool = AtomicBool::new(false);

pub(crate) fn run() -> Result<()> {
    match cluster::worker()? {
        Some(worker) => work(&worker),
        None => supervise(),
    }
}

fn number(name: &str) -> Option<u64> {
    Some(env::var(name).ok()?.parse().expect("a number"))
}

fn supervise() -> Result<()> {
    let mut recycle = Recycle::new();
    if let Some(count) = number("CONNECTIONS") {
        recycle = recycle.connections(count);
    }
    if let Some(age) = number("AGE") {
        recycle = recycle.age(Duration::from_millis(age));
    }
    if let Some(bytes) = number("MEMORY") {
        recycle = recycle.memory(bytes);
    }
    let mut supervisor = Supervisor::new(Settings::new()).workers(2).recycle(recycle);
    if let Some(timeout) = number("WATCHDOG") {
        supervisor = supervisor.watchdog(Duration::from_millis(timeout));
    }
    supervisor.run()
}

/// One thread for the channel and the listener, as in a loop.
fn work(worker: &Worker) -> Result<()> {
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        assert!(env::var_os(name).is_none(), "{name} is the supervisor's");
    }
    let listener = worker.listen("127.0.0.1:0")?;
    println!("serves at {}", listener.local_addr());
    let look = PollTimeout::try_from(Duration::from_millis(10)).expect("it is short");
    while !worker.is_disconnecting() {
        while HANGS.load(Relaxed) && !super::is_orphan() {
            std::hint::spin_loop();
        }
        let mut fds = [PollFd::new(worker.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, look); // or a signal came
        while worker.try_recv()?.is_some() {}
        while let Ok(connection) = listener.try_accept() {
            connection.set_nonblocking(false)?;
            let id = worker.id();
            thread::spawn(move || answer(&connection, id));
        }
    }
    drop(listener);
    while worker.drain(Duration::from_secs(30)) > 0 {}
    Ok(())
}

fn answer(mut connection: &Connection, id: u32) -> io::Result<()> {
    for line in BufReader::new(connection).lines() {
        let line = line?;
        match &*line {
            "hang" => HANGS.store(true, Relaxed),
            "orphan" => {
                let script = "(sh -c 'echo $$; exit 3' &)";
                let output = Command::new("sh").args(["-c", script]).output()?;
                println!("orphan {}", String::from_utf8_lossy(&output.stdout).trim());
            }
            _ => {}
        }
        writeln!(connection, "{id} {line}")?;
    }
    Ok(())
}
