//! Runs a test in a network namespace of its own, so that it may create interfaces.

use std::process::{Command, Stdio};

const INSIDE: &str = "POLLUX_TEST_INSIDE_NAMESPACE";

/// Runs `test`, the body of the test called `name`, inside a new network namespace: this program
/// starts itself again there. Without the rights to make a namespace it says that it skipped.
pub fn run(name: &str, test: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        test();
        return;
    }
    let allowed = inside(&["true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("{name}: skipped: no rights to make a network namespace");
        return;
    }
    let own_program = std::env::current_exe().expect("a test knows its own program");
    let own_program = own_program.to_str().expect("the target folder has a plain name");
    let status = inside(&[own_program, "--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare was there a moment ago");
    assert!(status.success(), "{name} failed inside its namespace");
}

/// A command in a new network namespace, with a `/sys` that shows that namespace.
fn inside(words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c"]);
    command.arg(r#"mount -t sysfs sysfs /sys && exec "$0" "$@""#);
    command.args(words);
    command
}

/// Runs `ip` with the words of `arguments`.
pub fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {arguments} failed");
}

/// Makes a veth pair, both ends up and without IPv6, which would talk by itself.
pub fn veth_pair(left: &str, right: &str) {
    ip(&format!("link add {left} type veth peer name {right}"));
    for end in [left, right] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1").ok();
        ip(&format!("link set {end} up"));
    }
}
