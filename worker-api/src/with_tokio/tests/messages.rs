use std::{net::TcpListener, sync::Arc};

use serde_json::{Value, json};

use super::*;
use crate::Message;

fn value(message: Option<Message>) -> Value {
    message.expect("the channel is closed").value
}

#[tokio::test]
async fn messages_come_in_order_until_the_end() {
    let (mut master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let saying = spawn_blocking(move || (0..2000).for_each(|number| master.say(&json!(number))));
    for number in 0..2000 {
        assert_eq!(value(soon(worker.recv()).await.unwrap()), number);
    }
    assert!(soon(worker.recv()).await.unwrap().is_none());
    assert!(soon(worker.recv()).await.unwrap().is_none(), "and it stays so");
    saying.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_gives_up_loses_nothing() {
    let (mut master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    for number in 0..200 {
        assert!(timeout(Duration::ZERO, worker.recv()).await.is_err());
        master.say(&json!(number));
        let message = match timeout(Duration::ZERO, worker.recv()).await {
            Ok(message) => message,
            Err(_) => soon(worker.recv()).await,
        };
        assert_eq!(value(message.unwrap()), number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_share_listener_and_messages_and_no_wake_up_is_lost() {
    const MANY: usize = 100;
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let (mut master, server, listener) = served(master, true, worker.listen("127.0.0.1:0")).await;
    let listener = Arc::new(listener);
    let (mut accepting, mut receiving) = (JoinSet::new(), JoinSet::new());
    for _ in 0..4 {
        let (listener, worker) = (listener.clone(), worker.clone());
        accepting.spawn(async move {
            let mut count = 0;
            while listener.accept().await.unwrap().is_some() {
                count += 1;
            }
            count
        });
        receiving.spawn(async move {
            let mut count = 0;
            while let Some(message) = worker.recv().await.unwrap() {
                count += 1;
                worker.send(&message).await.unwrap();
            }
            count
        });
    }
    let handing = spawn_blocking(move || {
        for number in 0..MANY {
            (0..4).for_each(|part| master.say(&json!([number, part])));
            assert!(master.hand(&server.key).1, "refused");
        }
        master.hear(4 * MANY);
        master.post(Act::Disconnect, None);
        master.finish()
    });
    timeout(3 * LONG, handing).await.expect("a wake-up is lost").unwrap();
    assert_eq!(soon(accepting.join_all()).await.iter().sum::<usize>(), MANY);
    assert_eq!(soon(receiving.join_all()).await.iter().sum::<usize>(), 4 * MANY);
}

#[tokio::test]
async fn sending_waits_until_the_system_has_it() {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let text = "x".repeat(1 << 20);
    let mut sending = JoinSet::new();
    for _ in 0..4 {
        let (worker, text) = (worker.clone(), text.clone());
        sending.spawn(async move { worker.send(&text).await });
    }
    assert!(timeout(SHORT, sending.join_next()).await.is_err());
    let reading = spawn_blocking(|| master.finish());
    soon(sending.join_all()).await.into_iter().for_each(|sent| sent.unwrap());
    worker.disconnect();
    let values = soon(reading).await.unwrap();
    assert_eq!(values.len(), 4);
    assert!(values.iter().all(|value| value == &text));
}

#[tokio::test]
async fn a_message_behind_a_socket_waits_for_it() {
    let (mut master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(timeout(SHORT, worker.send_handle("server", server)).await.is_err());
    assert!(timeout(SHORT, worker.send("behind")).await.is_err());
    let reading = spawn_blocking(move || {
        master.hear(1);
        master.finish()
    });
    soon(worker.send("last")).await.unwrap();
    worker.disconnect();
    assert_eq!(soon(reading).await.unwrap(), ["server", "behind", "last"]);
}

#[tokio::test]
async fn messages_are_read_in_a_type_of_ones_own() {
    let (mut master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    master.say(&json!({ "text": "no number" }));
    master.say(&json!([1, 2]));
    assert!(soon(worker.recv_as::<(u8, u8)>()).await.is_err());
    let message = soon(worker.recv_as::<(u8, u8)>()).await.unwrap().expect("a message");
    assert_eq!(message.value, (1, 2));
    drop(master);
    assert!(soon(worker.recv_as::<(u8, u8)>()).await.unwrap().is_none());
}

/// By the worker's own methods, which do not wait for the master here.
#[tokio::test]
async fn many_messages_go_at_once() {
    let (mut master, worker) = pair();
    (0..100).for_each(|number| master.say(&json!(number)));
    let mut numbers = Vec::new();
    while numbers.len() < 100 {
        let before = numbers.len();
        assert_eq!(worker.recv_many::<u8>(&mut numbers, 7).unwrap(), numbers.len() - before);
    }
    let numbers = numbers.into_iter().map(|message| message.value);
    worker.send_many(numbers).unwrap();
    worker.send_many(["last"]).unwrap();
    master.hear(101);
    let expected = (0..100).map(|number| json!(number)).chain([json!("last")]);
    assert!(master.heard.into_iter().eq(expected));
}
