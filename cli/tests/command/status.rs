//! How masters are found, and what they say.

use crate::support::{Place, ready};

#[test]
fn a_table_for_people_and_json_for_programs() {
    let place = Place::new();
    let (master, _) = place.serve(&["-w", "2", "--name", "shop"]);
    let status = place.wait_for_workers(2);
    assert_eq!(status["name"], "shop");
    assert_eq!(status["pid"], master.pid());
    assert_eq!(status["state"], "running");
    assert_eq!(status["workers"], 2);
    assert_eq!(status["policy"], "shared");
    for (number, slot) in ready(&status).into_iter().enumerate() {
        assert_eq!(slot["slot"], number);
        assert!(master.children().iter().any(|pid| slot["pid"] == *pid), "{slot}");
        assert!(slot["memory"].as_u64().unwrap() > 0, "{slot}");
        assert!(slot["cpu"].as_f64().unwrap() >= 0.0, "{slot}");
    }

    let said = place.cluster(&["status"]);
    let lines: Vec<&str> = said.out.lines().collect();
    let heading = format!("shop (pid {}): running, 2 of 2 workers ready", master.pid());
    assert!(lines[0].starts_with(&heading), "{said:?}");
    assert!(lines[1].starts_with("SLOT  WORKER  PID"), "{said:?}");
    assert_eq!(lines.len(), 4, "{said:?}");
    let pid = master.children()[0].to_string();
    assert!(lines[2..].iter().any(|line| line.split_whitespace().any(|word| word == pid)));
}

#[test]
fn of_several_masters_one_has_to_be_named() {
    let place = Place::new();
    let (_one, _) = place.serve(&["-w", "1", "--name", "one"]);
    let (other, _) = place.serve(&["-w", "1", "--name", "other"]);
    let said = place.cluster(&["status"]);
    let line = said.complains(2);
    assert!(line.contains("2 masters are running") && line.contains("--control"), "{line}");
    assert!(line.contains("one (pid ") && line.contains("other (pid "), "{line}");
    let said = place.cluster(&["status", "--name", "other", "--json"]);
    assert!(said.out.contains(&format!("\"pid\":{}", other.pid())), "{said:?}");
    let said = place.cluster(&["status", "--name", "third"]);
    assert!(said.complains(3).contains("no master named third"), "{said:?}");
}

#[test]
fn a_socket_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let (master, _) = place.serve(&["-w", "1"]);
    let folder = place.path().join("cluster");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let socket = folder.join(format!("activated-{}.sock", master.pid()));
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(place.cluster(&["stop"]).code, 0);
    assert_eq!(folder.read_dir().unwrap().count(), 0, "it goes with its master");
}
