//! What does not break the protocol, and must not do harm either.

use cluster::{Event, Policy};
use serde_json::json;

use crate::{ANYWHERE, POLICIES, Scene, said};

#[test]
fn a_socket_that_did_not_come_is_told_and_its_message_dropped() {
    let scene = Scene::with(Policy::Shared, "no handle");
    scene.go();
    assert_eq!(scene.told(), json!({ "nack": true }), "and \"lost\" was not heard");
    scene.end();
}

#[test]
fn a_worker_that_plays_the_master_is_ignored() {
    for policy in POLICIES {
        let scene = Scene::with(policy, "master's acts");
        scene.go();
        assert_eq!(scene.told(), json!({ "still": "here" }));
        assert!(scene.hostile.is_connected());
        assert!(scene.hostile.send("you, too").unwrap());
        scene.end();
    }
}

#[test]
fn nobody_listens_without_end() {
    const EMFILE: i32 = nix::errno::Errno::EMFILE as i32;
    for policy in POLICIES {
        let scene = Scene::with(policy, "listen");
        scene.go();
        assert_eq!(scene.told(), json!({ "opened": 256, "errors": [-EMFILE] }));
        // Others may.
        let good = scene.cluster.with(|master| master.worker(1).unwrap());
        scene.cluster.tell(&good, json!({ "do": "listen", "address": ANYWHERE }));
        assert!(said(&scene.cluster, &good).get("listening").is_some());
        scene.hostile.kill(cluster::Signal::KILL).unwrap();
        scene.gone();
    }
}

#[test]
fn nobody_listens_twice_on_the_same() {
    const EADDRINUSE: i32 = nix::errno::Errno::EADDRINUSE as i32;
    for policy in POLICIES {
        let scene = Scene::with(policy, "listen again");
        scene.go();
        // The good worker has this one, too.
        assert_eq!(scene.told(), json!({ "opened": 1, "errors": [-EADDRINUSE] }));
        scene.end();
    }
}

#[test]
fn nothing_long_is_kept_for_a_socket() {
    const EMSGSIZE: i32 = nix::errno::Errno::EMSGSIZE as i32;
    for policy in POLICIES {
        let scene = Scene::with(policy, "long data");
        scene.go();
        assert_eq!(scene.told(), json!({ "opened": 0, "errors": [-EMSGSIZE] }));
        scene.end();
    }
}

/// The sockets on their way are open until the worker has them, so they are counted as well.
#[test]
fn who_takes_no_sockets_gets_no_more() {
    for policy in POLICIES {
        let scene = Scene::with(policy, "listen and close");
        scene.go();
        assert_eq!(scene.told(), json!({ "asked": 1000 }));
        let open = crate::open_descriptors(std::process::id()).len();
        assert!(open < scene.descriptors + 300, "{open} descriptors");
        scene.end();
    }
}

#[test]
fn who_says_often_that_it_listens_listens_once() {
    for policy in POLICIES {
        let scene = Scene::with(policy, "boast");
        scene.go();
        assert_eq!(scene.told(), json!({ "boasted": 1001 }));
        assert_eq!(scene.hostile.addresses().len(), 1);
        assert_eq!(scene.hostile.addresses()[0].to_string(), scene.address);
        scene.end();
    }
}

#[test]
fn who_shuts_its_ears_is_sent_nothing() {
    let scene = Scene::with(Policy::Shared, "deaf");
    scene.go();
    assert_eq!(scene.told(), "deaf");
    let text = "x".repeat(1 << 20);
    let before = crate::memory("VmRSS");
    assert!((0..64).all(|_| !scene.hostile.send(&text).unwrap()));
    let growth = crate::memory("VmRSS").saturating_sub(before);
    assert!(growth < 32, "{growth} MiB are kept for nobody");
    scene.end();
}

/// A process that the worker has started holds the channel on, and never stops talking.
#[test]
fn an_heir_of_the_channel_is_not_heard() {
    for policy in POLICIES {
        let scene = Scene::with(policy, "heir");
        scene.go();
        scene.gone();
        let errors = scene.cluster.has_seen(|event| matches!(event, Event::Error { .. }));
        assert!(!errors, "what it said was well said");
        scene.leaves_nothing();
    }
}
