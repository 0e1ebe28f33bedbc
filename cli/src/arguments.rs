//! What may be typed.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::options::Options;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the reason is on stderr
  2  wrong usage
  3  no master is there";

/// Runs any server as a cluster of worker processes that share its sockets, and steers it.
#[derive(Debug, Parser)]
#[command(name = "cluster", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<Run>),

    /// Show the workers
    ///
    /// One line for each worker: its slot, number and process, the generation (reload) it
    /// belongs to, its state and age, its open connections if it counts them, the CPU it has
    /// used on average, its memory (the proportional share, where the system tells it), how
    /// often its slot was filled again, and how the slot's last worker ended that was not asked
    /// to. With `run --preload` also the process that is copied for them, and the copy that waits.
    Status(Target),

    /// Show the workers, live
    ///
    /// As `status`, again and again; the CPU is that of the last interval. Keys: q quits. With
    /// --json, a report a line.
    Top(Top),

    /// Print what happens, as it happens
    ///
    /// Until the master ends or you do. With --json, an object a line.
    Events(Target),

    /// Print what workers have printed
    ///
    /// The last lines of all workers, of those that the master keeps (1 MiB); with --follow also
    /// those to come, until the master ends or you do. Who does not read in time misses lines, and
    /// is told how many. With --json, an object a line.
    Logs {
        /// So many of the lines that were printed before
        #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
        lines: usize,
        /// Go on with what workers print from now on
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        target: Target,
    },

    /// Have so many workers
    Scale {
        /// How many, at least 1
        workers: usize,
        #[command(flatten)]
        target: Target,
    },

    /// Replace all workers by new ones, without a gap
    ///
    /// Returns when the new workers serve and the last old one was told to leave; it finishes what
    /// it has. If a new one is not ready in time or dies, the old ones that are left serve on, and
    /// the command fails with the reason.
    Reload(Target),

    /// Replace the master by the program that is there now, and then all workers
    ///
    /// The master's process, its sockets and its workers stay; nobody is refused meanwhile.
    /// Returns when the new workers serve. If the new program does not start, the old one goes
    /// on, and the command fails with the reason.
    Upgrade(Target),

    /// Let all workers finish, and end the master
    ///
    /// Returns when the last worker is gone.
    Stop(Target),

    /// Send a signal to a worker
    Kill {
        /// The worker's number, as `status` shows it
        #[arg(value_name = "ID")]
        worker: u32,
        /// The signal's name or number [default: TERM]
        #[arg(short, long)]
        signal: Option<String>,
        #[command(flatten)]
        target: Target,
    },

    /// Print completions for a shell
    ///
    /// For bash: `cluster completions bash > ~/.local/share/bash-completion/completions/cluster`
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Run a program as a cluster
///
/// Starts as many workers as there are CPUs, each running PROGRAM, keeps them alive, and reloads
/// and stops them gracefully. A program whose name ends in .js, .mjs or .cjs is run with `node`,
/// unchanged; a Rust program may use the crate `worker-api`; any other gets the sockets of
/// --listen as systemd passes them (LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID).
///
/// Signals: TERM, QUIT and INT stop gracefully (again: at once), HUP reloads, USR1 opens the
/// --log file again, USR2 upgrades, TTIN and TTOU mean one worker more and one fewer, WINCH
/// retires all workers and keeps the sockets.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Run {
    /// Read options from this TOML file; those given here are stronger
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) options: Options,

    /// The workers' program and its arguments
    #[arg(value_name = "PROGRAM", trailing_var_arg = true)]
    pub(crate) program: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  cluster run server.js
  cluster run -w 4 --policy round-robin -- ./server --verbose
  cluster run --listen 127.0.0.1:8000 -- gunicorn app:app
  cluster run --config /etc/shop.toml";

/// Which master is meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Target {
    /// The master's control socket [default: that of the only master there is]
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,

    /// The master of this name
    #[arg(long, value_name = "NAME", conflicts_with = "control")]
    pub(crate) name: Option<String>,

    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Top {
    /// How often to look
    #[arg(short, long, value_name = "TIME", default_value = "1s")]
    pub(crate) interval: crate::options::Time,

    #[command(flatten)]
    pub(crate) target: Target,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_follows_the_program_is_its_own() {
        let line = ["cluster", "run", "-w", "2", "server", "-w", "3", "--listen", "x"];
        let Command::Run(run) = Arguments::parse_from(line).command else { unreachable!() };
        assert_eq!(run.program, ["server", "-w", "3", "--listen", "x"]);
        let line = ["cluster", "run", "--", "server"];
        let Command::Run(run) = Arguments::parse_from(line).command else { unreachable!() };
        assert_eq!(run.program, ["server"]);
    }
}
