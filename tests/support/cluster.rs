//! A master of ours at work in a thread of its own.

use std::{
    collections::VecDeque,
    io::Write,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Condvar, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cluster::{Event, Master, Message, Settings, WorkerRef};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::PATIENCE;

type Order = Box<dyn FnOnce(&mut Master) + Send>;

/// A master, and what has happened so far. Dropped, it drops the master, who kills the
/// workers.
#[derive(Debug)]
pub(crate) struct Cluster {
    orders: Option<mpsc::Sender<Order>>,
    bell: UnixStream,
    events: Arc<(Mutex<VecDeque<Event>>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::over(Master::new(settings).unwrap())
    }

    pub(crate) fn over(master: Master) -> Self {
        let (bell, rings) = UnixStream::pair().unwrap();
        rings.set_nonblocking(true).unwrap();
        let (orders, inbox) = mpsc::channel();
        let events = Arc::default();
        let log = Arc::clone(&events);
        let thread = thread::spawn(move || work(master, &rings, &inbox, &log));
        Self { orders: Some(orders), bell, events, thread: Some(thread) }
    }

    /// Runs something with the master.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Master) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = mpsc::channel();
        let order: Order = Box::new(move |master| drop(answer.send(act(master))));
        self.orders.as_ref().unwrap().send(order).unwrap();
        (&self.bell).write_all(b"!").unwrap();
        answered.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn fork(&self, count: usize) -> Vec<WorkerRef> {
        (0..count).map(|_| self.with(|master| master.fork().unwrap())).collect()
    }

    /// Waits for an event, and takes it off the list of those that have happened.
    #[track_caller]
    pub(crate) fn event(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        let (events, changed) = &*self.events;
        let mut events = events.lock().unwrap();
        loop {
            if let Some(place) = events.iter().position(&is_it) {
                return events.remove(place).unwrap();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = || events.iter().map(brief).collect::<Vec<_>>();
            assert!(!left.is_zero(), "no {what} in {:?}", seen());
            events = changed.wait_timeout(events, left).unwrap().0;
        }
    }

    /// Whether there has been such an event, which was not taken off the list.
    pub(crate) fn has_seen(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.events.0.lock().unwrap().iter().any(is_it)
    }

    /// Waits for a worker's next message that has something of this name.
    #[track_caller]
    pub(crate) fn message(&self, worker: &WorkerRef, name: &str) -> Message {
        let event = self.event(&format!("message with {name} of {worker}"), |event| {
            matches!(event, Event::Message { worker: of, message }
                if of == worker && message.value.get(name).is_some())
        });
        let Event::Message { message, .. } = event else { unreachable!() };
        message
    }

    /// Sends a worker a command, see `tests/node/worker.js`.
    #[track_caller]
    pub(crate) fn tell(&self, worker: &WorkerRef, command: Value) {
        assert!(worker.send(&command).unwrap(), "{worker} does not keep up with {command}");
    }

    /// Has workers listen, the one after the other; where the last one does.
    #[track_caller]
    pub(crate) fn listen(&self, workers: &[WorkerRef], options: Value) -> Value {
        let mut address = Value::Null;
        for worker in workers {
            self.tell(worker, json!({ "do": "listen", "options": options }));
            address = self.message(worker, "listening").value["listening"].take();
        }
        address
    }

    /// Waits for a worker's end; its code, if it was not a signal, and whether it was on purpose.
    #[track_caller]
    pub(crate) fn end(&self, worker: &WorkerRef) -> (Option<i32>, bool) {
        let event = self.event(
            &format!("end of {worker}"),
            |event| matches!(event, Event::Exit { worker: of, .. } if of == worker),
        );
        let Event::Exit { status, .. } = event else { unreachable!() };
        (status.code(), worker.exited_after_disconnect())
    }
}

fn brief(event: &Event) -> String {
    match event {
        Event::Message { worker, message } => format!("{worker}: {}", message.value),
        Event::Error { worker, error } => format!("{worker}: {error:?}"),
        Event::Exit { worker, status } => format!("{worker}: {status}"),
        Event::Listening { worker, address } => format!("{worker}: {address}"),
        Event::Online { worker } => format!("{worker}: online"),
        Event::Disconnect { worker } => format!("{worker}: disconnect"),
        _ => "another".to_owned(),
    }
}

fn work(
    mut master: Master,
    rings: &UnixStream,
    orders: &mpsc::Receiver<Order>,
    log: &(Mutex<VecDeque<Event>>, Condvar),
) {
    loop {
        loop {
            match orders.try_recv() {
                Ok(order) => order(&mut master),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        while let Some(event) = master.poll(Some(Duration::ZERO)).unwrap() {
            log.0.lock().unwrap().push_back(event);
            log.1.notify_all();
        }
        let mut both = [
            PollFd::new(master.as_fd(), PollFlags::POLLIN),
            PollFd::new(rings.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut both, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => panic!("{error}"),
        }
        let _ = std::io::Read::read(&mut &*rings, &mut [0; 64]); // nothing there is no harm
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.orders = None;
        let _ = (&self.bell).write_all(b"!");
        if let Some(thread) = self.thread.take() {
            let outcome = thread.join();
            assert!(outcome.is_ok() || thread::panicking(), "the master panicked");
        }
    }
}
