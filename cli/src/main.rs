//! The `cluster` command: runs any server as a cluster of worker processes, and steers it.

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};

mod failure;

mod arguments;
mod config;
mod options;
mod program;
mod table;
mod usage;

mod ask;
mod events;
mod logs;
mod run;
mod status;
mod target;
mod top;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run::run(arguments),
        Command::Status(target) => status::status(&target),
        Command::Top(arguments) => top::top(&arguments),
        Command::Events(target) => events::events(&target),
        Command::Logs { lines, follow, target } => logs::logs(lines, follow, &target),
        Command::Scale { workers, target } => ask::scale(workers, &target),
        Command::Reload(target) => ask::reload(&target),
        Command::Upgrade(target) => ask::upgrade(&target),
        Command::Stop(target) => ask::stop(&target),
        Command::Kill { worker, signal, target } => ask::kill(worker, signal, &target),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "cluster", &mut std::io::stdout());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("cluster: {failure}");
            failure.code()
        }
    }
}
