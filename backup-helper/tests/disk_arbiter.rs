//! Two hosts that agree through a disk: the real program, and a file that stands for the device.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const HOSTS: [&str; 2] = ["52:54:00:02:00:02", "52:54:00:03:00:02"];

/// A device of its own for each test, removed afterwards.
struct Device(PathBuf);

impl Device {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("disk-arbiter-{}-{name}", std::process::id()));
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        Self(path)
    }

    /// Has a host ask; the question is what any arbiter's program is asked.
    fn start(&self, host: usize, question: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_backup-helper"))
            .arg("disk-arbiter")
            .arg(&self.0)
            .args([HOSTS[host], HOSTS[1 - host]])
            .args(question.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be run")
    }

    fn record(&self, host: usize, question: &str) -> String {
        line(&self.start(host, question).wait_with_output().unwrap())
    }

    fn refusal(&self, host: usize, question: &str) -> String {
        let output = self.start(host, question).wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(&format!("{}: ", self.0.display())), "it names the device: {told}");
        told
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn line(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim_end().to_owned()
}

fn claim(host: usize, term: u64) -> String {
    format!("claim web {term} {}", HOSTS[host])
}

#[test]
fn a_term_is_held_by_who_claimed_it_first_and_both_hosts_see_it() {
    let device = Device::new("turns");
    assert_eq!(device.record(0, "get web"), "0 -");
    let first = format!("1 {}", HOSTS[0]);
    assert_eq!(device.record(0, &claim(0, 0)), first);
    for question in ["get web", "check web", &claim(1, 0), &claim(1, 7)] {
        assert_eq!(device.record(1, question), first, "{question}");
    }
    let second = format!("2 {}", HOSTS[1]);
    assert_eq!(device.record(1, &claim(1, 1)), second);
    assert_eq!(device.record(0, &claim(0, 1)), second);
}

#[test]
fn of_claims_made_at_once_one_passes() {
    let device = Device::new("race");
    let mut winners = [0; 2];
    for term in 0..100 {
        let claims = [0, 1].map(|host| device.start(host, &claim(host, term)));
        let records = claims.map(|child| line(&child.wait_with_output().unwrap()));
        assert_eq!(records[0], records[1]);
        let winner = HOSTS.map(|host| records[0] == format!("{} {host}", term + 1));
        assert!(winner[0] != winner[1], "{}", records[0]);
        winners[usize::from(winner[1])] += 1;
    }
    assert_eq!(winners[0] + winners[1], 100);
}

#[test]
fn a_claim_that_was_killed_anywhere_leaves_a_sound_record() {
    let device = Device::new("killed");
    for term in 0..60 {
        let mut claiming = device.start(0, &claim(0, term));
        std::thread::sleep(std::time::Duration::from_micros(term * 50));
        let _ = claiming.kill();
        let _ = claiming.wait();
        let record = device.record(1, &claim(1, term));
        let next = term + 1;
        assert!(HOSTS.iter().any(|host| record == format!("{next} {host}")), "{record}");
        assert_eq!(device.record(0, "get web"), record);
    }
}

#[test]
fn what_cannot_be_used_is_told_and_left_alone() {
    let device = Device::new("refusals");
    device.record(0, &claim(0, 0));
    assert!(device.refusal(0, "get mail").contains("it is another domain's"));
    let file = File::options().write(true).open(&device.0).unwrap();
    file.write_all_at(b"x", 100).unwrap();
    assert!(device.refusal(1, &claim(1, 1)).contains("damaged"));
    file.write_all_at(&[b'x'; 8192], 0).unwrap();
    assert!(device.refusal(0, &claim(0, 0)).contains("it holds other data"));
    assert_eq!(fs::read(&device.0).unwrap()[..8192], [b'x'; 8192]);
    file.set_len(4096).unwrap();
    assert!(device.refusal(1, "get web").contains("less than 8 KiB"));
    fs::remove_file(&device.0).unwrap();
    assert!(device.refusal(1, "get web").contains("does not exist"));
}
