//! A master that does what it is told by lines of JSON on stdin. Arguments: the workers' program
//! and its arguments. `primary.js` is its twin.

use std::{
    env,
    io::{self, Read, Write},
    net::{TcpListener, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd},
        unix::process::ExitStatusExt,
    },
    process,
    sync::Arc,
    thread,
    time::Duration,
};

use cluster::{
    Address, Event, ForkOptions, Handle, Master, Message, Result, Serialization, Settings, Signal,
    State, WorkerRef, child_process::Stdio, structured,
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::read,
};
use serde_json::{Value, json};

use super::stage::Stage;
use crate::{handles, values::values};

struct Primary {
    master: Master,
    /// Also those that have gone.
    workers: Vec<WorkerRef>,
    stage: Arc<Stage>,
    /// What has come of the next line.
    input: Vec<u8>,
    is_leaving: bool,
    /// A value that is to come back, and its name.
    awaited: Option<(String, structured::Value)>,
}

pub(crate) fn run() -> Result<()> {
    let mut arguments = env::args().skip(2);
    let program = arguments.next().unwrap_or_default();
    let master = Master::new(Settings::new().exec(program).args(arguments))?;
    let (stage, input) = (Arc::default(), Vec::new());
    Primary { master, workers: Vec::new(), stage, input, is_leaving: false, awaited: None }.play()
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
            Event::Message { worker, message } => match self.awaited.take() {
                Some((name, value)) => {
                    let same = message.structured() == Some(&value);
                    ("reflected", worker, json!({ "name": name, "same": same }))
                }
                None => ("message", worker, heard(message)),
            },
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
            "value" => {
                let worker = worker();
                let name = command["name"].as_str().unwrap_or_default();
                let found = values().into_iter().find(|(known, _)| *known == name);
                let (_, value) = found.expect("a value");
                worker.send_structured(&value)?;
                self.awaited = Some((name.to_owned(), value));
            }
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
            "lend" => self.lend(worker(), command["message"].clone())?,
            "open" => self.open(command["type"] == "udp4")?,
            "broadcast" => {
                for worker in self.master.workers() {
                    worker.send(&command["message"])?;
                }
            }
            "pipe" => {
                let number = command["number"].as_u64().expect("a number") as usize;
                self.pipe(&worker(), number, command["text"].as_str().unwrap_or_default())?;
            }
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

impl Primary {
    /// Sends all that is connected to a new port to a worker, each with this message.
    fn lend(&mut self, worker: WorkerRef, message: Value) -> Result<()> {
        let server = TcpListener::bind("127.0.0.1:0")?;
        let port = server.local_addr()?.port();
        thread::spawn(move || -> Result<()> {
            for stream in server.incoming() {
                worker.send_handle(&message, stream?)?;
            }
            Ok(())
        });
        self.report(json!({ "event": "lending", "port": port }))
    }

    /// Opens a socket for workers that ask for it by its number.
    fn open(&mut self, udp: bool) -> Result<()> {
        let (socket, number, port): (Handle, _, _) = if udp {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            let (number, port) = (socket.as_raw_fd(), socket.local_addr()?.port());
            (socket.into(), number, port)
        } else {
            let socket = TcpListener::bind("127.0.0.1:0")?;
            let (number, port) = (socket.as_raw_fd(), socket.local_addr()?.port());
            (socket.into(), number, port)
        };
        self.master.setup(Settings::new().pass_fd(socket))?;
        self.report(json!({ "event": "opened", "fd": number, "port": port }))
    }

    /// Writes to a worker's pipe, and reports what comes back.
    fn pipe(&mut self, worker: &WorkerRef, number: usize, text: &str) -> Result<()> {
        let mut pipe = worker.stdio(number).expect("a pipe");
        pipe.write_all(text.as_bytes())?;
        let mut back = vec![0; text.len()];
        pipe.read_exact(&mut back)?;
        let back = String::from_utf8_lossy(&back);
        self.report(json!({ "event": "piped", "worker": worker.id(), "text": back }))
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

/// A worker's message, and the kind of its handle, which is used as it says.
fn heard(message: Message) -> Value {
    let Message { value, handle, .. } = message;
    let mut kind = None;
    if let Some(handle) = handle {
        kind = Some(format!("{handle:?}").split('(').next().unwrap_or_default().to_owned());
        match (value["do"].as_str(), handle) {
            (Some("take"), handle) => drop(thread::spawn(move || handles::take(handle))),
            (Some("bounce"), Handle::TcpStream(mut stream)) => {
                stream.write_all(b"back\n").expect("a client");
            }
            _ => {}
        }
    }
    json!({ "message": value, "type": kind })
}

fn settings(value: &Value) -> Settings {
    let mut settings = Settings::new();
    if let Some(cwd) = value["cwd"].as_str() {
        settings = settings.cwd(cwd);
    }
    if let Some(args) = value["args"].as_array() {
        settings = settings.args(args.iter().map(|arg| arg.as_str().expect("a text")));
    }
    if let Some(list) = value["allow"].as_array() {
        settings = settings.allow_listen(list.iter().map(|one| one.as_str().expect("a text")));
    }
    if let Some(exec) = value["exec"].as_str() {
        settings = settings.exec(exec);
    }
    if value["serialization"] == "advanced" {
        settings = settings.serialization(Serialization::Advanced);
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
