//! What a process uses of the machine.

use std::{
    fs::File,
    io::{self, Read},
    time::Duration,
};

use nix::unistd::{SysconfVar, sysconf};

/// Linux writes about 350 bytes.
const LONGEST: u64 = 4096;

/// What a process uses of the machine, as the system says.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory that it has in use, shared ones counted (its resident set).
    pub memory: u64,
    /// How long processors have worked for it.
    pub processor: Duration,
    /// Whether somebody has stopped it: a debugger, `SIGSTOP`, Ctrl-Z.
    pub is_stopped: bool,
}

impl Usage {
    /// Reads what `/proc` says; `None` without such a process, or where it is hidden.
    pub(crate) fn of(pid: u32) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        let read = File::open(format!("/proc/{pid}/stat"))
            .and_then(|file| file.take(LONGEST).read_to_end(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let unit = |which| sysconf(which).ok().flatten().and_then(|unit| u64::try_from(unit).ok());
        let page = unit(SysconfVar::PAGE_SIZE).unwrap_or(4096);
        let ticks = unit(SysconfVar::CLK_TCK).unwrap_or(100);
        match parse(&text, page, ticks) {
            Some(usage) => Ok(Some(usage)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "cannot read /proc/…/stat")),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    let is_reaped = error.raw_os_error() == Some(nix::libc::ESRCH);
    is_reaped || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

/// proc(5). The name comes second, in brackets, and may hold anything, brackets and newlines
/// too; what follows does not.
fn parse(text: &[u8], page: u64, ticks: u64) -> Option<Usage> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?; // 3
    let mut number = |skip| fields.nth(skip)?.parse::<u64>().ok();
    let (user, system) = (number(10)?, number(0)?); // 14, 15
    let resident = number(8)?; // 24
    let milliseconds = user.checked_add(system)?.checked_mul(1000)?.checked_div(ticks)?;
    Some(Usage {
        memory: resident.checked_mul(page)?,
        processor: Duration::from_millis(milliseconds),
        is_stopped: matches!(state, "T" | "t"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hint::black_box;

    fn stat(name: &str, state: &str) -> Vec<u8> {
        let before = "1 4711 4711 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 12345 9999999";
        format!("4711 ({name}) {state} {before} 256 18446744073709551615 1 1 0\n").into_bytes()
    }

    #[test]
    fn fields_are_found_behind_any_name() {
        for name in ["hello", "a b", ") R 1 2 3 (", "))", "x\n(y"] {
            let usage = parse(&stat(name, "S"), 4096, 100).unwrap();
            assert_eq!((usage.memory, usage.processor), (1 << 20, Duration::from_secs(2)));
            assert!(!usage.is_stopped, "{name}");
        }
        assert!(parse(&stat("x", "T"), 4096, 100).unwrap().is_stopped);
        assert!(parse(&stat("x", "t"), 4096, 100).unwrap().is_stopped);
    }

    #[test]
    fn this_process_uses_something() {
        let before = Usage::of(std::process::id()).unwrap().unwrap();
        assert!(before.memory > 4096 && !before.is_stopped);
        let bytes = black_box(vec![1_u8; 64 << 20]);
        let after = Usage::of(std::process::id()).unwrap().unwrap();
        assert!(after.memory > before.memory + (32 << 20), "{before:?} {after:?}");
        assert!(after.processor >= before.processor);
        drop(bytes);
    }

    #[test]
    fn nobody_uses_nothing() {
        assert_eq!(Usage::of(u32::MAX).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..300)) {
            parse(&text, 4096, 100);
            parse(&[b"1 (x) R ", &text[..]].concat(), u64::MAX, 0);
        }
    }
}
