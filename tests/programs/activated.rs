//! A server that knows socket activation and nothing else: it waits in `accept`, and answers
//! each connection with its pid.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut sockets = listenfd::ListenFd::from_env();
    let Some(listener) = sockets.take_tcp_listener(0)? else {
        eprintln!("no socket was passed");
        std::process::exit(3);
    };
    for connection in listener.incoming() {
        // A client that has gone again is no reason to end.
        let _ = writeln!(connection?, "{}", std::process::id());
    }
    Ok(())
}
