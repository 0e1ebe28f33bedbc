//! What happens, line by line.

use std::io::{self, Write};

use cluster::control::{Answer, Happening, Request};

use crate::{
    arguments::Target,
    ask::unexpected,
    failure::{Failure, Result},
};

pub(crate) fn events(target: &Target) -> Result {
    let mut client = target.connect()?;
    client.send(&Request::Events)?;
    while let Some(answer) = client.next()? {
        let line = match answer {
            Answer::Begun(_) => continue,
            Answer::Event(happening) if target.json => serde_json::json!(happening).to_string(),
            Answer::Event(happening) => line(&happening),
            Answer::Failed(reason) => return Err(Failure::Failed(reason)),
            other => return Err(unexpected(&other)),
        };
        if !print(&line)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Prints a line at once; whether somebody reads, which `| head` does not for long.
pub(crate) fn print(line: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(format!("cannot print: {error}"))),
        Ok(()) => Ok(true),
    }
}

/// The time of day, in UTC.
fn clock(seconds: f64) -> String {
    let millis = (seconds * 1000.0) as u64;
    let (second, millis) = (millis / 1000 % 86400, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}Z", second / 3600, second / 60 % 60, second % 60)
}

/// `12:31:07.250Z worker 3 (pid 4711) listening 127.0.0.1:7000`.
fn line(happening: &Happening) -> String {
    let mut words = vec![clock(happening.time)];
    if let Some(worker) = happening.worker {
        words.push(format!("worker {worker}"));
    }
    words.extend(happening.pid.map(|pid| format!("(pid {pid})")));
    words.push(happening.event.clone());
    words.extend(happening.detail.clone());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let read = |value| serde_json::from_value::<Happening>(value).unwrap();
        let exit = read(serde_json::json!({
            "time": 86400.0 * 3.0 + 3661.5, "event": "exit", "worker": 3, "pid": 7, "detail": "x",
        }));
        assert_eq!(line(&exit), "01:01:01.500Z worker 3 (pid 7) exit x");
        let reload = read(serde_json::json!({ "event": "reload" }));
        assert_eq!(line(&reload), "00:00:00.000Z reload");
    }
}
