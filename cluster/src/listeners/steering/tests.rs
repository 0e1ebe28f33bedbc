use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use socket2::{Domain, Socket, Type};

use super::*;
use crate::{cpus, sys};

const IDLE: Choice = Choice { is_served: false, cpu: None };
const SERVED: Choice = Choice { is_served: true, cpu: None };

fn on(cpu: usize) -> Choice {
    Choice { is_served: true, cpu: Some(cpu) }
}

fn of(group: &[Choice]) -> Steering {
    Steering::of(group.iter().copied())
}

#[test]
fn who_is_not_served_gets_nothing_unless_nobody_is() {
    assert_eq!(of(&[SERVED, SERVED]), Steering::default());
    assert_eq!(of(&[SERVED, IDLE, SERVED]).others, [0, 2]);
    assert_eq!(of(&[IDLE, IDLE]), Steering::default());
    let gone = Choice { cpu: Some(1), ..IDLE };
    let steering = of(&[on(0), gone, on(0), on(7)]);
    assert_eq!(steering.by_cpu, BTreeMap::from([(0, vec![0, 2]), (7, vec![3])]));
    assert_eq!(steering.others, [0, 2, 3]);
}

/// So many sockets of one port, and who of them gets how many connections.
struct Sockets(Vec<TcpListener>);

impl Sockets {
    fn open(count: usize) -> Self {
        let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut all = Vec::new();
        for _ in 0..count {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.bind(&address.into()).unwrap();
            socket.listen(1000).unwrap();
            let socket = TcpListener::from(socket);
            address = socket.local_addr().unwrap();
            all.push(socket);
        }
        Self(all)
    }

    fn steer(&self, group: &[Choice]) {
        sys::steer(self.0[0].as_fd(), &of(group).program()).unwrap();
    }

    fn tally(&self, clients: usize) -> Vec<usize> {
        let address = self.0[0].local_addr().unwrap();
        let mut tally = vec![0; self.0.len()];
        for _ in 0..clients {
            let _client = TcpStream::connect(address).unwrap();
            tally[self.who_has_it()] += 1;
        }
        tally
    }

    fn who_has_it(&self) -> usize {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(place) = self.0.iter().position(|socket| socket.accept().is_ok()) {
                return place;
            }
            assert!(Instant::now() < deadline, "nobody has it");
        }
    }
}

#[test]
fn the_kernel_chooses_among_those_that_are_served_evenly() {
    let sockets = Sockets::open(6);
    sockets.steer(&[SERVED, SERVED, IDLE, IDLE, SERVED, IDLE]);
    let tally = sockets.tally(600);
    assert_eq!([tally[2], tally[3], tally[5]], [0; 3]);
    assert!([0, 1, 4].iter().all(|&place| (140..260).contains(&tally[place])), "{tally:?}");
    sockets.steer(&[IDLE, IDLE, IDLE, SERVED, IDLE, IDLE]);
    assert_eq!(sockets.tally(50), [0, 0, 0, 50, 0, 0]);
    sockets.steer(&[IDLE; 6]);
    assert!(sockets.tally(600).iter().all(|&count| count > 40), "by their addresses");
}

#[test]
fn a_socket_that_comes_stands_behind_the_others() {
    let sockets = Sockets::open(200); // more than the kernel's first table holds
    let mut group = vec![IDLE; 200];
    for place in [199, 0, 100] {
        group[place] = SERVED;
        sockets.steer(&group);
        assert_eq!(sockets.tally(20)[place], 20, "{place}");
        group[place] = IDLE;
    }
    let every_other: Vec<_> = (0..200).map(|place| [IDLE, SERVED][place % 2]).collect();
    sockets.steer(&every_other); // the longest program
    let tally = sockets.tally(400);
    assert!(tally.iter().step_by(2).all(|&count| count == 0), "{tally:?}");
}

#[test]
fn by_the_cpu_where_it_comes_in() {
    thread::spawn(spread_by_cpu).join().unwrap();
}

/// Binds its thread to a CPU.
fn spread_by_cpu() {
    let (here, elsewhere) = (cpus::allowed().unwrap()[0], 4000);
    let mut only = CpuSet::new();
    only.set(here).unwrap();
    sched_setaffinity(Pid::from_raw(0), &only).unwrap();
    let sockets = Sockets::open(4);
    sockets.steer(&[on(elsewhere), on(here), on(elsewhere), on(elsewhere)]);
    assert_eq!(sockets.tally(50), [0, 50, 0, 0]);
    let both = |group: &[Choice]| {
        sockets.steer(group);
        let tally = sockets.tally(200);
        assert!(tally[0] > 50 && tally[2] > 50 && tally[1] + tally[3] == 0, "{tally:?}");
    };
    both(&[on(here), on(elsewhere), on(here), on(elsewhere)]);
    both(&[on(elsewhere), IDLE, on(elsewhere), IDLE]);
}
