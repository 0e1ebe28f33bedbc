//! A supervisor over any program, on port 7000: the program and its arguments follow the role.
//! `WORKERS` says how many.

use std::env;

use cluster::{Result, Settings, Supervisor};

pub(crate) fn run() -> Result<()> {
    let mut args = env::args_os().skip(2);
    let program = args.next().expect("a program");
    let workers = env::var("WORKERS").map_or(4, |text| text.parse().expect("a number"));
    let settings = Settings::new().exec(program).args(args).listen("127.0.0.1:7000");
    Supervisor::new(super::under(settings)).workers(workers).run()
}
