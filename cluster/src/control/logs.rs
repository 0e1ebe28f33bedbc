//! Clients that are told what workers print.
//!
//! A client is told the next lines when it has read the last ones. What it does not read stays in
//! the relay, and when that has no more room the client misses lines and is told how many.

use std::io;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{
    Answer, Asker, Printed, Server,
    caller::{Caller, State},
};
use crate::relay::{Follower, Line, Stream};

/// So many bytes of lines are written for a client at a time, or one line.
const PART: usize = 64 * 1024;

/// At the end a client is told so many parts at most; the relay keeps fewer.
const LAST_PARTS: usize = 64;

/// The place of a client's follower in the epoll is the client's number with this.
pub(super) const FOLLOWER: u64 = 1 << 63;

/// Where a client is among the lines.
#[derive(Debug)]
pub(super) struct Reading {
    follower: Follower,
    /// So many lines more; `None`: all that come.
    left: Option<u64>,
}

impl Reading {
    /// The next lines as answers.
    fn next(&mut self) -> Vec<Answer> {
        let most = self.left.map_or(usize::MAX, |left| left.try_into().unwrap_or(usize::MAX));
        let news = self.follower.take_within(most, PART);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(news.missed + news.lines.len() as u64);
        }
        let missed = (news.missed > 0).then_some(Answer::Missed(news.missed));
        let lines = news.lines.iter().map(|line| Answer::Line(Printed::from(line)));
        missed.into_iter().chain(lines).collect()
    }
}

impl From<&Line> for Printed {
    fn from(line: &Line) -> Self {
        Self {
            worker: line.worker,
            stream: match line.stream {
                Stream::Out => "stdout",
                Stream::Err => "stderr",
            }
            .into(),
            text: String::from_utf8_lossy(&line.text).into_owned(),
        }
    }
}

impl Caller {
    /// Tells the next lines, if the client has read the last ones; whether there were any.
    fn read_on(&mut self) -> bool {
        let Some(reading) = self.reading.as_mut().filter(|_| self.unsent.is_empty()) else {
            return false;
        };
        let answers = reading.next();
        answers.iter().for_each(|answer| self.queue(answer));
        self.flush();
        let is_all = self.reading.as_ref().is_some_and(|reading| reading.left == Some(0));
        if is_all && self.unsent.is_empty() {
            self.stop_reading(&Answer::Done("these are the lines".into()));
        }
        !answers.is_empty()
    }

    fn read_to_the_end(&mut self) {
        for _ in 0..LAST_PARTS {
            if !self.read_on() {
                return;
            }
        }
    }

    fn stop_reading(&mut self, last: &Answer) {
        self.reading = None;
        self.state = State::Idle;
        self.queue(last);
        self.flush();
    }
}

impl Server {
    /// Tells a client lines: those that are there, or also those that come.
    pub(crate) fn tell_lines(&mut self, asker: Asker, follower: Follower, follows: bool) {
        let Asker(number) = asker;
        self.begin(asker, "logs");
        let left = (!follows).then(|| follower.waiting());
        if let Some(caller) = self.callers.get_mut(&number) {
            if follows {
                caller.state = State::Following;
            }
            self.watch_lines(number, Reading { follower, left });
        }
    }

    fn watch_lines(&mut self, number: u64, reading: Reading) {
        let Some(caller) = self.callers.get_mut(&number) else { return };
        let watched = self.epoll.add(&reading.follower, bell(number));
        caller.reading = Some(reading);
        match watched {
            Ok(()) => self.pass_on(number),
            Err(error) => {
                caller.stop_reading(&Answer::Failed(format!("cannot wait for lines: {error}")));
                self.settle(number);
            }
        }
    }

    /// Tells a client the next lines, and waits for those after them.
    pub(super) fn pass_on(&mut self, number: u64) {
        let Some(caller) = self.callers.get_mut(&number) else { return };
        if caller.reading.is_none() {
            return;
        }
        self.is_busy = true;
        caller.read_on();
        if let Some(reading) = &caller.reading
            && !caller.has_unsent()
            && let Err(error) = self.epoll.modify(&reading.follower, &mut bell(number))
        {
            caller.stop_reading(&Answer::Failed(format!("cannot wait for lines: {error}")));
        }
        self.settle(number);
    }

    /// Tells all what can be told now, for it is the end.
    pub(super) fn tell_last_lines(&mut self) {
        self.callers.values_mut().for_each(Caller::read_to_the_end);
    }

    /// What was not told by now is lost: the lines do not go along to the next program.
    pub(super) fn part_with_lines(&mut self) {
        for caller in self.callers.values_mut() {
            caller.read_to_the_end();
            let Some(reading) = &mut caller.reading else { continue };
            if reading.left.is_some() {
                let reason = "the master becomes another program just now; ask again";
                caller.stop_reading(&Answer::Failed(reason.into()));
                continue;
            }
            let rest = reading.follower.take(usize::MAX);
            let missed = rest.missed + rest.lines.len() as u64;
            if missed > 0 {
                caller.queue(&Answer::Missed(missed));
            }
        }
    }

    /// Goes on telling those who were told lines by the former program.
    pub(super) fn go_on_with_lines(&mut self, follow: impl Fn() -> io::Result<Follower>) {
        let is_left =
            |caller: &Caller| caller.state == State::Following && caller.reading.is_none();
        let callers = self.callers.iter().filter(|(_, caller)| is_left(caller));
        for number in callers.map(|(number, _)| *number).collect::<Vec<_>>() {
            match follow() {
                Ok(follower) => self.watch_lines(number, Reading { follower, left: None }),
                Err(error) => {
                    self.answer(Asker(number), &Answer::Failed(format!("no more lines: {error}")));
                }
            }
        }
    }
}

/// Once, until it is asked for again: while a client reads nothing its bell may ring.
fn bell(number: u64) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, number | FOLLOWER)
}

#[cfg(test)]
mod tests;
