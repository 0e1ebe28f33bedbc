//! A child in Rust: the argument names the scenario. `child.js` is its twin.

use std::{
    env,
    error::Error as _,
    fs::File,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    thread,
};

use cluster::{
    Channel, Error, Handle, ListenOptions, Listener, Message, Result,
    child_process::{Command, Stdio, parent, spawn},
    structured::{Value, View, ViewKind},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

pub(crate) fn run() -> Result<()> {
    let scenario = env::args().nth(2).unwrap_or_default();
    match scenario.as_str() {
        "listen beside others" | "bind beside others" => return beside_others(&scenario),
        "become root" => return become_root(),
        "use up" => return use_up(),
        "inherit" => return inherit(),
        "print and end" => return print_and_end(),
        "generations" => return generations(),
        _ => {}
    }
    let parent = parent()?.expect("a channel");
    match scenario.as_str() {
        "hello" | "hello at" => parent.send("hello")?,
        "echo" => echo(&parent)?,
        "buffers" => buffers(&parent, [65521; 10], Value::buffer)?,
        "large arrays" => buffers(&parent, [8 << 20; 4], |bytes| {
            View::new(ViewKind::Uint8Array, bytes).expect("bytes").into()
        })?,
        "stay" | "listen" => while parent.recv()?.is_some() {},
        "disconnect" => disconnect(&parent)?,
        "internal" => internal(&parent)?,
        "three at once" => three_at_once(&parent)?,
        "server" => server(&parent)?,
        "dgram" => dgram(&parent)?,
        "sockets" => sockets(&parent)?,
        "give" => give(&parent)?,
        "leave" => drop(parent.recv()?),
        "nothing" => {}
        "pipe at 4" => pipe_at_4(&parent)?,
        "spawn" => parent.send(&json!({ "error": null, "said": spawned()? }))?,
        "look" => look(&parent)?,
        "say" => {
            println!("out");
            eprintln!("err");
            parent.send("said")?;
        }
        "wait" => wait(&parent)?,
        "refuse" => refuse(&parent)?,
        "detach" => detach(&parent)?,
        other => panic!("a child cannot {other:?}"),
    }
    Ok(())
}

fn echo(parent: &Channel) -> Result<()> {
    while let Some(message) = parent.recv()? {
        match message.structured() {
            Some(value) => parent.send_structured(value)?,
            None => parent.send(&message)?,
        }
    }
    Ok(())
}

/// Sends values of these sizes, each of bytes that are its number.
fn buffers<const COUNT: usize>(
    parent: &Channel,
    sizes: [usize; COUNT],
    make: impl Fn(Vec<u8>) -> Value,
) -> Result<()> {
    for (size, byte) in sizes.into_iter().zip(0..) {
        parent.send_structured(&make(vec![byte; size]))?;
    }
    Ok(())
}

fn disconnect(parent: &Channel) -> Result<()> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    parent.send(&json!({ "port": server.local_addr()?.port() }))?;
    let mut client = server.accept()?.0;
    client.write_all(b"ready")?;
    while parent.recv()?.is_some() {}
    client.write_all(parent.is_connected().to_string().as_bytes())?;
    Ok(())
}

fn internal(parent: &Channel) -> Result<()> {
    for cmd in ["fooNODE_", "NODE_", "NODE_bar"] {
        parent.send(&json!({ "cmd": cmd }))?;
    }
    parent.send("last")?;
    while parent.recv()?.is_some() {}
    Ok(())
}

/// The messages gather until there is something on stdin.
fn three_at_once(parent: &Channel) -> Result<()> {
    println!("ok");
    io::stdin().read_exact(&mut [0; 3])?;
    for (text, has_handle) in [("one", false), ("two", true), ("three", false)] {
        let message = parent.recv()?.expect("three messages");
        assert_eq!(message.value, text);
        assert_eq!(matches!(message.handle, Some(Handle::TcpListener(_))), has_handle);
    }
    Ok(())
}

fn server(parent: &Channel) -> Result<()> {
    let Some(Message { handle: Some(Handle::TcpListener(server)), .. }) = parent.recv()? else {
        panic!("no server")
    };
    let listener = Listener::from_socket(server)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            for connection in listener.incoming() {
                connection.and_then(|mut one| one.write_all(b"child")).expect("a client");
            }
        });
        parent.send("listening")?;
        parent.recv()?;
        listener.close();
        parent.send("closed")?;
        Ok(())
    })
}

fn dgram(parent: &Channel) -> Result<()> {
    let Some(Message { handle: Some(Handle::UdpSocket(socket)), .. }) = parent.recv()? else {
        panic!("no socket")
    };
    parent.send("ready")?;
    loop {
        // The parent has the socket as well, and may be faster.
        let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut descriptors, PollTimeout::NONE).map_err(io::Error::from)?;
        socket.set_nonblocking(true)?;
        match socket.recv(&mut [0; 64]) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    drop(socket);
    parent.send("got one")?;
    while parent.recv()?.is_some() {}
    Ok(())
}

/// Greets through sockets and ends them, or keeps them until it is told to close them.
fn sockets(parent: &Channel) -> Result<()> {
    let mut kept = Vec::new();
    while let Some(message) = parent.recv()? {
        let text = message.parse::<String>()?;
        match (text.as_str(), message.into_connection()) {
            (how, Some(mut connection)) => {
                connection.write_all(b"child")?;
                if how == "write" {
                    parent.send("done")?;
                    kept.push(connection);
                }
            }
            ("close", None) => kept.clear(),
            _ => {
                drop(kept.pop());
                parent.send("closed")?;
            }
        }
    }
    Ok(())
}

fn give(parent: &Channel) -> Result<()> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let socket = TcpStream::connect(server.local_addr()?)?;
    let mut ours = server.accept()?.0;
    parent.send_handle("handle", socket)?;
    parent.recv()?;
    ours.write_all(b"hello")?;
    drop(ours);
    while parent.recv()?.is_some() {}
    Ok(())
}

/// Says what comes in at 4 again there.
fn pipe_at_4(parent: &Channel) -> Result<()> {
    use Stdio::{Ignore, Inherit};
    let mut cat = Command::shell("exec cat <&4 >&4");
    let mut cat = cat.stdio([Ignore, Ignore, Inherit, Ignore, Inherit]).spawn()?;
    while parent.recv()?.is_some() {}
    cat.wait()?;
    Ok(())
}

/// What a child of a child knows of channels.
fn spawned() -> Result<String> {
    let output = spawn("sh", ["-c", "echo ${NODE_CHANNEL_FD-undefined} undefined"])?.output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn look(parent: &Channel) -> Result<()> {
    let args: Vec<_> = env::args().skip(3).collect();
    Ok(parent.send(&json!({ "args": args, "foo": env::var("FOO").ok() }))?)
}

fn wait(parent: &Channel) -> Result<()> {
    parent.send("1")?;
    parent.send("2")?;
    while parent.recv()?.is_some() {}
    print!("3");
    Ok(())
}

/// What cannot be read costs nothing but itself.
fn refuse(parent: &Channel) -> Result<()> {
    for _ in 0..10 {
        let message = parent.recv()?.expect("ten messages");
        message.parse::<String>().expect_err("no text");
    }
    Ok(parent.send(&10)?)
}

fn detach(parent: &Channel) -> Result<()> {
    use Stdio::Ignore;
    let mut sleep = Command::new("sleep");
    let child = sleep.arg("600").detached(true).stdio([Ignore, Ignore, Ignore]).spawn()?;
    parent.send(&child.pid())?;
    while parent.recv()?.is_some() {}
    Ok(())
}

/// Has a port that others may have, too, until stdin ends.
fn beside_others(act: &str) -> Result<()> {
    let address = env::args().nth(3).expect("an address");
    let options = ListenOptions::new().reuse_port(true);
    let hold: (Option<Listener>, Option<_>) = match act {
        "listen beside others" => (Some(cluster::listen_with(&*address, &options)?), None),
        _ => (None, Some(cluster::bind_with(&*address, &options)?)),
    };
    let at = hold.0.as_ref().map(|listener| listener.local_addr().to_string());
    let at = at.or(hold.1.as_ref().map(|socket| socket.local_addr().to_string()));
    println!("open on {}", at.expect("one of them"));
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn become_root() -> Result<()> {
    let uid = errno(Command::new("echo").uid(0).spawn().map(drop));
    let gid = errno(Command::new("echo").gid(0).spawn().map(drop));
    println!("{uid} {gid}");
    Ok(())
}

fn use_up() -> Result<()> {
    let files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(files.len() < 64, "there is a limit");
    println!("{}", errno(spawn("true", [""; 0]).map(drop)));
    Ok(())
}

fn errno(result: Result<()>) -> i32 {
    let error = result.expect_err("a refusal");
    assert!(matches!(error, Error::Spawn { .. }), "{error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return code;
        }
        cause = error.source();
    }
    panic!("no errno: {error:?}")
}

fn inherit() -> Result<()> {
    use Stdio::Inherit;
    Command::new("cat").stdio([Inherit, Inherit, Inherit]).spawn()?.wait()?;
    Ok(())
}

fn print_and_end() -> Result<()> {
    println!("hello");
    for number in 0..198 {
        println!("{number}");
    }
    println!("goodbye");
    Ok(())
}

/// Each generation tells the end of the next one.
fn generations() -> Result<()> {
    let left: u32 = env::args().nth(3).and_then(|text| text.parse().ok()).expect("a number");
    if left == 0 {
        println!("generation 0");
        return Ok(());
    }
    let mut next = Command::new(env::current_exe()?);
    let output =
        next.args(["conformance-child", "generations", &(left - 1).to_string()]).output()?;
    io::stdout().write_all(&output.exit_ok()?.stdout)?;
    println!("it ended");
    Ok(())
}
