//! Which of its sockets a group gives a connection to, as a program for the kernel.

use std::collections::BTreeMap;

use nix::libc::{
    BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_MOD,
    BPF_RET, BPF_W, SKF_AD_CPU, SKF_AD_OFF, SKF_AD_RANDOM, sock_filter,
};

/// What no socket's place is: the kernel chooses by the connection's addresses, among all.
const BY_ADDRESS: u32 = u32::MAX;

/// A socket of a group, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// A worker accepts from it.
    pub(super) is_served: bool,
    /// Connections that come in on this CPU are to be its.
    pub(super) cpu: Option<usize>,
}

/// Who is to get connections, by their places in the group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steering {
    /// Of those that come in on a CPU.
    by_cpu: BTreeMap<u32, Vec<u32>>,
    /// Of all others; empty: whoever the kernel chooses by their addresses.
    others: Vec<u32>,
}

impl Steering {
    /// Nobody gets a connection who is not served, unless nobody is.
    pub(super) fn of(group: impl Iterator<Item = Choice>) -> Self {
        let (mut all, mut served, mut by_cpu) = (0, Vec::new(), BTreeMap::<_, Vec<_>>::new());
        for (place, choice) in (0..).zip(group) {
            all += 1;
            if !choice.is_served {
                continue;
            }
            served.push(place);
            if let Some(cpu) = choice.cpu.and_then(|cpu| cpu.try_into().ok()) {
                by_cpu.entry(cpu).or_default().push(place);
            }
        }
        let others = if served.len() == all { Vec::new() } else { served };
        Self { by_cpu, others }
    }

    /// The program that says the place.
    pub(super) fn program(&self) -> Vec<sock_filter> {
        let mut program = Vec::new();
        if !self.by_cpu.is_empty() {
            program.push(load(SKF_AD_CPU));
        }
        for (&cpu, places) in &self.by_cpu {
            let choice = one_of(places);
            program.push(step(BPF_JMP | BPF_JEQ | BPF_K, cpu, 1));
            program.push(step(BPF_JMP | BPF_JA, choice.len() as u32, 0));
            program.extend(choice);
        }
        program.extend(one_of(&self.others));
        program
    }
}

/// Ends with one of these places, each as likely as the others. They ascend, and mostly follow
/// each other: so there is a number by lot, and from where on such a sequence stands among the
/// others what to add to get the place.
fn one_of(places: &[u32]) -> Vec<sock_filter> {
    match places {
        [] => return vec![step(BPF_RET | BPF_K, BY_ADDRESS, 0)],
        [one] => return vec![step(BPF_RET | BPF_K, *one, 0)],
        _ => {}
    }
    let mut program = vec![load(SKF_AD_RANDOM)];
    program.push(step(BPF_ALU | BPF_MOD | BPF_K, places.len() as u32, 0));
    let mut before = 0;
    for sequence in places.chunk_by(|one, next| one + 1 == *next) {
        let end = before + sequence.len() as u32;
        program.push(step(BPF_JMP | BPF_JGE | BPF_K, end, 2));
        program.push(step(BPF_ALU | BPF_ADD | BPF_K, sequence[0] - before, 0));
        program.push(step(BPF_RET | BPF_A, 0, 0));
        before = end;
    }
    program.push(step(BPF_RET | BPF_K, BY_ADDRESS, 0)); // a program must end so; never reached
    program
}

/// Something that the kernel knows besides the packet.
fn load(what: i32) -> sock_filter {
    step(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF.wrapping_add(what) as u32, 0)
}

/// An instruction; if it is a comparison that holds, so many are left out.
fn step(code: u32, k: u32, skip: u8) -> sock_filter {
    sock_filter { code: code as u16, jt: skip, jf: 0, k }
}

#[cfg(test)]
mod tests;
