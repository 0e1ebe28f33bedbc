use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::net::{UdpSocket, UnixStream};

use super::*;

#[tokio::test]
async fn a_shared_socket_gives_counted_connections() {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let (master, server, listener) = served(master, false, worker.listen("127.0.0.1:0")).await;
    assert_eq!(*listener.local_addr(), Address::Tcp(server.address));
    let client = soon(TcpStream::connect(server.address)).await.unwrap();
    let mut connection = soon(listener.accept()).await.unwrap().unwrap();
    assert_eq!(*connection.peer_addr(), Address::Tcp(client.local_addr().unwrap()));
    assert_eq!(connection.local_addr().unwrap(), *listener.local_addr());
    assert_eq!(worker.connections(), 1);
    connection.write_all(b"hello").await.unwrap();
    drop(connection);
    assert_eq!(worker.connections(), 0);
    assert_eq!(read_all(client).await, "hello");
    worker.disconnect();
    assert!(soon(listener.accept()).await.unwrap().is_none());
    assert!(soon(listener.accept()).await.unwrap().is_none(), "and it stays so");
    apart(|| master.finish()).await;
}

#[tokio::test]
async fn connections_are_handed_over_and_keep_the_channel_open() {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let (master, server, listener) = served(master, true, worker.listen("127.0.0.1:0")).await;
    let handing = hand(master, &server.key);
    let ((mut master, client), connection) = tokio::join!(handing, soon(listener.accept()));
    let mut connection = connection.unwrap().unwrap();
    assert_eq!(*connection.peer_addr(), Address::Tcp(client.local_addr().unwrap()));
    master.post(Act::Disconnect, None);
    assert!(soon(listener.accept()).await.unwrap().is_none());
    assert!(worker.is_connected(), "a connection is left");
    connection.write_all(b"bye").await.unwrap();
    drop(connection);
    assert!(soon(worker.recv()).await.unwrap().is_none());
    assert_eq!(read_all(client).await, "bye");
    apart(|| master.finish()).await;
}

#[tokio::test]
async fn a_plain_stream_is_not_counted() {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let (_master, server, listener) = served(master, false, worker.listen("127.0.0.1:0")).await;
    let _clients = [(); 2].map(|()| std::net::TcpStream::connect(server.address).unwrap());
    let one = soon(listener.accept()).await.unwrap().unwrap();
    let two = soon(listener.accept()).await.unwrap().unwrap();
    assert_eq!(worker.connections(), 2);
    let (Stream::Tcp(_one), crate::Stream::Tcp(_two)) = (one.into_tokio(), two.into_std().unwrap())
    else {
        panic!("no TCP streams");
    };
    assert_eq!(worker.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_holds_and_its_end_is_seen() {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let options = ListenOptions::new().max_connections(1);
    let asking = worker.listen_with("127.0.0.1:0", &options);
    let (_master, server, listener) = served(master, false, asking).await;
    let listener = Arc::new(listener);
    let live = Arc::new(AtomicUsize::new(0));
    let mut accepting = JoinSet::new();
    for _ in 0..4 {
        let (listener, live) = (listener.clone(), live.clone());
        accepting.spawn(async move {
            while let Some(mut connection) = listener.accept().await.unwrap() {
                assert_eq!(live.fetch_add(1, SeqCst), 0);
                connection.write_all(b"!").await.unwrap();
                live.fetch_sub(1, SeqCst);
            }
        });
    }
    for _ in 0..50 {
        let clients = [(); 2].map(|()| std::net::TcpStream::connect(server.address).unwrap());
        for client in clients {
            client.set_nonblocking(true).unwrap();
            assert_eq!(read_all(TcpStream::from_std(client).unwrap()).await, "!");
        }
    }
    worker.disconnect();
    soon(accepting.join_all()).await;
}

#[tokio::test]
async fn without_a_master_over_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let plain = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let listener = crate::Listener::from_socket(plain).unwrap().into_tokio().unwrap();
    let mut client = soon(UnixStream::connect(&path)).await.unwrap();
    let mut connection = soon(listener.accept()).await.unwrap().unwrap();
    assert_eq!(*connection.peer_addr(), Address::Unix("".into()));
    client.write_all(b"ping").await.unwrap();
    let mut buffer = [0; 4];
    soon(connection.read_exact(&mut buffer)).await.unwrap();
    let mut plain = connection.into_tokio();
    soon(plain.write_all(&buffer)).await.unwrap();
    soon(client.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"ping");
    let (accepted, ()) = tokio::join!(soon(listener.accept()), async {
        yield_now().await;
        listener.close();
    });
    assert!(accepted.unwrap().is_none());
}

#[tokio::test]
async fn a_wish_to_listen_that_is_given_up_leaves_no_listener() {
    let (mut master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    assert!(timeout(Duration::ZERO, worker.listen("127.0.0.1:0")).await.is_err());
    apart(move || {
        let (seq, query) = master.next_query();
        let Server { key, .. } = master.answer(seq, &query, false);
        master.expect(&Act::Close { key });
    })
    .await;
}

#[tokio::test]
async fn datagrams_come_and_go() {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    let (mut master, server, udp) = served(master, false, worker.bind("127.0.0.1:0")).await;
    assert_eq!(udp.local_addr(), server.address);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut buffer = [0; 8];
    for _ in 0..100 {
        client.send_to(b"ping", server.address).await.unwrap();
        let (length, sender) = soon(udp.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..length], b"ping");
        soon(udp.send_to(b"pong", sender)).await.unwrap();
        assert_eq!(soon(client.recv(&mut buffer)).await.unwrap(), 4);
    }
    master.post(Act::Disconnect, None);
    assert!(soon(udp.recv_from(&mut buffer)).await.unwrap().is_none());
    assert!(udp.send_to(b"late", server.address).await.is_err());
    apart(|| master.finish()).await;
}

#[tokio::test]
async fn who_waits_for_the_last_connection_hears_of_it() {
    let (master, worker) = pair();
    let worker = worker.into_tokio().unwrap();
    soon(worker.drained()).await;
    let (_master, server, listener) = served(master, false, worker.listen("127.0.0.1:0")).await;
    let _clients = [(); 2].map(|()| std::net::TcpStream::connect(server.address).unwrap());
    let one = soon(listener.next()).await.unwrap();
    let two = soon(listener.next()).await.unwrap();
    let drained = worker.drained();
    tokio::pin!(drained);
    drop(one);
    assert!(timeout(Duration::ZERO, &mut drained).await.is_err());
    drop(two);
    soon(drained).await;
    worker.disconnect();
    assert!(soon(listener.next()).await.is_none());
}
