//! What it costs to decide who gets a connection.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, criterion_group, criterion_main};

/// The module itself: most of it is private to the crate.
#[allow(dead_code, unused_imports, unreachable_pub, rustdoc::broken_intra_doc_links)]
#[path = "../src/schedule/mod.rs"]
mod schedule;

use schedule::{Arrival, Candidate, Choice, LeastConnections, Next, Schedule, Sticky, Turns};
use worker_api::Address;

const CROWDS: [u32; 3] = [4, 64, 1024];

fn workers(count: u32) -> Turns<u64> {
    let mut turns = Turns::new();
    (1..=count).for_each(|worker| turns.join(worker, false));
    turns
}

/// Gives a connection, and has it taken.
fn give(turns: &mut Turns<u64>, number: u64, choice: Option<Choice<'_, u64>>) -> u32 {
    turns.arrived(number);
    let Some(Next::Offer(worker)) = turns.hand_over(number, choice) else { unreachable!() };
    turns.taken(worker, number);
    worker
}

/// A connection comes, is handed over and taken.
fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turns");
    for count in CROWDS {
        let (mut turns, mut number) = (workers(count), 0);
        group.bench_function(format!("{count} workers"), |bencher| {
            bencher.iter(|| {
                number += 1;
                give(&mut turns, number, None)
            });
        });
    }
    group.finish();
}

/// The same with a rule that looks at all workers.
fn rules(criterion: &mut Criterion) {
    let listener = Address::Tcp(([127, 0, 0, 1], 7000).into());
    let peer = Some(([192, 0, 2, 1], 40_000).into());
    for count in CROWDS {
        let mut group = criterion.benchmark_group(format!("rules, {count} workers"));
        let candidates: Vec<_> =
            (1..=count).map(|id| Candidate::new(id, 1, u64::from(id * 7 % 13))).collect();
        let arrival = Arrival::new(&listener, peer);
        let (mut least, mut sticky) = (LeastConnections::new(), Sticky::new());
        group.bench_function("least connections", |bencher| {
            bencher.iter(|| least.choose(&arrival, &candidates));
        });
        group.bench_function("sticky", |bencher| {
            bencher.iter(|| sticky.choose(&arrival, &candidates));
        });
        let (mut turns, mut number) = (workers(count), 0);
        group.bench_function("least connections, handed over", |bencher| {
            bencher.iter(|| {
                number += 1;
                let mut rule =
                    |_: &u64, candidates: &[Candidate]| least.choose(&arrival, candidates);
                let choice = Choice { rule: &mut rule, open: &|_| Some(0) };
                give(&mut turns, number, Some(choice))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, turns, rules);
criterion_main!(benches);
