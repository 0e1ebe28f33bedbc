//! How a master and its workers are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A master, seen from outside. Fields that a client does not know are left out by it, those
/// that a master does not say are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Report {
    /// The version of its `cluster`.
    pub version: String,
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// When it began: seconds since 1970.
    pub started: f64,
    /// `starting`, `running`, `reloading` or `stopping`.
    pub state: String,
    /// How many workers there are to be.
    pub workers: usize,
    /// The number of the last reload, from 0.
    pub generation: u64,
    /// How its workers get their connections.
    pub policy: String,
    /// Its workers, and the places without one.
    pub slots: Vec<Row>,
    /// The processes that its workers are copies of, if they are: the one that is copied now first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub molds: Vec<MoldRow>,
}

/// A process that has loaded, and is copied for each worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MoldRow {
    /// Its process.
    pub pid: u32,
    /// The reload that it was started for.
    pub generation: u64,
    /// `loading`; `ready`: it is copied now; `coming`: it loads, for the reload that has begun;
    /// `former`: it waits until its successor's workers serve.
    pub state: String,
    /// The process of the copy that waits to be a worker.
    pub spare: Option<u32>,
}

/// One worker, or a place that has none now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Row {
    /// Its place: 0 and up. Two have the same one while one replaces the other.
    pub slot: usize,
    /// The worker's number.
    pub worker: Option<u32>,
    /// Its process.
    pub pid: Option<u32>,
    /// The reload that started it.
    pub generation: Option<u64>,
    /// `starting`, `ready`, `leaving`, or `waiting`: there is none, and one is to be started.
    pub state: String,
    /// Seconds since it was started.
    pub age: Option<f64>,
    /// Its connections now, if it counts them.
    pub connections: Option<u64>,
    /// Its connections so far, if it counts them.
    pub accepted: Option<u64>,
    /// What its program counts, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
    /// How many workers the place has had before.
    pub restarts: u64,
    /// How its last worker ended that was not asked to.
    pub last_exit: Option<String>,
}
