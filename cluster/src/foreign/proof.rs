//! What the kernel tells about a process that says nothing: whether it waits at a socket.
//!
//! A process waits if the socket is in one of its epolls, or if a thread of it sleeps in
//! `accept` on it, or in `poll` or `select` with it among the descriptors. All of this is read
//! from `/proc`; nothing is inferred from the time that has passed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use nix::libc;
use worker_api::Address;

/// Sockets by inode, and where they listen.
pub(super) type Sockets = BTreeMap<u64, Address>;

/// A worker's processes, the threads and descriptors of each, and the descriptors of one call
/// that are looked at; so nobody keeps the master busy by having many.
const MOST_PROCESSES: usize = 64;
const MOST_THREADS: usize = 256;
const MOST_DESCRIPTORS: usize = 1024;
const MOST_POLLED: usize = 1024;

/// The first socket at which a process, or one that it has started, waits.
pub(super) fn waits_at(pid: u32, sockets: &Sockets) -> Option<Address> {
    let inode = family(pid).into_iter().find_map(|pid| waits(pid, sockets))?;
    sockets.get(&inode).cloned()
}

/// A process and its descendants.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&pid) = all.get(next)
        && all.len() < MOST_PROCESSES
    {
        next += 1;
        for thread in numbers(&format!("/proc/{pid}/task")).take(MOST_THREADS) {
            let path = format!("/proc/{pid}/task/{thread}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all.truncate(MOST_PROCESSES);
    all
}

fn numbers(folder: &str) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn waits(pid: u32, sockets: &Sockets) -> Option<u64> {
    let mut held = BTreeMap::new();
    for number in numbers(&format!("/proc/{pid}/fd")).take(MOST_DESCRIPTORS) {
        let Ok(what) = fs::read_link(format!("/proc/{pid}/fd/{number}")) else { continue };
        if let Some(inode) = inode(&what).filter(|inode| sockets.contains_key(inode)) {
            held.insert(number, inode);
        } else if what.as_os_str() == "anon_inode:[eventpoll]" {
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"));
            if let Some(inode) = watched(&info.unwrap_or_default(), sockets) {
                return Some(inode);
            }
        }
    }
    if held.is_empty() {
        return None;
    }
    let mut threads = numbers(&format!("/proc/{pid}/task")).take(MOST_THREADS);
    threads.find_map(|thread| {
        let call = fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall")).ok()?;
        let asleep = awaited(&Call::read(&call)?, &format!("/proc/{pid}/mem"))?;
        held.iter().find(|(number, _)| asleep.contains(number)).map(|(_, inode)| *inode)
    })
}

/// `socket:[4711]`.
fn inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// One of the sockets that an epoll waits at for reading, from its `fdinfo`.
fn watched(info: &str, sockets: &Sockets) -> Option<u64> {
    info.lines().find_map(|line| {
        let line = line.strip_prefix("tfd:")?;
        let mut words = line.split_whitespace();
        let events = words.by_ref().skip_while(|word| *word != "events:").nth(1)?;
        let events = u32::from_str_radix(events, 16).ok()?;
        let inode = words.find_map(|word| word.strip_prefix("ino:"))?;
        let inode = u64::from_str_radix(inode, 16).ok()?;
        let reads = events & libc::EPOLLIN as u32 != 0;
        (reads && sockets.contains_key(&inode)).then_some(inode)
    })
}

/// The system call in which a thread sleeps.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    number: libc::c_long,
    args: [u64; 3],
}

impl Call {
    /// `43 0x3 0x0 0x0 …`; nothing for `running`, and for one that sleeps for other reasons.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let number = words.next()?.parse().ok().filter(|number| *number >= 0)?;
        let mut arg = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        Some(Self { number, args: [arg()?, arg()?, arg()?] })
    }
}

/// The descriptors that a sleeping thread waits to read from.
fn awaited(call: &Call, memory: &str) -> Option<BTreeSet<u32>> {
    let [first, second, _] = call.args;
    match call.number {
        libc::SYS_accept | libc::SYS_accept4 => Some(BTreeSet::from([u32::try_from(first).ok()?])),
        number if is_poll(number) => polled(memory, first, second),
        number if is_select(number) => selected(memory, first, second),
        _ => None,
    }
}

fn is_poll(number: libc::c_long) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_poll {
        return true;
    }
    number == libc::SYS_ppoll
}

fn is_select(number: libc::c_long) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_select {
        return true;
    }
    number == libc::SYS_pselect6
}

/// Of an array of `struct pollfd` those that are polled for reading.
fn polled(memory: &str, at: u64, count: u64) -> Option<BTreeSet<u32>> {
    let count = usize::try_from(count).ok()?.min(MOST_POLLED);
    let bytes = peek(memory, at, count * 8)?;
    let read = |one: &[u8]| {
        let (fd, events) = one.split_first_chunk::<4>()?;
        let events = i16::from_ne_bytes(*events.first_chunk()?);
        let fd = u32::try_from(i32::from_ne_bytes(*fd)).ok()?;
        (events & libc::POLLIN != 0).then_some(fd)
    };
    Some(bytes.chunks_exact(8).filter_map(read).collect())
}

/// The members of the set for reading.
fn selected(memory: &str, count: u64, at: u64) -> Option<BTreeSet<u32>> {
    let count = usize::try_from(count).ok()?.min(MOST_POLLED);
    let bytes = peek(memory, at, count.div_ceil(64) * 8)?;
    let words = bytes.chunks_exact(8).filter_map(|word| word.first_chunk().copied());
    let words: Vec<u64> = words.map(u64::from_ne_bytes).collect();
    let has = |fd: &usize| words.get(fd / 64).is_some_and(|word| word >> (fd % 64) & 1 == 1);
    Some((0..count).filter(has).filter_map(|fd| u32::try_from(fd).ok()).collect())
}

fn peek(memory: &str, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    File::open(memory).ok()?.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
