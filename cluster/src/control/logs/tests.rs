use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use super::*;
use crate::{control::Request, relay::Relay};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server in a folder of its own, a client that has asked, and a relay that writes to nobody.
struct Case {
    _folder: tempfile::TempDir,
    server: Server,
    relay: Relay,
    worker: io::PipeWriter,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(&folder.path().join("s")).unwrap();
        let nobody = || OwnedFd::from(File::options().write(true).open("/dev/null").unwrap());
        let relay = Relay::over(nobody(), nobody()).unwrap();
        let (ours, worker) = io::pipe().unwrap();
        relay.add(7, Some(ours), None::<OwnedFd>).unwrap();
        Self { _folder: folder, server, relay, worker }
    }

    /// Prints lines, and waits until the relay has them.
    fn print(&mut self, numbers: std::ops::Range<u32>, width: usize) {
        let mut last = self.relay.follow(0).unwrap();
        let mut seen = 0;
        for number in numbers.clone() {
            writeln!(self.worker, "{number:width$}").unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        while seen < numbers.len() as u64 {
            assert!(Instant::now() < deadline, "{seen} lines came");
            let news = last.take(usize::MAX);
            seen += news.missed + news.lines.len() as u64;
            std::thread::yield_now();
        }
    }

    fn ask(&mut self, lines: usize, follow: bool) -> BufReader<UnixStream> {
        let client = UnixStream::connect(self.server.path()).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        (&client).write_all(b"{\"do\":\"logs\"}\n").unwrap();
        let deadline = Instant::now() + PATIENCE;
        let order = loop {
            if let Some(order) = self.server.orders().pop() {
                break order;
            }
            assert!(Instant::now() < deadline, "no order came");
        };
        assert_eq!(order.request, Request::Logs { lines: None, follow: false });
        self.server.tell_lines(order.asker, self.relay.follow(lines).unwrap(), follow);
        BufReader::new(client)
    }

    /// The next answer, while the server serves.
    fn hear(&mut self, client: &mut BufReader<UnixStream>) -> Answer {
        let (deadline, mut line) = (Instant::now() + PATIENCE, String::new());
        while !line.ends_with('\n') {
            assert!(Instant::now() < deadline, "no answer came");
            self.server.orders();
            match client.read_line(&mut line) {
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                Ok(length) => assert_ne!(length, 0),
            }
        }
        serde_json::from_str(&line).unwrap()
    }

    fn hear_text(&mut self, client: &mut BufReader<UnixStream>) -> String {
        match self.hear(client) {
            Answer::Line(Printed { worker: 7, stream, text }) if stream == "stdout" => text,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_last_lines_and_then_it_is_done() {
    let mut case = Case::new();
    case.print(0..5, 0);
    let mut client = case.ask(2, false);
    assert_eq!(case.hear(&mut client), Answer::Begun("logs".into()));
    assert_eq!(case.hear_text(&mut client), "3");
    assert_eq!(case.hear_text(&mut client), "4");
    assert!(matches!(case.hear(&mut client), Answer::Done(_)));
    client.get_ref().write_all(b"{\"do\":\"status\"}\n").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while case.server.orders().is_empty() {
        assert!(Instant::now() < deadline, "it may not ask again");
    }
}

#[test]
fn no_lines_are_done_at_once() {
    let mut case = Case::new();
    let mut client = case.ask(9, false);
    assert_eq!(case.hear(&mut client), Answer::Begun("logs".into()));
    assert!(matches!(case.hear(&mut client), Answer::Done(_)));
}

#[test]
fn who_follows_is_told_what_comes() {
    let mut case = Case::new();
    case.print(0..3, 0);
    let mut client = case.ask(1, true);
    assert_eq!(case.hear(&mut client), Answer::Begun("logs".into()));
    assert_eq!(case.hear_text(&mut client), "2");
    for number in 3..9 {
        case.print(number..number + 1, 0);
        assert_eq!(case.hear_text(&mut client), number.to_string());
    }
    drop(client);
    let deadline = Instant::now() + PATIENCE;
    while !case.server.callers.is_empty() {
        assert!(Instant::now() < deadline, "it has gone");
        case.server.orders();
    }
}

#[test]
fn who_reads_slowly_is_told_what_it_has_missed_and_costs_little() {
    const LINES: u32 = 40_000;
    let mut case = Case::new();
    let mut client = case.ask(0, true);
    for begin in (0..LINES).step_by(1000) {
        case.print(begin..begin + 1000, 100);
        case.server.orders();
        let caller = case.server.callers.values().next().unwrap();
        assert!(caller.unsent.len() <= 2 * PART, "{}", caller.unsent.len());
    }
    assert_eq!(case.hear(&mut client), Answer::Begun("logs".into()));
    let (mut next, mut missed) = (0, 0);
    while next < u64::from(LINES) {
        match case.hear(&mut client) {
            Answer::Missed(lines) => (next, missed) = (next + lines, missed + lines),
            Answer::Line(line) => {
                assert_eq!(line.text.trim(), next.to_string());
                next += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0);
}

#[test]
fn who_follows_over_an_upgrade_is_told_what_is_lost() {
    let mut case = Case::new();
    let (mut slow, mut client) = (case.ask(0, true), case.ask(0, true));
    for begin in (0..6000).step_by(1000) {
        case.print(begin..begin + 1000, 100);
        case.server.orders();
    }
    for _ in 0..6001 {
        case.hear(&mut client); // it has begun, and each line
    }
    case.print(6000..6001, 0);
    case.server.part_with_lines();
    assert_eq!(case.hear_text(&mut client), "6000");
    case.server.callers.values_mut().for_each(|caller| caller.reading = None); // as restored
    let relay = &case.relay;
    case.server.go_on_with_lines(|| relay.follow(0));
    case.print(6001..6002, 0);
    assert_eq!(case.hear_text(&mut client), "6001");
    let (mut next, mut missed) = (0, 0);
    assert_eq!(case.hear(&mut slow), Answer::Begun("logs".into()));
    while next < 6002 {
        match case.hear(&mut slow) {
            Answer::Missed(lines) => (next, missed) = (next + lines, missed + lines),
            Answer::Line(_) => next += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0);
}
