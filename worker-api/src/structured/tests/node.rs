//! Against Node itself, over its own channel.

use std::{
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use super::{
    super::{Frames, Value, decode, frame},
    both_ways, one_way, random,
};

/// Evaluates each expression that it is sent and sends the value back, and then takes part in
/// `compare`; what it is sent as `echo` it sends back as it is.
const SCRIPT: &str = r"
    const { isDeepStrictEqual, inspect } = require('util');
    const error = (Kind, message, stack, options) =>
        Object.assign(new Kind(message, options), { stack });
    process.on('message', ({ script, value, echo }) => {
        if (script === undefined) return process.send({ echo });
        const own = eval(`(${script})`);
        const same = isDeepStrictEqual(own, value)
            && (!(own instanceof Error) || own.stack === value.stack);
        process.send({ own, verdict: same ? 'same' : inspect(value) });
    });
";

struct Node {
    process: Child,
    socket: UnixStream,
    frames: Frames,
}

impl Node {
    /// `None` where it is not installed, which the test says; in CI it must be there.
    fn start(test: &str) -> Option<Self> {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The channel may have any number: as its standard input it needs no inheriting.
        let process = Command::new("node")
            .args(["-e", SCRIPT])
            .env("NODE_CHANNEL_FD", "0")
            .env("NODE_CHANNEL_SERIALIZATION_MODE", "advanced")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn();
        let Ok(process) = process else {
            assert!(std::env::var_os("CI").is_none(), "{test}: node is missing in CI");
            // Not `eprintln!`, which libtest holds back.
            writeln!(std::io::stderr(), "SKIPPED {test}: node is not installed").unwrap();
            return None;
        };
        Some(Self { process, socket, frames: Frames::new(1 << 26) })
    }

    /// Sends a value and waits for the answer.
    fn ask(&mut self, value: &Value) -> Value {
        self.socket.write_all(&frame(value).unwrap()).unwrap();
        let mut scratch = vec![0; 1 << 16];
        loop {
            if let Some(body) = self.frames.next_frame().unwrap() {
                return decode(body).unwrap();
            }
            let count = self.socket.read(&mut scratch).unwrap();
            assert!(count > 0, "node is gone: {value:?}");
            self.frames.push(&scratch[..count]);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn node_and_we_mean_the_same() {
    let Some(mut node) = Node::start("node_and_we_mean_the_same") else { return };
    let both_ways = both_ways().into_iter().map(|row| (row, true));
    let one_way = one_way().into_iter().map(|row| (row, false));
    for ((script, _, value), is_exact) in both_ways.chain(one_way) {
        let question = super::object([("script", script.into()), ("value", value.clone())]);
        let answer = node.ask(&question);
        assert_eq!(answer.get("own"), Some(&value), "{script}");
        if is_exact {
            assert_eq!(answer.get("verdict"), Some(&"same".into()), "{script}");
        }
    }
}

#[test]
fn any_value_comes_back_from_node() {
    let Some(mut node) = Node::start("any_value_comes_back_from_node") else { return };
    let mut runner = TestRunner::default();
    for _ in 0..300 {
        let value = random::value().new_tree(&mut runner).unwrap().current();
        let answer = node.ask(&super::object([("echo", value.clone())]));
        assert_eq!(answer.get("echo"), Some(&value));
    }
}
