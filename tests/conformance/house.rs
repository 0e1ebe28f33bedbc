//! A primary and its workers, each in Rust or in Node, that do what a scenario tells them.

use std::process::Command;

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Lines, Program, fixture, kill, node, wait_until};

/// Who plays which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Rust on both sides.
    Rust,
    /// Node workers under our master.
    Worker,
    /// Our workers under a Node primary.
    Primary,
}

/// Plays a scenario in this form, with Node if that has a part in it.
pub(crate) fn play(row: &str, form: Form, scenario: fn(Form)) {
    if form == Form::Rust || node(row) {
        scenario(form);
    }
}

/// Makes the tests of scenarios, which are functions of these names in the same module, in the
/// forms that follow each: `cluster_basic::rust`, `cluster_basic::worker` and so on. A scenario
/// is named after Node's test.
macro_rules! rows {
    ($($row:ident: $($form:ident)+;)*) => {$(
        mod $row {
            $(
                #[test]
                fn $form() {
                    let form = crate::house::form(stringify!($form));
                    crate::house::play(stringify!($row), form, super::$row);
                }
            )+
        }
    )*};
}
pub(crate) use rows;

pub(crate) fn form(name: &str) -> Form {
    match name {
        "rust" => Form::Rust,
        "worker" => Form::Worker,
        "primary" => Form::Primary,
        _ => panic!("there is no form {name}"),
    }
}

/// Both of Node's policies, for scenarios that hold under either.
pub(crate) const POLICIES: [&str; 2] = ["rr", "none"];

const ROLE: &str = "conformance-worker";

/// A primary with its workers, and what they report: lines of JSON, see `players/`.
///
/// The primary's tell of an `event`: fork, online, listening, message, disconnect, exit, error,
/// setup, gone; with how its `worker` is then: `state`, `connected`, `dead`, `wanted` (it exited
/// after a disconnect), and who is `left`. The workers' are a `report` of something.
#[derive(Debug)]
pub(crate) struct House {
    form: Form,
    program: Program,
    folder: TempDir,
}

/// A worker that stands still until this is dropped.
#[derive(Debug)]
pub(crate) struct Stopped(u32);

impl Drop for Stopped {
    fn drop(&mut self) {
        kill(self.0, SIGCONT);
    }
}

impl House {
    pub(crate) fn new(form: Form, policy: &str) -> Self {
        Self::start(form, policy, Command::new("env"))
    }

    /// A house whose primary may do no more than any other user.
    pub(crate) fn without_rights(form: Form, policy: &str) -> Self {
        let mut command = Command::new("env");
        if nix::unistd::geteuid().is_root() {
            command.args(["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
        }
        Self::start(form, policy, command)
    }

    fn start(form: Form, policy: &str, mut command: Command) -> Self {
        match form {
            Form::Primary => command.arg("node").arg(player("primary.js")),
            Form::Rust | Form::Worker => command.arg(fixture()).arg("conformance-primary"),
        };
        match form {
            Form::Worker => command.arg("node").arg(player("worker.js")),
            Form::Rust | Form::Primary => command.arg(fixture()).arg(ROLE),
        };
        let folder = tempfile::tempdir().unwrap();
        command
            .env("NODE_CLUSTER_SCHED_POLICY", policy)
            .env("NODE_NO_WARNINGS", "1")
            .env("RUST_LOG", "warn")
            .current_dir(folder.path());
        Self { form, program: Program::start_obedient(&mut command), folder }
    }

    pub(crate) fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// The primary's working directory, and so the workers'.
    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// Gives the primary a command.
    pub(crate) fn tell(&self, command: Value) {
        self.program.tell(&command.to_string());
    }

    /// Has the primary do something as soon as something happens.
    pub(crate) fn when(&self, like: Value, then: Value) {
        self.tell(json!({ "do": "when", "like": like, "then": then }));
    }

    /// Gives a worker a command, or sends it a message.
    pub(crate) fn order(&self, worker: u32, message: Value) {
        self.tell(json!({ "do": "send", "worker": worker, "message": message }));
    }

    /// Has a worker do something as soon as something happens to it.
    pub(crate) fn prepare(&self, worker: u32, like: Value, then: Value) {
        self.order(worker, json!({ "do": "when", "like": like, "then": then }));
    }

    /// Starts so many workers, the first ones of this house, and waits until they are online.
    #[track_caller]
    pub(crate) fn fork(&self, count: u32) {
        self.tell(json!({ "do": "fork", "count": count }));
        for worker in 1..=count {
            self.event(json!({ "event": "online", "worker": worker }));
        }
    }

    /// Starts a worker that does this at once.
    pub(crate) fn play(&self, commands: Value) {
        self.tell(json!({ "do": "fork", "env": { "PLAY": commands.to_string() } }));
    }

    /// The workers' arguments in the settings, so that these come behind the program's own.
    pub(crate) fn args(&self, own: &[&str]) -> Vec<String> {
        let first = match self.form {
            Form::Rust => Some(ROLE.to_owned()),
            Form::Worker => Some(player("worker.js").to_str().unwrap().to_owned()),
            Form::Primary => None, // the role is Node's `exec`
        };
        first.into_iter().chain(own.iter().map(|&one| one.to_owned())).collect()
    }

    /// Listens or binds twice in a worker, closes each in its listening, and does it again.
    pub(crate) fn index(&self, act: &str, options: Value) {
        for (name, next) in [("a", Some("c")), ("b", Some("d")), ("c", None), ("d", None)] {
            let mut then = vec![json!({ "do": "close", "name": name })];
            then.extend(next.map(|next| json!({ "do": act, "name": next, "options": options })));
            let then = json!([{ "do": "next", "then": then }]);
            self.prepare(1, json!({ "report": "listening", "name": name }), then);
        }
        for name in ["a", "b"] {
            self.order(1, json!({ "do": act, "name": name, "options": options }));
        }
        self.events(4, json!({ "report": "closed" }));
        assert!(self.so_far(json!({ "report": "failed" })).is_empty());
        self.order(1, json!({ "do": "exit", "code": 0 }));
        self.exits(1, 0);
    }

    /// Stops a worker, and waits until it stands still.
    #[track_caller]
    pub(crate) fn stop(&self, worker: u32) -> Stopped {
        let pid = self.event(json!({ "event": "fork", "worker": worker }))["pid"].as_u64().unwrap();
        let stopped = Stopped(pid as u32);
        kill(stopped.0, SIGSTOP);
        wait_until("a worker that stands still", || {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            tasks.map(Result::unwrap).all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap();
                stat[stat.rfind(')').unwrap()..].starts_with(") T")
            })
        });
        stopped
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Waits until the primary shows that it still does what it is told.
    #[track_caller]
    pub(crate) fn is_alive(&self) {
        let workers = self.so_far(json!({ "event": "fork" })).len() + 1;
        self.tell(json!({ "do": "fork" }));
        self.event(json!({ "event": "online", "worker": workers }));
    }

    /// What the primary has told of a worker.
    pub(crate) fn life(&self, worker: u32) -> Vec<Value> {
        let mut all = self.so_far(json!({ "worker": worker }));
        all.retain(|one| one.get("event").is_some());
        all
    }

    /// Waits for a report or event that has all this.
    #[track_caller]
    pub(crate) fn event(&self, like: Value) -> Value {
        self.events(1, like).remove(0)
    }

    /// Waits for so many that have all this: the first ones.
    #[track_caller]
    pub(crate) fn events(&self, count: usize, like: Value) -> Vec<Value> {
        self.program.look(&format!("{count} like {like}"), |lines| {
            let found: Vec<_> = matching(lines, &like).take(count).collect();
            (found.len() == count).then_some(found)
        })
    }

    /// All so far that have all this.
    pub(crate) fn so_far(&self, like: Value) -> Vec<Value> {
        matching(&self.program.lines(), &like).collect()
    }

    /// Has a worker listen, and waits for what it reports.
    #[track_caller]
    pub(crate) fn listen(&self, worker: u32, name: &str, options: Value) -> Value {
        self.order(worker, json!({ "do": "listen", "name": name, "options": options }));
        self.outcome(worker, name)
    }

    /// Has a worker bind a UDP port, and waits for what it reports.
    #[track_caller]
    pub(crate) fn bind(&self, worker: u32, name: &str, options: Value) -> Value {
        self.order(worker, json!({ "do": "bind", "name": name, "options": options }));
        self.outcome(worker, name)
    }

    /// How a worker's listen or bind went.
    #[track_caller]
    pub(crate) fn outcome(&self, worker: u32, name: &str) -> Value {
        let like = json!({ "worker": worker, "name": name });
        let is_outcome = |one: &Value| one["report"] == "listening" || one["report"] == "failed";
        self.program
            .look(&format!("outcome like {like}"), |lines| matching(lines, &like).find(is_outcome))
    }

    /// Waits for a worker's end with this code and no signal; its event.
    #[track_caller]
    pub(crate) fn exits(&self, worker: u32, code: i32) -> Value {
        let exit = self.event(json!({ "event": "exit", "worker": worker }));
        assert_eq!(exit["code"], code, "{exit}");
        assert_eq!(exit["signal"], Value::Null, "{exit}");
        exit
    }
}

fn matching(lines: &[String], like: &Value) -> impl Iterator<Item = Value> {
    let events = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
    events.filter(move |event| has(event, like))
}

/// Whether a value has all that another one has, deep inside, too.
fn has(value: &Value, like: &Value) -> bool {
    match (value, like) {
        (Value::Object(value), Value::Object(like)) => {
            like.iter().all(|(name, like)| value.get(name).is_some_and(|value| has(value, like)))
        }
        _ => value == like,
    }
}

/// A program of `players/`.
pub(crate) fn player(name: &str) -> std::path::PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "conformance", "players", name].iter().collect()
}

/// The address of a listener on all addresses or 127.0.0.1, from what its worker reported.
pub(crate) fn local(listening: &Value) -> String {
    assert_eq!(listening["report"], "listening", "{listening}");
    format!("127.0.0.1:{}", listening["port"])
}

/// Who answers at an address.
#[track_caller]
pub(crate) fn ask(address: &str) -> u32 {
    Lines::connect(address).unwrap().ask("hello").unwrap()
}

/// Where to listen when it does not matter.
pub(crate) fn anywhere() -> Value {
    json!({ "port": 0, "host": "127.0.0.1" })
}
