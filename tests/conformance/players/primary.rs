//! A master that does what it is told by lines of JSON on stdin. Arguments: the workers' program
//! and its arguments. `primary.js` is its twin.

use std::{
    env, io,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process,
    sync::Arc,
    thread,
    time::Duration,
};

use cluster::{
    Address, Event, ForkOptions, Master, Message, Result, Settings, Signal, State, WorkerRef,
    child_process::Stdio,
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::read,
};
use serde_json::{Value, json};

use super::stage::Stage;
use crate::handles;

struct Primary {
    master: Master,
    /// Also those that have gone.
    workers: Vec<WorkerRef>,
    stage: Arc<Stage>,
    /// What has come of the next line.
    input: Vec<u8>,
    is_leaving: bool,
}

pub(crate) fn run() -> Result<()> {
    let mut arguments = env::args().skip(2);
    let program = arguments.next().unwrap_or_default();
    let master = Master::new(Settings::new().exec(program).args(arguments))?;
    let (stage, input) = (Arc::default(), Vec::new());
    Primary { master, workers: Vec::new(), stage, input, is_leaving: false }.play()
}

impl Primary {
    fn play(mut self) -> Result<()> {
        loop {
            while let Some(event) = self.master.poll(Some(Duration::ZERO))? {
                self.tell(event)?;
            }
            if self.is_leaving && self.master.is_finished() {
                self.is_leaving = false;
                self.report(json!({ "event": "gone", "left": [] }))?;
            }
            let stdin = io::stdin();
            let mut both = [
                PollFd::new(self.master.as_fd(), PollFlags::POLLIN),
                PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            ];
            poll(&mut both, PollTimeout::NONE).map_err(io::Error::from)?;
            if both[1].any().unwrap_or_default() {
                self.hear()?;
            }
        }
    }

    /// Obeys what has come on stdin.
    fn hear(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        let length = read(io::stdin(), &mut bytes).map_err(io::Error::from)?;
        if length == 0 {
            process::exit(3); // the test has ended
        }
        self.input.extend_from_slice(&bytes[..length]);
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            self.obey(serde_json::from_slice(&line).expect("a command"))?;
        }
        Ok(())
    }

    fn report(&mut self, event: Value) -> Result<()> {
        for command in self.stage.report(&event)? {
            self.obey(command)?;
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        let (name, worker, more) = match event {
            Event::Fork { worker } => {
                self.workers.push(worker.clone());
                ("fork", worker, json!({}))
            }
            Event::Online { worker } => ("online", worker, json!({})),
            Event::Listening { worker, address } => ("listening", worker, at(&address)),
            Event::Message { worker, message } => ("message", worker, heard(message)),
            Event::Disconnect { worker } => ("disconnect", worker, json!({})),
            Event::Exit { worker, status } => {
                let signal = status.signal().and_then(Signal::from_number).and_then(Signal::name);
                ("exit", worker, json!({ "code": status.code(), "signal": signal }))
            }
            Event::Error { worker, error } => {
                ("error", worker, json!({ "error": format!("{error:?}") }))
            }
            Event::Setup { settings } => {
                return self
                    .report(json!({ "event": "setup", "settings": format!("{settings:?}") }));
            }
            _ => return Ok(()),
        };
        let left: Vec<_> = self.master.workers().iter().map(WorkerRef::id).collect();
        let mut event = json!({
            "event": name,
            "worker": worker.id(),
            "pid": worker.pid(),
            "state": state(&worker),
            "connected": worker.is_connected(),
            "dead": worker.is_dead(),
            "wanted": worker.exited_after_disconnect(),
            "left": left,
        });
        if let (Value::Object(event), Value::Object(mut more)) = (&mut event, more) {
            event.append(&mut more);
        }
        self.report(event)
    }

    fn obey(&mut self, command: Value) -> Result<()> {
        let worker = || {
            let id = command["worker"].as_u64().expect("a worker's number");
            self.workers.iter().find(|one| u64::from(one.id()) == id).expect("a worker").clone()
        };
        match command["do"].as_str().unwrap_or_default() {
            "when" => self.stage.when(&command),
            "fork" => {
                let mut options = ForkOptions::new();
                for (name, value) in command["env"].as_object().into_iter().flatten() {
                    options = options.env(name, value.as_str().expect("a text"));
                }
                for _ in 0..command["count"].as_u64().unwrap_or(1) {
                    self.master.fork_with(&options)?;
                }
            }
            "send" => drop(worker().send(&command["message"])?),
            "leave" => worker().disconnect(),
            "leave all" => {
                self.master.disconnect();
                self.is_leaving = true;
            }
            "kill" | "signal" => {
                let name = command["signal"].as_str().unwrap_or("SIGTERM");
                worker().kill(name.parse().expect("a signal"))?;
            }
            "setup" => self.master.setup(settings(&command["settings"]))?,
            "give" => self.give(&worker(), command["kind"].as_str().unwrap_or_default())?,
            "exit" => process::exit(command["code"].as_i64().unwrap_or_default() as i32),
            "fail" => panic!("as told"),
            other => panic!("a master cannot {other:?}"),
        }
        Ok(())
    }

    fn give(&mut self, worker: &WorkerRef, kind: &str) -> Result<()> {
        let (handle, ear) = handles::make(kind, &env::current_dir()?)?;
        worker.send_handle(&json!({ "do": "take", "kind": kind }), handle)?;
        let (stage, id, kind) = (Arc::clone(&self.stage), worker.id(), kind.to_owned());
        thread::spawn(move || {
            let said = ear.hear().unwrap_or_else(|error| error.to_string());
            stage.report(&json!({ "event": "heard", "worker": id, "kind": kind, "said": said }))
        });
        Ok(())
    }
}

/// Node's word for how far a worker has come.
fn state(worker: &WorkerRef) -> &'static str {
    match worker.state() {
        State::Starting => "none",
        State::Online => "online",
        State::Listening => "listening",
        State::Disconnected => "disconnected",
        _ => "dead",
    }
}

/// A worker's address as Node has it.
fn at(address: &Address) -> Value {
    let (kind, ip) = match (address, address.ip()) {
        (Address::Udp(_), Some(ip)) => (json!(if ip.is_ipv4() { "udp4" } else { "udp6" }), ip),
        (_, Some(ip)) => (json!(if ip.is_ipv4() { 4 } else { 6 }), ip),
        (_, None) => {
            let path = address.to_string();
            return json!({ "at": { "addressType": -1, "address": path, "port": -1 } });
        }
    };
    json!({ "at": { "addressType": kind, "address": ip.to_string(), "port": address.port() } })
}

/// A worker's message, and whose handle was used if it is to be.
fn heard(message: Message) -> Value {
    let Message { value, handle, .. } = message;
    let (mut kind, mut used) = (None, None);
    if let Some(handle) = handle {
        kind = Some(format!("{handle:?}").split('(').next().unwrap_or_default().to_owned());
        if value["do"] == "take" {
            thread::spawn(move || handles::take(handle));
            used = Some(true);
        }
    }
    json!({ "message": value, "type": kind, "used": used })
}

fn settings(value: &Value) -> Settings {
    let mut settings = Settings::new();
    if let Some(cwd) = value["cwd"].as_str() {
        settings = settings.cwd(cwd);
    }
    if let Some(args) = value["args"].as_array() {
        settings = settings.args(args.iter().map(|arg| arg.as_str().expect("a text")));
    }
    if value["silent"] == true {
        settings = settings.silent();
    }
    if let Some(list) = value["stdio"].as_array() {
        settings = settings.stdio(list.iter().map(|one| match one.as_str() {
            Some("pipe") => Stdio::Pipe,
            Some("ipc") => Stdio::Ipc,
            Some("ignore") => Stdio::Ignore,
            _ => Stdio::Inherit,
        }));
    }
    settings
}
