//! actix-web as it is, one process with a thread for each of WORKERS.
//!
//! ```text
//! actix ADDRESS
//! ```

use std::{env, error, process};

use actix_web::{App, HttpServer, web};

fn main() -> Result<(), Box<dyn error::Error>> {
    let address = env::args().nth(1).ok_or("actix ADDRESS")?;
    let workers = env::var("WORKERS")?.parse()?;
    let hello = || async { format!("hello {}\n", process::id()) };
    let server = HttpServer::new(move || App::new().route("/", web::get().to(hello)));
    let server = server.workers(workers).disable_signals().bind(address)?;
    Ok(actix_rt::System::new().block_on(async { server.run().await })?)
}
