//! Handing connections over: who gets the next one, and what is in flight.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    fmt,
    time::Instant,
};

use super::Candidate;
use member::Member;
pub(crate) use member::Standing;

mod member;

/// So many connections wait for one worker at most; more for the same go by turns.
const LONGEST_QUEUE: usize = 64;

/// The workers of one listener and the connections between the master and them. No I/O and no
/// clock: a connection is any `C`, a question is known by its number.
///
/// A connection stays here until its worker has taken it, or is in the worker's lane. The master
/// accepts only while somebody is free, so there is never one more than there are workers, but
/// for those that wait for one whom a rule has chosen, and those that were taken back.
#[derive(Debug)]
pub(crate) struct Turns<C> {
    members: BTreeMap<u32, Member<C>>,
    /// Those who may have the next connection, in their order.
    free: VecDeque<u32>,
    /// Connections that were given back, the oldest first, and those just accepted.
    waiting: VecDeque<C>,
    /// How many wait for one worker.
    reserved: usize,
    /// Whether any worker rests.
    has_resting: bool,
    /// For the rule, kept to save the allocation.
    candidates: Vec<Candidate>,
}

/// How a connection gets to its worker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<C> {
    /// In a message: [`held`](Turns::held) is the connection until the worker answers.
    Offer(u32),
    /// By the lane, and it is the worker's then.
    Lane(u32, C),
}

/// A rule, and what it is to know.
pub(crate) struct Choice<'a, C> {
    /// Who gets this connection; `None`: whose turn it is.
    pub(crate) rule: &'a mut dyn FnMut(&C, &[Candidate]) -> Option<u32>,
    /// How many connections a worker has open, if that is known.
    pub(crate) open: &'a dyn Fn(u32) -> Option<u64>,
}

impl<C> fmt::Debug for Choice<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Choice")
    }
}

impl<C> Turns<C> {
    pub(crate) fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            free: VecDeque::new(),
            waiting: VecDeque::new(),
            reserved: 0,
            has_resting: false,
            candidates: Vec::new(),
        }
    }

    /// A worker listens, and takes connections from a lane or not.
    pub(crate) fn join(&mut self, worker: u32, has_lane: bool) {
        let fewest = self.members.values().map(|member| member.given).min();
        if let Entry::Vacant(place) = self.members.entry(worker) {
            place.insert(Member::new(has_lane, fewest.unwrap_or(0)));
            self.set_free(worker);
        }
    }

    fn set_free(&mut self, worker: u32) {
        if let Some(member) = self.members.get_mut(&worker)
            && !std::mem::replace(&mut member.is_free, true)
        {
            self.free.push_back(worker);
        }
    }

    fn set_busy(&mut self, worker: u32) {
        if let Some(member) = self.members.get_mut(&worker)
            && std::mem::replace(&mut member.is_free, false)
            && let Some(place) = self.free.iter().position(|&one| one == worker)
        {
            self.free.remove(place);
        }
    }

    /// A worker is to leave, and gets nothing more. What it holds it may have taken already.
    pub(crate) fn retire(&mut self, worker: u32) {
        match self.members.get_mut(&worker) {
            Some(member) if member.holds.is_some() => {
                member.is_leaving = true;
                self.empty_queue(worker);
            }
            _ => self.leave(worker),
        }
    }

    /// A worker no longer listens, or is dead: what it has not taken goes to another.
    pub(crate) fn leave(&mut self, worker: u32) {
        self.set_busy(worker);
        self.empty_queue(worker);
        let Some(member) = self.members.remove(&worker) else { return };
        if let Some((_, connection)) = member.holds {
            self.waiting.push_front(connection);
        }
    }

    fn empty_queue(&mut self, worker: u32) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        self.reserved -= member.queue.len();
        while let Some(connection) = member.queue.pop_back() {
            self.waiting.push_front(connection);
        }
    }

    /// Whether a connection that is accepted now has somebody to go to.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < self.free.len()
    }

    /// A connection was accepted.
    pub(crate) fn arrived(&mut self, connection: C) {
        self.waiting.push_back(connection);
    }

    /// The next connection and the worker that gets it, if there are both; `number` is that of
    /// the message which hands it over, if it is one.
    pub(crate) fn hand_over(
        &mut self,
        number: u64,
        choice: Option<Choice<'_, C>>,
    ) -> Option<Next<C>> {
        let (worker, connection) = match self.next_reserved() {
            Some(next) => next,
            None => self.next_waiting(choice)?,
        };
        self.set_busy(worker);
        let member = self.members.get_mut(&worker)?;
        member.given += 1;
        if member.lane.is_some() {
            self.set_free(worker); // but now it is the last
            return Some(Next::Lane(worker, connection));
        }
        member.holds = Some((number, connection));
        Some(Next::Offer(worker))
    }

    /// What a worker has in hand and may not have taken.
    pub(crate) fn held(&mut self, worker: u32) -> Option<&mut C> {
        Some(&mut self.members.get_mut(&worker)?.holds.as_mut()?.1)
    }

    /// How it stands with a worker's lane, for the rule.
    pub(crate) fn note(&mut self, worker: u32, standing: Standing) {
        if let Some(Member { lane: Some(lane), .. }) = self.members.get_mut(&worker) {
            *lane = standing;
        }
    }

    /// A lane takes no more for now.
    pub(crate) fn full(&mut self, worker: u32) {
        self.set_busy(worker);
    }

    /// A lane has room, unless its worker rests.
    pub(crate) fn room(&mut self, worker: u32) {
        if self.members.get(&worker).is_some_and(|member| member.rests_until.is_none()) {
            self.set_free(worker);
        }
    }

    /// A connection that was in a lane, or that the lane did not take. Of several the last comes
    /// first.
    pub(crate) fn give_back(&mut self, worker: u32, connection: C) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.given = member.given.saturating_sub(1);
        }
        self.waiting.push_front(connection);
    }

    /// A worker takes nothing from its lane: it is left alone for a while.
    pub(crate) fn rest(&mut self, worker: u32, now: Instant) {
        self.set_busy(worker);
        if let Some(member) = self.members.get_mut(&worker) {
            member.begin_to_rest(now);
            self.has_resting = true;
        }
    }

    /// A worker takes what is in its lane.
    pub(crate) fn is_well(&mut self, worker: u32) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.is_well();
        }
    }

    /// Whether anybody is free who is none of these.
    pub(crate) fn has_others(&self, than: &[u32]) -> bool {
        self.free.iter().any(|worker| !than.contains(worker))
    }

    /// What waits for somebody who is free now.
    fn next_reserved(&mut self) -> Option<(u32, C)> {
        if self.reserved == 0 {
            return None;
        }
        let members = &mut self.members;
        let (worker, connection) = self.free.iter().find_map(|worker| {
            let connection = members.get_mut(worker)?.queue.pop_front()?;
            Some((*worker, connection))
        })?;
        self.reserved -= 1;
        Some((worker, connection))
    }

    fn next_waiting(&mut self, mut choice: Option<Choice<'_, C>>) -> Option<(u32, C)> {
        while let Some(connection) = self.waiting.pop_front() {
            let chosen = choice.as_mut().and_then(|choice| self.choose(&connection, choice));
            match chosen.and_then(|worker| Some((worker, self.members.get_mut(&worker)?))) {
                Some((worker, member)) if member.is_free => return Some((worker, connection)),
                Some((_, member)) if member.queue.len() < LONGEST_QUEUE => {
                    member.queue.push_back(connection);
                    self.reserved += 1;
                }
                _ => match self.free.front() {
                    Some(&worker) => return Some((worker, connection)),
                    None => {
                        self.waiting.push_front(connection);
                        return None;
                    }
                },
            }
        }
        None
    }

    /// Whom the rule chooses, if that is somebody who may be.
    fn choose(&mut self, connection: &C, choice: &mut Choice<'_, C>) -> Option<u32> {
        let staying = self.members.iter().filter(|(_, member)| !member.is_leaving);
        self.candidates.clear();
        self.candidates.extend(staying.map(|(&id, one)| one.candidate(id, (choice.open)(id))));
        if self.candidates.is_empty() {
            return None;
        }
        let chosen = (choice.rule)(connection, &self.candidates)?;
        self.candidates.binary_search_by_key(&chosen, |one| one.id).is_ok().then_some(chosen)
    }

    /// The worker has taken the connection.
    pub(crate) fn taken(&mut self, worker: u32, number: u64) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if member.holds.take_if(|(held, _)| *held == number).is_some() {
            if member.is_leaving {
                return self.leave(worker);
            }
            member.is_well();
            self.set_free(worker);
        }
    }

    /// The worker will not take the connection, or did not get it: another does, and this one
    /// is left alone for a while.
    pub(crate) fn refused(&mut self, worker: u32, number: u64, now: Instant) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if let Some((_, connection)) = member.holds.take_if(|(held, _)| *held == number) {
            member.begin_to_rest(now);
            self.has_resting = true;
            member.given = member.given.saturating_sub(1);
            self.waiting.push_front(connection);
            if member.is_leaving {
                self.leave(worker);
            }
        }
    }

    /// The workers, and whether they are leaving.
    pub(crate) fn members(&self) -> impl Iterator<Item = (u32, bool)> {
        self.members.iter().map(|(&worker, member)| (worker, member.is_leaving))
    }

    /// All connections, each with who has it and the number of its message.
    pub(crate) fn inventory(&self) -> impl Iterator<Item = (&C, Option<(u32, u64)>)> {
        let held = self.members.iter().filter_map(|(&worker, member)| {
            member.holds.as_ref().map(|(number, one)| (one, Some((worker, *number))))
        });
        let queued = self.members.values().flat_map(|member| &member.queue);
        held.chain(queued.chain(&self.waiting).map(|one| (one, None)))
    }

    /// A connection of an [inventory](Self::inventory) is here again.
    pub(crate) fn resume(&mut self, connection: C, with: Option<(u32, u64)>) {
        match with
            .and_then(|(worker, number)| Some((worker, number, self.members.get_mut(&worker)?)))
        {
            Some((worker, number, member)) => {
                member.holds = Some((number, connection));
                self.set_busy(worker);
            }
            None => self.waiting.push_back(connection),
        }
    }

    /// Ends the rests that are over.
    pub(crate) fn wake(&mut self, now: Instant) {
        if !self.has_resting {
            return;
        }
        let rested = |member: &mut Member<C>| member.rests_until.take_if(|until| *until <= now);
        let woken: Vec<u32> = self
            .members
            .iter_mut()
            .filter_map(|(&worker, member)| rested(member).map(|_| worker))
            .collect();
        for worker in woken {
            self.set_free(worker);
        }
        self.has_resting = self.deadline().is_some();
    }

    /// When to call [`wake`](Self::wake).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if !self.has_resting {
            return None;
        }
        self.members.values().filter_map(|member| member.rests_until).min()
    }
}

#[cfg(test)]
mod tests;
