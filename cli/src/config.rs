//! The file with options.

use std::{ffi::OsString, fs, path::Path};

use clap::{Args, Command};
use serde::Deserialize;

use crate::{
    failure::{Failure, Result},
    options::Options,
};

/// The key that is no option: the program and its arguments.
const PROGRAM: &str = "program";

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) options: Options,
    pub(crate) program: Vec<OsString>,
}

/// Reads a file. Each mistake is an error that names the place.
pub(crate) fn read(path: &Path) -> Result<Config> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    parse(&text).map_err(|what| Failure::Usage(format!("{}: {what}", path.display())))
}

fn parse(text: &str) -> std::result::Result<Config, String> {
    let located = |error: toml::de::Error| match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or_default();
            format!("line {}: {}", before.matches('\n').count() + 1, error.message())
        }
        None => error.message().to_owned(),
    };
    let mut table: toml::Table = text.parse().map_err(located)?;
    let known = keys();
    if let Some(unknown) = table.keys().find(|key| !known.contains(*key)) {
        return Err(no_such_key(unknown, &known));
    }
    let program = table.remove(PROGRAM).map(program).transpose()?.unwrap_or_default();
    // One key at a time, so that an error can name it.
    for (key, value) in &table {
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        Options::deserialize(alone).map_err(|error| format!("{key}: {}", error.message()))?;
    }
    let options = Options::deserialize(table).map_err(located)?;
    if options.quiet && options.verbose {
        return Err("quiet and verbose contradict each other".into());
    }
    Ok(Config { options, program })
}

/// The names of the options, and of the program.
fn keys() -> Vec<String> {
    let command = Options::augment_args(Command::new("run"));
    let options = command.get_arguments().filter_map(|one| one.get_long()).map(str::to_owned);
    options.chain([PROGRAM.to_owned()]).collect()
}

fn no_such_key(unknown: &str, known: &[String]) -> String {
    let likeness = |key: &&String| (strsim::jaro_winkler(unknown, key) * 1000.0) as u32;
    let nearest = known.iter().max_by_key(likeness).filter(|key| likeness(key) > 700);
    match nearest {
        Some(nearest) => format!("there is no option `{unknown}`; `{nearest}` is one"),
        None => format!("there is no option `{unknown}`; `cluster run --help` names all"),
    }
}

/// The program alone, or a list of it and its arguments.
fn program(value: toml::Value) -> std::result::Result<Vec<OsString>, String> {
    match value {
        toml::Value::String(program) => Ok(vec![program.into()]),
        toml::Value::Array(list) => list
            .into_iter()
            .map(|one| match one {
                toml::Value::String(text) => Ok(text.into()),
                other => {
                    Err(format!("{PROGRAM}: a list of strings, not of a {}", other.type_str()))
                }
            })
            .collect(),
        other => Err(format!("{PROGRAM}: a string or a list, not a {}", other.type_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Time, Workers};
    use std::time::Duration;

    fn wrong(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn keys_are_the_options() {
        let config = parse(
            "workers = 3\nlisten = ['127.0.0.1:80', '/run/a.sock']\nbind = '127.0.0.1:53'\n\
             drain-timeout = '2m'\nprogram = ['node', 'x.js']\nenv = 'A=b'\nno-new-privs = true\n\
             umask = '027'\nready = 'notify'\npolicy = 'round-robin'\ndeath-signal = 'TERM'",
        )
        .unwrap();
        assert!(matches!(config.options.workers, Some(Workers::Count(count)) if count.get() == 3));
        assert_eq!(config.options.listen.len(), 2);
        assert_eq!(config.options.bind.len(), 1);
        assert_eq!(config.options.drain_timeout, Some(Time(Duration::from_secs(120))));
        assert_eq!(config.program, ["node", "x.js"]);
        assert!(config.options.no_new_privs);
        assert!(parse("").unwrap().program.is_empty());
    }

    #[test]
    fn every_option_can_be_a_key() {
        for key in keys() {
            let values = ["'1'", "1", "true", "'127.0.0.1:1'", "'A=b'", "'auto'", "'shared'"];
            let fits = |value: &&str| parse(&format!("{key} = {value}")).is_ok();
            assert!(values.iter().any(fits), "{key}");
        }
    }

    #[test]
    fn mistakes_name_their_place() {
        assert_eq!(wrong("worker = 3"), "there is no option `worker`; `workers` is one");
        assert_eq!(wrong("max_surge = 3"), "there is no option `max_surge`; `max-surge` is one");
        assert!(wrong("qqq = 3").contains("--help"));
        assert_eq!(wrong("workers = 0"), "workers: \"0\": a number from 1 on, or `auto`");
        assert_eq!(
            wrong("policy = 'fair'"),
            "policy: \"fair\": one of shared, round-robin, reuse-port, least-connections, sticky"
        );
        assert!(wrong("max-surge = -1").starts_with("max-surge: "), "{}", wrong("max-surge = -1"));
        assert!(
            wrong("workers = 1\nlisten = [").starts_with("line 2: "),
            "{}",
            wrong("listen = [")
        );
        assert!(wrong("listen = 'nonsense'").starts_with("listen: "));
        assert!(wrong("program = [1]").starts_with("program: "));
        assert!(wrong("quiet = true\nverbose = true").contains("contradict"));
    }
}
