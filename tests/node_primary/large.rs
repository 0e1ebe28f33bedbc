//! Large messages from Node and back.

use serde_json::json;

use crate::{
    BOTH,
    support::{Parent, fixture, node},
};

#[test]
fn large_messages_come_back() {
    if !node("large_messages_come_back") {
        return;
    }
    for how in BOTH {
        let parent = Parent::fork_speaking(how, fixture(), "worker");
        parent.tell(json!({ "do": "text", "worker": 0, "length": 64 << 20 }));
        parent.event(json!({ "event": "text", "length": 64 << 20 }));
    }
}
