//! Much too much of what is allowed.

use std::time::{Duration, Instant};

use cluster::Event;

use crate::{POLICIES, Scene, memory};

#[test]
fn many_messages_are_heard_and_others_served_meanwhile() {
    for policy in POLICIES {
        let scene = Scene::with(policy, "messages");
        scene.go();
        let mut served = 0;
        let mut next = 0;
        while next < 100_000 {
            assert_eq!(scene.told(), next);
            next += 1;
            if next % 10_000 == 0 {
                scene.is_served();
                served += 1;
            }
        }
        assert_eq!((scene.told()["said"].as_u64(), served), (Some(100_000), 10));
        scene.end();
    }
}

/// It says what the master ignores, and never stops.
#[test]
fn endless_noise_keeps_nobody_from_anything() {
    for policy in POLICIES {
        let scene = Scene::with(policy, "noise");
        let before = memory("VmRSS");
        scene.go();
        (0..20).for_each(|_| scene.is_served());
        // A new worker comes and goes.
        let new = scene.cluster.with(|master| {
            let settings = cluster::Settings::new().args(["worker"]);
            master.setup(settings).unwrap();
            master.fork().unwrap()
        });
        scene
            .cluster
            .event("online", |event| matches!(event, Event::Online { worker } if *worker == new));
        new.disconnect();
        assert_eq!(scene.cluster.end(&new), (Some(0), true));
        // A wait has its end, and the master's loop stays its owner's.
        let waited = scene.cluster.with(|master| {
            let start = Instant::now();
            while master.poll(Some(Duration::from_millis(10))).unwrap().is_some() {}
            start.elapsed()
        });
        assert!(waited < Duration::from_secs(5), "{waited:?}");
        let growth = memory("VmRSS").saturating_sub(before);
        assert!(growth < 32, "the master grew by {growth} MiB");
        drop(new);
        scene.end();
    }
}
