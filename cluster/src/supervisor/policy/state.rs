//! The policy, when its process becomes another program.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Limits, Phase, Policy, slot::Slot, worker::Worker};
use crate::Signal;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PolicyState {
    slots: Vec<SlotState>,
    workers: Vec<(u32, MemberState)>,
    generation: u64,
    pauses: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct SlotState {
    due: Option<Duration>,
    delay: Duration,
    starts: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct MemberState {
    slot: usize,
    generation: u64,
    speaks: bool,
    phase: PhaseState,
}

#[derive(Debug, Serialize, Deserialize)]
enum PhaseState {
    Starting { left: Duration },
    Ready,
    Leaving { left: Duration, next: Option<i32> },
}

impl Policy {
    /// Written down; times as what is left of them.
    pub(crate) fn state(&self, now: Instant) -> PolicyState {
        let left = |end: Instant| end.saturating_duration_since(now);
        let member = |one: &Worker| MemberState {
            slot: one.slot,
            generation: one.generation,
            speaks: one.speaks,
            phase: match one.phase {
                Phase::Starting { end } => PhaseState::Starting { left: left(end) },
                Phase::Ready => PhaseState::Ready,
                Phase::Leaving { end, next } => {
                    PhaseState::Leaving { left: left(end), next: next.map(Signal::number) }
                }
            },
        };
        let slot = |slot: &Slot| SlotState {
            due: slot.due.map(left),
            delay: slot.delay,
            starts: slot.starts,
        };
        PolicyState {
            slots: self.slots.iter().map(slot).collect(),
            workers: self.workers.iter().map(|(&id, one)| (id, member(one))).collect(),
            generation: self.generation,
            pauses: self.pauses,
        }
    }

    /// The policy that was written down, with new limits. Nothing is being replaced.
    pub(crate) fn restore(state: PolicyState, limits: Limits, now: Instant) -> Self {
        let mut policy = Self::new(0, limits, now);
        policy.slots = state
            .slots
            .into_iter()
            .map(|SlotState { due, delay, starts }| Slot {
                due: due.map(|left| now + left),
                rests: None,
                delay,
                starts,
            })
            .collect();
        for (id, MemberState { slot, generation, speaks, phase }) in state.workers {
            let phase = match phase {
                PhaseState::Starting { left } => Phase::Starting { end: now + left },
                PhaseState::Ready => Phase::Ready,
                PhaseState::Leaving { left, next } => {
                    let next = next.and_then(Signal::from_number);
                    Phase::Leaving { end: now + left, next }
                }
            };
            let worker = Worker { speaks, phase, ..Worker::new(slot, generation, now) };
            policy.workers.insert(id, worker);
        }
        (policy.generation, policy.pauses) = (state.generation, state.pauses);
        policy.count(now);
        policy
    }
}
