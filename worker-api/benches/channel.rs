//! What a channel and an accept cost, system calls included.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{net::TcpStream, os::unix::net::UnixStream, thread};

use criterion::{Criterion, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker_api::{Address, Channel, Handle};

#[derive(Deserialize, Serialize)]
struct Note {
    id: u32,
}

/// A message to another thread and back.
fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("channel");
    let (one, other) = UnixStream::pair().unwrap();
    let (here, there) = (Channel::from_stream(one).unwrap(), Channel::from_stream(other).unwrap());
    let echo = thread::spawn(move || {
        while let Some(message) = there.recv().unwrap() {
            match message.handle {
                Some(handle) => there.send_handle(&message.value, handle).unwrap(),
                None => there.send(&message.value).unwrap(),
            }
        }
    });
    let long = "x".repeat(64 << 10);
    for (name, value) in [("short", json!({ "id": 1 })), ("64 KiB", Value::String(long))] {
        group.bench_function(format!("{name} message, there and back"), |bencher| {
            bencher.iter(|| {
                here.send(&value).unwrap();
                here.recv().unwrap().unwrap()
            });
        });
    }
    group.bench_function("short message, there and back, typed", |bencher| {
        bencher.iter(|| {
            here.send(&Note { id: 1 }).unwrap();
            here.recv_as::<Note>().unwrap().unwrap().value.id
        });
    });
    let (socket, _peer) = UnixStream::pair().unwrap();
    let mut socket = Some(Handle::from(socket));
    group.bench_function("socket, there and back", |bencher| {
        bencher.iter(|| {
            here.send_handle(&1, socket.take().unwrap()).unwrap();
            socket = here.recv().unwrap().unwrap().handle;
        });
    });
    group.finish();
    here.disconnect();
    echo.join().unwrap();
}

/// A client connects, is accepted and goes.
fn accept(criterion: &mut Criterion) {
    let listener = worker_api::listen("127.0.0.1:0").unwrap();
    let Address::Tcp(address) = *listener.local_addr() else { panic!("no TCP address") };
    criterion.bench_function("connect, accept, close", |bencher| {
        bencher.iter(|| {
            let client = TcpStream::connect(address).unwrap();
            drop(listener.accept().unwrap());
            client
        });
    });
}

criterion_group!(benches, round_trip, accept);
criterion_main!(benches);
