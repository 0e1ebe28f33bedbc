//! What this side has asked about sockets that it sent, and the answers.

use crate::{latch::Signal, wire::Sockets};

/// Questions in the order in which they were asked: so those for numbers are answered.
#[derive(Debug, Default)]
pub(crate) struct Inquiries {
    open: Vec<Inquiry>,
    next: u64,
}

#[derive(Debug)]
struct Inquiry {
    number: u64,
    question: Sockets,
    answer: Option<u64>,
    /// None when nobody waits any more; its answer must still be told from the next one's.
    signal: Option<Signal>,
}

impl Inquiries {
    /// Notes a question; the signal is set when it is answered, or never will be. Its number,
    /// and whether it must be sent: who waits for the end of the same sockets shares an answer.
    pub(crate) fn ask(&mut self, question: Sockets, signal: Signal) -> (u64, bool) {
        self.next += 1;
        let is_asked = |one: &Inquiry| one.answer.is_none() && one.question == question;
        let is_new = matches!(question, Sockets::GetCount(_)) || !self.open.iter().any(is_asked);
        let signal = Some(signal);
        self.open.push(Inquiry { number: self.next, question, answer: None, signal });
        (self.next, is_new)
    }

    /// An answer came; one that belongs to no question is ignored.
    pub(crate) fn heard(&mut self, answer: &Sockets) {
        match answer {
            Sockets::Count(key, count) => {
                let question = Sockets::GetCount(key.clone());
                let is_it = |one: &Inquiry| one.answer.is_none() && one.question == question;
                if let Some(first) = self.open.iter_mut().find(|one| is_it(one)) {
                    first.answered(*count);
                }
            }
            Sockets::AllClosed(key) => {
                let question = Sockets::NotifyClose(key.clone());
                let asked = self.open.iter_mut().filter(|one| one.question == question);
                asked.for_each(|one| one.answered(0));
            }
            Sockets::GetCount(_) | Sockets::NotifyClose(_) => return,
        }
        self.open.retain(|one| one.answer.is_none() || one.signal.is_some());
    }

    /// No more answers will come: what is gone has no sockets.
    pub(crate) fn close(&mut self) {
        self.open.retain(|one| one.signal.is_some());
        self.open.iter_mut().for_each(|one| one.answered(0));
    }

    /// The answer, once it has come.
    pub(crate) fn answer(&mut self, number: u64) -> Option<u64> {
        let place = self.open.iter().position(|one| one.number == number)?;
        let answer = self.open[place].answer?;
        self.open.remove(place);
        Some(answer)
    }

    /// Nobody waits for this one any more.
    pub(crate) fn give_up(&mut self, number: u64) {
        if let Some(one) = self.open.iter_mut().find(|one| one.number == number) {
            one.signal = None;
        }
    }
}

impl Inquiry {
    fn answered(&mut self, count: u64) {
        self.answer.get_or_insert(count);
        if let Some(signal) = &mut self.signal {
            signal.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(inquiries: &mut Inquiries, question: Sockets) -> u64 {
        inquiries.ask(question, Signal::new().unwrap()).0
    }

    #[test]
    fn answers_belong_to_the_first_question_of_their_kind() {
        let mut inquiries = Inquiries::default();
        let end = ask(&mut inquiries, Sockets::NotifyClose("a".into()));
        let given_up = ask(&mut inquiries, Sockets::GetCount("a".into()));
        inquiries.give_up(given_up);
        let count = ask(&mut inquiries, Sockets::GetCount("a".into()));
        let other = ask(&mut inquiries, Sockets::GetCount("b".into()));
        for (key, number) in [("a", 1), ("a", 2), ("c", 3)] {
            inquiries.heard(&Sockets::Count(key.into(), number));
        }
        assert_eq!(inquiries.answer(count), Some(2));
        assert_eq!((inquiries.answer(end), inquiries.answer(other)), (None, None));
        inquiries.heard(&Sockets::AllClosed("a".into()));
        assert_eq!(inquiries.answer(end), Some(0));
        inquiries.close();
        assert_eq!(inquiries.answer(other), Some(0));
        assert!(inquiries.open.is_empty());
    }

    #[test]
    fn all_hear_of_the_end_of_the_same_sockets() {
        let mut inquiries = Inquiries::default();
        let mut ask = || inquiries.ask(Sockets::NotifyClose("a".into()), Signal::new().unwrap());
        let [(first, true), (second, false)] = [ask(), ask()] else { panic!("asked twice") };
        inquiries.give_up(first);
        inquiries.heard(&Sockets::AllClosed("a".into()));
        assert_eq!((inquiries.answer(first), inquiries.answer(second)), (None, Some(0)));
        assert!(inquiries.open.is_empty());
    }
}
