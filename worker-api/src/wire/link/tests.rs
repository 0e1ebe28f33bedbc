use super::*;
use crate::{
    structured,
    wire::{ACK, Label, NACK, encode_with},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    fs::File,
    net::TcpListener,
    os::fd::{AsRawFd, BorrowedFd},
};

const LABEL: Label = Label { kind: "net.Native", dgram_type: None };

const BOTH: [Serialization; 2] = [Serialization::Json, Serialization::Advanced];

fn pair() -> (Link, UnixStream) {
    pair_of(Serialization::Json)
}

fn pair_of(serialization: Serialization) -> (Link, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Link::new(ours, 1000, serialization).unwrap(), theirs)
}

fn write(peer: &UnixStream, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) {
    assert_eq!(transmit(peer.as_fd(), bytes, descriptor).unwrap(), bytes.len());
}

fn read_all(link: &mut Link) -> Result<Vec<Received>> {
    let mut all = Vec::new();
    let mut scratch = [0; 4096];
    while link.fill(&mut scratch)? == Fill::Bytes {
        while let Some(received) = link.next_received()? {
            all.push(received);
        }
    }
    Ok(all)
}

fn peer_reads(peer: &UnixStream) -> String {
    let (mut buffer, mut descriptors) = ([0; 4096], Vec::new());
    match receive(peer.as_fd(), &mut buffer, &mut descriptors) {
        Ok(arrival) => {
            let text = String::from_utf8_lossy(&buffer[..arrival.bytes]).into_owned();
            text + &"+".repeat(descriptors.len())
        }
        Err(error) => error.kind().to_string(),
    }
}

#[test]
fn a_descriptor_is_acknowledged_and_close_on_exec() {
    let (mut link, peer) = pair();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    write(&peer, &encode_with(LABEL, &json!({"n": 1})).unwrap(), Some(server.as_fd()));
    let mut all = read_all(&mut link).unwrap();
    let Some(Received::Message {
        packet,
        attachment: Attachment::Descriptor(descriptor, announced),
    }) = all.pop()
    else {
        panic!("no descriptor");
    };
    assert_eq!((packet, announced.kind.as_str()), (Packet::User(json!({"n": 1})), "net.Native"));
    let flags = nix::fcntl::fcntl(descriptor.as_fd(), nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags, nix::libc::FD_CLOEXEC);
    assert!(link.flush().unwrap());
    assert_eq!(peer_reads(&peer), "{\"cmd\":\"NODE_HANDLE_ACK\"}\n");
}

#[test]
fn an_announced_descriptor_that_does_not_come_is_told() {
    let (mut link, peer) = pair();
    write(&peer, &encode_with(LABEL, "x").unwrap(), None);
    let all = read_all(&mut link).unwrap();
    assert!(matches!(all[..], [Received::Message { attachment: Attachment::Missing, .. }]));
    assert!(link.flush().unwrap());
    assert_eq!(peer_reads(&peer), "{\"cmd\":\"NODE_HANDLE_NACK\"}\n");
}

#[test]
fn a_descriptor_where_none_belongs_breaks_the_protocol_and_is_closed() {
    let (mut link, peer) = pair();
    let (reader, writer) = io::pipe().unwrap();
    write(&peer, b"1\n", Some(writer.as_fd()));
    drop(writer);
    let error = read_all(&mut link).unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    link.shut_down();
    // The pipe's end proves that nobody holds the descriptor any more.
    let mut poll = [nix::poll::PollFd::new(reader.as_fd(), nix::poll::PollFlags::empty())];
    nix::poll::poll(&mut poll, 0u8).unwrap();
    assert!(poll[0].revents().unwrap().contains(nix::poll::PollFlags::POLLHUP));
}

#[test]
fn rubbish_endless_lines_and_false_acks_are_errors() {
    for bytes in [&b"rubbish\n"[..], b"\n", ACK, NACK, &[b'x'; 1001]] {
        let (mut link, peer) = pair();
        write(&peer, bytes, None);
        assert!(read_all(&mut link).is_err(), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn text_without_a_newline_at_the_end_is_dropped() {
    let (mut link, peer) = pair();
    write(&peer, b"1\n{\"half\":", None);
    drop(peer);
    assert_eq!(read_all(&mut link).unwrap().len(), 1);
    assert_eq!(link.fill(&mut [0; 16]).unwrap(), Fill::Closed);
}

#[test]
fn descriptors_in_both_directions_do_not_deadlock() {
    for how in BOTH {
        descriptors_cross(how);
    }
}

fn descriptors_cross(how: Serialization) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut links = [ours, theirs].map(|end| Link::new(end, 1000, how).unwrap());
    let file = Arc::new(OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()));
    for link in &mut links {
        for number in 0..10 {
            let descriptor = Arc::clone(&file);
            let rider = Some(Rider { descriptor, resend: false, tag: Some(number) });
            link.send(how.encode_with(LABEL, &number).unwrap(), rider).unwrap();
        }
    }
    let mut delivered = 0;
    for _ in 0..100 {
        for link in &mut links {
            link.flush().unwrap();
            let all = read_all(link).unwrap();
            delivered += all.iter().filter(|one| matches!(one, Received::Delivered(_))).count();
        }
    }
    assert_eq!(delivered, 20);
    assert!(links.iter().all(Link::is_idle));
}

#[test]
fn a_lost_listener_is_reported_with_its_tag() {
    let (mut link, peer) = pair();
    let descriptor = Arc::new(OwnedFd::from(File::open("/dev/null").unwrap()));
    let rider = Rider { descriptor, resend: false, tag: Some(9) };
    link.send(encode_with(LABEL, &1).unwrap(), Some(rider)).unwrap();
    link.flush().unwrap();
    write(&peer, NACK, None);
    let all = read_all(&mut link).unwrap();
    assert!(matches!(all[..], [Received::Lost(Rider { tag: Some(9), .. })]));
}

/// The text of a user's message.
fn text(packet: Packet) -> String {
    match packet {
        Packet::User(Value::String(text)) | Packet::Structured(structured::Value::String(text)) => {
            text
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn lengths_without_a_message_are_harmless() {
    // A length that may not be ends the channel at once; others may still be kept.
    for (length, is_over) in [
        (1_u32, false),
        (1000, false),
        (1001, true),
        (i32::MAX as u32 - 1, true),
        (i32::MAX as u32, true),
        (i32::MAX as u32 + 1, true),
        (u32::MAX, true),
    ] {
        let (mut link, peer) = pair_of(Serialization::Advanced);
        write(&peer, &length.to_be_bytes()[..3], None);
        assert!(read_all(&mut link).unwrap().is_empty());
        write(&peer, &length.to_be_bytes()[3..], None);
        match read_all(&mut link) {
            Ok(all) => assert!(all.is_empty() && !is_over, "{length}"),
            Err(error) => {
                assert!(is_over && matches!(error, Error::Protocol { .. }), "{length}: {error:?}");
            }
        }
        drop(peer);
        assert_eq!(link.fill(&mut [0; 16]).unwrap(), Fill::Closed);
    }
}

/// `object`, whose `Date` becomes the object itself.
fn with_cycle(object: &structured::Value) -> Vec<u8> {
    let bytes = structured::encode(object).unwrap();
    let date = [b'D', 0, 0, 0, 0, 0, 0, 0, 0];
    let place = bytes.windows(date.len()).position(|window| window == date).unwrap();
    let value = [&bytes[..place], b"^\0", &bytes[place + date.len()..]].concat();
    [&(value.len() as u32).to_be_bytes()[..], &value].concat()
}

fn object<const SIZE: usize>(entries: [(&str, structured::Value); SIZE]) -> structured::Value {
    structured::Value::Object(entries.map(|(name, value)| (name.to_owned(), value)).into())
}

#[test]
fn after_a_message_that_is_none_here_the_next_one_comes() {
    let (mut link, peer) = pair_of(Serialization::Advanced);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let cycle = object([("me", structured::Value::Date(0.0))]);
    write(&peer, &with_cycle(&cycle), None);
    let parts = [("cmd", "NODE_HANDLE".into()), ("type", "net.Server".into()), ("msg", cycle)];
    write(&peer, &with_cycle(&object(parts)), Some(server.as_fd()));
    write(&peer, &Serialization::Advanced.encode("next").unwrap(), None);
    let [first, second, third] = <[_; 3]>::try_from(read_all(&mut link).unwrap()).unwrap();
    let is_unreadable =
        |packet: &Packet| *packet == Packet::Unreadable(structured::DecodeError::Cycle);
    assert!(matches!(first, Received::Message { packet, attachment: Attachment::Nothing }
        if is_unreadable(&packet)));
    assert!(matches!(second, Received::Message { packet, attachment: Attachment::Descriptor(..) }
        if is_unreadable(&packet)));
    let Received::Message { packet, attachment: Attachment::Nothing } = third else { panic!() };
    assert_eq!(text(packet), "next");
    assert!(link.flush().unwrap());
    assert_eq!(peer_reads(&peer), String::from_utf8_lossy(Serialization::Advanced.ack()));
}

/// A message of the property test: its text, and whether a descriptor goes with it.
fn messages() -> impl Strategy<Value = Vec<(String, bool)>> {
    prop::collection::vec((".{0,30}", any::<bool>()), 0..12)
}

proptest! {
    /// Any messages, cut anywhere, each descriptor on any chunk of its message: they arrive
    /// in order, each with its own descriptor.
    #[test]
    fn each_descriptor_finds_its_message(
        messages in messages(),
        how in prop::sample::select(BOTH.to_vec()),
        cuts in prop::collection::vec(1usize..40, 1..12),
        places in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let (mut link, peer) = pair_of(how);
        let mut cut = cuts.iter().cycle();
        let mut expected = Vec::new();
        let mut seen = Vec::new();
        for ((text, with), place) in messages.iter().zip(&places) {
            let pipe = with.then(|| io::pipe().unwrap().0);
            let line = match with {
                true => how.encode_with(LABEL, text).unwrap(),
                false => how.encode(text).unwrap(),
            };
            expected.push((text.clone(), pipe.as_ref().map(inode)));
            let mut chunks = Vec::new();
            let mut rest = &line[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cut.next().unwrap()));
                chunks.push(now);
                rest = later;
            }
            let rides = place.index(chunks.len());
            for (index, chunk) in chunks.iter().enumerate() {
                let descriptor = pipe.as_ref().filter(|_| index == rides).map(|pipe| pipe.as_fd());
                write(&peer, chunk, descriptor);
                if index % 2 == 0 {
                    seen.extend(read_all(&mut link).unwrap());
                }
            }
        }
        seen.extend(read_all(&mut link).unwrap());
        let seen: Vec<_> = seen.into_iter().map(|received| match received {
            Received::Message { packet, attachment } => match attachment {
                Attachment::Descriptor(descriptor, _) => (text(packet), Some(inode(&descriptor))),
                Attachment::Nothing => (text(packet), None),
                Attachment::Missing => panic!("missing"),
            },
            other => panic!("{other:?}"),
        }).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn no_bytes_panic_or_hang(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..8),
        how in prop::sample::select(BOTH.to_vec()),
    ) {
        let (mut link, peer) = pair_of(how);
        for chunk in &chunks {
            write(&peer, chunk, None);
            if read_all(&mut link).is_err() {
                return Ok(());
            }
        }
        drop(peer);
        let _ = read_all(&mut link);
    }
}

fn inode(descriptor: &impl AsRawFd) -> String {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    std::fs::read_link(path).unwrap().to_string_lossy().into_owned()
}

/// The link as it is after an exec.
fn moved(link: Link) -> Link {
    let mut packing = Packing::default();
    let state = serde_json::to_string(&link.state(&mut packing)).unwrap();
    let mut luggage = {
        let _ = std::mem::ManuallyDrop::new(link); // the former program is no more
        Luggage::claim(packing.numbers()).unwrap()
    };
    Link::restore(serde_json::from_str(&state).unwrap(), 1000, &mut luggage).unwrap()
}

#[test]
fn a_channel_goes_along_when_its_process_becomes_another_program() {
    for serialization in BOTH {
        let (mut link, peer) = pair_of(serialization);
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let first = serialization.encode("first").unwrap();
        let second = serialization.encode_with(LABEL, "second").unwrap();
        let (begin, end) = second.split_at(second.len() / 2);
        write(&peer, &first[..3], None);
        assert_eq!(read_all(&mut link).unwrap().len(), 0);
        let mut link = moved(link);
        write(&peer, &first[3..], None);
        write(&peer, begin, Some(server.as_fd()));
        assert_eq!(read_all(&mut link).unwrap().len(), 1);
        let mut link = moved(link);
        write(&peer, end, None);
        let all = read_all(&mut link).unwrap();
        let [Received::Message { attachment: Attachment::Descriptor(descriptor, _), .. }] =
            &all[..]
        else {
            panic!("{serialization:?}: {all:?}");
        };
        let local = TcpListener::from(descriptor.try_clone().unwrap()).local_addr().unwrap();
        assert_eq!(local, server.local_addr().unwrap());
    }
}

#[test]
fn what_waits_to_be_written_or_acknowledged_goes_along() {
    let (mut link, peer) = pair();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let rider = |tag| Rider {
        descriptor: Arc::new(server.try_clone().unwrap().into()),
        resend: false,
        tag: Some(tag),
    };
    link.send(b"1\n".into(), Some(rider(1))).unwrap();
    link.send(b"2\n".into(), Some(rider(2))).unwrap();
    link.send(b"3\n".into(), None).unwrap();
    let mut link = moved(link);
    assert_eq!((link.queued(), link.riders()), (6, 2));
    link.flush().unwrap();
    assert_eq!(peer_reads(&peer), "1\n+");
    let mut link = moved(link);
    write(&peer, ACK, None);
    let all = read_all(&mut link).unwrap();
    assert!(matches!(all[..], [Received::Delivered(Rider { tag: Some(1), .. })]));
    let mut link = moved(link);
    link.flush().unwrap();
    assert_eq!(peer_reads(&peer), "2\n+");
    write(&peer, ACK, None);
    assert_eq!(read_all(&mut link).unwrap().len(), 1);
    link.flush().unwrap();
    assert_eq!(peer_reads(&peer), "3\n");
    assert!(link.is_idle());
}
