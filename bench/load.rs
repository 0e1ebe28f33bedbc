//! Load for the benchmarks: one thread that connects, asks for a page, and counts who answered.
//!
//! ```text
//! load ADDRESS [name=value…]
//!   at_once=64    connections at a time        count=1000000  connections in all
//!   seconds=1     when no more are begun       rate=0         begun each second; 0: as fast as can be
//!   path=/        what is asked for            mode=close     or keep (request after request, on a
//!                                                             new connection when one ends), or hold
//!                                                             (one, and stays open)
//! ```
//!
//! The server says `hello` and its process's id. What it did is one line of JSON; times are
//! milliseconds of the monotonic clock. `slowest` is the longest that a request took, from its
//! connect, or on a connection that was there already from when it was sent.

use std::{
    collections::BTreeMap,
    env, error,
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    str::FromStr,
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn error::Error>>;

/// How long answers are waited for after the end: what is open then hangs.
const PATIENCE: f64 = 3.0;

fn main() -> Result {
    let address = env::args().nth(1).ok_or("load ADDRESS [name=value…]")?;
    let plan = Plan::new(&address, env::args().skip(2))?;
    let mut load = Load::new(plan)?;
    load.run()?;
    println!("{}", load.report()?);
    Ok(())
}

/// Seconds of the monotonic clock.
fn now() -> Result<f64> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_secs_f64())
}

struct Plan {
    address: SocketAddr,
    at_once: usize,
    count: u64,
    seconds: f64,
    rate: f64,
    mode: Mode,
    request: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Close,
    Keep,
    Hold,
}

impl Plan {
    fn new(address: &str, arguments: impl Iterator<Item = String>) -> Result<Self> {
        let arguments: Vec<_> = arguments.collect();
        let given = |name: &str| {
            let pairs = arguments.iter().filter_map(|argument| argument.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
        };
        let mode = match given("mode") {
            None | Some("close") => Mode::Close,
            Some("keep") => Mode::Keep,
            Some("hold") => Mode::Hold,
            Some(other) => return Err(format!("no mode {other}").into()),
        };
        let at_once = number(given("at_once"), 64)?;
        let count = number(given("count"), 1_000_000)?;
        let path = given("path").unwrap_or("/");
        let last = if mode == Mode::Close { "Connection: close\r\n" } else { "" };
        Ok(Self {
            address: address.parse()?,
            at_once,
            count: if mode == Mode::Hold { at_once as u64 } else { count },
            seconds: number(given("seconds"), 1.0)?,
            rate: number(given("rate"), 0.0)?,
            mode,
            request: format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n").into_bytes(),
        })
    }
}

fn number<T: FromStr>(text: Option<&str>, default: T) -> Result<T> {
    let Some(text) = text else { return Ok(default) };
    text.parse().map_err(|_| format!("no number: {text}").into())
}

struct Load {
    plan: Plan,
    poll: Poll,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    started: u64,
    start: f64,
    end: f64,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    /// Connections that were answered and, in mode `close`, closed by the server.
    connections: u64,
    requests: u64,
    /// In seconds.
    slowest: f64,
    failed: BTreeMap<&'static str, u64>,
    workers: BTreeMap<u32, Answers>,
}

struct Answers {
    count: u64,
    first: f64,
    last: f64,
}

struct Client {
    stream: TcpStream,
    input: [u8; 1024],
    length: usize,
    state: State,
    /// Since when it has waited for its answer.
    since: f64,
}

#[derive(PartialEq)]
enum State {
    Asking,
    Waiting,
    Answered,
}

/// What a client has come to.
enum Step {
    Blocked,
    Answer(Answer),
    End,
    Failure(&'static str),
}

impl Load {
    fn new(plan: Plan) -> Result<Self> {
        let clients = (0..plan.at_once).map(|_| None).collect();
        let free = (0..plan.at_once).collect();
        let (start, tally) = (now()?, Tally::default());
        Ok(Self { plan, poll: Poll::new()?, clients, free, started: 0, start, end: start, tally })
    }

    fn run(&mut self) -> Result {
        let mut events = Events::with_capacity(512);
        loop {
            let elapsed = now()? - self.start;
            self.end = self.start + elapsed;
            let over = elapsed >= self.plan.seconds;
            if !over {
                self.open(elapsed)?;
            }
            if self.is_done(over) {
                return Ok(());
            }
            if elapsed >= self.plan.seconds + PATIENCE {
                let hang = (self.plan.at_once - self.free.len()) as u64;
                self.tally.failed.insert("hang", hang);
                return Ok(());
            }
            let wait = if self.plan.rate > 0.0 && !over { 1 } else { 20 };
            self.poll.poll(&mut events, Some(Duration::from_millis(wait)))?;
            for event in &events {
                self.serve(event.token().0)?;
            }
        }
    }

    fn is_done(&self, over: bool) -> bool {
        let begun = over || self.started >= self.plan.count;
        let open = self.plan.at_once - self.free.len();
        match self.plan.mode {
            Mode::Close | Mode::Keep => begun && open == 0,
            Mode::Hold => begun && self.tally.requests >= open as u64,
        }
    }

    /// Begins what is due.
    fn open(&mut self, elapsed: f64) -> Result {
        let paced = self.plan.rate > 0.0;
        let due = if paced { (elapsed * self.plan.rate) as u64 + 1 } else { u64::MAX };
        let mut left = self.free.len(); // a refused port does not keep us here
        while left > 0 && self.started < due.min(self.plan.count) {
            let Some(slot) = self.free.pop() else { break };
            left -= 1;
            self.started += 1;
            let mut stream = TcpStream::connect(self.plan.address)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(slot), both)?;
            let (input, state, since) = ([0; 1024], State::Asking, now()?);
            self.clients[slot] = Some(Client { stream, input, length: 0, state, since });
            self.serve(slot)?;
        }
        Ok(())
    }

    fn serve(&mut self, slot: usize) -> Result {
        loop {
            let Some(client) = &mut self.clients[slot] else { return Ok(()) };
            match client.step(&self.plan) {
                Step::Blocked => return Ok(()),
                Step::Answer(answer) => {
                    let now = now()?;
                    self.tally.answer(answer.worker, now, now - client.since);
                    if self.plan.mode != Mode::Keep || answer.is_last {
                        continue; // the server ends it, or nobody
                    }
                    if now - self.start < self.plan.seconds {
                        client.ask_again(now);
                        continue;
                    }
                    self.tally.connections += 1;
                }
                Step::End => self.tally.connections += 1,
                Step::Failure(kind) => *self.tally.failed.entry(kind).or_default() += 1,
            }
            self.clients[slot] = None;
            self.free.push(slot);
        }
    }

    fn report(&self) -> Result<serde_json::Value> {
        let workers = self.tally.workers.iter().map(|(pid, answers)| {
            let Answers { count, first, last } = answers;
            (pid.to_string(), json!({ "count": count, "first": first, "last": last }))
        });
        Ok(json!({
            "seconds": self.end - self.start,
            "connections": self.tally.connections,
            "requests": self.tally.requests,
            "slowest": self.tally.slowest * 1e3,
            "failed": self.tally.failed,
            "workers": workers.collect::<serde_json::Map<_, _>>(),
        }))
    }
}

impl Tally {
    /// An answer, at this time and after so many seconds.
    fn answer(&mut self, worker: u32, at: f64, took: f64) {
        self.requests += 1;
        self.slowest = self.slowest.max(took);
        let at = at * 1e3;
        let new = Answers { count: 0, first: at, last: at };
        let answers = self.workers.entry(worker).or_insert(new);
        answers.count += 1;
        answers.last = at;
    }
}

impl Client {
    fn ask_again(&mut self, now: f64) {
        (self.state, self.since) = (State::Asking, now);
    }

    fn step(&mut self, plan: &Plan) -> Step {
        if self.state == State::Asking {
            match self.stream.write(&plan.request) {
                Ok(count) if count == plan.request.len() => self.state = State::Waiting,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Blocked,
                _ => return Step::Failure("refused"),
            }
        }
        loop {
            match self.stream.read(&mut self.input[self.length..]) {
                Ok(0) if self.state == State::Answered => return Step::End,
                Ok(0) => return Step::Failure("closed"),
                Ok(count) => self.length += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Blocked,
                Err(_) if self.state == State::Answered => return Step::End,
                Err(_) => return Step::Failure("reset"),
            }
            if self.state == State::Waiting
                && let Some(answer) = Answer::read(&self.input[..self.length])
            {
                (self.length, self.state) = (0, State::Answered);
                return Step::Answer(answer);
            }
        }
    }
}

/// Who answered, and whether the connection ends by that.
struct Answer {
    worker: u32,
    is_last: bool,
}

impl Answer {
    /// Once it is there as a whole.
    fn read(input: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = head.parse(input) else { return None };
        let header = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let promised: usize =
            header("content-length").filter(|_| head.code == Some(200))?.parse().ok()?;
        let body = std::str::from_utf8(input.get(length..length + promised)?).ok()?;
        let worker = body.strip_prefix("hello ")?.split_ascii_whitespace().next()?.parse().ok()?;
        let is_last = header("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
        Some(Self { worker, is_last })
    }
}
