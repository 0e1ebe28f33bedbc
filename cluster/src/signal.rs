//! Signals by name and number.

use crate::Error;
use std::{fmt, str::FromStr};

/// A signal, as in [`Child::kill`](crate::child_process::Child::kill).
///
/// Reads names in any case, with or without `SIG`, and numbers; displays as `SIGTERM`, or as the
/// bare number where there is no name.
///
/// ```
/// use cluster::Signal;
///
/// assert_eq!("term".parse::<Signal>()?, Signal::TERM);
/// assert_eq!("15".parse::<Signal>()?.to_string(), "SIGTERM");
/// assert!("SIGNOTHING".parse::<Signal>().is_err());
/// # Ok::<(), cluster::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// The numbers the kernel knows.
const NUMBERS: std::ops::RangeInclusive<i32> = 1..=64;

macro_rules! signals {
    ($($name:ident $value:ident $what:literal,)*) => {
        impl Signal {
            $(
                #[doc = concat!("`SIG", stringify!($name), "`: ", $what, ".")]
                pub const $name: Self = Self(nix::libc::$value);
            )*
        }

        const NAMES: &[(&str, Signal)] = &[$((stringify!($value), Signal::$name),)*];
    };
}

signals! {
    HUP SIGHUP "the terminal is gone; for servers: read the settings again",
    INT SIGINT "Ctrl-C",
    QUIT SIGQUIT "Ctrl-\\\\, with a core dump",
    ILL SIGILL "illegal instruction",
    TRAP SIGTRAP "breakpoint",
    ABRT SIGABRT "abort, with a core dump",
    BUS SIGBUS "bad memory access",
    FPE SIGFPE "arithmetic error",
    KILL SIGKILL "ends the process, which cannot refuse",
    USR1 SIGUSR1 "for the program's own use",
    SEGV SIGSEGV "invalid memory access",
    USR2 SIGUSR2 "for the program's own use",
    PIPE SIGPIPE "write without a reader",
    ALRM SIGALRM "a timer has run out",
    TERM SIGTERM "asks the process to end",
    STKFLT SIGSTKFLT "unused",
    CHLD SIGCHLD "a child has ended or stopped",
    CONT SIGCONT "continues a stopped process",
    STOP SIGSTOP "stops the process, which cannot refuse",
    TSTP SIGTSTP "Ctrl-Z",
    TTIN SIGTTIN "terminal input in the background",
    TTOU SIGTTOU "terminal output in the background",
    URG SIGURG "urgent data on a socket",
    XCPU SIGXCPU "processor time is used up",
    XFSZ SIGXFSZ "file size limit exceeded",
    VTALRM SIGVTALRM "a virtual timer has run out",
    PROF SIGPROF "a profiling timer has run out",
    WINCH SIGWINCH "the terminal has a new size",
    IO SIGIO "I/O is possible",
    PWR SIGPWR "power failure",
    SYS SIGSYS "bad system call",
}

/// Other names of the same signals.
const ALIASES: &[(&str, Signal)] =
    &[("SIGIOT", Signal::ABRT), ("SIGPOLL", Signal::IO), ("SIGCLD", Signal::CHLD)];

impl Signal {
    /// The signal of this number, if the kernel has one: 1 to 64.
    pub fn from_number(number: i32) -> Option<Self> {
        NUMBERS.contains(&number).then_some(Self(number))
    }

    /// The number, as kill(2) takes it.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The name, with `SIG`; the real-time signals have none.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(_, signal)| *signal == self).map(|(name, _)| *name)
    }
}

impl FromStr for Signal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Settings { what: "signal", value: text.to_owned() };
        if let Ok(number) = text.parse() {
            return Self::from_number(number).ok_or_else(unknown);
        }
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        NAMES
            .iter()
            .chain(ALIASES)
            .find(|(known, _)| known.strip_prefix("SIG") == Some(name))
            .map(|(_, signal)| *signal)
            .ok_or_else(unknown)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_in_any_form() {
        for text in ["TERM", "term", "SIGTERM", "sigterm", "SigTerm", "15"] {
            assert_eq!(text.parse::<Signal>().expect(text), Signal::TERM);
        }
        assert_eq!("iot".parse::<Signal>().expect("alias"), Signal::ABRT);
        assert_eq!(Signal::ABRT.to_string(), "SIGABRT");
    }

    #[test]
    fn unknown_names_are_errors() {
        for text in ["", "SIG", "SIGSIGTERM", "foo", "0", "-1", "65", "15 ", "99999999999"] {
            let error = text.parse::<Signal>().expect_err(text);
            assert_eq!(error.to_string(), format!("invalid signal: {text}"));
        }
    }

    proptest! {
        #[test]
        fn displayed_signals_are_read_again(number in NUMBERS) {
            let signal = Signal::from_number(number).expect("in range");
            prop_assert_eq!(signal.to_string().parse::<Signal>().expect("displayed"), signal);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(signal) = text.parse::<Signal>() {
                prop_assert!(NUMBERS.contains(&signal.number()));
            }
        }
    }
}
