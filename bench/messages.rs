//! Messages between a parent and its child over the channel: there and back one at a time, with
//! 64 on the way, and one way. Messages for each second, as one line of JSON.

use std::{env, time::Instant};

use cluster::{
    Channel,
    child_process::{self, Child},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

const ONE_BY_ONE: u32 = 20_000;
const MANY: u32 = 100_000;
const ON_THE_WAY: u32 = 64;

/// The same text on the wire as in the programs this is compared with.
#[derive(Deserialize, Serialize)]
struct Note<'a> {
    cmd: &'a str,
    id: u32,
}

fn main() -> cluster::Result<()> {
    if let Some(parent) = child_process::parent()? {
        return answer(&parent);
    }
    let child = child_process::fork(env::current_exe()?, ["child"])?;
    there_and_back(&child, ONE_BY_ONE / 10, 1)?;
    let one_by_one = there_and_back(&child, ONE_BY_ONE, 1)?;
    let many = there_and_back(&child, MANY, ON_THE_WAY)?;
    let one_way = one_way(&child)?;
    child.disconnect();
    println!("{}", json!({ "one_by_one": one_by_one, "many": many, "one_way": one_way }));
    Ok(())
}

fn there_and_back(child: &Child, count: u32, on_the_way: u32) -> cluster::Result<f64> {
    let (start, mut sent, mut got) = (Instant::now(), 0, 0);
    while got < count {
        while sent < count && sent - got < on_the_way {
            child.send(&Note { cmd: "ping", id: 100_000 + sent })?;
            sent += 1;
        }
        child.recv()?;
        got += 1;
        while child.try_recv()?.is_some() {
            got += 1;
        }
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

fn one_way(child: &Child) -> cluster::Result<f64> {
    let start = Instant::now();
    for id in 1..MANY {
        child.send(&Note { cmd: "data", id: 100_000 + id })?;
    }
    child.send(&Note { cmd: "last", id: 100_000 })?;
    child.recv()?;
    Ok(f64::from(MANY) / start.elapsed().as_secs_f64())
}

fn answer(parent: &Channel) -> cluster::Result<()> {
    while let Some(message) = parent.recv()? {
        match message.value["cmd"].as_str() {
            Some("ping") => parent.send(&json!({ "cmd": "pong", "id": message.value["id"] }))?,
            Some("last") => parent.send(&json!({ "cmd": "done" }))?,
            _ => {}
        }
    }
    Ok(())
}
