//! A worker that does what it is told by messages; other messages it reports. `worker.js` is its
//! twin. What it reports goes to stdout, so that it is heard without a channel, too.

use std::{
    collections::BTreeMap,
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use cluster::{
    Address, Connection, Handle, ListenOptions, Listener, Message, Result, UdpSocket, Worker,
};
use nix::errno::Errno;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::handles;

#[derive(Clone)]
struct Player {
    worker: Worker,
    stage: Arc<Stage>,
    open: Arc<Mutex<BTreeMap<String, Open>>>,
    /// What the process does not end before, as Node's would not: its clients, and if it does
    /// not stay for its channel, its listeners.
    clients: Arc<Mutex<Vec<JoinHandle<()>>>>,
    listeners: Arc<Mutex<Vec<JoinHandle<()>>>>,
    is_unref: Arc<AtomicBool>,
    /// Sends back what comes.
    reflects: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Open {
    Listener(Arc<Listener>),
    Socket(Arc<UdpSocket>),
}

pub(crate) fn run() -> Result<()> {
    let worker = cluster::worker()?.expect("a master");
    let player = Player {
        worker,
        stage: Arc::default(),
        open: Arc::default(),
        clients: Arc::default(),
        listeners: Arc::default(),
        is_unref: Arc::default(),
        reflects: Arc::default(),
    };
    if let Ok(commands) = env::var("PLAY") {
        let commands: Vec<Value> = serde_json::from_str(&commands).expect("commands");
        commands.into_iter().try_for_each(|command| player.obey(command, None))?;
    }
    while let Some(message) = player.worker.recv()? {
        if let Some(value) = message.structured().filter(|_| player.reflects.load(SeqCst)) {
            player.worker.send_structured(value)?;
            continue;
        }
        let Message { value, handle, .. } = message;
        match value.get("do") {
            Some(_) => player.obey(value, handle)?,
            None => player.report("message", json!({ "message": value }))?,
        }
        if player.is_unref.load(SeqCst) {
            let listeners = std::mem::take(&mut *lock(&player.listeners));
            listeners.into_iter().for_each(|listener| listener.join().expect("no panic"));
            return Ok(());
        }
    }
    let (connected, wanted) = (player.worker.is_connected(), player.worker.is_disconnecting());
    player.report("disconnect", json!({ "connected": connected, "wanted": wanted }))?;
    let clients = std::mem::take(&mut *lock(&player.clients));
    clients.into_iter().for_each(|client| client.join().expect("no panic"));
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}

impl Player {
    fn report(&self, name: &str, mut more: Value) -> Result<()> {
        more["report"] = name.into();
        more["worker"] = self.worker.id().into();
        for command in self.stage.report(&more)? {
            self.obey(command, None)?;
        }
        Ok(())
    }

    fn obey(&self, command: Value, handle: Option<Handle>) -> Result<()> {
        let name = command["name"].as_str().unwrap_or("a").to_owned();
        let kind = command["kind"].as_str().unwrap_or_default().to_owned();
        match command["do"].as_str().unwrap_or_default() {
            "when" => self.stage.when(&command),
            "listen" => self.listen(name, &command)?,
            "bind" => self.bind(name, &command)?,
            "close" => self.close(name)?,
            "datagram" => self.datagram(&name, &command)?,
            "connect" => self.connect(command["port"].as_u64().expect("a port") as u16)?,
            "say" => {
                let kept = self.worker.try_send(&command["message"])?;
                self.report("said", json!({ "kept": kept }))?;
            }
            "leave" | "destroy" | "cut" => self.worker.disconnect(),
            "exit" => process::exit(command["code"].as_i64().unwrap_or_default() as i32),
            "spin" => {
                self.report("spinning", json!({}))?;
                loop {
                    std::hint::spin_loop();
                }
            }
            "next" => {
                let then = command["then"].as_array().cloned().unwrap_or_default();
                then.into_iter().try_for_each(|command| self.obey(command, None))?;
            }
            "state" => {
                let connected = self.worker.is_connected();
                self.report("state", json!({ "connected": connected, "dead": false }))?;
            }
            "look" => self.look(&command["names"])?,
            "chdir" => env::set_current_dir(command["to"].as_str().expect("a path"))?,
            "echo" => self.echo(&command["number"])?,
            "reflect" => self.reflects.store(true, SeqCst),
            "own" => self.own(name)?,
            "unref" => {
                if command.get("name").is_some() {
                    lock(&self.listeners).clear();
                }
                self.is_unref.store(true, SeqCst);
                self.report("unref", json!({}))?;
            }
            "throw" => {
                let outcome = thread::spawn(|| panic!("as told")).join();
                outcome.expect_err("it panicked");
                self.report("uncaught", json!({}))?;
            }
            "give" => self.give(kind)?,
            "take" => drop(thread::spawn(move || handle.map(handles::take))),
            "adopt" => self.adopt(handle),
            "bounce" => self.worker.send_handle(&command, handle.expect("a handle"))?,
            "twice" => self.twice()?,
            other => panic!("a worker cannot {other:?}"),
        }
        Ok(())
    }

    fn failed(&self, name: &str, error: &dyn std::error::Error) -> Result<()> {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        let code = cause.and_then(io::Error::raw_os_error).map(Errno::from_raw);
        let code = code.map_or_else(|| error.to_string(), |code| format!("{code:?}"));
        self.report("failed", json!({ "name": name, "code": code }))
    }

    fn listen(&self, name: String, command: &Value) -> Result<()> {
        let mut options = shared_options(&command["options"]);
        if let Some(most) = command["most"].as_u64() {
            options = options.max_connections(most as usize);
        }
        match self.worker.listen_with(address(&command["options"]), &options) {
            Ok(listener) if command["idle"] == true => {
                let at = place(listener.local_addr());
                lock(&self.open).insert(name.clone(), Open::Listener(Arc::new(listener)));
                self.report("listening", named(at, &name)) // and nobody accepts
            }
            Ok(listener) => self.serve(name, listener, command["drop"].as_u64()),
            Err(error) => self.failed(&name, &error),
        }
    }

    /// Serves connections, at most so many at a time: others it drops.
    fn serve(&self, name: String, listener: Listener, most: Option<u64>) -> Result<()> {
        let listener = Arc::new(listener);
        let at = place(listener.local_addr());
        lock(&self.open).insert(name.clone(), Open::Listener(Arc::clone(&listener)));
        let player = self.clone();
        let listening = thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, player) =
                    (connection.expect("room for a connection"), player.clone());
                if most.is_some_and(|most| player.worker.connections() as u64 > most) {
                    drop(connection);
                    player.report("dropped", json!({})).expect("stdout");
                    continue;
                }
                thread::spawn(move || player.answer(&connection));
            }
        });
        lock(&self.listeners).push(listening);
        self.report("listening", named(at, &name))
    }

    fn answer(&self, connection: &Connection) -> Result<()> {
        let peer = connection.peer_addr().ip().map(|ip| ip.to_string());
        self.report("connection", json!({ "peer": peer }))?;
        Ok(answer(connection, connection, self.worker.id())?)
    }

    fn bind(&self, name: String, command: &Value) -> Result<()> {
        let place = &command["options"];
        let options = shared_options(place)
            .ipv6_only(command["ipv6Only"] == true)
            .reuse_address(command["reuseAddr"] == true);
        let address = match place["fd"].as_i64() {
            Some(number) => Address::Fd(number as i32),
            None => {
                let anywhere = if command["type"] == "udp6" { "::" } else { "0.0.0.0" };
                let ip = place["address"].as_str().unwrap_or(anywhere).parse().expect("an address");
                let port = place["port"].as_u64().unwrap_or_default() as u16;
                Address::Udp(std::net::SocketAddr::new(ip, port))
            }
        };
        match self.worker.bind_with(address, &options) {
            Ok(socket) => {
                let socket = Arc::new(socket);
                if command["close"] == true {
                    socket.close();
                    return self.report("closed", json!({ "name": name }));
                }
                let at = socket.local_addr();
                lock(&self.open).insert(name.clone(), Open::Socket(Arc::clone(&socket)));
                let (player, called) = (self.clone(), name.clone());
                thread::spawn(move || player.answer_datagrams(&called, &socket));
                let at = json!({ "address": at.ip().to_string(), "port": at.port() });
                self.report("listening", named(at, &name))
            }
            Err(error) => self.failed(&name, &error),
        }
    }

    fn answer_datagrams(&self, name: &str, socket: &UdpSocket) -> Result<()> {
        let mut text = [0; 64];
        let mut number = 0;
        while let Some((length, from)) = socket.recv_from(&mut text)? {
            number += 1;
            self.report("datagram", json!({ "name": name, "number": number }))?;
            let answer =
                format!("{} {}", self.worker.id(), String::from_utf8_lossy(&text[..length]));
            socket.send_to(answer.as_bytes(), from)?;
        }
        Ok(())
    }

    fn close(&self, name: String) -> Result<()> {
        match lock(&self.open).remove(&name) {
            Some(Open::Listener(listener)) => listener.close(),
            Some(Open::Socket(socket)) => socket.close(),
            None => panic!("nothing is called {name:?}"),
        }
        self.report("closed", json!({ "name": name }))
    }

    fn datagram(&self, name: &str, command: &Value) -> Result<()> {
        let Some(Open::Socket(socket)) = lock(&self.open).get(name).cloned() else {
            panic!("no socket is called {name:?}")
        };
        let port = command["port"].as_u64().expect("a port") as u16;
        let text = command["text"].as_str().unwrap_or_default();
        socket.send_to(text.as_bytes(), ([127, 0, 0, 1], port).into())?;
        Ok(())
    }

    fn connect(&self, port: u16) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        self.report("connected", json!({}))?;
        let player = self.clone();
        let client = thread::spawn(move || {
            let _ = stream.read_to_end(&mut Vec::new()); // a reset is an end as well
            player.report("client closed", json!({})).expect("stdout");
        });
        lock(&self.clients).push(client);
        Ok(())
    }

    /// Says what it sees of its surroundings.
    fn look(&self, names: &Value) -> Result<()> {
        let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
        let variables: BTreeMap<_, _> = names.map(|name| (name, env::var(name).ok())).collect();
        let args: Vec<_> = env::args().skip(2).collect();
        let seen = json!({ "cwd": env::current_dir()?, "args": args, "env": variables });
        Ok(self.worker.send(&seen)?)
    }

    /// Writes back what comes on a descriptor.
    fn echo(&self, number: &Value) -> Result<()> {
        process::Command::new("sh")
            .arg("-c")
            .arg(format!("exec cat <&{number} >&{number}"))
            .spawn()?;
        Ok(())
    }

    /// Listens on a socket that it has itself.
    fn own(&self, name: String) -> Result<()> {
        let listener = Listener::from_socket(TcpListener::bind("127.0.0.1:0")?)?;
        self.serve(name, listener, None)
    }

    /// Sends the same socket twice.
    fn twice(&self) -> Result<()> {
        let server = TcpListener::bind("127.0.0.1:0")?;
        let _client = TcpStream::connect(server.local_addr()?)?;
        let (socket, _) = server.accept()?;
        self.worker.send_handle(&json!({ "time": 1 }), socket.try_clone()?)?;
        Ok(self.worker.send_handle(&json!({ "time": 2 }), socket)?)
    }

    fn give(&self, kind: String) -> Result<()> {
        let (handle, ear) = handles::make(&kind, &env::current_dir()?)?;
        self.worker.send_handle(&json!({ "do": "take", "kind": kind }), handle)?;
        let player = self.clone();
        thread::spawn(move || {
            let said = ear.hear().unwrap_or_else(|error| error.to_string());
            player.report("heard", json!({ "kind": kind, "said": said }))
        });
        Ok(())
    }

    fn adopt(&self, handle: Option<Handle>) {
        let Some(Handle::TcpStream(stream)) = handle else { panic!("no connection") };
        let id = self.worker.id();
        thread::spawn(move || {
            stream.set_nonblocking(false)?;
            answer(&stream, &stream, id)
        });
    }
}

fn named(mut value: Value, name: &str) -> Value {
    value["name"] = name.into();
    value
}

/// Options as Node has them.
fn shared_options(value: &Value) -> ListenOptions {
    let mut options = ListenOptions::new()
        .ipv6_only(value["ipv6Only"] == true)
        .exclusive(value["exclusive"] == true)
        .reuse_port(value["reusePort"] == true)
        .readable_all(value["readableAll"] == true)
        .writable_all(value["writableAll"] == true);
    if let Some(backlog) = value["backlog"].as_u64() {
        options = options.backlog(backlog as u32);
    }
    options
}

fn address(options: &Value) -> Address {
    if let Some(path) = options["path"].as_str() {
        return Address::Unix(path.into());
    }
    if let Some(number) = options["fd"].as_i64() {
        return Address::Fd(number as i32);
    }
    let port = options["port"].as_u64().unwrap_or_default() as u16;
    match options["host"].as_str() {
        Some(host) => {
            Address::Tcp((host.parse::<std::net::IpAddr>().expect("an address"), port).into())
        }
        None => Address::Port(port),
    }
}

fn place(address: &Address) -> Value {
    match address {
        Address::Unix(path) => json!({ "path": path }),
        address => json!({ "address": address.ip(), "port": address.port() }),
    }
}

/// Answers each line with it, and the worker's number before.
fn answer(read: impl Read, mut write: impl Write, id: u32) -> io::Result<()> {
    for line in BufReader::new(read).lines() {
        let answer = format!("{id} {}\n", line?);
        write.write_all(answer.as_bytes())?;
    }
    Ok(())
}
