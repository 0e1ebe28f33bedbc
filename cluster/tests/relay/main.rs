//! Workers' output over real processes.

mod support;

use cluster::{
    Event, Master, Settings, WorkerRef,
    relay::{Relay, Stream},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::fd::AsFd,
    thread,
    time::Duration,
};
use support::{PATIENCE, Runs, hold_back, shell, wait_until};

#[test]
fn a_lot_of_output_and_nothing_is_lost() {
    const LINES: usize = 160_000; // 64 bytes each: 10 MB of each worker
    let (reader, out) = io::pipe().unwrap();
    let relay = Relay::over(out.try_clone().unwrap(), out).unwrap().patience(PATIENCE);
    let awk =
        format!("BEGIN {{ for (i = 0; i < {LINES}; i++) printf \"%s %d %s\\n\", id, i, pad }}");
    let pad = "x".repeat(53);
    let script = format!("exec awk -v id=$NODE_UNIQUE_ID -v pad={pad} '{awk}'");
    let mut runs = Runs::new(shell(&script));
    runs.fork(4, &relay);
    let counting = thread::spawn(move || {
        let mut next = HashMap::<String, usize>::new();
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            let mut words = line.split(' ');
            let (id, number) = (words.next().unwrap(), words.next().unwrap());
            let next = next.entry(id.to_owned()).or_default();
            assert_eq!(number.parse::<usize>().unwrap(), *next, "in order: {line}");
            assert_eq!(words.next().map(str::len), Some(53), "whole: {line}");
            *next += 1;
        }
        next
    });
    runs.end(&relay);
    assert_eq!(relay.dropped(), 0);
    relay.finish(PATIENCE);
    let counts = counting.join().unwrap();
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|&count| count == LINES), "{counts:?}");
}

#[test]
fn nobody_reads_and_workers_end_all_the_same() {
    let (reader, out) = io::pipe().unwrap();
    let relay = Relay::over(out.try_clone().unwrap(), out).unwrap();
    let mut runs = Runs::new(shell("yes some words | head -c 20000000; echo done >&2"));
    runs.fork(1, &relay);
    let words = runs.end(&relay);
    assert_eq!(words, [["done"]]);
    assert!(relay.dropped() > 0);
    // Now somebody reads, and is told.
    let reading = thread::spawn(move || {
        let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        lines
    });
    relay.finish(PATIENCE);
    let lines = reading.join().unwrap();
    let notices = lines.iter().filter_map(|line| line.strip_prefix("cluster: "));
    let told: u64 =
        notices.map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    let written = lines.iter().filter(|line| *line == "some words").count() as u64;
    // `head` has cut the last line; `done` is one more, if it came in time.
    let last =
        lines.iter().filter(|line| *line == "done" || "some words".starts_with(*line)).count();
    let whole = 20_000_000 / 11;
    assert!((whole..=whole + 3).contains(&(told + last as u64)), "{told} {written} {last}");
}

#[test]
fn a_slow_reader_loses_nothing() {
    let (mut reader, out) = io::pipe().unwrap();
    let relay = Relay::over(out.try_clone().unwrap(), out).unwrap().patience(PATIENCE);
    let mut runs = Runs::new(shell("yes some words | head -n 500000"));
    runs.fork(1, &relay);
    let reading = thread::spawn(move || {
        let (mut count, mut scratch) = (0, vec![0; 16 * 1024]);
        loop {
            match reader.read(&mut scratch).unwrap() {
                0 => return count,
                read => count += read,
            }
            thread::yield_now();
        }
    });
    runs.end(&relay);
    relay.finish(PATIENCE);
    assert_eq!(reading.join().unwrap(), 500_000 * 11);
}

#[test]
fn last_words_and_lines_without_an_end() {
    let (mut reader, out) = io::pipe().unwrap();
    let (mut errors, err) = io::pipe().unwrap();
    let relay = Relay::over(out, err).unwrap();
    let script = "printf 'no end'; seq 1 30 >&2; head -c 3000 /dev/zero | tr '\\0' x >&2; exit 3";
    let mut runs = Runs::new(shell(script));
    runs.fork(1, &relay);
    let words = runs.end(&relay);
    let words = &words[0];
    assert_eq!(words.len(), 20);
    assert_eq!(words[0], "12");
    assert_eq!(words[18], "30");
    assert_eq!(words[19], "x".repeat(1024));
    assert!(relay.last_words(1).is_empty(), "told once");
    relay.finish(PATIENCE);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "no end\n");
    text.clear();
    errors.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 31);
    assert!(text.ends_with(&format!("30\n{}\n", "x".repeat(3000))));
}

#[test]
fn a_grandchild_keeps_nobody_waiting_and_is_heard() {
    let (reader, out) = io::pipe().unwrap();
    let relay = Relay::over(out.try_clone().unwrap(), out).unwrap();
    let (held, go) = hold_back();
    let script = format!("(read line < {held}; echo from the grandchild) & echo from the worker");
    let mut runs = Runs::new(shell(&script));
    runs.fork(1, &relay);
    runs.end(&relay); // the grandchild holds the pipe
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "from the worker");
    fs::write(&*go, "go\n").unwrap();
    assert_eq!(lines.next().unwrap(), "from the grandchild");
    relay.finish(PATIENCE);
    assert!(lines.next().is_none());
}

#[test]
fn a_file_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
    fs::write(&path, "before\n").unwrap();
    let relay = Relay::to_file(&path).unwrap();
    let mut runs = Runs::new(shell("while read line; do echo $line; echo $line >&2; done"));
    let worker = runs.fork(1, &relay).remove(0);
    let mut stdin = worker.stdio(0).unwrap();
    let content = |path| fs::read_to_string(path).unwrap_or_default();
    stdin.write_all(b"one\n").unwrap();
    wait_until("it is written", || content(&path) == "before\none\none\n");
    fs::rename(&path, &old).unwrap();
    relay.reopen();
    wait_until("there is a new one", || path.exists());
    stdin.write_all(b"two\n").unwrap();
    wait_until("it is written there", || content(&path) == "two\ntwo\n");
    assert_eq!(content(&old), "before\none\none\n");
    drop(stdin);
    runs.end(&relay);
}

#[test]
fn a_follower_sees_who_prints_what() {
    let (_reader, out) = io::pipe().unwrap();
    let relay = Relay::over(out.try_clone().unwrap(), out).unwrap();
    let mut follower = relay.follow(10).unwrap();
    let mut runs = Runs::new(shell("echo out $NODE_UNIQUE_ID; echo err $NODE_UNIQUE_ID >&2"));
    runs.fork(2, &relay);
    runs.end(&relay);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let mut fds = [PollFd::new(follower.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()), Ok(1));
        for line in follower.take(1).lines {
            seen.push((line.worker, line.stream, String::from_utf8(line.text.to_vec()).unwrap()));
        }
    }
    seen.sort_by_key(|(worker, stream, _)| (*worker, *stream == Stream::Err));
    let expected = [
        (1, Stream::Out, "out 1"),
        (1, Stream::Err, "err 1"),
        (2, Stream::Out, "out 2"),
        (2, Stream::Err, "err 2"),
    ];
    assert_eq!(seen, expected.map(|(worker, stream, text)| (worker, stream, text.to_owned())));
}

#[test]
fn another_relay_goes_on() {
    let (reader, out) = io::pipe().unwrap();
    let start = || Relay::over(out.try_clone().unwrap(), out.try_clone().unwrap()).unwrap();
    let first = start();
    let mut runs = Runs::new(shell("printf begun; read line; echo \" $line\""));
    let worker = runs.fork(1, &first).remove(0);
    let mut stdin = worker.stdio(0).unwrap();
    let mut pipes = first.hand_over(PATIENCE);
    // Whether it was read before or not: nothing is lost.
    let second = start();
    pipes.drain(..).for_each(|pipe| second.resume(pipe).unwrap());
    stdin.write_all(b"and ended\n").unwrap();
    runs.end(&second);
    second.finish(PATIENCE);
    drop(out);
    let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["begun and ended"]);
}

#[test]
fn a_terminal_has_prefixes() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let (mut errors, err) = io::pipe().unwrap();
    let relay = Relay::over(pty.slave, err).unwrap();
    let mut runs = Runs::new(shell("echo seen; echo plain >&2"));
    runs.fork(1, &relay);
    let mut lines = BufReader::new(fs::File::from(pty.master)).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "worker 1 | seen");
    runs.end(&relay);
    relay.finish(PATIENCE);
    let mut text = String::new();
    errors.read_to_string(&mut text).unwrap();
    assert_eq!(text, "plain\n");
}

#[test]
fn an_output_that_is_gone_is_no_end() {
    let (reader, out) = io::pipe().unwrap();
    let relay = Relay::over(out.try_clone().unwrap(), out).unwrap();
    drop(reader);
    let mut runs = Runs::new(shell("seq 1 100000; echo last >&2"));
    runs.fork(1, &relay);
    assert_eq!(runs.end(&relay), [["last"]]);
    wait_until("all are counted", || relay.dropped() == 100_001);
}
