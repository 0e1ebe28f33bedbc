//! A master and its workers, for people to read.

use std::{collections::HashMap, time::Duration};

use cluster::control::{MoldRow, Report, Row};

use crate::usage::Usage;

pub(crate) const COLUMNS: [&str; 11] = [
    "SLOT",
    "WORKER",
    "PID",
    "GEN",
    "STATE",
    "AGE",
    "CONN",
    "CPU",
    "MEMORY",
    "RESTARTS",
    "LAST EXIT",
];

/// What a worker's process uses, and how much of a CPU that has been.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) usage: Usage,
    /// 1.0: a whole CPU.
    pub(crate) cpu: f64,
}

/// By process.
pub(crate) type Loads = HashMap<u32, Load>;

/// The load since each worker's start.
pub(crate) fn loads(report: &Report) -> Loads {
    let load = |row: &Row| {
        let usage = Usage::of(row.pid?)?;
        let age = row.age.filter(|age| *age > 0.0)?;
        Some((row.pid?, Load { usage, cpu: usage.cpu.as_secs_f64() / age }))
    };
    report.slots.iter().filter_map(load).collect()
}

/// Lines about the master, and what its workers are copies of.
pub(crate) fn heading(report: &Report, now: f64) -> String {
    let ready = report.slots.iter().filter(|row| row.state == "ready").count();
    let master = format!(
        "{} (pid {}): {}, {ready} of {} workers ready, generation {}, policy {}, up {}",
        report.name,
        report.pid,
        report.state,
        report.workers,
        report.generation,
        report.policy,
        span(now - report.started),
    );
    [master].into_iter().chain(report.molds.iter().map(mold)).collect::<Vec<_>>().join("\n")
}

fn mold(row: &MoldRow) -> String {
    let process = |pid| match Usage::of(pid) {
        Some(usage) => format!("(pid {pid}, {})", size(usage.memory)),
        None => format!("(pid {pid})"),
    };
    let spare = match row.spare {
        Some(pid) => format!("copy {} waits", process(pid)),
        None => "no copy waits".into(),
    };
    let MoldRow { pid, state, generation, .. } = row;
    format!("mold {}: {state}, generation {generation}, {spare}", process(*pid))
}

/// A worker's cells, one for each of [`COLUMNS`].
pub(crate) fn cells(row: &Row, loads: &Loads) -> [String; 11] {
    fn or_dash(value: Option<impl ToString>) -> String {
        value.map_or_else(|| "-".into(), |value| value.to_string())
    }
    let load = row.pid.and_then(|pid| loads.get(&pid));
    [
        row.slot.to_string(),
        or_dash(row.worker),
        or_dash(row.pid),
        or_dash(row.generation),
        row.state.clone(),
        or_dash(row.age.map(span)),
        or_dash(row.connections),
        or_dash(load.map(|load| format!("{:.1}%", load.cpu * 100.0))),
        or_dash(load.map(|load| size(load.usage.memory))),
        row.restarts.to_string(),
        or_dash(row.last_exit.as_ref()),
    ]
}

/// Columns as wide as they need to be.
pub(crate) fn table(report: &Report, loads: &Loads) -> String {
    let head = COLUMNS.map(str::to_owned);
    let rows = report.slots.iter().map(|row| cells(row, loads));
    let rows: Vec<[String; 11]> = [head].into_iter().chain(rows).collect();
    let mut widths = [0; 11];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 11]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `45s`, `3m10s`, `2h05m`, `4d03h`.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// `512K`, `3.4M`, `1.2G`.
fn size(bytes: u64) -> String {
    const K: f64 = 1024.0;
    let bytes = bytes as f64;
    match bytes {
        _ if bytes < K * K => format!("{:.0}K", bytes / K),
        _ if bytes < K * K * K => format!("{:.1}M", bytes / K / K),
        _ => format!("{:.1}G", bytes / K / K / K),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A master with one worker, and a place without.
    pub(crate) fn example() -> Report {
        serde_json::from_value(serde_json::json!({
            "name": "shop", "pid": 7, "started": 1000.0, "state": "running", "workers": 2,
            "generation": 3, "policy": "shared", "slots": [
                { "slot": 0, "worker": 4, "pid": 8, "generation": 3, "state": "ready", "age": 61.0,
                  "connections": 12, "restarts": 2, "last_exit": "signal: 9 (SIGKILL)" },
                { "slot": 1, "state": "waiting" },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_table() {
        let usage = Usage { cpu: Duration::from_secs(2), memory: 5 << 20 };
        let loads = Loads::from([(8, Load { usage, cpu: 0.125 })]);
        let text = table(&example(), &loads);
        assert_eq!(
            text,
            "SLOT  WORKER  PID  GEN  STATE    AGE    CONN  CPU    MEMORY  RESTARTS  LAST EXIT\n\
             0     4       8    3    ready    1m01s  12    12.5%  5.0M    2         signal: 9 (SIGKILL)\n\
             1     -       -    -    waiting  -      -     -      -       0         -"
        );
        assert_eq!(
            heading(&example(), 1090.5),
            "shop (pid 7): running, 1 of 2 workers ready, generation 3, policy shared, up 1m30s"
        );
        let mut report = example();
        let nobody = u32::MAX; // of whom nothing more is known
        let molds = serde_json::json!([
            { "pid": nobody, "generation": 3, "state": "ready", "spare": nobody - 1 },
            { "pid": nobody, "generation": 4, "state": "coming" },
        ]);
        report.molds = serde_json::from_value(molds).unwrap();
        let heading = heading(&report, 1090.5);
        let lines: Vec<&str> = heading.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "mold (pid 4294967295): ready, generation 3, copy (pid 4294967294) waits",
                "mold (pid 4294967295): coming, generation 4, no copy waits"
            ]
        );
    }

    #[test]
    fn spans_and_sizes() {
        let spans = [0.4, 59.9, 60.0, 3599.0, 7500.0, 90_000.0, -1.0, f64::NAN].map(span);
        assert_eq!(spans, ["0s", "59s", "1m00s", "59m59s", "2h05m", "1d01h", "0s", "0s"]);
        let sizes = [0, 2048, 3 << 20, (3 << 30) + (1 << 29)].map(size);
        assert_eq!(sizes, ["0K", "2K", "3.0M", "3.5G"]);
    }
}
