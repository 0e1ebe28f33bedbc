//! Workers that share what is slow to load: one process counts the primes below ten million, and
//! is copied for each worker. A client writes a number, and hears whether it is a prime.
//!
//! ```sh
//! cargo run --example preload              # or: --example preload -- 127.0.0.1:8000
//! echo 9999991 | nc -N 127.0.0.1 7000
//! ```
//!
//! Ctrl-C ends it. `HUP` reloads it: another process counts, while the old workers serve on.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
};

use cluster::{Connection, Settings, Supervisor};

const END: usize = 10_000_000;

fn main() -> cluster::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    if cluster::is_master() {
        return Supervisor::new(Settings::new().listen(address)).preload().run();
    }
    let primes = cluster::preload(sieve)?; // the workers go on from here
    let listener = cluster::listen(address)?;
    eprintln!("process {} listens on {}", std::process::id(), listener.local_addr());
    for connection in listener.incoming() {
        if let Err(error) = answer(&connection?, &primes) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

fn sieve() -> Vec<bool> {
    eprintln!("process {} counts primes", std::process::id());
    let mut primes = vec![true; END];
    primes[..2].fill(false);
    for number in 2..END.isqrt() + 1 {
        if primes[number] {
            (number * number..END).step_by(number).for_each(|multiple| primes[multiple] = false);
        }
    }
    primes
}

fn answer(mut connection: &Connection, primes: &[bool]) -> io::Result<()> {
    for line in BufReader::new(connection).lines() {
        let is_prime = line?.trim().parse().ok().and_then(|number: usize| primes.get(number));
        let answer = match is_prime {
            Some(true) => "yes",
            Some(false) => "no",
            None => "who knows",
        };
        writeln!(connection, "{answer}")?;
    }
    Ok(())
}
