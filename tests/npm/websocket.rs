//! Connections that stay: the echo server of `ws`.

use std::collections::{BTreeMap, BTreeSet};

use cluster::Policy;

use crate::{POLICIES, Service, WORKERS, clients::Clients, installed};

/// So many of one program.
const CLIENTS: usize = 40;

#[test]
fn websockets_outlive_another_worker() {
    if installed("websockets_outlive_another_worker") {
        POLICIES.iter().for_each(|&policy| echo(policy));
    }
}

/// With connections that are busy all the time: a worker is killed, its clients go to the
/// others, its successor gets new ones, all leave.
fn echo(policy: Policy) {
    let mut service = Service::start("ws_server.js", policy);
    let first = Clients::start("ws_client.js", &service.address, CLIENTS);
    let open = first.wait_for("open", CLIENTS);
    assert_eq!(first.count("lost"), BTreeMap::new(), "{policy:?}");

    let (victim, &lost) = open.iter().next().unwrap();
    service.kill_and_replace(victim);
    let all_lost = BTreeMap::from([(victim.clone(), lost)]);
    assert_eq!(first.wait_for("lost", lost), all_lost, "{policy:?}");
    first.wait_for("open", CLIENTS + lost);

    let second = Clients::start("ws_client.js", &service.address, CLIENTS);
    let reopened = second.wait_for("open", CLIENTS);
    if policy == Policy::RoundRobin {
        assert_eq!(open.len(), WORKERS, "{open:?}");
        assert_eq!(reopened.into_keys().collect::<BTreeSet<_>>(), service.pids());
    }
    assert_eq!(second.say_goodbye(), BTreeMap::new(), "{policy:?}");
    assert_eq!(first.say_goodbye(), all_lost, "{policy:?}");
    service.disconnect();
    service.assert_clean_end();
}
