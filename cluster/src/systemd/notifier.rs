//! What systemd wants to hear.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use sd_notify::NotifyState;

use crate::sys::take_variable;

const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Tells systemd how the master is. Nothing here waits: what systemd cannot take now, it does
/// not hear, and the log says so.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
    name: OsString,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// What the environment names; `None`: nobody wants to hear. The variables are gone then,
    /// so workers do not speak for the master. For the beginning of `main`, before there are
    /// other threads.
    pub fn from_environment() -> Option<Self> {
        let name = take_variable(SOCKET);
        let (micros, pid) = (take_variable(WATCHDOG), take_variable(WATCHDOG_PID));
        let name = name.filter(|name| !name.is_empty())?;
        let mut notifier = match Self::new(&name) {
            Ok(notifier) => notifier,
            Err(error) => {
                log::error!("cannot speak to {SOCKET}={}: {error}", name.display());
                return None;
            }
        };
        let number = |text: Option<OsString>| text?.to_str()?.parse::<u64>().ok();
        let is_meant = pid.is_none() || number(pid) == Some(std::process::id().into());
        notifier.watchdog =
            number(micros).filter(|&micros| is_meant && micros > 0).map(Duration::from_micros);
        Some(notifier)
    }

    /// Tells this socket: a path, or `@` and an abstract name. No watchdog.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that cannot be, else what the system says.
    pub fn new(name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        let address = match name.as_bytes().split_first() {
            Some((b'@', abstract_name)) => SocketAddr::from_abstract_name(abstract_name)?,
            Some((b'/', _)) => SocketAddr::from_pathname(name)?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, name: name.to_owned(), watchdog: None })
    }

    /// The master serves: after its start, and after each reload.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// A reload begins; [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => log::warn!("systemd does not hear of the reload: {error}"),
        }
    }

    /// The stop begins.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// What `systemctl status` shows, on one line.
    pub fn status(&self, text: &str) {
        self.tell(&[NotifyState::Status(&text.replace('\n', " "))]);
    }

    /// Which process is the main one, where it is another than the one that systemd started.
    pub fn main_pid(&self, pid: u32) {
        self.tell(&[NotifyState::MainPid(pid)]);
    }

    /// A start, a reload or a stop takes so much longer from now on.
    pub fn extend_timeout(&self, by: Duration) {
        let micros = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
    }

    /// The master is alive: at least once in each [`watchdog_interval`](Self::watchdog_interval).
    pub fn watchdog(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// How often to call [`watchdog`](Self::watchdog): half of what systemd allows. `None`: it
    /// does not watch.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|allowed| allowed / 2)
    }

    /// Its name as in `NOTIFY_SOCKET`.
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    pub(crate) fn watchdog_timeout(&self) -> Option<Duration> {
        self.watchdog
    }

    pub(crate) fn watched(mut self, watchdog: Option<Duration>) -> Self {
        self.watchdog = watchdog;
        self
    }

    /// The variables that were taken, for the program that this one becomes by exec.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut all = vec![(SOCKET, self.name.clone())];
        if let Some(allowed) = self.watchdog {
            all.push((WATCHDOG, allowed.as_micros().to_string().into()));
            all.push((WATCHDOG_PID, std::process::id().to_string().into()));
        }
        all
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let mut text = String::new();
        for state in states {
            let _ = writeln!(text, "{state}"); // a String takes all
        }
        if let Err(error) = self.socket.send_to_addr(text.as_bytes(), &self.address) {
            log::warn!("systemd does not hear {:?}: {error}", text.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::time::{ClockId, clock_gettime};

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn everything_is_said_as_systemd_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(&path).unwrap();
        notifier.ready();
        assert_eq!(heard(&socket), "READY=1\n");
        notifier.stopping();
        assert_eq!(heard(&socket), "STOPPING=1\n");
        notifier.status("3 workers,\n1 starting");
        assert_eq!(heard(&socket), "STATUS=3 workers, 1 starting\n");
        notifier.main_pid(7);
        assert_eq!(heard(&socket), "MAINPID=7\n");
        notifier.watchdog();
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
        notifier.extend_timeout(Duration::from_secs(2));
        assert_eq!(heard(&socket), "EXTEND_TIMEOUT_USEC=2000000\n");
    }

    #[test]
    fn a_reload_has_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let now = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_micros();
        let before = now();
        Notifier::new(&path).unwrap().reloading();
        let text = heard(&socket);
        let micros = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!((before..=now()).contains(&micros.parse().unwrap()), "{text}");
    }

    #[test]
    fn abstract_names() {
        let name = format!("cluster-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::new(format!("@{name}")).unwrap().ready();
        assert_eq!(heard(&socket), "READY=1\n");
    }

    #[test]
    fn nobody_there_and_nobody_who_reads_keep_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let notifier = Notifier::new(&path).unwrap();
        notifier.ready(); // a warning
        let _socket = UnixDatagram::bind(&path).unwrap();
        (0..10_000).for_each(|_| notifier.watchdog());
        assert!(Notifier::new("vsock:2:1").is_err());
    }
}
