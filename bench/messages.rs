//! Messages between a parent and its child over the channel: there and back one at a time, with
//! 64 on the way, and one way; the last two also with many messages in a write. Messages for
//! each second, as one line of JSON.

use std::{env, time::Instant};

use cluster::{Channel, child_process, worker_api::Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

const ONE_BY_ONE: u32 = 20_000;
const MANY: u32 = 100_000;
const ON_THE_WAY: u32 = 64;

/// The same text on the wire as in the programs this is compared with.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Note {
    cmd: Cmd,
    id: u32,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Cmd {
    Ping,
    Pong,
    Data,
    Last,
    Done,
}

fn note(cmd: Cmd, id: u32) -> Note {
    Note { cmd, id: 100_000 + id }
}

/// How messages are written.
#[derive(Clone, Copy)]
enum Writes {
    Single,
    Batched,
}

impl Writes {
    fn send(self, channel: &Channel, notes: impl Iterator<Item = Note>) -> Result<()> {
        match self {
            Self::Single => notes.into_iter().try_for_each(|note| channel.send(&note)),
            Self::Batched => channel.send_many(notes),
        }
    }
}

fn main() -> cluster::Result<()> {
    if let Some(parent) = child_process::parent()? {
        let is_batched = env::args().nth(1).is_some_and(|writes| writes == "batched");
        return Ok(answer(&parent, if is_batched { Writes::Batched } else { Writes::Single })?);
    }
    let single = child_process::fork(env::current_exe()?, ["single"])?;
    let channel = single.channel().expect("a forked child has one");
    there_and_back(channel, ONE_BY_ONE / 10, 1, Writes::Single)?;
    let one_by_one = there_and_back(channel, ONE_BY_ONE, 1, Writes::Single)?;
    let many = there_and_back(channel, MANY, ON_THE_WAY, Writes::Single)?;
    let one_way = one_way(channel, MANY, Writes::Single)?;
    let batched = child_process::fork(env::current_exe()?, ["batched"])?;
    let channel = batched.channel().expect("a forked child has one");
    let many_batched = there_and_back(channel, 4 * MANY, ON_THE_WAY, Writes::Batched)?;
    let one_way_batched = self::one_way(channel, 10 * MANY, Writes::Batched)?;
    println!(
        "{}",
        json!({
            "single": { "one_by_one": one_by_one, "many": many, "one_way": one_way },
            "batched": { "many": many_batched, "one_way": one_way_batched },
        })
    );
    Ok(())
}

/// Round trips for each second.
fn there_and_back(channel: &Channel, count: u32, most: u32, writes: Writes) -> Result<f64> {
    let (start, mut sent, mut got) = (Instant::now(), 0, 0);
    let mut notes = Vec::new();
    while got < count {
        let next = count.min(got + most);
        writes.send(channel, (sent..next).map(|id| note(Cmd::Ping, id)))?;
        sent = next;
        notes.clear();
        got += channel.recv_many::<Note>(&mut notes, most as usize)? as u32;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// Messages for each second, until the other side says that it has the last.
fn one_way(channel: &Channel, count: u32, writes: Writes) -> Result<f64> {
    let start = Instant::now();
    let last = count - 1;
    let notes = (0..count).map(|id| note(if id == last { Cmd::Last } else { Cmd::Data }, id));
    writes.send(channel, notes)?;
    channel.recv_as::<Note>()?;
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

fn answer(channel: &Channel, writes: Writes) -> Result<()> {
    let mut notes = Vec::new();
    while channel.recv_many::<Note>(&mut notes, usize::MAX)? > 0 {
        let answers = notes.drain(..).filter_map(|message| match message.value.cmd {
            Cmd::Ping => Some(Note { cmd: Cmd::Pong, ..message.value }),
            Cmd::Last => Some(Note { cmd: Cmd::Done, ..message.value }),
            _ => None,
        });
        writes.send(channel, answers)?;
    }
    Ok(())
}
