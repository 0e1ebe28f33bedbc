//! Unix sockets and their files.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::FileTypeExt,
            net::{SocketAddr, UnixListener, UnixStream},
        },
    },
    path::Path,
};

use cluster::{Address, ForkOptions, Signal};

use crate::{
    POLICIES, listen, listen_soon, listens, obedient, role,
    support::{Cluster, Lines, wait_until},
};

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_path_is_shared_and_its_file_goes_with_the_last_worker() {
    for policy in POLICIES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let cluster = obedient(policy);
        let workers = cluster.fork(2);
        for worker in &workers {
            assert_eq!(listen(&cluster, worker, &text(&path)), Ok(text(&path)));
            assert_eq!(listens(&cluster, worker), Address::Unix(path.clone()));
        }
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        for worker in &workers {
            assert!(Lines::connect(&text(&path)).unwrap().ask("x").is_ok());
            worker.disconnect();
            cluster.end(worker);
        }
        wait_until("the end of the file", || !path.exists());
    }
}

#[test]
fn the_file_goes_with_the_master() {
    for policy in POLICIES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let cluster = Cluster::new(role("worker").policy(policy).listen(&path));
        assert!(path.exists(), "before any worker");
        let worker = &cluster.fork(1)[0];
        assert_eq!(listen(&cluster, worker, &text(&path)), Ok(text(&path)));
        worker.kill(Signal::KILL).unwrap();
        cluster.end(worker);
        assert!(path.exists());
        drop(cluster);
        assert!(!path.exists());
    }
}

/// The file of another server that has taken its place is not ours.
#[test]
fn another_s_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let cluster = Cluster::new(role("worker").listen(&path));
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(cluster);
    assert!(path.exists());
}

#[test]
fn a_relative_path_is_the_worker_s() {
    for policy in POLICIES {
        let folder = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(folder.path()).unwrap();
        let cluster = obedient(policy);
        let options = ForkOptions::new().cwd(folder.path());
        let worker = cluster.with(move |master| master.fork_with(&options).unwrap());
        let path = real.join("rel.sock");
        assert_eq!(listen(&cluster, &worker, "./rel.sock"), Ok(text(&path)));
        assert_eq!(listens(&cluster, &worker), Address::Unix(path.clone()));
        assert_eq!(Lines::connect(&text(&path)).unwrap().ask("x").unwrap(), 1);
        drop(cluster);
        assert!(!path.exists());
    }
}

#[test]
fn a_name_without_a_file_is_the_same_wherever_a_worker_stands() {
    for (policy, name) in POLICIES.into_iter().zip(["shared", "handed"]) {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("@cluster {name} {}", std::process::id());
        let address: Address = name.parse().unwrap();
        let cluster = Cluster::new(role("worker").policy(policy).allow_listen([&address]));
        let options = ForkOptions::new().cwd(folder.path());
        let elsewhere = cluster.with(move |master| master.fork_with(&options).unwrap());
        for worker in [&cluster.fork(1)[0], &elsewhere] {
            assert_eq!(listen(&cluster, worker, &name), Ok(name.clone()));
            assert_eq!(listens(&cluster, worker), address);
        }
        let path = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        UnixStream::connect_addr(&path).unwrap();
        drop(cluster);
        wait_until("the end of the name", || UnixStream::connect_addr(&path).is_err());
    }
}

#[test]
fn a_path_that_no_socket_can_have() {
    let folder = tempfile::tempdir().unwrap();
    let fits = |length: usize| {
        let rest = length - text(folder.path()).len() - 1;
        text(&folder.path().join("x".repeat(rest)))
    };
    for policy in POLICIES {
        let cluster = obedient(policy);
        let worker = &cluster.fork(1)[0];
        assert_eq!(listen(&cluster, worker, &fits(108)), Err("ENAMETOOLONG".into()));
        assert_eq!(listen(&cluster, worker, &fits(107)), Ok(fits(107)));
        assert_eq!(listen(&cluster, worker, "/no/such/folder/s"), Err("ENOENT".into()));
    }
}

#[test]
fn a_stale_file_is_replaced_and_a_live_one_is_not() {
    for policy in POLICIES {
        let folder = tempfile::tempdir().unwrap();
        let (path, plain) = (folder.path().join("s"), folder.path().join("plain"));
        let other = UnixListener::bind(&path).unwrap();
        fs::write(&plain, "precious").unwrap();
        let cluster = obedient(policy);
        let worker = &cluster.fork(1)[0];
        assert_eq!(listen(&cluster, worker, &text(&path)), Err("EADDRINUSE".into()));
        assert_eq!(listen(&cluster, worker, &text(&plain)), Err("EADDRINUSE".into()));
        assert_eq!(fs::read_to_string(&plain).unwrap(), "precious");
        drop(other); // which leaves its file
        assert!(path.exists());
        assert_eq!(listen_soon(&cluster, worker, &text(&path)), text(&path));
        assert_eq!(Lines::connect(&text(&path)).unwrap().ask("x").unwrap(), 1);
    }
}
