//! One socket for all workers.

use cluster::Policy;
use serde_json::json;

use crate::{
    ANYWHERE, listen, obedient, says,
    support::{Lines, wait_until},
};

#[test]
fn a_connection_that_woke_one_who_then_dies_is_for_another() {
    let cluster = obedient(Policy::Shared);
    let workers = cluster.fork(2);
    cluster.tell(&workers[0], json!({ "do": "die at a connection", "address": ANYWHERE }));
    says(&cluster, &workers[0], |value| value.get("listening").is_some());
    let address = listen(&cluster, &workers[1], ANYWHERE).unwrap();
    wait_until("the first in the queue is woken", || {
        assert_eq!(Lines::connect(&address).unwrap().ask("hello").unwrap(), 2);
        workers[0].is_dead()
    });
}
