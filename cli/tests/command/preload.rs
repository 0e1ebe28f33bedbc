//! Workers that are copies of a process which has loaded their program.

use std::fs;

use serde_json::Value;

use crate::support::{Place, Program, example, path, process_is_gone, ready, wait_for, wait_until};

/// A master over a program that counts primes.
fn primes(place: &Place, options: &[&str]) -> Program {
    let program = example("preload");
    let run = [&["-w", "2", "--preload"], options, &["--", path(&program), "127.0.0.1:0"]];
    place.run(&run.concat())
}

/// The only mold, when it has a copy that waits.
#[track_caller]
fn settled(place: &Place) -> Value {
    wait_for("a mold with a copy", || {
        let molds = place.status()["molds"].take();
        let one = molds.as_array().filter(|all| all.len() == 1).map(|all| all[0].clone());
        one.filter(|mold| mold["state"] == "ready" && mold["spare"].is_u64())
    })
}

fn pid(of: &Value) -> u32 {
    of.as_u64().unwrap().try_into().unwrap()
}

#[test]
fn the_status_shows_what_is_copied() {
    let place = Place::new();
    let master = primes(&place, &[]);
    let status = place.wait_for_workers(2);
    let mold = settled(&place);
    assert_eq!(mold["generation"], 0);
    assert!(mold["memory"].as_u64().unwrap() > 0 && mold["spare_memory"].as_u64().unwrap() > 0);
    let children = master.children();
    let all = [&mold["pid"], &mold["spare"], &ready(&status)[0]["pid"], &ready(&status)[1]["pid"]];
    assert!(all.iter().all(|one| children.contains(&pid(one))), "{mold}, {children:?}");
    assert_eq!(children.len(), 4);

    let said = place.cluster(&["status"]);
    let line = said.out.lines().nth(1).unwrap();
    assert!(line.starts_with(&format!("mold (pid {}, ", mold["pid"])), "{line}");
    assert!(line.contains(&format!("): ready, generation 0, copy (pid {}, ", mold["spare"])));

    assert_eq!(place.cluster(&["reload"]).code, 0);
    let new = settled(&place);
    assert_eq!(new["generation"], 1);
    assert_ne!(new["pid"], mold["pid"]);
    wait_until("the end of the old mold", || process_is_gone(pid(&mold["pid"])));
    assert_eq!(place.cluster(&["stop"]).code, 0);
    wait_until("nobody left", || process_is_gone(pid(&new["pid"])));
}

#[test]
fn what_it_prints_goes_where_workers_print() {
    let place = Place::new();
    let log = place.path().join("log");
    let _master = primes(&place, &["--log", path(&log)]);
    place.wait_for_workers(2);
    let mold = settled(&place);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains(&format!("process {} counts primes", mold["pid"])), "{text}");
    let said = place.cluster(&["logs", "-n", "100"]);
    let wanted = format!("mold | process {} counts primes", mold["pid"]);
    assert!(said.out.contains(&wanted), "{said:?}");
    assert!(said.out.contains("worker 1 | process "), "{said:?}");
}

#[test]
fn from_a_file() {
    let place = Place::new();
    let options = place.path().join("primes.toml");
    let program = example("preload");
    let text = format!(
        "workers = 1\npreload = true\nprogram = ['{}', '127.0.0.1:0']\n",
        program.display()
    );
    fs::write(&options, text).unwrap();
    let _master = place.run(&["--config", path(&options)]);
    place.wait_for_workers(1);
    settled(&place);
}

#[test]
fn programs_that_cannot_be_preloaded() {
    let place = Place::new();
    let master = |program: &[&str]| {
        let options =
            ["-w", "1", "--preload", "--start-timeout", "300ms", "--quorum-timeout", "1s", "--"];
        place.run(&[&options, program].concat())
    };
    let endless = example("endless");
    let wrong: [(&[&str], &str); 3] = [
        (&[path(&endless)], "it is to be a worker before it has called `preload`"),
        (
            &["sh", "-c", "echo no model >&2; exit 3"],
            "(exit status: 3), as it must, saying: no model",
        ),
        (&["sleep", "1000"], "it did not call `preload` in 300ms"),
    ];
    for (program, reason) in wrong {
        let mut master = master(program);
        assert_eq!(master.wait().code(), Some(1), "{program:?}");
        let line = master.line("cluster: only 0 of at least 1 workers became ready");
        assert!(line.contains("cannot be preloaded") && line.contains(reason), "{line}");
    }
    let script = place.path().join("server.js");
    fs::write(&script, "").unwrap();
    if crate::support::has("programs_that_cannot_be_preloaded", "node", &["--version"]) {
        let said = place.cluster(&["run", "--preload", path(&script)]);
        assert!(said.complains(2).contains("--preload is for programs that call"), "{said:?}");
    }
}
