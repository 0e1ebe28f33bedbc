//! Requests that are done or not.

use cluster::control::{Answer, Request};

use crate::{
    arguments::Target,
    failure::{Failure, Result},
};

pub(crate) fn scale(workers: usize, target: &Target) -> Result {
    ask(&Request::Scale { workers }, target)
}

pub(crate) fn reload(target: &Target) -> Result {
    ask(&Request::Reload, target)
}

pub(crate) fn upgrade(target: &Target) -> Result {
    ask(&Request::Upgrade, target)
}

pub(crate) fn stop(target: &Target) -> Result {
    ask(&Request::Stop, target)
}

pub(crate) fn kill(worker: u32, signal: Option<String>, target: &Target) -> Result {
    ask(&Request::Kill { worker, signal }, target)
}

fn ask(request: &Request, target: &Target) -> Result {
    let answer = target.connect()?.ask(request)?;
    if target.json {
        println!("{}", serde_json::json!(answer));
    }
    match answer {
        Answer::Done(said) => {
            if !target.json {
                println!("{said}");
            }
            Ok(())
        }
        Answer::Failed(reason) => Err(Failure::Failed(reason)),
        other => Err(unexpected(&other)),
    }
}

/// An answer to something else.
pub(crate) fn unexpected(answer: &Answer) -> Failure {
    Failure::Failed(format!("the master's answer makes no sense: {answer:?}"))
}
