use super::*;
use crate::Error;

#[tokio::test]
async fn the_master_says_so_and_nobody_else_need_wait() {
    let (mut master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let (one, two) = (worker.disconnecting(), worker.disconnecting());
    assert!(timeout(Duration::ZERO, worker.disconnecting()).await.is_err());
    assert!(!worker.is_disconnecting());
    master.post(Act::Disconnect, None);
    let waiting = tokio::spawn(one);
    soon(two).await;
    soon(waiting).await.unwrap();
    assert!(worker.is_disconnecting());
    soon(worker.disconnecting()).await;
    apart(|| master.finish()).await;
}

#[tokio::test]
async fn a_wish_of_ours_counts() {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let leaving = tokio::spawn(worker.disconnecting());
    yield_now().await;
    worker.disconnect();
    soon(leaving).await.unwrap();
    apart(|| master.finish()).await;
    assert!(soon(worker.recv()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_master_that_is_gone_counts() {
    let (master, worker) = pair();
    let sync = worker.clone();
    let worker = worker.into_tokio().unwrap();
    let leaving = tokio::spawn(worker.disconnecting());
    yield_now().await;
    drop(master);
    soon(leaving).await.unwrap();
    assert!(!worker.is_connected());
    assert!(matches!(soon(worker.send("late")).await, Err(Error::Disconnected)));
    assert!(matches!(soon(worker.listen(0)).await, Err(Error::Listen { .. })));
    let late = sync.into_tokio().unwrap();
    soon(late.disconnecting()).await;
}

/// Another thread may have read the message.
#[tokio::test]
async fn a_thread_that_serves_the_channel_tells_the_tasks() {
    let (mut master, worker) = pair();
    let thread = worker.drive().unwrap();
    let worker = worker.into_tokio().unwrap();
    let leaving = tokio::spawn(worker.disconnecting());
    yield_now().await;
    master.post(Act::Disconnect, None);
    soon(leaving).await.unwrap();
    assert!(soon(worker.recv()).await.unwrap().is_none());
    apart(|| thread.join().unwrap()).await;
}
