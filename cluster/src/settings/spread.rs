//! Which worker gets what comes in on which CPU.

use super::{Policy, Settings};
use crate::{Error, Result};

impl Settings {
    /// A TCP connection goes to a worker that is bound to the CPU on which it came in; where there
    /// is none, to any (`SO_ATTACH_REUSEPORT_CBPF`). So all that is done for a connection is done
    /// on one CPU, if the network card's queues are spread over the same CPUs; if they are not,
    /// some workers get all connections and others none. Needs [`Policy::ReusePort`] and
    /// [`pin_cpus`](Self::pin_cpus). Default: the kernel chooses by the connection's addresses.
    pub fn spread_by_cpu(mut self) -> Self {
        self.spreads_by_cpu = true;
        self
    }

    pub(super) fn check_spread(&self) -> Result<()> {
        if !self.spreads_by_cpu {
            return Ok(());
        }
        let refused = |value: String| Err(Error::Settings { what: "spread_by_cpu", value });
        match self.chosen_policy()? {
            Policy::ReusePort if self.standing.pins_cpus() => Ok(()),
            Policy::ReusePort => {
                refused("it needs pin_cpus: a worker that may run anywhere has no CPU".into())
            }
            other => refused(format!("it needs the policy ReusePort, and not {other:?}")),
        }
    }

    /// The CPU whose connections are for the worker in this place.
    pub(crate) fn cpu_to_serve(&self, slot: usize) -> Option<usize> {
        if !self.spreads_by_cpu {
            return None;
        }
        self.standing.cpu_of(slot).ok()? // it was known when the worker started
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpus;

    #[test]
    fn it_needs_sockets_and_cpus_of_their_own() {
        let refusal = |settings: Settings| settings.check().map_err(|error| error.to_string());
        let spread = Settings::new().spread_by_cpu();
        let said = refusal(spread.clone().policy(Policy::Shared).pin_cpus()).unwrap_err();
        assert!(said.ends_with("it needs the policy ReusePort, and not Shared"), "{said}");
        let said = refusal(spread.clone().policy(Policy::ReusePort)).unwrap_err();
        assert!(said.contains("it needs pin_cpus"), "{said}");
        refusal(spread.policy(Policy::ReusePort).pin_cpus()).unwrap();
    }

    #[test]
    fn a_worker_serves_the_cpu_that_it_is_bound_to() {
        let settings = Settings::new().policy(Policy::ReusePort).pin_cpus();
        assert_eq!(settings.cpu_to_serve(0), None);
        let all = cpus::allowed().unwrap();
        let settings = settings.merged(Settings::new().spread_by_cpu());
        assert_eq!(settings.cpu_to_serve(0), Some(all[0]));
        assert_eq!(settings.cpu_to_serve(all.len()), Some(all[0]));
    }
}
