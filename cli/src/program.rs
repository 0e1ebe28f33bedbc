//! The workers' program: what runs it, and whether it can run at all.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use crate::failure::{Failure, Result};

/// Scripts that Node runs.
const NODE: [&str; 3] = ["js", "mjs", "cjs"];

/// What is executed, and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) exec: OsString,
    pub(crate) args: Vec<OsString>,
    /// For the master's name.
    pub(crate) name: String,
}

impl Program {
    pub(crate) fn is_node(&self) -> bool {
        self.exec == "node"
    }

    /// Reads a command line, and looks whether it can run from this directory.
    pub(crate) fn new(line: Vec<OsString>, cwd: Option<&Path>) -> Result<Self> {
        let mut words = line.into_iter();
        let Some(first) = words.next().filter(|first| !first.is_empty()) else {
            let text = "no program: `cluster run -- PROGRAM [ARG]...`";
            return Err(Failure::Usage(text.into()));
        };
        let path = PathBuf::from(&first);
        let name = path.file_stem().unwrap_or(&first).to_string_lossy().into_owned();
        let is_script =
            path.extension().and_then(OsStr::to_str).is_some_and(|one| NODE.contains(&one));
        if !is_script {
            check(&path, cwd)?;
            return Ok(Self { exec: first, args: words.collect(), name });
        }
        if !from(cwd, &path).exists() {
            return Err(Failure::Failed(format!("there is no script {}", path.display())));
        }
        if find(OsStr::new("node")).is_none() {
            let text = format!("{} needs `node`, which is not in the PATH", path.display());
            return Err(Failure::Failed(text));
        }
        Ok(Self { exec: "node".into(), args: [first].into_iter().chain(words).collect(), name })
    }
}

fn from(cwd: Option<&Path>, path: &Path) -> PathBuf {
    cwd.unwrap_or(Path::new("")).join(path)
}

fn check(program: &Path, cwd: Option<&Path>) -> Result {
    let shown = program.display();
    let wrong = |what: String| Err(Failure::Failed(what));
    if program.components().count() == 1 && !program.has_root() && !starts_here(program) {
        if find(program.as_os_str()).is_some() {
            return Ok(());
        }
        if from(cwd, program).exists() {
            return wrong(format!("there is no {shown} in the PATH; the file here is ./{shown}"));
        }
        return wrong(format!("there is no program {shown} in the PATH"));
    }
    let path = from(cwd, program);
    if !path.exists() {
        return wrong(format!("there is no program {shown}"));
    }
    if path.is_dir() {
        return wrong(format!("{shown} is a directory, not a program"));
    }
    if access(&path, AccessFlags::X_OK).is_err() {
        return wrong(format!(
            "{shown} is not executable; `chmod +x {shown}`, or name what runs it before it"
        ));
    }
    Ok(())
}

/// `./server` is one component to `Path`, and no name to look for.
fn starts_here(program: &Path) -> bool {
    program.as_os_str().as_encoded_bytes().contains(&b'/')
}

/// A program by its name.
fn find(name: &OsStr) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(line: &[&str]) -> String {
        Program::new(line.iter().map(Into::into).collect(), None).unwrap_err().to_string()
    }

    #[test]
    fn programs_that_cannot_run() {
        assert!(wrong(&[]).starts_with("no program"));
        assert_eq!(wrong(&["no-such-thing"]), "there is no program no-such-thing in the PATH");
        assert_eq!(wrong(&["./no-such-thing"]), "there is no program ./no-such-thing");
        assert_eq!(wrong(&["/"]), "/ is a directory, not a program");
        assert!(wrong(&["./Cargo.toml"]).starts_with("./Cargo.toml is not executable; `chmod"));
        assert!(wrong(&["Cargo.toml"]).ends_with("the file here is ./Cargo.toml"));
        assert_eq!(wrong(&["./none.mjs"]), "there is no script ./none.mjs");
    }

    #[test]
    fn programs_that_can() {
        let program = Program::new(vec!["sh".into(), "-c".into()], None).unwrap();
        let wanted = Program { exec: "sh".into(), args: vec!["-c".into()], name: "sh".into() };
        assert_eq!(program, wanted);
        assert!(Program::new(vec!["sh".into()], Some(Path::new("/usr"))).is_ok());
        assert!(Program::new(vec!["./sh".into()], Some(Path::new("/bin"))).is_ok());
    }
}
