//! More clients than a process may have descriptors.

use std::{fs, process::Command, time::Duration};

use crate::support::{Lines, Program, fixture};

/// The processor time of a process so far, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat[stat.rfind(')').unwrap()..].split(' ');
    fields.skip(12).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn who_finds_no_room_waits_and_nobody_spins_meanwhile() {
    for policy in ["none", "rr"] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 40; exec \"$0\" supervised"]).arg(fixture());
        let program = Program::start(command.env("NODE_CLUSTER_SCHED_POLICY", policy));
        let line = program.line("listens on ");
        let address = &line["listens on ".len()..];
        let mut crowd: Vec<_> = (0..80).map(|_| Lines::connect(address).unwrap()).collect();
        assert_eq!(crowd[0].ask("x").unwrap(), 1);
        let processes: Vec<_> = program.children().into_iter().chain([program.pid()]).collect();
        let before: u64 = processes.iter().map(|&pid| ticks(pid)).sum();
        let last = crowd.last_mut().unwrap();
        last.say("last").unwrap();
        last.be_patient(Duration::from_millis(500)).unwrap();
        last.hear("last").unwrap_err();
        let after: u64 = processes.iter().map(|&pid| ticks(pid)).sum();
        assert!(after - before < 25, "{policy}: {} ticks of 50", after - before);
        let mut last = crowd.pop().unwrap();
        drop(crowd);
        last.be_patient(crate::support::PATIENCE).unwrap();
        assert_eq!(last.hear("last").unwrap(), 1, "{policy}");
    }
}
