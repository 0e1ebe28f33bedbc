//! What is said over the control socket.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Report;

/// What a client may ask. On the wire `{"do":"scale","workers":4}`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How all are: [`Answer::Status`].
    Status,
    /// What happens from now on: [`Answer::Event`], until the client closes.
    Events,
    /// What workers have printed, if their output goes through the master:
    /// [`Answer::Line`] for each line, then done.
    Logs {
        /// The last so many of the lines that are kept (1 MiB). Default: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lines: Option<usize>,
        /// Then also those that come, until the client closes. Default: no.
        #[serde(default)]
        follow: bool,
    },
    /// So many workers from now on, at least 1.
    Scale {
        /// How many.
        workers: usize,
    },
    /// New workers in place of the old ones, without a gap. Done when these serve and the last
    /// old one was told to leave; failed if a new one was not ready in time, and then the old ones
    /// that are left go on.
    Reload,
    /// The master becomes the program that is there now, and then reloads. Done when the reload
    /// is; failed, with the old program still at work, if the new one does not start.
    Upgrade,
    /// All leave, and the master ends. Done when the last worker is gone.
    Stop,
    /// A signal to one worker.
    Kill {
        /// Its number.
        worker: u32,
        /// The signal's name or number. Default: `TERM`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
    },
}

/// What the master says. On the wire `{"done":"…"}`, `{"failed":"…"}`, `{"status":{…}}`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It has begun, and another answer comes when it is over.
    Begun(String),
    /// It is done; in words.
    Done(String),
    /// It was not done, and why.
    Failed(String),
    /// How all are.
    Status(Box<Report>),
    /// Something has happened.
    Event(Happening),
    /// A worker has printed this.
    Line(Printed),
    /// So many lines were gone before the client took them.
    Missed(u64),
}

/// A line that a worker has printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Printed {
    /// The worker's number; 0: the process that loads for all of them.
    pub worker: u32,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Without its end, and with U+FFFD for what is not UTF-8.
    pub text: String,
}

/// Something that has happened in a master.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Happening {
    /// When: seconds since 1970.
    pub time: f64,
    /// What: `fork`, `online`, `listening`, `ready`, `disconnect`, `exit`, `error`, `reload`, ….
    pub event: String,
    /// The worker's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// Its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// More, in words: where it listens, how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Happening {
    pub(crate) fn new(event: impl Into<String>) -> Self {
        Self { time: now(), event: event.into(), ..Self::default() }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// One line, its end included.
pub(super) fn line(said: &impl Serialize) -> Vec<u8> {
    // Our own types: strings, numbers and lists, which are always JSON.
    let mut line = serde_json::to_vec(said).unwrap_or_else(|_| b"{}".to_vec());
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Request, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn requests_on_the_wire() {
        assert_eq!(read(r#"{"do":"status"}"#), Ok(Request::Status));
        assert_eq!(read(r#"{"do":"scale","workers":4}"#), Ok(Request::Scale { workers: 4 }));
        assert_eq!(
            read(r#"{"do":"kill","worker":3}"#),
            Ok(Request::Kill { worker: 3, signal: None })
        );
        assert!(read(r#"{"do":"dance"}"#).is_err());
        assert!(read(r#"{"do":"scale","workers":-1}"#).is_err());
        assert!(read(r#"{"do":"scale","workers":1,"workres":2}"#).is_err());
        assert_eq!(line(&Request::Reload), b"{\"do\":\"reload\"}\n");
    }

    #[test]
    fn answers_on_the_wire() {
        assert_eq!(line(&Answer::Done("so".into())), b"{\"done\":\"so\"}\n");
        let mut exit = Happening { time: 1.5, ..Happening::new("exit") };
        exit.worker = Some(2);
        let text = r#"{"event":{"time":1.5,"event":"exit","worker":2}}"#;
        assert_eq!(line(&Answer::Event(exit.clone())), format!("{text}\n").as_bytes());
        assert_eq!(serde_json::from_str::<Answer>(text).unwrap(), Answer::Event(exit));
    }
}
