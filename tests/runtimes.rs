//! The examples for tokio and what is built on it.
#![cfg(feature = "runtimes")]

mod support;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    io::{self, Read, Write},
    net::TcpStream,
    process::Command,
    sync::Arc,
};

use cluster::{Event, Policy, Settings, WorkerRef};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use support::{Cluster, PATIENCE, Port7000, Program, example, kill, wait_until};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject},
};

const ADDRESS: &str = "127.0.0.1:7000";
const HTTP: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const LINES: &str = "hello\n";

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A connection that stays open between requests.
struct Client {
    stream: Box<dyn Stream>,
    request: &'static str,
}

impl Client {
    /// A client that speaks TLS if it is given the certificate to trust.
    fn connect(address: &str, request: &'static str, trusted: Option<&str>) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match trusted {
            None => Box::new(stream),
            Some(certificate) => Box::new(tls(stream, certificate)),
        };
        Ok(Self { stream, request })
    }

    /// The number of the worker that answers.
    fn ask(&mut self) -> io::Result<u32> {
        self.stream.write_all(self.request.as_bytes())?;
        let mut answer = String::new();
        while !answer.ends_with('\n') || answer.ends_with("\r\n") {
            let mut part = [0; 1024];
            match self.stream.read(&mut part)? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, answer)),
                length => answer.push_str(&String::from_utf8_lossy(&part[..length])),
            }
        }
        let (_, said) = answer.rsplit_once("worker ").expect("a worker's answer");
        let number = said.split(|letter: char| !letter.is_ascii_digit()).next();
        number.and_then(|number| number.parse().ok()).ok_or_else(|| io::Error::other(answer))
    }

    /// Waits for the end of the connection, which is to be orderly.
    #[track_caller]
    fn assert_closed(&mut self, context: impl Debug) {
        let rest = self.stream.read(&mut [0; 64]);
        assert_eq!(rest.map_err(|error| error.to_string()), Ok(0), "{context:?}");
    }
}

fn tls(stream: TcpStream, trusted: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// As a person runs it: every worker serves, also one that takes another's place.
fn serves(name: &str, request: &'static str) {
    let _port = Port7000::take();
    for policy in ["none", "rr"] {
        let mut program =
            Program::start(Command::new(example(name)).env("NODE_CLUSTER_SCHED_POLICY", policy));
        let certificate = (name == "rustls_app").then(|| {
            program.line("END CERTIFICATE");
            program.lines().join("\n")
        });
        let ask = || Client::connect(ADDRESS, request, certificate.as_deref())?.ask();
        let wanted = cluster::available_parallelism();
        let mut seen = BTreeSet::new();
        wait_until("an answer of each worker", || {
            seen.extend(ask().ok());
            seen.len() == wanted
        });
        kill(program.children()[0], SIGKILL);
        wait_until("an answer of the next worker", || {
            seen.extend(ask().ok());
            seen.len() == wanted + 1
        });
        program.signal(SIGTERM);
        assert_eq!(program.wait().code(), Some(0), "{name} {policy}: {:#?}", program.lines());
    }
}

/// A master of ours over such a program.
struct Service {
    cluster: Cluster,
    request: &'static str,
    /// The certificate that clients trust, if they speak TLS.
    trusted: Option<String>,
}

impl Service {
    fn new(name: &str, request: &'static str, policy: Policy) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.pem();
        let settings = Settings::new()
            .exec(example(name))
            .arg("127.0.0.1:0")
            .env("TLS_CERTIFICATE", &certificate)
            .env("TLS_KEY", made.signing_key.serialize_pem())
            .policy(policy);
        let trusted = (name == "rustls_app").then_some(certificate);
        Self { cluster: Cluster::new(settings), request, trusted }
    }

    /// Starts a worker; where it listens.
    fn start(&self) -> (WorkerRef, String) {
        let worker = self.cluster.fork(1).remove(0);
        let event =
            self.cluster.event("listening", |event| matches!(event, Event::Listening { .. }));
        let Event::Listening { address, .. } = event else { unreachable!() };
        (worker, format!("127.0.0.1:{}", address.port().unwrap()))
    }

    fn connect(&self, address: &str) -> Client {
        Client::connect(address, self.request, self.trusted.as_deref()).unwrap()
    }
}

/// The same where each worker has a socket of its own; but for the one that is killed, every
/// connection is answered.
fn serves_on_sockets_of_their_own(name: &str, request: &'static str) {
    let service = Service::new(name, request, Policy::ReusePort);
    let workers = [0, 1, 2].map(|_| service.start());
    let address = &workers[0].1;
    let all_answer = |expected: BTreeSet<u32>| {
        let mut seen = BTreeSet::new();
        wait_until("an answer of each worker", || {
            seen.insert(service.connect(address).ask().unwrap());
            assert!(seen.is_subset(&expected), "{name}: {seen:?}");
            seen == expected
        });
    };
    all_answer(BTreeSet::from([1, 2, 3]));
    kill(workers[0].0.pid(), SIGKILL);
    assert_eq!(service.cluster.end(&workers[0].0), (None, false));
    all_answer(BTreeSet::from([2, 3]));
    assert_eq!(&service.start().1, address);
    all_answer(BTreeSet::from([2, 3, 4]));
}

/// A worker that is told to leave closes its idle connections and ends by itself.
fn leaves(name: &str, request: &'static str) {
    for policy in [Policy::RoundRobin, Policy::Shared, Policy::ReusePort] {
        let service = Service::new(name, request, policy);
        let cluster = &service.cluster;
        let (worker, address) = service.start();
        let mut clients: Vec<_> = (0..3).map(|_| service.connect(&address)).collect();
        for client in &mut clients {
            assert_eq!(client.ask().unwrap(), worker.id(), "{name} {policy:?}");
        }
        worker.disconnect();
        for client in &mut clients {
            client.assert_closed((name, policy));
        }
        assert_eq!(cluster.end(&worker), (Some(0), true), "{name} {policy:?}");
    }
}

macro_rules! examples {
    ($($name:ident: $request:ident),*) => {
        mod serves {
            $(#[test] fn $name() { super::serves(stringify!($name), super::$request); })*
        }
        mod serves_on_sockets_of_their_own {
            $(#[test] fn $name() {
                super::serves_on_sockets_of_their_own(stringify!($name), super::$request);
            })*
        }
        mod leaves {
            $(#[test] fn $name() { super::leaves(stringify!($name), super::$request); })*
        }
    };
}

examples!(actix_app: HTTP, axum_app: HTTP, hyper_app: HTTP, rustls_app: HTTP, tokio_echo: LINES);
