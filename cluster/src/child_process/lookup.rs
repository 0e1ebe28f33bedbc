//! Where a program may be.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Where execvp looks when there is no `PATH`.
const DEFAULT: &str = "/bin:/usr/bin";

/// The paths to try, in turn. A name with a slash is a path; others are sought in `path`, the
/// `PATH` of the child, where an empty entry is the working directory.
pub(super) fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.into()];
    }
    path.unwrap_or(OsStr::new(DEFAULT))
        .as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| match directory {
            [] => Path::new(".").join(program),
            directory => Path::new(OsStr::from_bytes(directory)).join(program),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(program: &str, path: Option<&str>) -> Vec<String> {
        let found = candidates(OsStr::new(program), path.map(OsStr::new));
        found.into_iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(paths("/bin/ls", Some("/usr/bin")), ["/bin/ls"]);
        assert_eq!(paths("./ls", Some("/usr/bin")), ["./ls"]);
        assert_eq!(paths("a/b", None), ["a/b"]);
    }

    #[test]
    fn a_name_is_sought() {
        assert_eq!(paths("ls", Some("/a:b:/c/")), ["/a/ls", "b/ls", "/c/ls"]);
        assert_eq!(paths("ls", None), ["/bin/ls", "/usr/bin/ls"]);
        assert_eq!(paths("ls", Some("")), ["./ls"]);
        assert_eq!(paths("ls", Some(":/a::")), ["./ls", "/a/ls", "./ls", "./ls"]);
    }
}
