//! Sockets that parent and child share or hand over.

use std::{
    collections::BTreeSet,
    io::Read,
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    thread,
};

use cluster::{Handle, Message, child_process::Child};

use crate::{
    family::{End, Guard, all, child, guarded, hear, under_node},
    house::{Form, rows},
    support::wait_until,
};

rows! {
    child_process_fork_closed_channel_segfault: rust worker primary;
    child_process_fork_dgram: rust worker primary;
    child_process_fork_net_server: rust worker primary;
    child_process_fork_net_socket: rust worker primary;
    child_process_send_keep_open: rust worker primary;
    child_process_pass_fd: rust worker primary;
}

/// A connection from here to here.
fn connection() -> (TcpStream, TcpStream) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    (client, server.accept().unwrap().0)
}

fn read(client: TcpStream) -> String {
    all(OwnedFd::from(client))
}

/// Sockets for a child that ends meanwhile: an error at the most.
fn child_process_fork_closed_channel_segfault(form: Form) {
    if form == Form::Primary {
        return under_node("end in the middle", &["leave"]);
    }
    let mut one = guarded(child(form, "leave").fork());
    while one.channel().unwrap().is_connected() {
        if let Err(error) = one.send_handle("leave", connection().1) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotConnected, "{error:?}");
        }
    }
    assert_eq!(one.end(), End::Code(0));
    assert!(one.send("late").is_err());
}

/// A UDP socket that both have: each gets something.
fn child_process_fork_dgram(form: Form) {
    if form == Form::Primary {
        return under_node("dgram", &["dgram"]);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut one = guarded(child(form, "dgram").fork());
    one.send_handle("socket", socket.try_clone().unwrap()).unwrap();
    assert_eq!(hear(&one).value, "ready");
    socket.set_nonblocking(true).unwrap();
    let (mut ours, mut childs) = (false, false);
    wait_until("both get something", || {
        client.send_to(b"some bytes", socket.local_addr().unwrap()).unwrap();
        childs |= one.try_recv().unwrap().is_some_and(|message| message.value == "got one");
        // The child is not to be left without a chance.
        ours |= childs && socket.recv(&mut [0; 64]).is_ok();
        ours && childs
    });
    one.disconnect();
    assert_eq!(one.end(), End::Code(0));
}

/// A server that both have: each accepts, and each closes its own.
fn child_process_fork_net_server(form: Form) {
    if form == Form::Primary {
        return under_node("server", &["server"]);
    }
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let mut one = guarded(child(form, "server").fork());
    one.send_handle("server", server.try_clone().unwrap()).unwrap();
    assert_eq!(hear(&one).value, "listening");
    server.set_nonblocking(true).unwrap();
    let mut ours = Some(server);
    let mut heard = BTreeSet::new();
    wait_until("both accept", || {
        let client = TcpStream::connect(address).unwrap();
        if let Some((mut connection, _)) = ours.as_ref().and_then(|server| server.accept().ok()) {
            std::io::Write::write_all(&mut connection, b"parent").unwrap();
            ours = None; // the child has the rest
        }
        client.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
        let mut said = String::new();
        if (&client).read_to_string(&mut said).is_ok() {
            heard.insert(said);
        }
        heard.contains("child") && ours.is_none()
    });
    one.send("close").unwrap();
    assert_eq!(hear(&one).value, "closed");
    one.disconnect();
    assert_eq!(one.end(), End::Code(0));
    wait_until("nobody listens", || TcpStream::connect(address).is_err());
}

fn child_process_fork_net_socket(form: Form) {
    if form == Form::Primary {
        return under_node("socket", &["sockets"]);
    }
    let mut one = guarded(child(form, "sockets").fork());
    let (client, served) = connection();
    one.send_handle("end", served).unwrap();
    assert_eq!(read(client), "child");
    one.disconnect();
    assert_eq!(one.end(), End::Code(0));
}

/// A socket that the parent keeps as well: both write.
fn child_process_send_keep_open(form: Form) {
    if form == Form::Primary {
        return under_node("keep open", &["sockets"]);
    }
    let mut one = guarded(child(form, "sockets").fork());
    let (client, served) = connection();
    one.send_handle("write", served.try_clone().unwrap()).unwrap();
    assert_eq!(hear(&one).value, "done");
    std::io::Write::write_all(&mut &served, b"parent").unwrap();
    served.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read(client), "childparent");
    drop(served);
    one.disconnect();
    assert_eq!(one.end(), End::Code(0));
}

/// Many children at once, each of which hands its end of a connection up and writes into the
/// other one: none is lost.
fn child_process_pass_fd(form: Form) {
    if form == Form::Primary {
        return under_node("many give", &["give"]);
    }
    let start = || guarded(child(form, "give").fork());
    let children: Vec<Guard> = (0..80).map(|_| start()).collect();
    thread::scope(|scope| {
        for one in &children {
            scope.spawn(|| take(one));
        }
    });
}

fn take(giver: &Child) {
    let Message { value, handle: Some(Handle::TcpStream(stream)), .. } = hear(giver) else {
        panic!("no connection")
    };
    assert_eq!(value, "handle");
    giver.send("got").unwrap();
    assert_eq!(read(stream), "hello");
    giver.disconnect();
}
