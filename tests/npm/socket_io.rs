//! Sessions in a worker's memory: Socket.IO over long polling, one connection a request.

use std::collections::BTreeMap;

use cluster::{Policy, schedule::Sticky};

use crate::{Service, WORKERS, clients::Clients, installed};

/// Enough for each worker to have some.
const CLIENTS: usize = 24;

#[test]
fn socket_io_keeps_its_sessions_with_sticky() {
    if !installed("socket_io_keeps_its_sessions_with_sticky") {
        return;
    }
    let mut service = Service::with("io_server.js", |settings| settings.schedule(Sticky::new()));
    let clients = Clients::start("io_client.js", &service.address, CLIENTS);
    let open = clients.wait_for("open", CLIENTS);
    assert_eq!(open.len(), WORKERS, "{open:?}");

    // The victim's clients go to others, and to its successor when that is there.
    let (victim, &moving) = open.first_key_value().unwrap();
    service.kill(victim);
    let reopened = clients.wait_for("open", CLIENTS + moving);
    assert_eq!(clients.count("lost"), BTreeMap::from([(victim.clone(), moving)]));
    let successor = service.replace();
    let last = clients.wait_for("open", CLIENTS + 2 * moving);
    assert_eq!(last[&successor], moving, "{last:?}");

    let lost = clients.say_goodbye();
    for (server, count) in lost {
        let moved = reopened[&server] - open[&server];
        assert_eq!(count, if server == *victim { moving } else { moved }, "{server}");
    }
    service.disconnect();
    service.assert_clean_end();
}

/// Else the test above would show nothing.
#[test]
fn socket_io_loses_its_sessions_without() {
    if !installed("socket_io_loses_its_sessions_without") {
        return;
    }
    let service = Service::start("io_server.js", Policy::RoundRobin);
    let clients = Clients::start("io_client.js", &service.address, 1);
    clients.wait_for("lost", 1);
}
