//! What breaks the protocol costs the worker its channel.

use crate::{POLICIES, Scene, memory};

/// The mischief, and what the error says.
const BREAKING: [(&str, &str); 14] = [
    ("rubbish", "cannot read the message"),
    ("empty line", "cannot read the message"),
    ("not text", "cannot read the message"),
    ("deep", "recursion limit"),
    ("stray", "a descriptor that no message announces"),
    ("strays", "no message announces"),
    ("strays in half a line", "no message announces"),
    ("file", "a descriptor of a wrong kind as \"net.Socket\""),
    ("lie", "a descriptor of a wrong kind as \"dgram.Socket\""),
    ("unknown kind", "a descriptor of a wrong kind as \"net.New\\n\""),
    ("false ack", "an ACK for nothing"),
    ("false nack", "a NACK for nothing"),
    ("broken query", "a bad queryServer"),
    ("questions", "too much is queued"),
];

#[test]
fn a_broken_protocol_costs_the_channel() {
    for (mischief, says) in BREAKING {
        for policy in POLICIES {
            let scene = Scene::with(policy, mischief);
            scene.go();
            let error = scene.error();
            assert!(error.contains(says), "{mischief}: {error}");
            scene.leaves_nothing();
        }
    }
}

#[test]
fn a_line_without_end_ends_at_the_limit() {
    let scene = Scene::with(cluster::Policy::Shared, "endless line");
    let before = memory("VmRSS");
    scene.go();
    let error = scene.error();
    assert!(error.contains("a message is too long"), "{error}");
    let growth = memory("VmHWM").saturating_sub(before);
    assert!(growth < 200, "the master grew by {growth} MiB");
    scene.leaves_nothing();
}

#[test]
fn half_a_channel_is_none() {
    for policy in POLICIES {
        let scene = Scene::with(policy, "half closed");
        scene.go();
        scene.gone();
        scene.leaves_nothing();
    }
}
