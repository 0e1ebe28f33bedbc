//! A master whose one worker tries to listen on the address in the third argument.

use std::env;

use cluster::{Event, Master, Result, Settings};
use serde_json::json;

pub(crate) fn run() -> Result<()> {
    let address = env::args().nth(2).unwrap_or_default();
    let mut master = Master::new(Settings::new().arg("worker"))?;
    master.fork()?;
    while let Some(event) = master.poll(None)? {
        match event {
            Event::Online { worker } => {
                worker.send(&json!({ "do": "listen", "address": address }))?;
            }
            Event::Message { worker, message } => {
                println!("{}", message.value);
                worker.disconnect();
            }
            _ => {}
        }
    }
    Ok(())
}
