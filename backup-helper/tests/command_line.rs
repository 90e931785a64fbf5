//! The program as an init or an operator meets it: what it prints where, and how it exits.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

fn run<Word: AsRef<OsStr>>(words: &[Word]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backup-helper")).args(words).output().expect("it can be run")
}

fn one_line(bytes: &[u8]) -> &str {
    let text = str::from_utf8(bytes).expect("it prints UTF-8");
    let line = text.strip_suffix('\n').expect("it ends its lines");
    assert!(!line.contains('\n'), "more than one line: {text}");
    line
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = run(&["--help"]);
    assert_eq!((help.status.code(), help.stderr.len()), (Some(0), 0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("backup-helper stand-by"));
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(one_line(&version.stdout), concat!("backup-helper ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_mistake_is_one_line_on_stderr_and_status_2() {
    let not_text = OsStr::from_bytes(b"\xff");
    for words in [&[OsStr::new("stand-by")][..], &[OsStr::new("guard")], &[], &[not_text]] {
        let output = run(words);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words:?}");
        assert!(one_line(&output.stderr).ends_with("see --help"), "{words:?}");
    }
}

#[test]
fn status_without_a_helper_at_work_says_so() {
    let output = run(&["status", "--state-dir", "/proc/none"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(one_line(&output.stderr).starts_with("no helper is at work here"));
}
