//! A real server on port 7000: HTTP/1.1 with keep-alive, one worker process for each CPU, and
//! a supervisor that replaces workers which die.
//!
//! ```sh
//! cargo run --release --example hello             # or: --example hello -- 127.0.0.1:8000
//! curl 127.0.0.1:7000
//! ```
//!
//! `WORKERS` in the environment says how many workers, `NODE_CLUSTER_SCHED_POLICY` (`none` or
//! `rr`) how they get connections, or `CLUSTER_POLICY=reuse-port`. The same binary works as a worker of a Node primary.

use std::{
    collections::VecDeque,
    env, error,
    io::{ErrorKind::WouldBlock, Read, Write},
    mem::MaybeUninit,
    process,
    time::{Duration, Instant},
};

use cluster::{Connection, Listener, Policy, Settings, Supervisor, Worker};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

/// Tells the workers the address, for a worker's arguments may be those of a Node program.
const ADDRESS: &str = "HELLO_ADDRESS";
const DEFAULT: &str = "127.0.0.1:7000";

const WORKER: Token = Token(0);
const LISTENER: Token = Token(1);
/// That of the first client.
const CLIENTS: usize = 2;
const SLOW: Duration = Duration::from_millis(50);
/// How long a worker that is to leave serves connections without a request on. To close one at
/// once may cross a request, which finds a reset then; its answer says that it is the last.
const GRACE: Duration = Duration::from_secs(5);
const LONGEST_HEAD: usize = 8 << 10;

fn main() -> cluster::Result<()> {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let argument = env::args().nth(1);
    let Some(worker) = cluster::worker()? else {
        let address = argument.as_deref().unwrap_or(DEFAULT);
        let settings = Settings::new().listen(address).env(ADDRESS, address);
        let settings = match env::var("CLUSTER_POLICY").as_deref() {
            Ok("reuse-port") => settings.policy(Policy::ReusePort),
            _ => settings,
        };
        eprintln!("listening on {address}");
        return Supervisor::new(settings).workers(count()?).run();
    };
    let is_address = |text: &String| !text.contains('/') && text.contains(':');
    let address = env::var(ADDRESS).ok().or(argument.filter(is_address));
    worker.leave_on_signals()?;
    if let Err(error) =
        Server::new(worker, address.as_deref().unwrap_or(DEFAULT)).and_then(Server::run)
    {
        eprintln!("hello: {error:?}");
        process::exit(1);
    }
    Ok(())
}

fn count() -> cluster::Result<usize> {
    let Ok(text) = env::var("WORKERS") else { return Ok(cluster::available_parallelism()) };
    text.parse().map_err(|_| cluster::Error::Settings { what: "WORKERS", value: text })
}

struct Server {
    worker: Worker,
    listener: Listener,
    poll: Poll,
    clients: Slab<Client>,
    /// When clients that asked for `/slow` get their answer.
    slow: VecDeque<(Instant, usize)>,
    answers: Answers,
    /// What is read at a time.
    buffer: [u8; 4096],
    /// Once this worker is to leave: when connections without a request are closed.
    end: Option<Instant>,
}

/// The answer, for a connection that stays open and for one that does not.
struct Answers {
    keep: Vec<u8>,
    close: Vec<u8>,
}

struct Client {
    connection: Connection,
    input: Vec<u8>,
    output: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Reading,
    /// Waits for its answer to `/slow`, until then, and whether the connection stays open.
    Waiting {
        due: Instant,
        keep: bool,
    },
    /// No more requests: to be closed when everything is written.
    Closing,
}

/// What a client has asked for.
struct Request {
    is_slow: bool,
    keep: bool,
}

impl Server {
    fn new(worker: Worker, address: &str) -> Result<Self> {
        let listener = worker.listen(address)?;
        let hello = format!("hello {} from worker {}\n", process::id(), worker.id());
        Ok(Self {
            worker,
            listener,
            poll: Poll::new()?,
            clients: Slab::new(),
            slow: VecDeque::new(),
            answers: Answers::new(&hello),
            buffer: [0; 4096],
            end: None,
        })
    }

    fn run(mut self) -> Result {
        let registry = self.poll.registry();
        registry.register(&mut self.worker, WORKER, Interest::READABLE)?;
        registry.register(&mut self.listener, LISTENER, Interest::READABLE)?;
        let mut events = Events::with_capacity(256);
        while !(self.worker.is_disconnecting() && self.clients.is_empty()) {
            if let Err(error) = self.poll.poll(&mut events, self.time_left())
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            for event in &events {
                match event.token() {
                    WORKER => while self.worker.try_recv()?.is_some() {},
                    LISTENER => self.accept(),
                    Token(token) => self.serve(token - CLIENTS),
                }
            }
            self.answer_slow();
            if self.worker.is_disconnecting() {
                let end = *self.end.get_or_insert_with(|| Instant::now() + GRACE);
                if end <= Instant::now() {
                    self.close_idle();
                }
            }
        }
        Ok(())
    }

    /// How long until something is to be done without anybody asking.
    fn time_left(&self) -> Option<Duration> {
        if self.slow.is_empty() && self.end.is_none() {
            return None; // without a look at the clock
        }
        let now = Instant::now();
        let due = self.slow.front().map(|(due, _)| *due);
        let end = self.end.filter(|&end| end > now);
        due.into_iter().chain(end).min().map(|next| next.saturating_duration_since(now))
    }

    fn accept(&mut self) {
        loop {
            match self.listener.try_accept() {
                Ok(connection) => self.admit(connection),
                Err(error) if error.kind() == WouldBlock => return,
                Err(error) => return eprintln!("cannot accept: {error}"),
            }
        }
    }

    /// The first request is mostly there already; only a client that stays is registered.
    fn admit(&mut self, connection: Connection) {
        let (input, output) = (Vec::new(), Vec::new());
        let client = Client { connection, input, output, state: State::Reading };
        let number = self.clients.insert(client);
        self.serve(number);
        if let Some(client) = self.clients.get_mut(number) {
            let (token, both) = (Token(CLIENTS + number), Interest::READABLE | Interest::WRITABLE);
            let registered = self.poll.registry().register(&mut client.connection, token, both);
            if let Err(error) = registered {
                eprintln!("cannot watch a connection: {error}");
                self.clients.remove(number);
            }
        }
    }

    fn serve(&mut self, number: usize) {
        let Some(client) = self.clients.get_mut(number) else { return };
        let mut open = Some(true);
        while open == Some(true) {
            open = client.read(&mut self.buffer).and_then(|more| {
                while client.state == State::Reading {
                    let Some(Request { is_slow, keep }) = client.request()? else { break };
                    let keep = keep && !self.worker.is_disconnecting();
                    if is_slow {
                        let due = Instant::now() + SLOW;
                        client.state = State::Waiting { due, keep };
                        self.slow.push_back((due, number));
                    } else {
                        client.answer(&self.answers, keep);
                    }
                }
                client.write()?;
                Some(more && client.state == State::Reading)
            });
        }
        if open.is_none() {
            self.clients.remove(number);
        }
    }

    /// Closes connections that ask for nothing, after a last look whether they do.
    fn close_idle(&mut self) {
        let idle = self.clients.iter().filter(|(_, client)| client.is_idle());
        for number in idle.map(|(number, _)| number).collect::<Vec<_>>() {
            self.serve(number);
        }
        self.clients.retain(|_, client| !client.is_idle());
    }

    fn answer_slow(&mut self) {
        while let Some(&(time, number)) = self.slow.front() {
            if time > Instant::now() {
                return;
            }
            self.slow.pop_front();
            // The number may be another client's by now, who waits for another time.
            if let Some(client) = self.clients.get_mut(number)
                && let State::Waiting { due, keep } = client.state
                && due == time
            {
                client.answer(&self.answers, keep && !self.worker.is_disconnecting());
                self.serve(number);
            }
        }
    }
}

impl Answers {
    fn new(text: &str) -> Self {
        let answer = |connection| {
            let length = text.len();
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
                 connection: {connection}\r\n\r\n{text}"
            )
        };
        Self { keep: answer("keep-alive").into(), close: answer("close").into() }
    }
}

/// `None` in these: the connection is to be closed.
impl Client {
    fn is_idle(&self) -> bool {
        self.state == State::Reading && self.input.is_empty() && self.output.is_empty()
    }

    /// Reads once; whether there may be more.
    fn read(&mut self, buffer: &mut [u8]) -> Option<bool> {
        if self.state == State::Closing || self.input.len() >= LONGEST_HEAD {
            return Some(false);
        }
        match self.connection.read(buffer) {
            Ok(0) => None,
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Some(count == buffer.len())
            }
            Err(error) if error.kind() == WouldBlock => Some(false),
            Err(_) => None,
        }
    }

    /// The next request, if it is there as a whole.
    fn request(&mut self) -> Option<Option<Request>> {
        if self.input.is_empty() {
            return Some(None);
        }
        let mut headers = [const { MaybeUninit::uninit() }; 64];
        let mut head = httparse::Request::new(&mut []);
        let length = match head.parse_with_uninit_headers(&self.input, &mut headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.input.len() < LONGEST_HEAD => return Some(None),
            _ => return None,
        };
        let (mut keep, mut close) = (head.version == Some(1), false);
        for header in head.headers.iter() {
            let is = |name| header.name.eq_ignore_ascii_case(name);
            if is("transfer-encoding") || is("content-length") && header.value != b"0" {
                return None; // nobody sends this server a body
            }
            if is("connection") {
                keep |= says(header.value, b"keep-alive");
                close |= says(header.value, b"close");
            }
        }
        let request = Request { is_slow: head.path == Some("/slow"), keep: keep && !close };
        self.input.drain(..length);
        Some(Some(request))
    }

    fn answer(&mut self, answers: &Answers, keep: bool) {
        self.state = if keep { State::Reading } else { State::Closing };
        self.output.extend_from_slice(if keep { &answers.keep } else { &answers.close });
    }

    fn write(&mut self) -> Option<()> {
        let mut written = 0;
        while written < self.output.len() {
            match self.connection.write(&self.output[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == WouldBlock => break,
                Err(_) => return None,
            }
        }
        self.output.drain(..written);
        (self.state != State::Closing || !self.output.is_empty()).then_some(())
    }
}

/// Whether a list of words, as a header has it, has this one.
fn says(list: &[u8], word: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(word))
}
