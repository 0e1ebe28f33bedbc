//! The three lines of a handed-over connection, read and written without a tree of JSON.
//!
//! What is not spelt exactly as Node and we spell it takes the long way ([`Packet::decode`]),
//! which always says the same.

use std::{io::Write, str};

use super::{
    cluster::{Act, Cluster, Reply},
    packet::{ACK, Packet},
};

const OFFER: (&str, &str) = (
    r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":""#,
    r#"","seq":"#,
);
const ANSWER: (&str, &str) = (r#"{"cmd":"NODE_CLUSTER","ack":"#, r#","accepted":"#);
const SEQ: &str = r#","seq":"#;

/// Reads one of the three.
pub(super) fn decode(line: &[u8]) -> Option<Packet> {
    if line == &ACK[..ACK.len() - 1] {
        return Some(Packet::Ack);
    }
    let line = str::from_utf8(line).ok()?;
    if let Some(rest) = line.strip_prefix(OFFER.0) {
        return offer(rest);
    }
    answer(line.strip_prefix(ANSWER.0)?)
}

fn offer(rest: &str) -> Option<Packet> {
    let (key, rest) = rest.split_once(OFFER.1)?;
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if !key.bytes().all(is_plain) {
        return None;
    }
    let seq = number(rest.strip_suffix("}}")?)?;
    let act = Act::NewConnection { key: key.to_owned() };
    let packet = Packet::Cluster(Cluster { seq: Some(seq), act });
    Some(Packet::Handle { kind: "net.Native".to_owned(), key: None, packet: Box::new(packet) })
}

fn answer(rest: &str) -> Option<Packet> {
    let (ack, rest) = rest.split_once(ANSWER.1)?;
    let (accepted, rest) = rest.split_once(SEQ)?;
    let accepted = match accepted {
        "true" => true,
        "false" => false,
        _ => return None,
    };
    let ack = Some(i64::try_from(number(ack)?).ok()?);
    let seq = Some(number(rest.strip_suffix('}')?)?);
    let reply = Reply { ack, accepted: Some(accepted), ..Reply::default() };
    Some(Packet::Cluster(Cluster { seq, act: Act::Reply(reply) }))
}

/// A whole number as JSON writes it.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = is_number && (text == "0" || !text.starts_with('0'));
    if is_canonical { text.parse().ok() } else { None }
}

/// The line that hands over a connection of the listener with this key.
pub fn encode_offer(key: &str, seq: u64) -> Vec<u8> {
    let mut line = Vec::with_capacity(OFFER.0.len() + key.len() + 64);
    line.extend_from_slice(&OFFER.0.as_bytes()[..OFFER.0.len() - 1]);
    let written = serde_json::to_writer(&mut line, key);
    debug_assert!(written.is_ok(), "a vector takes everything");
    line.extend_from_slice(SEQ.as_bytes());
    finish(line, seq, "}}\n")
}

/// The line with which a worker takes a connection or not.
pub(crate) fn encode_answer(ack: u64, accepted: bool, seq: u64) -> Vec<u8> {
    let mut line = Vec::with_capacity(80);
    line.extend_from_slice(ANSWER.0.as_bytes());
    put(&mut line, ack);
    line.extend_from_slice(ANSWER.1.as_bytes());
    line.extend_from_slice(if accepted { b"true" } else { b"false" });
    line.extend_from_slice(SEQ.as_bytes());
    finish(line, seq, "}\n")
}

fn finish(mut line: Vec<u8>, seq: u64, end: &str) -> Vec<u8> {
    put(&mut line, seq);
    line.extend_from_slice(end.as_bytes());
    line
}

fn put(line: &mut Vec<u8>, number: u64) {
    let written = write!(line, "{number}");
    debug_assert!(written.is_ok(), "a vector takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Label, encode_with};
    use proptest::prelude::*;

    fn trim(line: &[u8]) -> &[u8] {
        &line[..line.len() - 1]
    }

    #[test]
    fn odd_spellings_take_the_long_way() {
        for line in [
            r#"{"cmd":"NODE_CLUSTER","ack":1.5,"accepted":true,"seq":1}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":01,"accepted":true,"seq":1}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":1,"accepted":1,"seq":1}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":1,"accepted":true,"seq":1,"more":2}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":99999999999999999999,"accepted":true,"seq":1}"#,
            r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":"a\"b","seq":1}}"#,
        ] {
            assert_eq!(decode(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        /// Both ways say the same, of the lines and of their neighbours.
        #[test]
        fn the_short_way_says_what_the_long_way_says(
            key in r#"[ -~é\\"]{0,30}"#,
            (ack, seq) in (0..=i64::MAX as u64, any::<u64>()),
            accepted in any::<bool>(),
            (place, byte) in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let short = encode_offer(&key, seq);
            let offer = Cluster { seq: Some(seq), act: Act::NewConnection { key } };
            let label = Label { kind: "net.Native", dgram_type: None };
            let long = encode_with(label, &offer.to_json()).unwrap();
            prop_assert_eq!(&short, &long);

            let reply = Reply { ack: Some(ack as i64), accepted: Some(accepted), ..Reply::default() };
            let answer = Cluster { seq: Some(seq), act: Act::Reply(reply) }.encode().unwrap();
            prop_assert_eq!(&encode_answer(ack, accepted, seq), &answer);
            prop_assert!(decode(trim(&answer)).is_some());

            for line in [long, answer] {
                let mut changed = trim(&line).to_vec();
                let at = place.index(changed.len());
                changed[at] = byte;
                for line in [trim(&line), &changed] {
                    if let Some(packet) = decode(line) {
                        prop_assert_eq!(packet, Packet::decode_slowly(line).unwrap());
                    }
                }
            }
        }
    }
}
