//! A test that runs itself once more, in a process of its own, and a master for that process.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    env,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, poll};
use serde_json::Value;
use worker_api::{
    Serialization,
    wire::{Act, Cluster, Fill, Label, Link, Packet, Received, Reply, Rider, encode, encode_with},
};

const DEADLINE: Duration = Duration::from_secs(20);
const MARK: &str = "WORKER_API_TEST_AGAIN";

pub(crate) const CHANNEL: &str = "NODE_CHANNEL_FD";
pub(crate) const ID: &str = "NODE_UNIQUE_ID";
pub(crate) const MODE: &str = "NODE_CHANNEL_SERIALIZATION_MODE";

/// Whether this is the process of the test's own.
pub(crate) fn is_again() -> bool {
    env::var_os(MARK).is_some()
}

/// The test of this name in a process of its own, killed if it is dropped.
pub(crate) struct Again(Child);

impl Again {
    /// Starts it; the channel, if any, is its standard input.
    pub(crate) fn start(test: &str, input: impl Into<Stdio>, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        for name in [CHANNEL, ID, MODE] {
            command.env_remove(name);
        }
        command.env(MARK, "1").envs(variables.iter().copied());
        Self(command.stdin(input).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub(crate) fn succeeds(mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return assert!(status.success(), "{status}");
            }
            assert!(Instant::now() < deadline, "the process does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A channel's other end.
pub(crate) struct Master {
    link: Link,
    seq: u64,
}

impl Master {
    /// A channel; the second end is the worker's.
    pub(crate) fn pair() -> (Self, OwnedFd) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (
            Self { link: Link::new(ours, 1 << 20, Serialization::Json).unwrap(), seq: 0 },
            theirs.into(),
        )
    }

    /// What the worker says next; `None` at the end.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Option<Packet> {
        loop {
            self.link.flush().unwrap();
            match self.link.next_received().unwrap() {
                Some(Received::Message { packet, .. }) => return Some(packet),
                Some(Received::Delivered(_)) => {}
                Some(Received::Lost(_)) => panic!("a descriptor is lost"),
                None if self.read() == Fill::Closed => return None,
                None => {}
            }
        }
    }

    #[track_caller]
    fn read(&mut self) -> Fill {
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, self.link.is_writing());
        let mut list = [PollFd::new(self.link.as_fd(), events)];
        let count = poll(&mut list, u16::try_from(DEADLINE.as_millis()).unwrap()).unwrap();
        assert!(count > 0, "the worker says nothing");
        self.link.fill(&mut [0; 1 << 12]).unwrap()
    }

    /// What the worker says next, which must be of the cluster module.
    #[track_caller]
    pub(crate) fn act(&mut self) -> (Act, Option<u64>) {
        match self.hear() {
            Some(Packet::Cluster(Cluster { act, seq })) => (act, seq),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let packet = self.hear();
        assert!(packet.is_none(), "{packet:?}");
    }

    fn message(&mut self, act: Act) -> Cluster {
        self.seq += 1;
        Cluster { seq: Some(self.seq), act }
    }

    pub(crate) fn post(&mut self, act: Act) {
        let line = self.message(act).encode().unwrap();
        self.link.send(line, None).unwrap();
    }

    pub(crate) fn post_with(&mut self, act: Act, kind: &'static str, socket: impl Into<OwnedFd>) {
        let label = Label { kind, dgram_type: None };
        let line = encode_with(label, &self.message(act).to_json()).unwrap();
        let descriptor = Arc::new(socket.into());
        self.link.send(line, Some(Rider { descriptor, resend: false, tag: None })).unwrap();
    }

    /// A user's message.
    pub(crate) fn send(&mut self, value: &Value) {
        self.link.send(encode(value).unwrap(), None).unwrap();
    }
}

/// The answer to the question of this number.
pub(crate) fn reply(seq: Option<u64>, errno: Option<i64>, key: String) -> Act {
    let ack = seq.map(|seq| seq.try_into().unwrap());
    Act::Reply(Reply { ack, errno, key: Some(key), ..Reply::default() })
}
