//! A worker that writes to its channel what it likes. The channel is its standard input.
//!
//! It says `"ready"`, waits for the master to say something, misbehaves as its argument says,
//! and ends with the channel.

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    process::{Command, Stdio},
};

use cluster::Result;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};

const NACK: &str = "NODE_HANDLE_NACK";

pub(crate) fn run() -> Result<()> {
    let mut channel = Raw::take()?;
    channel.say("{\"cmd\":\"NODE_CLUSTER\",\"act\":\"online\",\"seq\":0}\n\"ready\"\n")?;
    channel.hear()?;
    let outcome = misbehave(&env::args().nth(2).unwrap_or_default(), &mut channel);
    if let Err(error) = outcome {
        log::info!("{error}"); // the master has hung up
    }
    while channel.hear().is_ok() {}
    Ok(())
}

fn misbehave(how: &str, channel: &mut Raw) -> io::Result<()> {
    let deep = || "[".repeat(100_000) + &"]".repeat(100_000) + "\n";
    match how {
        "rubbish" => channel.say("rubbish\n"),
        "empty line" => channel.say("\n"),
        "not text" => (&channel.socket).write_all(b"\"\xff\xfe\"\n"),
        "deep" => channel.say(&deep()),
        "endless line" => loop {
            (&channel.socket).write_all(&[b'x'; 1 << 16])?;
        },
        "stray" => channel.say_with("1\n", 1),
        "strays" => channel.say_with("1\n2\n", 200),
        "strays in half a line" => channel.say_with("\"half", 200),
        "file" => channel.say_with(&handle("net.Socket", &json!("x")), 1),
        "lie" => channel.say_with(&handle("dgram.Socket", &json!("x")), 1),
        "unknown kind" => channel.say_with(&handle("net.New\n", &json!("x")), 1),
        "false ack" => channel.say("{\"cmd\":\"NODE_HANDLE_ACK\"}\n"),
        "false nack" => channel.say("{\"cmd\":\"NODE_HANDLE_NACK\"}\n"),
        "broken query" => channel.say("{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\"}\n"),
        "half closed" => channel.socket.shutdown(Shutdown::Write),
        "questions" => loop {
            channel.say("{\"cmd\":\"NODE_SOCKET_GET_COUNT\",\"key\":\"4:127.0.0.1:0\"}\n")?;
        },
        "noise" => loop {
            channel.say(&"{\"cmd\":\"NODE_NEW_IN_99\"}\n".repeat(1000))?;
        },
        "deaf" => {
            channel.socket.shutdown(Shutdown::Read)?;
            channel.say("\"deaf\"\n")?;
            super::hang()
        }
        "heir" => {
            let heir = channel.socket.try_clone()?;
            Command::new("yes")
                .arg("1")
                .stdin(Stdio::null())
                .stdout(OwnedFd::from(heir))
                .spawn()?;
            std::process::exit(0);
        }
        _ => annoy(how, channel),
    }
}

/// What the master need not hang up for; at the end it is told how it went.
fn annoy(how: &str, channel: &mut Raw) -> io::Result<()> {
    let told = match how {
        "no handle" => {
            channel.say(&handle("net.Socket", &json!("lost")))?;
            json!({ "nack": channel.hear()?["cmd"] == NACK })
        }
        "messages" => {
            (0..100_000).try_for_each(|number| channel.say(&format!("{number}\n")))?;
            json!({ "said": 100_000 })
        }
        "master's acts" => {
            for act in ["newconn", "disconnect", "close", "new in 99"] {
                channel.act(json!({ "act": act, "key": "127.0.0.1:0:4:undefined:0" }))?;
            }
            for ack in [json!(0), json!(-1), json!(u64::MAX), json!("x"), json!(null)] {
                channel.act(json!({ "ack": ack, "accepted": true }))?;
                channel.act(json!({ "ack": ack, "accepted": false }))?;
                channel.act(json!({ "ack": ack, "errno": 0, "key": "x" }))?;
            }
            json!({ "still": "here" })
        }
        "listen" => {
            let outcomes = (0..600).map(|index| channel.query(index, json!(null)));
            told(&outcomes.collect::<io::Result<Vec<_>>>()?)
        }
        "listen again" => {
            let outcomes = (0..600).map(|_| channel.query(0, json!(null)));
            told(&outcomes.collect::<io::Result<Vec<_>>>()?)
        }
        "long data" => told(&[channel.query(0, json!("x".repeat(1 << 20)))?]),
        "listen and close" => {
            for _ in 0..1000 {
                channel.act(query(0, json!(null)))?;
                channel.act(json!({ "act": "close", "key": "127.0.0.1:0:4:undefined:0" }))?;
            }
            json!({ "asked": 1000 }) // and not one acknowledged
        }
        "boast" => {
            channel.query(0, json!(null))?;
            let mut boast = query(0, json!(null));
            boast["act"] = json!("listening");
            (0..1000).try_for_each(|_| channel.act(boast.clone()))?;
            boast["address"] = json!("127.0.0.2");
            channel.act(boast)?;
            json!({ "boasted": 1001 })
        }
        _ => panic!("there is no such mischief: {how}"),
    };
    channel.say(&format!("{told}\n"))
}

fn handle(kind: &str, message: &Value) -> String {
    json!({ "cmd": "NODE_HANDLE", "type": kind, "msg": message }).to_string() + "\n"
}

fn query(index: u32, data: Value) -> Value {
    json!({
        "act": "queryServer", "index": index, "data": data, "address": "127.0.0.1", "port": 0,
        "addressType": 4, "flags": 0, "backlog": 0,
    })
}

/// How many questions were answered with a socket, and the errors of the others.
fn told(outcomes: &[i64]) -> Value {
    let opened = outcomes.iter().filter(|&&errno| errno == 0).count();
    let mut errors: Vec<_> = outcomes.iter().filter(|&&errno| errno < 0).collect();
    errors.dedup();
    json!({ "opened": opened, "errors": errors })
}

/// The channel without any manners.
struct Raw {
    socket: UnixStream,
    lines: BufReader<UnixStream>,
    seq: u32,
}

impl Raw {
    fn take() -> io::Result<Self> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { lines: BufReader::new(socket.try_clone()?), socket, seq: 0 })
    }

    fn say(&self, text: &str) -> io::Result<()> {
        (&self.socket).write_all(text.as_bytes())
    }

    /// Says something with `/dev/null` so many times.
    fn say_with(&self, text: &str, count: usize) -> io::Result<()> {
        let files = (0..count).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>()?;
        let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let parts = [io::IoSlice::new(text.as_bytes())];
        sendmsg::<()>(self.socket.as_raw_fd(), &parts, &rights, MsgFlags::empty(), None)?;
        Ok(())
    }

    fn act(&mut self, mut act: Value) -> io::Result<()> {
        self.seq += 1;
        (act["cmd"], act["seq"]) = (json!("NODE_CLUSTER"), json!(self.seq));
        self.say(&format!("{act}\n"))
    }

    fn hear(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_str(&line)?),
        }
    }

    /// Asks to listen, and takes what comes; the errno.
    fn query(&mut self, index: u32, data: Value) -> io::Result<i64> {
        self.act(query(index, data))?;
        let mut answer = self.hear()?;
        if answer["cmd"] == "NODE_HANDLE" {
            self.say("{\"cmd\":\"NODE_HANDLE_ACK\"}\n")?;
            answer = answer["msg"].take();
        }
        Ok(answer["errno"].as_i64().unwrap_or_default())
    }
}
