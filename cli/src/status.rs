//! How a master and its workers are, once.

use std::time::{SystemTime, UNIX_EPOCH};

use cluster::control::{Answer, Client, Report, Request};
use serde_json::{Value, json};

use crate::{
    arguments::Target,
    ask::unexpected,
    failure::{Failure, Result},
    table::{Loads, heading, loads, table},
    usage::Usage,
};

pub(crate) fn status(target: &Target) -> Result {
    let report = report(&mut target.connect()?)?;
    let loads = loads(&report);
    if target.json {
        println!("{}", as_json(&report, &loads));
    } else {
        println!("{}\n{}", heading(&report, now()), table(&report, &loads));
    }
    Ok(())
}

pub(crate) fn report(client: &mut Client) -> Result<Report> {
    match client.ask(&Request::Status)? {
        Answer::Status(report) => Ok(*report),
        Answer::Failed(reason) => Err(Failure::Failed(reason)),
        other => Err(unexpected(&other)),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The report, with what the processes use.
pub(crate) fn as_json(report: &Report, loads: &Loads) -> Value {
    let mut value = json!(report);
    let slots = value.get_mut("slots").and_then(Value::as_array_mut);
    for (slot, row) in slots.into_iter().flatten().zip(&report.slots) {
        if let Some(load) = row.pid.and_then(|pid| loads.get(&pid)) {
            slot["cpu"] = json!(load.cpu);
            slot["cpu_seconds"] = json!(load.usage.cpu.as_secs_f64());
            slot["memory"] = json!(load.usage.memory);
        }
    }
    let molds = value.get_mut("molds").and_then(Value::as_array_mut);
    for (mold, row) in molds.into_iter().flatten().zip(&report.molds) {
        let memory = |pid| Usage::of(pid).map(|usage| usage.memory);
        mold["memory"] = json!(memory(row.pid));
        mold["spare_memory"] = json!(row.spare.and_then(memory));
    }
    value
}
