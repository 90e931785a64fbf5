//! Tests of `command`.

use super::{CommandError, ProcessEnd, Program};

fn shell(script: &str, output: &mut [u8], timeout_ms: u32) -> (ProcessEnd, String, String) {
    let shell = Program::find("sh").unwrap();
    let output = shell.run(&["-c", script], output, timeout_ms).unwrap();
    let text = String::from_utf8(output.bytes.to_vec()).unwrap();
    (output.end, text, output.last_line().to_owned())
}

#[test]
fn output_and_status_come_back() {
    let (end, text, last) =
        shell("echo out; echo err >&2; echo; cat; exit 9", &mut [0; 64], 60_000);
    assert_eq!(end, ProcessEnd::Exited(9));
    assert_eq!(text, "out\nerr\n\n");
    assert_eq!(last, "err");
}

#[test]
fn more_output_than_room_is_cut_and_does_not_block_the_program() {
    let (end, text, _) = shell("seq 100000", &mut [0; 10], 60_000);
    assert_eq!((end, text.as_str()), (ProcessEnd::Exited(0), "1\n2\n3\n4\n5\n"));
}

#[test]
fn a_process_left_behind_is_not_waited_for() {
    let (end, text, _) = shell("sleep 1000 & echo $!", &mut [0; 32], 60_000);
    assert_eq!(end, ProcessEnd::Exited(0));
    let pid = rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn one_that_does_not_end_is_killed() {
    let shell = Program::find("sh").unwrap();
    let error = shell.run(&["-c", "exec sleep 1000"], &mut [0; 8], 50).unwrap_err();
    assert_eq!(error, CommandError::TimedOut);
}

#[test]
fn what_cannot_be_run_is_refused() {
    assert_eq!(Program::find("no-such-program-anywhere").unwrap_err(), CommandError::NotFound);
    let shell = Program::find("sh").unwrap();
    let long = "x".repeat(super::ARGUMENT_SIZE_MAX);
    for arguments in [&[long.as_str()][..], &["a\0b"], &["x"; super::ARGUMENT_COUNT_MAX]] {
        let error = shell.run(arguments, &mut [], 1000).unwrap_err();
        assert_eq!(error, CommandError::Arguments);
    }
}
