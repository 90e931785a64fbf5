//! Rehearsals between two hosts: the real programs, in network namespaces of their own with a cable
//! between them. Needs root.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Milliseconds, longer than a busy machine lets a process wait.
const PATIENT_MS: &str = "20000";
/// A fifth of this is the time between heartbeats, by which a link is judged.
const LIVELY_MS: &str = "5000";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Two namespaces, one veth pair or more, and a folder; removed when this is dropped.
struct Hosts {
    name: String,
    folder: PathBuf,
    link_count: usize,
}

impl Hosts {
    /// None if this process may not make namespaces.
    fn new(test: &str) -> Option<Self> {
        Self::with_links(test, 1)
    }

    fn with_links(test: &str, link_count: usize) -> Option<Self> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rehearse-{}-{count}", std::process::id());
        let added = Command::new("ip").args(["netns", "add", &format!("{name}-primary")]).output();
        if !added.is_ok_and(|output| output.status.success()) {
            println!("{test}: skipped: no rights to make a network namespace");
            return None;
        }
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let hosts = Self { name, folder, link_count };
        let [primary, backup] = ["primary", "backup"].map(|role| hosts.namespace(role));
        ip(&format!("netns add {backup}"));
        for link in hosts.links() {
            ip(&format!("-n {primary} link add {link} type veth peer name {link} netns {backup}"));
            for host in [&primary, &backup] {
                ip(&format!("-n {host} link set {link} mtu 9000 up"));
            }
        }
        // The kernel may tell of a carrier a second after it is there.
        for (host, link) in
            [&primary, &backup].into_iter().flat_map(|it| hosts.links().map(move |link| (it, link)))
        {
            while hosts.link_words(host, &link).nth(1).as_deref() != Some("UP") {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        let key = hosts.folder.join("key");
        std::fs::write(&key, "5".repeat(64)).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        Some(hosts)
    }

    fn namespace(&self, role: &str) -> String {
        format!("{}-{role}", self.name)
    }

    fn links(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.link_count).map(|number| format!("link{number}"))
    }

    /// Name, state and MAC address of a host's link, and more.
    fn link_words(&self, namespace: &str, link: &str) -> impl Iterator<Item = String> {
        let shown = ["-n", namespace, "-br", "link", "show", link];
        let shown = String::from_utf8(Command::new("ip").args(shown).output().unwrap().stdout);
        shown.unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter()
    }

    /// A program on the host of this role, with the links to the other one.
    fn program(&self, role: &str, peer: &str, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(role)]).arg(program).args(words);
        for link in self.links() {
            let mac = self.link_words(&self.namespace(peer), &link).nth(2).unwrap();
            command.args(["--link", &format!("{link}={mac}")]);
        }
        command.arg("--key-file").arg(self.folder.join("key"));
        command
    }

    /// A backup that bears with so much silence.
    fn backup(&self, timeout_ms: &str) -> Backup {
        // Built beside the program under test by `cargo test --workspace`.
        let program =
            Path::new(env!("CARGO_BIN_EXE_primary-helper")).with_file_name("backup-helper");
        assert!(program.exists(), "{} is missing: cargo build -p backup-helper", program.display());
        let log = self.folder.join("backup.log");
        let mut command =
            self.program("backup", "primary", &program, &["stand-by", "--rehearse-only"]);
        command.args(["--timeout-ms", timeout_ms, "--state-dir"]).arg(&self.folder);
        let child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        Backup { child, log }
    }

    fn rehearse(&self, words: &[&str]) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_primary-helper"));
        let mut command = self.program("primary", "backup", program, &["rehearse"]);
        command.args(["--timeout-ms", PATIENT_MS]).args(words);
        command
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for role in ["primary", "backup"] {
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(role)]).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Backup {
    child: Child,
    log: PathBuf,
}

impl Backup {
    /// Ends it as an operator does; what it has said.
    fn end(mut self) -> String {
        let ended = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(ended.success() && self.child.wait().unwrap().success());
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("backup: {}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn stderr(output: &Output) -> &str {
    core::str::from_utf8(&output.stderr).unwrap()
}

/// The figure `name` of the line that begins with `family`.
fn figure(output: &Output, family: &str, name: &str) -> u64 {
    let text = core::str::from_utf8(&output.stdout).unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(family));
    let words = line.unwrap_or_else(|| panic!("no {family} in {text}")).split(' ');
    let value = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).next();
    value.unwrap_or_else(|| panic!("no {family} {name} in {text}")).parse().unwrap()
}

fn assert_verified(output: &Output, epoch_count: u64) {
    assert!(output.status.success(), "{}", stderr(output));
    assert!(figure(output, "epochs", "count") >= epoch_count);
    assert!(figure(output, "digest", "verified") > figure(output, "epochs", "count"));
    assert_eq!(figure(output, "digest", "mismatched"), 0);
}

#[test]
fn a_thousand_epochs_are_verified_and_meet_no_page_fault() {
    let Some(hosts) = Hosts::new("a_thousand_epochs") else { return };
    let backup = hosts.backup(PATIENT_MS);
    let words = "--memory 16M --dirty-pages 50 --interval-ms 5 --epochs 1000 --seconds 300";
    let words: Vec<_> = words.split(' ').collect();
    let output = hosts.rehearse(&words).output().unwrap();
    assert_verified(&output, 1000);
    for process in ["capture", "ship", "receive", "commit"] {
        assert_eq!(figure(&output, "faults", process), 0, "{process}");
    }
    assert!(figure(&output, "pages", "dirty") >= 1000);
    assert!(figure(&output, "pages", "copied") >= figure(&output, "pages", "dirty"));
    // The backup stands by for the next one, of another size.
    let words = ["--memory", "8M", "--dirty-pages", "10", "--interval-ms", "5", "--epochs", "50"];
    assert_verified(&hosts.rehearse(&words).output().unwrap(), 50);
    let said = backup.end();
    assert!(said.contains("a replica of 4096 pages") && said.contains("a replica of 2048 pages"));
}

#[test]
fn a_guest_that_writes_more_than_fits_a_pause_is_copied_in_passes() {
    let Some(hosts) = Hosts::new("a_guest_that_writes_more") else { return };
    let backup = hosts.backup(PATIENT_MS);
    let words = "--memory 32M --dirty-pages 4000 --hot-percent 50 --change-bytes 4096 --epochs 50";
    let words: Vec<_> = words.split(' ').chain(["--pause-target-us", "50"]).collect();
    let output = hosts.rehearse(&words).output().unwrap();
    assert_verified(&output, 1);
    assert!(figure(&output, "pages", "passes") > 0);
    backup.end();
}

#[test]
fn a_missing_backup_is_told() {
    let Some(hosts) = Hosts::new("a_missing_backup") else { return };
    let output = hosts.rehearse(&["--memory", "1M", "--dirty-pages", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = "link0: no backup answers: start `backup-helper stand-by --rehearse-only` there";
    assert!(stderr(&output).lines().last().unwrap().starts_with(line), "{}", stderr(&output));
}

#[test]
fn a_primary_that_is_lost_in_a_rehearsal_is_nothing_to_revive() {
    let Some(hosts) = Hosts::new("a_primary_that_is_lost") else { return };
    let backup = hosts.backup("500");
    let words = ["--memory", "8M", "--dirty-pages", "10", "--seconds", "300"];
    let mut primary = hosts.rehearse(&words).stderr(Stdio::piped()).spawn().unwrap();
    let wait_for = |text: &str| {
        while !std::fs::read_to_string(&backup.log).unwrap().contains(text) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    wait_for("a replica of 2048 pages");
    // A cable that is cut, not a process that could say goodbye.
    ip(&format!("-n {} link set link0 down", hosts.namespace("primary")));
    wait_for("nothing is revived");
    primary.kill().unwrap();
    primary.wait().unwrap();
    backup.end();
}

#[test]
fn the_halves_that_face_the_network_have_no_rights_left() {
    let Some(hosts) = Hosts::new("the_halves_that_face_the_network") else { return };
    let backup = hosts.backup(PATIENT_MS);
    let words = ["--memory", "8M", "--dirty-pages", "10", "--seconds", "300"];
    let mut primary = hosts.rehearse(&words).stdout(Stdio::null()).spawn().unwrap();
    while !std::fs::read_to_string(&backup.log).unwrap().contains("a replica of 2048 pages") {
        assert!(primary.try_wait().unwrap().is_none(), "the rehearsal has ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let has_filters = status_of("self").contains("Seccomp_filters:");
    for program in [&primary, &backup.child] {
        let pid = program.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let mut statuses = children.split_whitespace().map(status_of);
        // The rehearsed guest is another child of the primary, and nobody's user is the link half's.
        let status =
            statuses.find(|status| status.contains("\nUid:\t65534\t65534\t65534\t65534\n"));
        let status = status.expect("one half is nobody");
        for line in ["Gid:\t65534\t65534\t65534\t65534", "Groups:\t ", "NoNewPrivs:\t1"] {
            assert!(status.lines().any(|found| found == line), "{line}: {status}");
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(status.contains(&format!("\n{set}:\t0000000000000000\n")), "{set}: {status}");
        }
        assert_eq!(status.contains("\nSeccomp:\t2\n"), has_filters, "{status}");
    }
    // Asked to end by an operator, both halves of each still can.
    let asked = Command::new("kill").arg(primary.id().to_string()).status().unwrap();
    assert!(asked.success() && primary.wait().unwrap().success());
    let said = backup.end();
    assert!(said.contains("the primary has taken leave"), "{said}");
}

fn status_of(process: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/status")).unwrap()
}

#[test]
fn a_key_is_replaced_while_a_rehearsal_goes_on() {
    let Some(hosts) = Hosts::new("a_key_is_replaced") else { return };
    let backup = hosts.backup("500");
    let log = hosts.folder.join("primary.log");
    let words = ["--memory", "8M", "--dirty-pages", "10", "--seconds", "300"];
    let mut primary = hosts.rehearse(&words).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let wait_for = |log: &Path, text: &str| {
        while !std::fs::read_to_string(log).unwrap().contains(text) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let ask = |process: u32| {
        let status = Command::new("kill").args(["-USR2", &process.to_string()]).status();
        assert!(status.unwrap().success());
    };
    wait_for(&backup.log, "a replica of 2048 pages");
    // What is no key changes nothing; then the backup gets a new key, and the session goes on.
    std::fs::write(hosts.folder.join("key"), "no key").unwrap();
    ask(primary.id());
    wait_for(&log, "the key in use stays");
    std::fs::write(hosts.folder.join("key"), "6".repeat(64)).unwrap();
    ask(backup.child.id());
    wait_for(&backup.log, "was read again");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(primary.try_wait().unwrap().is_none(), "the session goes on");
    assert!(!std::fs::read_to_string(&backup.log).unwrap().contains("lost"));
    let primary_link = |state| {
        ip(&format!("-n {} link set link0 {state}", hosts.namespace("primary")));
    };
    primary_link("down");
    wait_for(&backup.log, "nothing is revived");
    primary.kill().unwrap();
    primary.wait().unwrap();
    primary_link("up");
    while hosts.link_words(&hosts.namespace("primary"), "link0").nth(1).as_deref() != Some("UP") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // The old key is not heard any more, the new one is.
    let words = ["--memory", "8M", "--dirty-pages", "10", "--interval-ms", "5", "--epochs", "20"];
    std::fs::write(hosts.folder.join("key"), "5".repeat(64)).unwrap();
    let output = hosts.rehearse(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    wait_for(&backup.log, "signed with another key");
    std::fs::write(hosts.folder.join("key"), "6".repeat(64)).unwrap();
    assert_verified(&hosts.rehearse(&words).output().unwrap(), 20);
    backup.end();
}

#[test]
fn a_rehearsal_goes_on_over_the_link_that_is_left() {
    let Some(hosts) = Hosts::with_links("a_rehearsal_goes_on", 2) else { return };
    let backup = hosts.backup(LIVELY_MS);
    let words = "--memory 8M --dirty-pages 20 --interval-ms 5 --seconds 600";
    let mut command = hosts.rehearse(&words.split(' ').collect::<Vec<_>>());
    let log = hosts.folder.join("primary.log");
    let child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let wait_for = |log: &Path, text: &str| {
        while !std::fs::read_to_string(log).unwrap().contains(text) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    wait_for(&backup.log, "a replica of 2048 pages");
    let primary = hosts.namespace("primary");
    // The first one, on which data goes; then the other one, which carries everything by then.
    for (cut, left) in [("link0", "link1"), ("link1", "link0")] {
        ip(&format!("-n {primary} link set {cut} down"));
        wait_for(&log, &format!("{left}: data goes over this link now"));
        wait_for(&backup.log, &format!("{cut}: the peer is heard on another link"));
        ip(&format!("-n {primary} link set {cut} up"));
        wait_for(&backup.log, &format!("{cut}: the peer is heard on this link again"));
        wait_for(&log, "link0: data goes over this link now");
    }
    let ended = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(ended.success());
    let output = child.wait_with_output().unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(output.status.success(), "{said}");
    assert_verified(&output, 100);
    assert_eq!(said.matches("link up").count(), 1, "one session: {said}");
    assert!(!backup.end().contains("link lost"));
}

#[test]
fn a_trace_is_replayed_and_a_broken_one_refused() {
    let Some(hosts) = Hosts::new("a_trace_is_replayed") else { return };
    let mut trace = b"PLXTRC01".to_vec();
    let mut put = |number: u64| trace.extend(number.to_le_bytes());
    // 512 gfns; an image and two epochs of 5 ms.
    [512, 3, 5000].into_iter().for_each(&mut put);
    for (page_count, seed) in [(300_u64, 1_u64), (40, 2), (60, 3)] {
        trace.extend(page_count.to_le_bytes());
        for page in 0..page_count {
            trace.extend((page * 7 % 512).to_le_bytes());
            let words = (0..512).map(|word| (word * seed * (page + 3)) ^ seed << 40);
            trace.extend(words.flat_map(u64::to_le_bytes));
        }
    }
    let path = hosts.folder.join("trace");
    std::fs::write(&path, &trace).unwrap();
    let backup = hosts.backup(PATIENT_MS);
    let path_text = path.to_str().unwrap();
    let words = ["--interval-ms", "5", "--epochs", "100", "--seconds", "100", "--trace", path_text];
    let output = hosts.rehearse(&words).output().unwrap();
    assert_verified(&output, 100);
    assert!(figure(&output, "pages", "dirty") > 0);
    std::fs::write(&path, &trace[..trace.len() - 1]).unwrap();
    let output = hosts.rehearse(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "--trace: it ends within epoch 2: record it again\n");
    backup.end();
}
