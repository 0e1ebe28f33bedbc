//! Web frameworks.

use cluster::Policy;

use crate::{
    POLICIES, Service, installed,
    load::Load,
    support::{Client, wait_until},
};

#[test]
fn express_serves_on_when_a_worker_is_killed() {
    if installed("express_serves_on_when_a_worker_is_killed") {
        POLICIES.iter().for_each(|&policy| serve_on("express_app.js", policy));
    }
}

#[test]
fn fastify_serves_on_when_a_worker_is_killed() {
    if installed("fastify_serves_on_when_a_worker_is_killed") {
        POLICIES.iter().for_each(|&policy| serve_on("fastify_app.js", policy));
    }
}

/// Under load: all workers answer, one is killed, another takes its place, all leave.
fn serve_on(program: &str, policy: Policy) {
    let mut service = Service::start(program, policy);
    let load = Load::start(&service.address);
    wait_until_all_answer(&load, &service);
    let failures = load.take().failures;
    assert!(failures.is_empty(), "{program}, {policy:?}: {failures:#?}");

    let victim = service.pids().pop_first().unwrap();
    service.kill_and_replace(&victim);
    wait_until_all_answer(&load, &service);
    load.stop().assert_only_killed(&victim);

    let mut last = Client::connect(&service.address).unwrap();
    last.ask("/slow", "close").unwrap();
    last.wait_for_answer().unwrap();
    service.disconnect();
    let answer = last.answer().unwrap();
    assert!(service.pids().iter().any(|pid| answer.contains(pid)), "{answer:?}");
    service.assert_clean_end();
}

/// A few times each.
fn wait_until_all_answer(load: &Load, service: &Service) {
    let pids = service.pids();
    wait_until("answers of each worker", || {
        let answers = load.answers();
        pids.iter().all(|pid| answers.get(pid).is_some_and(|&count| count >= 10))
    });
}
