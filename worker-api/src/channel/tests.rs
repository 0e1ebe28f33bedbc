use super::*;
use crate::Error;
use mio::{Events, Interest, Poll, Token};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
};

mod reading;

fn pair() -> (Channel, Channel) {
    let (one, other) = UnixStream::pair().unwrap();
    (Channel::from_stream(one).unwrap(), Channel::from_stream(other).unwrap())
}

fn value(channel: &Channel) -> Value {
    channel.recv_timeout(Duration::from_secs(20)).unwrap().expect("no message in time").value
}

#[test]
fn messages_arrive_in_order_and_an_end_is_an_end() {
    let (one, other) = pair();
    let sender = thread::spawn(move || {
        for number in 0..1000 {
            one.send(&json!({"number": number, "text": "\u{2028}ü\n"})).unwrap();
        }
        one.disconnect();
        assert!(!one.is_connected());
        assert!(matches!(one.send("late"), Err(Error::Disconnected)));
    });
    for number in 0..1000 {
        assert_eq!(value(&other)["number"], number);
    }
    assert!(other.recv().unwrap().is_none());
    sender.join().unwrap();
    assert!(matches!(other.send("late"), Err(Error::Disconnected)));
}

#[test]
fn every_kind_of_handle_travels() {
    let (one, other) = pair();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let (accepted, _) = server.accept().unwrap();
    let (pipe, _keep) = UnixStream::pair().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let receiver = thread::spawn(move || {
        let mut kinds = Vec::new();
        while let Some(message) = other.recv().unwrap() {
            if let Some(Handle::TcpStream(stream)) = &message.handle {
                (&*stream).write_all(b"from the other side").unwrap();
            }
            kinds.push(match message.handle.expect("no handle") {
                Handle::TcpListener(socket) => format!("tcp {}", socket.local_addr().unwrap()),
                Handle::UnixListener(_) => "unix listener".into(),
                Handle::TcpStream(_) => "tcp stream".into(),
                Handle::UnixStream(_) => "unix stream".into(),
                Handle::UdpSocket(_) => "udp".into(),
                Handle::Native(_) => "native".into(),
            });
        }
        kinds
    });
    one.send_handle(&1, server.try_clone().unwrap()).unwrap();
    one.send_handle(&2, accepted).unwrap();
    one.send_handle(&3, pipe).unwrap();
    one.send_handle(&4, unix).unwrap();
    one.send_handle(&5, udp).unwrap();
    one.send_handle(&6, std::os::fd::OwnedFd::from(server)).unwrap();
    one.disconnect();
    while one.recv().unwrap().is_some() {}
    let kinds = receiver.join().unwrap();
    let tcp = format!("tcp {address}");
    let expected = [&tcp, "tcp stream", "unix stream", "unix listener", "udp", "native"];
    assert_eq!(kinds, expected);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the other side");
}

#[test]
fn a_file_is_not_sent() {
    let (one, _other) = pair();
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = one.send_handle(&1, std::os::fd::OwnedFd::from(file)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_liar_about_a_descriptor_loses_the_channel() {
    let (socket, peer) = UnixStream::pair().unwrap();
    let channel = Channel::from_stream(socket).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let line = b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":1}\n";
    crate::sys::transmit(peer.as_fd(), line, Some(udp.as_fd())).unwrap();
    assert!(matches!(channel.recv(), Err(Error::Protocol { .. })));
    assert!(channel.recv().unwrap().is_none());
}

#[test]
fn two_that_send_much_at_the_same_time_do_not_wait_for_each_other() {
    let (one, other) = pair();
    let sides = [one, other].map(|channel| {
        thread::spawn(move || {
            let text = "x".repeat(1 << 20);
            for _ in 0..8 {
                channel.send(&text).unwrap();
            }
            for _ in 0..8 {
                assert_eq!(value(&channel).as_str().map(str::len), Some(1 << 20));
            }
        })
    });
    sides.into_iter().for_each(|side| side.join().unwrap());
}

#[test]
fn try_send_says_whether_the_other_side_keeps_up() {
    let (one, other) = pair();
    assert!(one.try_send("small").unwrap());
    let text = "x".repeat(HIGH / 2);
    let mut sent = 0;
    while one.try_send(&text).unwrap() {
        sent += 1;
        assert!(sent < 100, "the queue grows without a word");
    }
    let reader = thread::spawn(move || {
        assert_eq!(value(&other), "small");
        (0..=sent).for_each(|_| assert_eq!(value(&other).as_str().map(str::len), Some(HIGH / 2)));
        other
    });
    one.send("last").unwrap();
    assert_eq!(value(&reader.join().unwrap()), "last");
}

const HIGH: usize = crate::wire::HIGH_WATER;

#[test]
fn a_foreign_loop_sees_every_message() {
    let (one, mut other) = pair();
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut other, Token(7), Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(4);
    for round in 0..100 {
        one.send(&round).unwrap();
        poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
        assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(7)]);
        assert_eq!(other.try_recv().unwrap().unwrap().value, round);
        assert!(other.try_recv().unwrap().is_none());
    }
}

/// Both come with one read, and the first is taken before anybody else waits.
#[test]
fn a_foreign_loop_that_comes_later_sees_what_is_left() {
    let (one, mut other) = pair();
    one.send(&1).unwrap();
    one.send(&2).unwrap();
    assert_eq!(value(&other), 1);
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut other, Token(0), Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(1);
    poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
    assert!(!events.is_empty());
    assert_eq!(other.try_recv().unwrap().unwrap().value, 2);
    poll.registry().reregister(&mut other, Token(0), Interest::READABLE).unwrap();
    poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.is_empty(), "nothing is left");
}

/// Who waits is told of what another thread has read.
#[test]
fn a_receiver_that_waits_gets_what_a_sender_has_read() {
    let (one, other) = pair();
    let receiver = {
        let other = other.clone();
        thread::spawn(move || value(&other))
    };
    let echo = thread::spawn(move || while one.send(&1).is_ok() {});
    while !receiver.is_finished() {
        other.send(&0).unwrap(); // serves the channel, too
    }
    assert_eq!(receiver.join().unwrap(), 1);
    other.disconnect();
    echo.join().unwrap();
}

#[test]
fn several_receivers_share_the_messages() {
    let (one, other) = pair();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let channel = other.clone();
            thread::spawn(move || {
                let mut count = 0;
                while channel.recv().unwrap().is_some() {
                    count += 1;
                }
                count
            })
        })
        .collect();
    (0..2000).for_each(|number| one.send(&number).unwrap());
    one.disconnect();
    let total: i32 = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
    assert_eq!(total, 2000);
}

#[test]
fn a_timeout_ends_a_wait() {
    let (_one, other) = pair();
    assert!(other.recv_timeout(Duration::from_millis(5)).unwrap().is_none());
    assert!(other.is_connected());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn values_travel(texts in prop::collection::vec(".{0,100}", 0..20)) {
        let (one, other) = pair();
        texts.iter().for_each(|text| one.send(text).unwrap());
        for text in &texts {
            prop_assert_eq!(value(&other), text.as_str());
        }
    }
}
