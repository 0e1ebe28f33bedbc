//! The options of `run`, which are the keys of its file as well.

use std::{fmt, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use cluster::{Address, Signal};
use serde::{
    Deserialize,
    de::{self, Deserializer},
};

/// All of them. What is absent is the library's default.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Options {
    /// How many workers: a number, or `auto` for one per CPU that may be used [default: auto]
    #[arg(short, long, value_name = "N")]
    #[serde(deserialize_with = "one")]
    pub(crate) workers: Option<Workers>,

    /// How workers get their connections [default: shared, or as NODE_CLUSTER_SCHED_POLICY says]
    #[arg(long, value_enum)]
    #[serde(deserialize_with = "one")]
    pub(crate) policy: Option<PolicyName>,

    /// Listen on this address at once, and pass the socket to the workers; again for more
    ///
    /// HOST:PORT, PORT, or a path with a slash. A program that asks its master for the address
    /// gets the same socket.
    #[arg(long, value_name = "ADDR")]
    #[serde(deserialize_with = "many")]
    pub(crate) listen: Vec<Address>,

    /// Bind this UDP address at once, and pass the socket to the workers; again for more
    #[arg(long, value_name = "ADDR")]
    #[serde(deserialize_with = "many")]
    pub(crate) bind: Vec<Address>,

    /// Workers may ask for these addresses only, besides those of --listen and --bind
    #[arg(long, value_name = "ADDR")]
    #[serde(deserialize_with = "many")]
    pub(crate) allow_listen: Vec<Address>,

    /// When a worker counts as ready [default: auto]
    #[arg(long, value_enum)]
    #[serde(deserialize_with = "one")]
    pub(crate) ready: Option<Ready>,

    /// The master's name, for `status` and to tell masters apart [default: the program's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// The control socket [default: in $XDG_RUNTIME_DIR/cluster, else /tmp/cluster-UID]
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,

    /// How long a worker may take until it is ready [default: 30s]
    #[arg(long, value_name = "TIME")]
    #[serde(deserialize_with = "one")]
    pub(crate) start_timeout: Option<Time>,

    /// How long a worker that is replaced may finish what it has [default: 30s]
    #[arg(long, value_name = "TIME")]
    #[serde(deserialize_with = "one")]
    pub(crate) drain_timeout: Option<Time>,

    /// How long a stop waits for the workers [default: 10s]
    #[arg(long, value_name = "TIME")]
    #[serde(deserialize_with = "one")]
    pub(crate) stop_timeout: Option<Time>,

    /// So many workers more than wanted may be there during a reload [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) max_surge: Option<usize>,

    /// So many fewer may be ready during a reload [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) max_unavailable: Option<usize>,

    /// Give up when fewer workers than this are ready for the quorum timeout [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) quorum: Option<usize>,

    /// See --quorum [default: 60s]
    #[arg(long, value_name = "TIME")]
    #[serde(deserialize_with = "one")]
    pub(crate) quorum_timeout: Option<Time>,

    /// End a ready worker that does not serve its channel for so long, by ABRT, then KILL, and
    /// start another; for programs that use worker-api [default: none is ended]
    #[arg(long, value_name = "TIME")]
    #[serde(deserialize_with = "one")]
    pub(crate) watchdog: Option<Time>,

    /// Replace a worker that has taken so many connections; for programs that use worker-api
    #[arg(long, value_name = "N")]
    pub(crate) recycle_connections: Option<u64>,

    /// Replace a worker that is so old
    #[arg(long, value_name = "TIME")]
    #[serde(deserialize_with = "one")]
    pub(crate) recycle_age: Option<Time>,

    /// Replace a worker that uses so much memory: 512M, 2G; a bare number means bytes
    #[arg(long, value_name = "SIZE")]
    #[serde(deserialize_with = "one")]
    pub(crate) recycle_memory: Option<Size>,

    /// Start the program once and copy it for each worker, which shares its memory (fork without
    /// exec); for programs that call `preload` of cluster or worker-api
    #[arg(long)]
    pub(crate) preload: bool,

    /// The workers' working directory
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,

    /// A variable in the workers' environment; again for more
    #[arg(short, long, value_name = "NAME=VALUE")]
    #[serde(deserialize_with = "many")]
    pub(crate) env: Vec<Variable>,

    /// The user that workers run as
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// The group that workers run as [default: that of --user]
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,

    /// The permissions that workers' files do not get, in octal
    #[arg(long, value_name = "MASK")]
    #[serde(deserialize_with = "one")]
    pub(crate) umask: Option<Mask>,

    /// No program that a worker runs gets more rights by a setuid bit or the like
    #[arg(long)]
    pub(crate) no_new_privs: bool,

    /// The signal that workers get when the master is gone, even killed [default: TERM for programs
    /// that node does not run; those that use worker-api never get it]
    #[arg(long, value_name = "SIGNAL")]
    #[serde(deserialize_with = "one")]
    pub(crate) death_signal: Option<Signal>,

    /// Bind each worker to one CPU
    #[arg(long)]
    pub(crate) pin_cpus: bool,

    /// A TCP connection goes to a worker on the CPU where it came in; with --policy reuse-port and
    /// --pin-cpus, for programs that ask their master for the address
    #[arg(long)]
    pub(crate) spread_by_cpu: bool,

    /// Write what workers print to the end of this file, which USR1 opens again [default: to the
    /// streams of the master; on a terminal each line says whose it is]
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    /// Say less: only what goes wrong
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more: also what is said between master and workers
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl Options {
    /// These, and what is absent here from the others.
    pub(crate) fn or(self, other: Self) -> Self {
        fn all<T>(ours: Vec<T>, others: Vec<T>) -> Vec<T> {
            if ours.is_empty() { others } else { ours }
        }
        Self {
            workers: self.workers.or(other.workers),
            policy: self.policy.or(other.policy),
            listen: all(self.listen, other.listen),
            bind: all(self.bind, other.bind),
            allow_listen: all(self.allow_listen, other.allow_listen),
            ready: self.ready.or(other.ready),
            name: self.name.or(other.name),
            control: self.control.or(other.control),
            start_timeout: self.start_timeout.or(other.start_timeout),
            drain_timeout: self.drain_timeout.or(other.drain_timeout),
            stop_timeout: self.stop_timeout.or(other.stop_timeout),
            max_surge: self.max_surge.or(other.max_surge),
            max_unavailable: self.max_unavailable.or(other.max_unavailable),
            quorum: self.quorum.or(other.quorum),
            quorum_timeout: self.quorum_timeout.or(other.quorum_timeout),
            watchdog: self.watchdog.or(other.watchdog),
            recycle_connections: self.recycle_connections.or(other.recycle_connections),
            recycle_age: self.recycle_age.or(other.recycle_age),
            recycle_memory: self.recycle_memory.or(other.recycle_memory),
            preload: self.preload || other.preload,
            cwd: self.cwd.or(other.cwd),
            env: other.env.into_iter().chain(self.env).collect(), // the last one counts
            user: self.user.or(other.user),
            group: self.group.or(other.group),
            umask: self.umask.or(other.umask),
            no_new_privs: self.no_new_privs || other.no_new_privs,
            death_signal: self.death_signal.or(other.death_signal),
            pin_cpus: self.pin_cpus || other.pin_cpus,
            spread_by_cpu: self.spread_by_cpu || other.spread_by_cpu,
            log: self.log.or(other.log),
            quiet: self.quiet || (other.quiet && !self.verbose),
            verbose: self.verbose || (other.verbose && !self.quiet),
        }
    }
}

/// A number of workers, or one per CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workers {
    Auto,
    Count(NonZeroUsize),
}

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Count).map_err(|_| "a number from 1 on, or `auto`".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyName {
    /// The workers accept from one socket
    Shared,
    /// The master accepts, and hands the connections over in turn
    RoundRobin,
    /// Each worker accepts from a socket of its own (SO_REUSEPORT)
    ReusePort,
    /// The master hands each connection to the worker that has the fewest
    LeastConnections,
    /// The master hands all connections of a client's address to the same worker
    Sticky,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ready {
    /// Whichever of the others comes first; or, for a program that does not speak with its
    /// master, when it waits at a socket of --listen, as the kernel shows
    Auto,
    /// When it tells its master that it listens or is ready
    Listen,
    /// When it sends READY=1 to $NOTIFY_SOCKET, as to systemd
    Notify,
    /// As soon as it is started
    Start,
}

macro_rules! read_as_value {
    ($($name:ty),*) => {$(
        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                <Self as ValueEnum>::from_str(text, false).map_err(|_| {
                    let names = Self::value_variants().iter();
                    let names = names.filter_map(ValueEnum::to_possible_value);
                    let names: Vec<_> = names.map(|one| one.get_name().to_owned()).collect();
                    format!("one of {}", names.join(", "))
                })
            }
        }
    )*};
}

read_as_value!(PolicyName, Ready);

/// A time with its unit: `500ms`, `30s`, `2m`, `1h`; a bare number means seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a time, such as 500ms, 30s, 2m or 1h".to_owned();
        let digits = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            _ => return Err(wrong()),
        };
        number.checked_mul(millis).map(Duration::from_millis).map(Self).ok_or_else(wrong)
    }
}

/// Bytes: `4096`, `64K`, `512M`, `2G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a size, such as 512M or 2G".to_owned();
        let digits = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let bytes: u64 = match unit {
            "" => 1,
            "K" => 1 << 10,
            "M" => 1 << 20,
            "G" => 1 << 30,
            _ => return Err(wrong()),
        };
        number.checked_mul(bytes).map(Self).ok_or_else(wrong)
    }
}

/// A umask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask(pub(crate) u32);

impl FromStr for Mask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mask = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok();
        mask.filter(|mask| *mask <= 0o777).map(Self).ok_or("three octal digits, as 027".into())
    }
}

/// `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.into(), value: value.into() })
            }
            _ => Err("NAME=VALUE".into()),
        }
    }
}

/// A value of a file, as it would be typed: a string or a number.
fn typed<T: FromStr<Err: fmt::Display>, E: de::Error>(value: toml::Value) -> Result<T, E> {
    let text = match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        other => return Err(E::custom(format!("a string, not a {}", other.type_str()))),
    };
    text.parse().map_err(|wanted| E::custom(format!("{text:?}: {wanted}")))
}

fn one<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    typed(toml::Value::deserialize(from)?).map(Some)
}

/// One, or a list.
fn many<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    match toml::Value::deserialize(from)? {
        toml::Value::Array(list) => list.into_iter().map(typed).collect(),
        one => Ok(vec![typed(one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let time = |text: &str| text.parse::<Time>().map(|Time(time)| time.as_millis());
        assert_eq!(time("500ms"), Ok(500));
        assert_eq!(time("30s"), Ok(30_000));
        assert_eq!(time("30"), Ok(30_000));
        assert_eq!(time("2m"), Ok(120_000));
        assert_eq!(time("1h"), Ok(3_600_000));
        for wrong in
            ["", "s", "-1s", "1d", "1.5s", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        let size = |text: &str| text.parse::<Size>().map(|Size(bytes)| bytes);
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64K"), Ok(64 << 10));
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("2G"), Ok(2 << 30));
        for wrong in ["", "M", "-1M", "1.5G", "1T", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_of_workers() {
        assert_eq!("auto".parse(), Ok(Workers::Auto));
        assert!(matches!("3".parse(), Ok(Workers::Count(count)) if count.get() == 3));
        assert!("0".parse::<Workers>().is_err());
        assert!("many".parse::<Workers>().is_err());
    }

    #[test]
    fn masks_and_variables() {
        assert_eq!("027".parse(), Ok(Mask(0o27)));
        assert!("1000".parse::<Mask>().is_err());
        assert!("8".parse::<Mask>().is_err());
        let variable = Variable { name: "A".into(), value: "b=c".into() };
        assert_eq!("A=b=c".parse(), Ok(variable));
        assert!("A".parse::<Variable>().is_err());
        assert!("=b".parse::<Variable>().is_err());
    }
}
