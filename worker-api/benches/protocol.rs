//! What the protocol costs without any system call.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use worker_api::{
    structured::{self, View, ViewKind},
    wire::{Act, Cluster, Frames, Label, Packet, Reply, encode, encode_offer, encode_with},
};

fn message() -> Value {
    json!({ "id": 4711, "name": "a user's message", "tags": ["one", "two"], "nested": { "on": true } })
}

/// A stream of lines, as it comes in 64 KiB at a time.
fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    for (name, length) in [("short lines", 100), ("long lines", 1 << 20)] {
        let mut stream = Vec::new();
        while stream.len() < 4 << 20 {
            stream.extend(std::iter::repeat_n(b'x', length));
            stream.push(b'\n');
        }
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut frames = Frames::new(usize::MAX);
                let mut lines = 0;
                for part in stream.chunks(1 << 16) {
                    frames.push(part);
                    while frames.next_line().unwrap().is_some() {
                        lines += 1;
                    }
                }
                lines
            });
        });
    }
    group.finish();
}

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packets");
    let message = message();
    let line = encode(&message).unwrap();
    group.bench_function("encode a message", |bencher| {
        bencher.iter(|| encode(black_box(&message)).unwrap());
    });
    group.bench_function("decode a message", |bencher| {
        bencher.iter(|| Packet::decode(black_box(&line[..line.len() - 1])).unwrap());
    });
    group.finish();
}

/// The messages of a connection that is handed over, the short way and the long way.
fn handing_over(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handing over");
    let key = "127.0.0.1:7000:4:undefined:0";
    let offer = Cluster { seq: Some(4711), act: Act::NewConnection { key: key.to_owned() } };
    let label = Label { kind: "net.Native", dgram_type: None };
    group.bench_function("encode an offer", |bencher| {
        bencher.iter(|| encode_offer(black_box(key), black_box(4711)));
    });
    group.bench_function("encode an offer by JSON", |bencher| {
        bencher.iter(|| encode_with(label, &black_box(&offer).to_json()).unwrap());
    });
    let reply = Reply { ack: Some(4711), accepted: Some(true), ..Reply::default() };
    let answer = Cluster { seq: Some(12), act: Act::Reply(reply) }.encode().unwrap();
    for (name, line) in [("offer", encode_offer(key, 4711)), ("answer", answer)] {
        let line = &line[..line.len() - 1];
        // One space more, and it is no longer spelt as the short way wants it.
        let odd = [b"{ ", &line[1..]].concat();
        group.bench_function(format!("decode an {name}"), |bencher| {
            bencher.iter(|| Packet::decode(black_box(line)).unwrap());
        });
        group.bench_function(format!("decode an {name} by JSON"), |bencher| {
            bencher.iter(|| Packet::decode(black_box(&odd)).unwrap());
        });
    }
    group.finish();
}

fn structured_values(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("structured");
    let bytes = View::new(ViewKind::Uint8Array, vec![7; 1 << 16]).unwrap();
    for (name, value) in
        [("message", message().into()), ("64 KiB of bytes", structured::Value::View(bytes))]
    {
        let encoded = structured::encode(&value).unwrap();
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        group.bench_function(format!("encode a {name}"), |bencher| {
            bencher.iter(|| structured::encode(black_box(&value)).unwrap());
        });
        group.bench_function(format!("decode a {name}"), |bencher| {
            bencher.iter(|| structured::decode(black_box(&encoded)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, frames, packets, handing_over, structured_values);
criterion_main!(benches);
