//! A supervisor and the clients of its control socket.

use super::Supervised;
use crate::{
    Signal,
    control::{Asker, Desk, Order, Request},
};

/// A mistyped number must not fill the machine.
const MOST_WORKERS: usize = 4096;

impl Supervised {
    /// Does what clients ask; whether that was all.
    pub(super) fn serve_clients(&mut self) -> bool {
        let Some(desk) = &mut self.desk else { return true };
        let (orders, is_all) = desk.orders();
        for Order { asker, request } in orders {
            match request {
                Request::Status | Request::Events | Request::Logs { .. } => {
                    log::debug!("a client asks: {request:?}");
                }
                _ => log::info!("a client asks: {request:?}"),
            }
            self.grant(asker, &request);
        }
        is_all
    }

    fn grant(&mut self, asker: Asker, request: &Request) {
        let outcome = match request {
            Request::Status => {
                let status = self.status();
                if let Some(desk) = &mut self.desk {
                    desk.report(asker, &status, &self.master);
                }
                return;
            }
            Request::Reload => {
                self.reload();
                return self.with_desk(|desk| desk.awaits_reload(asker));
            }
            Request::Upgrade => {
                self.with_desk(|desk| desk.awaits_upgrade(asker));
                return self.upgrade();
            }
            Request::Stop => {
                self.with_desk(|desk| desk.awaits_stop(asker));
                return self.stop();
            }
            Request::Logs { lines, follow } => match self.follow_output(*lines) {
                Ok(follower) => {
                    return self.with_desk(|desk| desk.tell_lines(asker, follower, *follow));
                }
                Err(reason) => Err(reason),
            },
            Request::Scale { workers } => self.rescale(*workers),
            Request::Kill { worker, signal } => self.kill(*worker, signal.as_deref()),
            Request::Events => return, // the server has seen to it
        };
        self.with_desk(|desk| desk.answer(asker, outcome));
    }

    fn with_desk(&mut self, act: impl FnOnce(&mut Desk)) {
        if let Some(desk) = &mut self.desk {
            act(desk);
        }
    }

    fn rescale(&mut self, workers: usize) -> Result<String, String> {
        if workers == 0 {
            return Err("at least 1 worker is needed; `stop` ends all".into());
        }
        if workers > MOST_WORKERS {
            return Err(format!("{workers} workers are too many: {MOST_WORKERS} are allowed"));
        }
        let status = self.status();
        if status.is_stopping {
            return Err("all are about to leave".into());
        }
        self.scale(workers);
        Ok(format!("from {} to {workers} workers", status.size))
    }

    fn kill(&mut self, worker: u32, signal: Option<&str>) -> Result<String, String> {
        let signal: Signal =
            signal.unwrap_or("TERM").parse().map_err(|error| format!("{error}"))?;
        let worker =
            self.master().worker(worker).ok_or_else(|| format!("there is no worker {worker}"))?;
        match worker.kill(signal) {
            Ok(true) => Ok(format!("{worker} (pid {}) got {signal}", worker.pid())),
            Ok(false) => Err(format!("{worker} (pid {}) has ended", worker.pid())),
            Err(error) => Err(format!("cannot signal {worker} (pid {}): {error}", worker.pid())),
        }
    }
}
