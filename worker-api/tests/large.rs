//! What large messages cost.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{os::unix::net::UnixStream, thread, time::Duration};

use nix::time::{ClockId, clock_gettime};
use worker_api::{Channel, Serialization, structured, wire};

const SMALL: usize = 16 << 20;
const LARGE: usize = 64 << 20;

/// As much more as the larger message may cost: 4 times if each byte costs the same, 16 times if
/// it costs more with each byte before it.
const MOST: u32 = 8;

fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// The processor time, in both threads, of a text of this length that goes there and back.
fn cost(how: Serialization, length: usize) -> Duration {
    let (one, other) = UnixStream::pair().unwrap();
    let [one, other] = [one, other].map(|end| Channel::from_stream_with(end, how).unwrap());
    let text = "x".repeat(length);
    let start = used();
    let echo = thread::spawn(move || {
        let message = other.recv().unwrap().unwrap();
        other.send(&message).unwrap();
        used()
    });
    one.send(&text).unwrap();
    let message = one.recv().unwrap().unwrap();
    let ours = used() - start;
    assert!(message.value == text);
    ours + echo.join().unwrap()
}

#[track_caller]
fn is_linear(cost: impl Fn(usize) -> Duration) {
    // The least of some tries: other programs take their share of the caches.
    let least = |length| (0..2).map(|_| cost(length)).min().unwrap();
    let (small, large) = (least(SMALL), least(LARGE));
    assert!(large < MOST * small, "{small:?} for 16 MiB, {large:?} for 64 MiB");
}

#[test]
fn json_costs_the_same_for_each_byte() {
    is_linear(|length| cost(Serialization::Json, length));
}

#[test]
fn structured_values_cost_the_same_for_each_byte() {
    is_linear(|length| cost(Serialization::Advanced, length));
}

/// The same without the reading of values, which would hide what the cutting costs.
#[test]
fn cutting_lines_costs_the_same_for_each_byte() {
    let chunk = [b'x'; 1 << 16];
    is_linear(|length| {
        let start = used();
        let mut frames = wire::Frames::new(usize::MAX);
        for _ in 0..length / chunk.len() {
            frames.push(&chunk);
            assert_eq!(frames.next_line(), Ok(None));
        }
        frames.push(b"\n");
        assert!(frames.next_line().unwrap().is_some_and(|line| line.len() == length));
        used() - start
    });
}

#[test]
fn cutting_values_costs_the_same_for_each_byte() {
    let chunk = [b'x'; 1 << 16];
    is_linear(|length| {
        let start = used();
        let mut frames = structured::Frames::new(usize::MAX);
        frames.push(&(length as u32).to_be_bytes());
        for _ in 0..length / chunk.len() {
            assert_eq!(frames.next_frame(), Ok(None));
            frames.push(&chunk);
        }
        assert!(frames.next_frame().unwrap().is_some_and(|value| value.len() == length));
        used() - start
    });
}

/// What is left after each write stays where it is.
#[test]
fn writing_costs_the_same_for_each_byte() {
    is_linear(|length| {
        let message = vec![b'x'; length];
        let mut outbox = wire::Outbox::default();
        let start = used();
        outbox.push(message, None);
        // In small steps, so that a copy of each rest would be seen.
        let mut sum = 0;
        while let Some((bytes, _)) = outbox.front() {
            let count = bytes.len().min(1 << 12);
            sum += bytes[..count].iter().map(|&byte| u64::from(byte)).sum::<u64>();
            outbox.advance(count);
        }
        assert_eq!(sum, length as u64 * u64::from(b'x'));
        used() - start
    });
}
