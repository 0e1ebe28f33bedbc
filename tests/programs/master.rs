//! A master of other programs: the arguments are the workers' program and its arguments.

use std::env;

use cluster::{Event, Master, Result, Settings};

pub(crate) fn run() -> Result<()> {
    let mut arguments = env::args().skip(2);
    let program = arguments.next().unwrap_or_default();
    let mut master = Master::new(Settings::new().exec(program).args(arguments))?;
    for _ in 0..2 {
        master.fork()?;
    }
    while let Some(event) = master.poll(None)? {
        if let Event::Listening { worker, address } = event {
            println!("{worker} listens on {address}");
        }
    }
    Ok(())
}
