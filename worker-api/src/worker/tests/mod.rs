//! The worker against a master written by hand, line by line.

mod balance;
mod lanes;
mod leaving;
mod limits;
mod listening;
mod loops;
mod offers;
mod own;
mod task;

use std::{
    fmt::Debug,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Instant,
};

use nix::poll::PollFlags;
use serde_json::Value;

use self::task::{Task, start};
use super::*;
use crate::{Address, Connection, latch::wait, sys, wire::ACK};

const DEADLINE: Duration = Duration::from_secs(20);

const NACK: &str = r#"{"cmd":"NODE_HANDLE_NACK"}"#;
const DISCONNECT: &str = r#"{"cmd":"NODE_CLUSTER","act":"disconnect","seq":99}"#;

fn is_ready(descriptor: impl AsFd) -> bool {
    wait(&[(descriptor.as_fd(), PollFlags::POLLIN)], Some(Instant::now())).unwrap()
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_micros(100));
    }
}

/// The other end of a worker's channel.
struct Master {
    socket: UnixStream,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// A worker that has said that it is online, and its master.
fn pair() -> (Worker, Master) {
    let (one, socket) = UnixStream::pair().unwrap();
    let worker = Worker::new(7, one, Serialization::Json).unwrap();
    let mut master = Master { socket, bytes: Vec::new(), descriptors: Vec::new() };
    master.expect(r#"{"cmd":"NODE_CLUSTER","act":"online","lane":true,"seq":0}"#);
    (worker, master)
}

impl Master {
    /// Reads once; `false` at the end.
    #[track_caller]
    fn read(&mut self) -> bool {
        let descriptors = [(self.socket.as_fd(), PollFlags::POLLIN)];
        let in_time = wait(&descriptors, Some(Instant::now() + DEADLINE)).unwrap();
        assert!(in_time, "the worker says nothing");
        let mut buffer = [0; 1 << 16];
        let arrival = sys::receive(self.socket.as_fd(), &mut buffer, &mut self.descriptors);
        let count = arrival.map_or(0, |arrival| arrival.bytes);
        self.bytes.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// The next line, without its newline.
    #[track_caller]
    fn line(&mut self) -> String {
        loop {
            if let Some(length) = self.bytes.iter().position(|&byte| byte == b'\n') {
                let line = self.bytes.drain(..=length).take(length).collect();
                return String::from_utf8(line).unwrap();
            }
            assert!(self.read(), "the worker closed the channel");
        }
    }

    #[track_caller]
    fn message(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    #[track_caller]
    fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    #[track_caller]
    fn expect_ack(&mut self) {
        assert_eq!(self.line() + "\n", str::from_utf8(ACK).unwrap());
    }

    #[track_caller]
    fn expect_end(&mut self) {
        assert!(!self.read() && self.bytes.is_empty(), "{:?}", self.bytes.escape_ascii());
    }

    /// The worker has said nothing that was not yet read.
    #[track_caller]
    fn expect_silence(&mut self) {
        let silent = self.bytes.is_empty() && !is_ready(&self.socket);
        assert!(silent, "the worker said {}", self.line());
    }

    #[track_caller]
    fn expect_close(&mut self, key: &str) {
        let message = self.message();
        assert_eq!((&message["act"], &message["key"]), (&"close".into(), &key.into()));
    }

    /// The answer to an offer.
    #[track_caller]
    fn expect_answer(&mut self, offer: u64, accepted: bool) {
        let message = self.message();
        assert_eq!((&message["ack"], &message["accepted"]), (&offer.into(), &accepted.into()));
        assert!(message.get("act").is_none());
    }

    fn send(&self, line: &str) {
        (&self.socket).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Sends a message with a descriptor, which the worker is to acknowledge.
    fn send_with(&self, message: &str, descriptor: impl AsFd) {
        let line = handle(message);
        let sent = sys::transmit(self.socket.as_fd(), line.as_bytes(), Some(descriptor.as_fd()));
        assert_eq!(sent.unwrap(), line.len());
    }

    /// Answers the next query: the worker is to accept on this socket. The query.
    #[track_caller]
    fn share(&mut self, key: &str, socket: impl AsFd) -> Value {
        let query = self.message();
        assert_eq!(query["act"], "queryServer");
        self.send_with(&answer(0.into(), key, &query["seq"]), socket);
        self.expect_ack();
        query
    }

    /// Answers the next query: connections are handed over.
    #[track_caller]
    fn promise(&mut self, key: &str) -> Value {
        let query = self.message();
        assert_eq!(query["act"], "queryServer");
        self.send(&answer(Value::Null, key, &query["seq"]));
        query
    }

    /// Answers the next query with an error.
    #[track_caller]
    fn refuse(&mut self, errno: i64) {
        let query = self.message();
        assert_eq!(query["act"], "queryServer");
        self.send(&answer(errno.into(), "any", &query["seq"]));
    }

    /// Offers a connection.
    fn offer(&self, key: &str, seq: u64, connection: impl AsFd) {
        self.send_with(&offer(key, seq), connection);
    }

    #[track_caller]
    fn expect_listening(&mut self) -> Value {
        let message = self.message();
        assert_eq!(message["act"], "listening");
        message
    }
}

fn handle(message: &str) -> String {
    format!("{{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":{message}}}\n")
}

fn answer(errno: Value, key: &str, seq: &Value) -> String {
    format!(
        r#"{{"cmd":"NODE_CLUSTER","errno":{errno},"key":"{key}","ack":{seq},"data":null,"seq":1}}"#
    )
}

fn offer(key: &str, seq: u64) -> String {
    format!(r#"{{"cmd":"NODE_CLUSTER","act":"newconn","key":"{key}","seq":{seq}}}"#)
}

/// Listens on a shared socket; the `listening` message is read.
fn share(worker: &Worker, master: &mut Master, key: &str, socket: &TcpListener) -> Listener {
    share_with(worker, master, key, socket, ListenOptions::new())
}

fn share_with(
    worker: &Worker,
    master: &mut Master,
    key: &str,
    socket: &TcpListener,
    options: ListenOptions,
) -> Listener {
    let worker = worker.clone();
    let listener = start(move || worker.listen_with("127.0.0.1:0", &options).unwrap());
    master.share(key, socket);
    master.expect_listening();
    listener.end()
}

/// Listens for connections that are handed over; the `listening` message is read.
fn promise(worker: &Worker, master: &mut Master, key: &str, options: ListenOptions) -> Listener {
    let worker = worker.clone();
    let listener = start(move || worker.listen_with("127.0.0.1:0", &options).unwrap());
    master.promise(key);
    master.expect_listening();
    listener.end()
}

fn tcp() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Both ends of a connection.
fn connection() -> (TcpStream, TcpStream) {
    let (socket, address) = tcp();
    let client = client(address);
    (client, socket.accept().unwrap().0)
}

fn client(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

/// What a client gets until the end.
#[track_caller]
fn read_all(mut client: TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("the client gets nothing");
    text
}

/// The connection that is there, or comes soon.
#[track_caller]
fn accept(listener: &Listener) -> Connection {
    wait_until("a connection comes", || is_ready(listener));
    listener.accept().unwrap().expect("the listener is closed")
}

fn greet(mut connection: Connection) {
    connection.write_all(b"hello").unwrap();
}

/// The error of the system behind an error, which must say the address.
#[track_caller]
fn os_error<T: Debug>(outcome: Result<T>, asked: &Address) -> i32 {
    match outcome.unwrap_err() {
        Error::Listen { address, source } if address == *asked => source.raw_os_error().unwrap(),
        error => panic!("{error:?}"),
    }
}

#[test]
fn threads_may_share_everything() {
    fn shared<T: Send + Sync>() {}
    shared::<Worker>();
    shared::<Listener>();
    shared::<UdpSocket>();
    shared::<Connection>();
}
