//! A master over any program.

use std::{io::Write, time::Duration};

use cluster::{
    Event, Policy, Readiness, Recycle, Settings, Signal, Supervised, Supervisor,
    control::Control,
    schedule::{LeastConnections, Sticky},
    systemd,
};
use log::LevelFilter;

use crate::{
    arguments::Run,
    config::{self, Config},
    failure::{Failure, Result, failed},
    options::{Options, PolicyName, Ready, Workers},
    program::Program,
};

/// The library's default, where only the number is given.
const QUORUM_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn run(arguments: Box<Run>) -> Result {
    // First, for it changes the environment: there are no threads yet.
    let sockets = systemd::sockets()
        .map_err(|error| Failure::Failed(format!("the sockets of LISTEN_FDS: {error}")))?;
    let Run { config, options, program } = *arguments;
    let Config { options: others, program: other } = match config {
        Some(path) => config::read(&path)?,
        None => Config::default(),
    };
    let options = options.or(others);
    let line = if program.is_empty() { other } else { program };
    let program = Program::new(line, options.cwd.as_deref())?;
    if options.preload && program.is_node() {
        let text = "--preload is for programs that call `preload` of cluster or worker-api; those \
                    of node cannot";
        return Err(Failure::Usage(text.into()));
    }
    start_log(&options);
    let mut settings = settings(&options, &program);
    for socket in sockets {
        log::info!("has the socket {} from LISTEN_FDS", socket.address());
        settings = settings.adopt(socket);
    }
    let supervisor = supervisor(&options, &program.name, settings);
    let supervised = supervisor.start().map_err(|error| explain(&error))?;
    watch(supervised)
}

fn start_log(options: &Options) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => LevelFilter::Warn,
        (_, true) => LevelFilter::Debug,
        _ => LevelFilter::Info,
    };
    env_logger::Builder::new()
        .filter_level(level)
        .parse_default_env()
        .format(|out, record| match record.level() {
            log::Level::Info => writeln!(out, "cluster: {}", record.args()),
            level => writeln!(out, "cluster: {}: {}", level.as_str().to_lowercase(), record.args()),
        })
        .init();
}

fn supervisor(options: &Options, program: &str, settings: Settings) -> Supervisor {
    let control = Control::new(options.name.as_deref().unwrap_or(program));
    let control = match &options.control {
        Some(path) => control.at(path),
        None => control,
    };
    let supervisor = Supervisor::new(settings).control(control);
    let mut supervisor = match &options.log {
        Some(file) => supervisor.log_file(file),
        None => supervisor.relay(),
    };
    if let Some(Workers::Count(count)) = options.workers {
        supervisor = supervisor.workers(count.get());
    }
    if let Some(time) = options.start_timeout {
        supervisor = supervisor.start_timeout(time.0);
    }
    if let Some(time) = options.drain_timeout {
        supervisor = supervisor.drain_timeout(time.0);
    }
    if let Some(time) = options.stop_timeout {
        supervisor = supervisor.stop_timeout(time.0);
    }
    if let Some(workers) = options.max_surge {
        supervisor = supervisor.max_surge(workers);
    }
    if let Some(workers) = options.max_unavailable {
        supervisor = supervisor.max_unavailable(workers);
    }
    if options.quorum.is_some() || options.quorum_timeout.is_some() {
        let timeout = options.quorum_timeout.map_or(QUORUM_TIMEOUT, |time| time.0);
        supervisor = supervisor.quorum(options.quorum.unwrap_or(1), timeout);
    }
    if let Some(time) = options.watchdog {
        supervisor = supervisor.watchdog(time.0);
    }
    if options.preload {
        supervisor = supervisor.preload();
    }
    supervisor.recycle(recycle(options))
}

fn recycle(options: &Options) -> Recycle {
    let mut recycle = Recycle::new();
    if let Some(count) = options.recycle_connections {
        recycle = recycle.connections(count);
    }
    if let Some(age) = options.recycle_age {
        recycle = recycle.age(age.0);
    }
    if let Some(size) = options.recycle_memory {
        recycle = recycle.memory(size.0);
    }
    recycle
}

fn settings(options: &Options, program: &Program) -> Settings {
    let readiness = match options.ready.unwrap_or(Ready::Auto) {
        Ready::Auto => Readiness::Auto,
        Ready::Listen => Readiness::Listen,
        Ready::Notify => Readiness::Notify,
        Ready::Start => Readiness::Start,
    };
    let mut settings = Settings::new().exec(&program.exec).args(&program.args).readiness(readiness);
    for address in &options.listen {
        settings = settings.listen(address).pass_listeners();
    }
    for address in &options.bind {
        settings = settings.bind(address).pass_listeners();
    }
    if !options.allow_listen.is_empty() {
        settings = settings.allow_listen(&options.allow_listen);
    }
    settings = match options.policy {
        Some(PolicyName::Shared) => settings.policy(Policy::Shared),
        Some(PolicyName::RoundRobin) => settings.policy(Policy::RoundRobin),
        Some(PolicyName::ReusePort) => settings.policy(Policy::ReusePort),
        Some(PolicyName::LeastConnections) => settings.schedule(LeastConnections::new()),
        Some(PolicyName::Sticky) => settings.schedule(Sticky::new()),
        None => settings,
    };
    if options.spread_by_cpu {
        settings = settings.spread_by_cpu();
    }
    for variable in &options.env {
        settings = settings.env(&variable.name, &variable.value);
    }
    if let Some(directory) = &options.cwd {
        settings = settings.cwd(directory);
    }
    standing(options, program, settings)
}

/// What workers are to the system.
fn standing(options: &Options, program: &Program, mut settings: Settings) -> Settings {
    if let Some(user) = &options.user {
        settings = settings.user(user).init_groups();
    }
    if let Some(group) = &options.group {
        settings = settings.group(group);
    }
    if let Some(mask) = options.umask {
        settings = settings.umask(mask.0);
    }
    if options.no_new_privs {
        settings = settings.no_new_privs();
    }
    // A program that does not know of its channel would outlive a master that is killed; Node's
    // notice the channel's end, and ours give the signal back.
    if let Some(signal) = options.death_signal.or((!program.is_node()).then_some(Signal::TERM)) {
        settings = settings.death_signal(signal);
    }
    if options.pin_cpus {
        settings = settings.pin_cpus();
    }
    settings
}

fn watch(mut supervised: Supervised) -> Result {
    while let Some(event) = supervised.poll(None).map_err(|error| explain(&error))? {
        if let Event::Listening { worker, address } = event {
            log::info!("{worker} (pid {}) listens on {address}", worker.pid());
        }
    }
    log::info!("stopped");
    Ok(())
}

/// An error, and what to do about it.
fn explain(error: &cluster::Error) -> Failure {
    use cluster::{Error, worker_api};
    let text = format!("{error:?}");
    match error {
        Error::Settings { .. } => Failure::Usage(text),
        Error::Worker(worker_api::Error::Listen { source, .. }) => {
            Failure::Failed(match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    format!("{text}; end who listens there, or choose another address")
                }
                std::io::ErrorKind::PermissionDenied => {
                    format!("{text}; ports below 1024 need root or CAP_NET_BIND_SERVICE")
                }
                _ => text,
            })
        }
        Error::Control { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Failure::Failed(format!("{text}; stop that one, or choose another --control"))
        }
        Error::Quorum { ready: 0, last: None, .. } => Failure::Failed(format!(
            "{text}; a program that neither speaks with its master nor waits at a socket of \
             --listen is ready only with `--ready notify` or `--ready start`"
        )),
        _ => failed(error),
    }
}
