//! Small programs for the tests: the first argument names the role. Each is its own master,
//! and its workers are the same program once more.

use std::{env, process};

fn main() {
    env_logger::init();
    let role = env::args().nth(1).unwrap_or_default();
    let outcome: cluster::Result<()> = match role.as_str() {
        _ => {
            eprintln!("fixture: there is no role {role:?}");
            process::exit(2);
        }
    };
    if let Err(error) = outcome {
        eprintln!("fixture: {error:?}");
        process::exit(1);
    }
}
