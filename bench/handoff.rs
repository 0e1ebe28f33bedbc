//! Connections through a lane from one process to another, and nothing else: each is duplicated,
//! sent and closed on both sides. Connections for each second, and the sender's CPU for each in
//! microseconds, as one line of JSON.

use std::{
    env, error, io,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cluster::worker_api::wire::{lane, put, take};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    time::{ClockId, clock_gettime},
};
use serde_json::json;

const COUNT: u32 = 256_000;

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

fn main() -> Result {
    if env::args().len() > 1 { receive() } else { send() }
}

fn send() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    let (connection, _) = listener.accept()?;
    let (ours, theirs) = lane()?;
    let mut child =
        Command::new(env::current_exe()?).arg("receive").stdin(Stdio::from(theirs)).spawn()?;
    let (start, used) = (Instant::now(), cpu()?);
    for _ in 0..COUNT {
        let copy = connection.try_clone()?;
        while let Err(error) = put(ours.as_fd(), copy.as_fd(), false) {
            would_block(error)?;
            wait(ours.as_fd(), PollFlags::POLLOUT)?;
        }
    }
    drop(ours);
    let used = cpu()?.saturating_sub(used);
    if !child.wait()?.success() {
        return Err("the receiver failed".into());
    }
    let count = f64::from(COUNT);
    let rate = count / start.elapsed().as_secs_f64();
    println!("{}", json!({ "rate": rate, "sender": used.as_secs_f64() * 1e6 / count }));
    Ok(())
}

fn receive() -> Result {
    let (input, mut count) = (io::stdin(), 0);
    loop {
        match take(input.as_fd()) {
            Ok(Some(passed)) => drop(passed),
            Ok(None) if count == COUNT => return Ok(()),
            Ok(None) => return Err("some are lost".into()),
            Err(error) => {
                would_block(error)?;
                wait(input.as_fd(), PollFlags::POLLIN)?;
                continue;
            }
        }
        count += 1;
    }
}

fn would_block(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}

fn wait(descriptor: BorrowedFd<'_>, what: PollFlags) -> nix::Result<()> {
    poll(&mut [PollFd::new(descriptor, what)], PollTimeout::NONE).map(drop)
}

fn cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}
