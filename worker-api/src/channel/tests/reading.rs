//! What messages are read as, and many at once.

use serde::{Deserialize, Serialize};

use super::*;
use crate::{SocketList, structured};

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Note {
    id: u32,
    text: String,
}

fn note(id: u32) -> Note {
    Note { id, text: "a \u{2028} \"NODE_\" \\u".repeat(id as usize % 3) }
}

/// A raw end, and the channel at the other.
fn wire() -> (UnixStream, Channel) {
    let (socket, peer) = UnixStream::pair().unwrap();
    (peer, Channel::from_stream(socket).unwrap())
}

#[test]
fn a_message_is_read_in_a_type_of_ones_own() {
    for serialization in [Serialization::Json, Serialization::Advanced] {
        let (one, other) = UnixStream::pair().unwrap();
        let [one, other] =
            [one, other].map(|end| Channel::from_stream_with(end, serialization).unwrap());
        for id in 0..3 {
            one.send(&note(id)).unwrap();
            let message = other.recv_as::<Note>().unwrap().unwrap();
            assert_eq!(message.structured().is_some(), serialization == Serialization::Advanced);
            assert_eq!(message.value, note(id));
        }
        one.send(&note(3)).unwrap();
        assert_eq!(value(&other), json!({ "id": 3, "text": "" }));
        assert!(other.try_recv_as::<Note>().unwrap().is_none());
        one.disconnect();
        assert!(other.recv_as::<Note>().unwrap().is_none());
    }
}

#[test]
fn a_message_of_another_shape_is_lost_alone() {
    let (one, other) = pair();
    one.send("no note").unwrap();
    one.send(&note(1)).unwrap();
    let error = other.recv_as::<Note>().unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    assert_eq!(other.recv_as::<Note>().unwrap().unwrap().value, note(1));
    assert!(other.is_connected());
}

/// What came before it is still there, what came behind it is not.
#[test]
fn rubbish_ends_the_channel_when_it_is_its_turn() {
    for rubbish in ["{\"id\":", "nonsense", "1 2", "", "\"\\ud800\"", "{\"a\":\"\u{1}\"}"] {
        let (mut peer, channel) = wire();
        peer.write_all(format!("1\n{rubbish}\n2\n").as_bytes()).unwrap();
        assert_eq!(value(&channel), 1);
        let error = channel.recv().unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{rubbish:?}: {error:?}");
        assert!(channel.recv().unwrap().is_none() && !channel.is_connected(), "{rubbish:?}");
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the other side hears of it");
    }
}

#[test]
fn a_text_that_is_no_utf_8_ends_the_channel() {
    let (mut peer, channel) = wire();
    peer.write_all(b"\"\xff\"\n").unwrap();
    assert!(matches!(channel.recv_as::<Note>(), Err(Error::Decode { .. })));
    assert!(channel.recv().unwrap().is_none());
}

/// Who sent it learns that it is closed.
#[test]
fn the_socket_of_a_message_of_another_shape_is_closed() {
    let (one, other) = pair();
    let receiver = thread::spawn(move || {
        let error = other.recv_as::<Note>().unwrap_err();
        while other.recv().unwrap().is_some() {}
        error
    });
    let list = SocketList::new();
    let (socket, mut peer) = UnixStream::pair().unwrap();
    list.send(&one, "no note", socket).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert_eq!(list.count(Duration::from_secs(20)).unwrap(), 0);
    one.disconnect();
    assert!(matches!(receiver.join().unwrap(), Error::Decode { .. }));
}

#[test]
fn many_are_sent_and_received_at_once() {
    let (one, other) = pair();
    let sender = thread::spawn(move || {
        one.send_many((0..10_000).map(note)).unwrap();
        one.send_many(std::iter::empty::<Note>()).unwrap();
        one.disconnect();
    });
    let (mut notes, mut calls) = (Vec::new(), 0);
    loop {
        let before = notes.len();
        let count = other.recv_many::<Note>(&mut notes, 1000).unwrap();
        assert_eq!(notes.len() - before, count);
        assert!(count <= 1000);
        if count == 0 {
            break;
        }
        calls += 1;
    }
    sender.join().unwrap();
    assert!(
        notes.iter().map(|message| &message.value).eq(&(0..10_000).map(note).collect::<Vec<_>>())
    );
    assert!(calls < 2000, "several messages with a call, not {calls} calls");
    assert_eq!(other.recv_many::<Note>(&mut notes, 0).unwrap(), 0);
}

#[test]
fn those_before_one_that_cannot_be_sent_are_sent() {
    let (one, other) = pair();
    let no_key = |id: u32| std::collections::HashMap::from([(vec![id], id)]);
    let messages = [Ok(1), Ok(2), Err(no_key(3)), Ok(4)];
    let messages = messages.iter().map(|message| match message {
        Ok(number) => Either::Number(*number),
        Err(map) => Either::Map(map),
    });
    assert!(matches!(one.send_many(messages), Err(Error::Encode { .. })));
    one.disconnect();
    assert_eq!((value(&other), value(&other)), (json!(1), json!(2)));
    assert!(other.recv().unwrap().is_none());
}

#[derive(Serialize)]
#[serde(untagged)]
enum Either<'a> {
    Number(u32),
    Map(&'a std::collections::HashMap<Vec<u32>, u32>),
}

#[test]
fn a_batch_ends_before_what_cannot_be_read() {
    let (one, other) = pair();
    one.send_many([json!(1), json!(2), json!("x"), json!(4)]).unwrap();
    let mut numbers = Vec::new();
    assert!(other.recv_many::<u32>(&mut numbers, 10).is_err());
    assert_eq!(numbers.len(), 2);
    assert_eq!(other.recv_many::<u32>(&mut numbers, 10).unwrap(), 1);
    assert_eq!(numbers.iter().map(|message| message.value).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn a_structured_message_keeps_what_json_cannot_say() {
    let (one, other) = UnixStream::pair().unwrap();
    let [one, other] =
        [one, other].map(|end| Channel::from_stream_with(end, Serialization::Advanced).unwrap());
    let bytes = structured::Value::from(vec![structured::Value::Undefined, 7.into()]);
    one.send_structured(&bytes).unwrap();
    let message = other.recv_as::<(Option<u8>, u8)>().unwrap().unwrap();
    assert_eq!(message.value, (None, 7));
    assert_eq!(message.into_structured(), Some(bytes));
}
