//! A policy that is asked after each event, and looks only when there is something to see.

use std::{
    ops::{Deref, DerefMut},
    time::Instant,
};

use super::{Action, Policy};

/// To look at all slots and workers for each message of any of them would make a message dearer
/// the more workers there are. So what the policy said when it had nothing to do holds until
/// something changes, that is until somebody has it mutably, or until the time it named.
#[derive(Debug)]
pub(crate) struct Calm {
    policy: Policy,
    rest: Option<Rest>,
    changes: u64,
}

/// What a policy says that has nothing to do.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Option<Instant>,
    has_vacancy: bool,
}

impl Calm {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, rest: None, changes: 0 }
    }

    /// As [`Policy::next`].
    pub(crate) fn next(&mut self, now: Instant) -> Option<Action> {
        if self.rest.is_some_and(|rest| rest.until.is_none_or(|until| now < until)) {
            return None;
        }
        let action = self.deref_mut().next(now);
        self.rest = action.is_none().then(|| Rest {
            until: self.policy.deadline(),
            has_vacancy: self.policy.has_vacancy(),
        });
        action
    }

    /// As [`Policy::hold_starts`].
    pub(crate) fn hold_starts(&mut self, on: bool) {
        if self.policy.holds != on {
            self.deref_mut().hold_starts(on);
        }
    }

    /// As [`Policy::deadline`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.rest.map_or_else(|| self.policy.deadline(), |rest| rest.until)
    }

    /// As [`Policy::has_vacancy`].
    pub(crate) fn has_vacancy(&self) -> bool {
        self.rest.map_or_else(|| self.policy.has_vacancy(), |rest| rest.has_vacancy)
    }

    /// Another number whenever something may have changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }
}

impl Deref for Calm {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

impl DerefMut for Calm {
    fn deref_mut(&mut self) -> &mut Policy {
        self.rest = None;
        self.changes += 1;
        &mut self.policy
    }
}
