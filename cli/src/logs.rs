//! What workers print.

use cluster::control::{Answer, Request};

use crate::{
    arguments::Target,
    ask::unexpected,
    events::print,
    failure::{Failure, Result},
};

pub(crate) fn logs(lines: usize, follow: bool, target: &Target) -> Result {
    let mut client = target.connect()?;
    client.send(&Request::Logs { lines: Some(lines), follow })?;
    while let Some(answer) = client.next()? {
        let is_read = match answer {
            Answer::Begun(_) => true,
            Answer::Line(_) | Answer::Missed(_) if target.json => {
                print(&serde_json::json!(answer).to_string())?
            }
            Answer::Line(line) if line.worker == 0 => print(&format!("mold | {}", line.text))?,
            Answer::Line(line) => print(&format!("worker {} | {}", line.worker, line.text))?,
            Answer::Missed(lines) => {
                eprintln!("cluster: {lines} lines were missed");
                true
            }
            Answer::Done(_) => return Ok(()),
            Answer::Failed(reason) => return Err(Failure::Failed(reason)),
            other => return Err(unexpected(&other)),
        };
        if !is_read {
            return Ok(());
        }
    }
    Ok(())
}
