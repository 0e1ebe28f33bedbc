//! Who has asked a supervisor for what, and waits for the outcome.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    path::PathBuf,
};

use super::{
    Answer, Asker, Happening, MoldRow, Order, Report, Row, Server, default_path, protocol::now,
};
use crate::{
    Error, Event, Master, MoldPhase, MoldStatus, Policy, Result, Status, WorkerRef, WorkerState,
    WorkerStatus, relay::Follower,
};

/// That a supervisor can be asked and told from outside, and where.
///
/// ```no_run
/// use cluster::{Settings, Supervisor, control::Control};
///
/// // `cluster status`, `cluster reload` and the like find it.
/// Supervisor::new(Settings::new()).control(Control::new("shop")).run()?;
/// # Ok::<(), cluster::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Control {
    name: String,
    path: Option<PathBuf>,
}

impl Control {
    /// At the [usual place](default_path), under this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), path: None }
    }

    /// At this path.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// The clients of a supervisor.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) server: Server,
    pub(super) name: String,
    pub(super) started: f64,
    /// Who waits for which reload.
    pub(super) reloading: VecDeque<(u64, Asker)>,
    /// Reloads that were begun, by whomever, and those that are over.
    pub(super) begun: u64,
    pub(super) over: u64,
    pub(super) stopping: Vec<Asker>,
    pub(super) upgrading: Vec<Asker>,
}

impl Desk {
    pub(crate) fn new(control: Control) -> Result<Self> {
        let Control { name, path } = control;
        let path = path.unwrap_or_else(|| default_path(&name));
        let server = Server::new(&path).map_err(|source| Error::Control { path, source })?;
        log::info!("controlled at {}", server.path().display());
        Ok(Self {
            server,
            name,
            started: now(),
            reloading: VecDeque::new(),
            begun: 0,
            over: 0,
            stopping: Vec::new(),
            upgrading: Vec::new(),
        })
    }

    /// What clients ask, and whether that is all there is to do.
    pub(crate) fn orders(&mut self) -> (Vec<Order>, bool) {
        let orders = self.server.orders();
        let is_all = orders.is_empty() && !self.server.is_busy();
        (orders, is_all)
    }

    /// This one is to be told lines, those to come as well if it follows.
    pub(crate) fn tell_lines(&mut self, asker: Asker, follower: Follower, follows: bool) {
        self.server.tell_lines(asker, follower, follows);
    }

    /// The lines that were not told by now do not go along to the next program.
    pub(crate) fn part_with_lines(&mut self) {
        self.server.part_with_lines();
    }

    /// Goes on telling those who were told lines by the former program.
    pub(crate) fn go_on_with_lines(&mut self, follow: impl Fn() -> io::Result<Follower>) {
        self.server.go_on_with_lines(follow);
    }

    pub(crate) fn answer(&mut self, asker: Asker, outcome: Result<String, String>) {
        let answer = outcome.map_or_else(Answer::Failed, Answer::Done);
        self.server.answer(asker, &answer);
    }

    pub(crate) fn report(&mut self, asker: Asker, status: &Status, master: &Master) {
        let report = report(self, status, master);
        self.server.answer(asker, &Answer::Status(report.into()));
    }

    /// A reload was begun. Each has exactly one outcome, and they come in this order.
    pub(crate) fn reload_begun(&mut self) {
        self.begun += 1;
    }

    /// This one is to hear how the last reload that was begun ends.
    pub(crate) fn awaits_reload(&mut self, asker: Asker) {
        self.server.begin(asker, "reload");
        self.reloading.push_back((self.begun, asker));
    }

    /// This one is to hear when all have left.
    pub(crate) fn awaits_stop(&mut self, asker: Asker) {
        self.server.begin(asker, "stop");
        self.stopping.push(asker);
    }

    /// This one is to hear how the upgrade ends.
    pub(crate) fn awaits_upgrade(&mut self, asker: Asker) {
        self.server.begin(asker, "upgrade");
        self.upgrading.push(asker);
    }

    /// Tells whom it concerns what has happened.
    pub(crate) fn note(&mut self, event: &Event) {
        if let Event::Reload { outcome } = event {
            self.over += 1;
            while let Some(&(reload, asker)) = self.reloading.front()
                && reload <= self.over
            {
                self.reloading.pop_front();
                let outcome = match outcome {
                    Ok(generation) => Ok(format!("reloaded: generation {generation}")),
                    Err(error) => Err(format!("{error:?}")),
                };
                self.answer(asker, outcome);
            }
        }
        if let Event::Upgrade { outcome } = event {
            let outcome = match outcome {
                Ok(generation) => Ok(format!("upgraded: generation {generation}")),
                Err(error) => Err(format!("{error:?}")),
            };
            for asker in std::mem::take(&mut self.upgrading) {
                self.answer(asker, outcome.clone());
            }
        }
        if let Some(happening) = happening(event) {
            self.server.publish(&happening);
        }
    }

    /// All have left, or the supervisor has given up.
    pub(crate) fn close(&mut self, outcome: Result<(), &Error>) {
        let stopped = match outcome {
            Ok(()) => Ok("stopped".to_owned()),
            Err(error) => Err(format!("the master gave up: {error:?}")),
        };
        self.server.withdraw(); // whoever hears that all is over may start anew at once
        for asker in std::mem::take(&mut self.stopping) {
            self.answer(asker, stopped.clone());
        }
        self.server.tell_last_lines();
        let reloading = std::mem::take(&mut self.reloading).into_iter().map(|(_, asker)| asker);
        let upgrading = std::mem::take(&mut self.upgrading);
        for asker in reloading.chain(upgrading) {
            self.answer(asker, Err("the master is at its end".into()));
        }
        self.server.publish(&Happening { detail: stopped.err(), ..Happening::new("end") });
    }
}

impl AsRawFd for Desk {
    fn as_raw_fd(&self) -> RawFd {
        self.server.as_fd().as_raw_fd()
    }
}

fn report(desk: &Desk, status: &Status, master: &Master) -> Report {
    let ready = status.workers.iter().filter(|one| one.state == WorkerState::Ready).count();
    let state = match (status.is_stopping, status.is_reloading) {
        (true, _) => "stopping",
        (_, true) => "reloading",
        _ if ready < status.size => "starting",
        _ => "running",
    };
    Report {
        version: env!("CARGO_PKG_VERSION").into(),
        name: desk.name.clone(),
        pid: status.pid,
        started: desk.started,
        state: state.into(),
        workers: status.size,
        generation: status.generation,
        policy: match master.policy() {
            Policy::Shared => "shared",
            Policy::RoundRobin => "round-robin",
            Policy::ReusePort => "reuse-port",
        }
        .into(),
        slots: status.workers.iter().map(|worker| row(worker, master)).collect(),
        molds: status.molds.iter().map(mold_row).collect(),
    }
}

fn mold_row(mold: &MoldStatus) -> MoldRow {
    let state = match mold.state {
        MoldPhase::Loading => "loading",
        MoldPhase::Ready => "ready",
        MoldPhase::Coming => "coming",
        MoldPhase::Former => "former",
    };
    MoldRow { pid: mold.pid, generation: mold.generation, state: state.into(), spare: mold.spare }
}

fn row(worker: &WorkerStatus, master: &Master) -> Row {
    let score = worker.worker.and_then(|id| master.worker(id)?.score());
    Row {
        slot: worker.slot,
        worker: worker.worker,
        pid: worker.pid,
        generation: worker.generation,
        state: match worker.state {
            WorkerState::Waiting => "waiting",
            WorkerState::Starting => "starting",
            WorkerState::Ready => "ready",
            WorkerState::Leaving => "leaving",
        }
        .into(),
        age: worker.age.map(|age| age.as_secs_f64()),
        restarts: worker.restarts,
        last_exit: worker.last_exit.clone(),
        connections: score.as_ref().map(|score| score.active),
        accepted: score.as_ref().map(|score| score.accepted),
        counters: score.map(|score| score.counters.into_iter().collect()).unwrap_or_default(),
    }
}

fn happening(event: &Event) -> Option<Happening> {
    let of = |what: &str, worker: &WorkerRef, detail: Option<String>| Happening {
        worker: Some(worker.id()),
        pid: Some(worker.pid()),
        detail,
        ..Happening::new(what)
    };
    Some(match event {
        Event::Fork { worker } => of("fork", worker, None),
        Event::Online { worker } => of("online", worker, None),
        Event::Listening { worker, address } => of("listening", worker, Some(address.to_string())),
        Event::Ready { worker } => of("ready", worker, None),
        Event::Disconnect { worker } => of("disconnect", worker, None),
        Event::Exit { worker, status } => of("exit", worker, Some(status.to_string())),
        Event::Error { worker, error } => of("error", worker, Some(format!("{error:?}"))),
        Event::Reload { outcome: Ok(generation) } => Happening {
            detail: Some(format!("generation {generation}")),
            ..Happening::new("reload")
        },
        Event::Reload { outcome: Err(error) } => {
            Happening { detail: Some(format!("{error:?}")), ..Happening::new("reload-failed") }
        }
        Event::Upgrade { outcome: Ok(generation) } => Happening {
            detail: Some(format!("generation {generation}")),
            ..Happening::new("upgrade")
        },
        Event::Upgrade { outcome: Err(error) } => {
            Happening { detail: Some(format!("{error:?}")), ..Happening::new("upgrade-failed") }
        }
        Event::Message { .. } | Event::Setup { .. } => return None,
    })
}
