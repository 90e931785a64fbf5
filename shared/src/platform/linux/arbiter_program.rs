//! An arbiter that is a program: the operator's, `--arbiter exec:PATH`, or `backup-helper disk-arbiter`, which
//! asks a disk, `--arbiter disk:DEVICE`.
//!
//! It is run as `PATH get DOMAIN`, `PATH check DOMAIN` or `PATH claim DOMAIN TERM HOLDER`, and its last line is the record
//! as it is afterwards; `docs/arbiter.md` has the whole contract. What the record means is the
//! `arbiter` room's business.

use super::clock::monotonic_us;
use super::command::{CommandError, Program};
use super::file::is_accessible;
use super::process::has_ended;
use crate::arbiter::{Claim, HostId, Record, Settling, Verdict};
use crate::limits::ARBITER_ANSWER_MS_MAX;
use crate::options::ArbiterKind;
use crate::text::FixedText;
use core::fmt;
use core::sync::atomic::{AtomicI32, Ordering};
use heapless::Vec;
use rustix::fs::Access;

/// The program that asks a disk. It has the room for that, and is wherever a guest may come to live.
const DISK_PROGRAM: &str = "backup-helper";
/// Bytes of the path of a program or a disk.
const PATH_SIZE_MAX: usize = 128;
/// Words of a question to a disk.
const WORD_COUNT_MAX: usize = 8;
/// Bytes of the program's output that are kept; its last line must lie in them.
const OUTPUT_SIZE_MAX: usize = 2048;
/// Bytes of a line of the program that an error repeats.
const SHOWN_SIZE_MAX: usize = 120;

/// The process of an earlier question that was killed and has not ended; 0 for none. Until then no other is
/// asked: it could wait for the same device.
static UNENDED: AtomicI32 = AtomicI32::new(0);

/// How the line begins of an arbiter that was asked.
const UNDECIDED: &str = "the arbiter has not decided: ";

/// The arbiter has not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArbiterError {
    /// Its program could not be run to its end.
    Command(CommandError),
    /// The disk is not there.
    NoDisk,
    /// It says why it cannot decide.
    Failed(FixedText<SHOWN_SIZE_MAX>),
    /// Its last line is no record.
    Answer(FixedText<SHOWN_SIZE_MAX>),
    /// Its record is older than what this host knows.
    Forgotten {
        /// The record's term.
        term: u64,
        /// The term that this host knows.
        known: u64,
    },
}

impl ArbiterError {
    const fn forgotten(record: Record, known: u64) -> Self {
        Self::Forgotten { term: record.term, known }
    }
}

impl fmt::Display for ArbiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(CommandError::NotFound) => f.write_str(
                "no such executable file, or for a disk no backup-helper in PATH: install it",
            ),
            Self::NoDisk => {
                f.write_str("cannot write to this device, or its path exceeds 128 bytes")
            }
            Self::Command(error) => write!(f, "{UNDECIDED}{error}"),
            Self::Failed(line) => write!(f, "{UNDECIDED}{line}"),
            Self::Answer(line) => {
                write!(f, "{UNDECIDED}{line}: that is no line `TERM HOLDER`: mend its program")
            }
            Self::Forgotten { term, known } => write!(
                f,
                "{UNDECIDED}its record has term {term} and is older than this host's {known}: restore it"
            ),
        }
    }
}

impl core::error::Error for ArbiterError {}

/// The program, and who asks.
#[derive(Clone, Copy, Debug)]
pub struct ArbiterProgram {
    /// Of the program, or of the disk.
    path: FixedText<PATH_SIZE_MAX>,
    own: HostId,
    /// The other host, if it is a disk.
    peer: Option<HostId>,
}

impl ArbiterProgram {
    /// The arbiter of the hosts `own`, which asks, and `peer`; none where there is to be none.
    ///
    /// # Errors
    /// [`ArbiterError::Command`] when there is no such executable file, or for a disk no `backup-helper` in
    /// PATH; [`ArbiterError::NoDisk`] when the disk is nothing that can be written to.
    pub fn open(
        kind: ArbiterKind<'_>,
        own: HostId,
        peer: HostId,
    ) -> Result<Option<Self>, ArbiterError> {
        let (path, peer) = match kind {
            ArbiterKind::None => return Ok(None),
            ArbiterKind::Exec(path) => (path, None),
            ArbiterKind::Disk(path) => (path, Some(peer)),
        };
        let it = Self { path: FixedText::new(path), own, peer };
        // Not the beginning of a longer path, which may name another device.
        let is_whole = it.path.as_str() == path;
        if peer.is_some() && !(is_whole && is_accessible(path, Access::WRITE_OK)) {
            return Err(ArbiterError::NoDisk);
        }
        it.program()?;
        Ok(Some(it))
    }

    fn program(&self) -> Result<Program, ArbiterError> {
        let program = match self.peer {
            Some(_) => Program::find(DISK_PROGRAM),
            None => Program::at(self.path.as_str()),
        };
        program.map_err(ArbiterError::Command)
    }

    /// The host that asks.
    pub const fn own(&self) -> HostId {
        self.own
    }

    /// Takes the next term for this host, if no other holds the domain: what was begun in an earlier
    /// term can claim nothing any more.
    ///
    /// # Errors
    /// [`ArbiterError`] when there is no decision.
    pub fn take_up(&self, domain: &str) -> Result<Verdict, ArbiterError> {
        let record = self.ask(&["get", domain])?;
        if record.holder.is_some_and(|holder| holder != self.own) {
            return Ok(Verdict::Denied { record });
        }
        let claim = Claim { term: record.term, own: self.own };
        match claim.judge(self.claim(domain, claim)?) {
            Verdict::Forgotten { record } => Err(ArbiterError::forgotten(record, claim.term)),
            decided => Ok(decided),
        }
    }

    /// Whether it can be asked.
    ///
    /// # Errors
    /// [`ArbiterError`] when it cannot.
    pub fn check(&self, domain: &str) -> Result<(), ArbiterError> {
        self.ask(&["check", domain]).map(drop)
    }

    /// Asks once, with the claim that is due, and tells why there is no decision yet.
    pub fn settle(
        &self,
        domain: &str,
        settling: &mut Settling,
        claim: Claim,
    ) -> Option<ArbiterError> {
        let answer = self.claim(domain, claim);
        settling.note(monotonic_us(), answer.ok());
        let forgotten = settling.forgotten().map(|it| ArbiterError::forgotten(it, claim.term));
        answer.err().or(forgotten)
    }

    /// Claims the term after the claim's, and returns the record that there is afterwards.
    ///
    /// # Errors
    /// [`ArbiterError`] when there is no answer. The claim may have passed all the same: it can be
    /// repeated.
    pub fn claim(&self, domain: &str, claim: Claim) -> Result<Record, ArbiterError> {
        let term = FixedText::<20>::format(format_args!("{}", claim.term));
        self.ask(&["claim", domain, term.as_str(), name(claim.own).as_str()])
    }

    fn ask(&self, question: &[&str]) -> Result<Record, ArbiterError> {
        let (own, peer) = (name(self.own), name(self.peer.unwrap_or(self.own)));
        let told = ["disk-arbiter", self.path.as_str(), own.as_str(), peer.as_str()];
        let told = if self.peer.is_some() { &told[..] } else { &[] };
        let words = told.iter().chain(question).copied().collect::<Vec<_, WORD_COUNT_MAX>>();
        let unended = UNENDED.load(Ordering::Relaxed);
        if unended != 0 && !has_ended(unended) {
            return Err(ArbiterError::Command(CommandError::Unended(unended)));
        }
        let mut output = [0; OUTPUT_SIZE_MAX];
        let output = self.program()?.run(&words, &mut output, ARBITER_ANSWER_MS_MAX);
        let unended = if let Err(CommandError::Unended(pid)) = output { pid } else { 0 };
        UNENDED.store(unended, Ordering::Relaxed);
        let output = output.map_err(ArbiterError::Command)?;
        let line = output.last_line();
        if !output.succeeded() {
            return Err(ArbiterError::Failed(FixedText::new(line)));
        }
        Record::parse(line).ok_or(ArbiterError::Answer(FixedText::new(line)))
    }
}

fn name(host: HostId) -> FixedText<17> {
    FixedText::format(format_args!("{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbiter::Next;
    use std::os::unix::fs::PermissionsExt;
    use std::string::ToString;

    const OWN: HostId = HostId([2, 0, 0, 0, 0, 1]);
    const PEER: HostId = HostId([2, 0, 0, 0, 0, 2]);

    /// An arbiter that answers with `script`, which finds its arguments in `$*`.
    fn arbiter(name: &str, script: &str) -> (ArbiterProgram, std::path::PathBuf) {
        let folder =
            std::env::temp_dir().join(std::format!("arbiter-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("program");
        std::fs::write(&path, std::format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let kind = ArbiterKind::Exec(path.to_str().unwrap());
        (ArbiterProgram::open(kind, OWN, PEER).unwrap().unwrap(), folder)
    }

    #[test]
    fn a_claim_names_domain_term_and_host() {
        let script =
            r#"echo "note: $*"; [ "$*" = "claim web 7 02:00:00:00:00:01" ] && echo 8 "$4""#;
        let (arbiter, folder) = arbiter("claim", script);
        let claim = |term| arbiter.claim("web", Claim { term, own: OWN });
        assert_eq!(claim(7), Ok(Record { term: 8, holder: Some(OWN) }));
        let line = "the arbiter has not decided: note: claim web 6 02:00:00:00:00:01";
        assert_eq!(claim(6).unwrap_err().to_string(), line);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_taken_up_was_nobody_elses() {
        let script = r#"case $1$2 in
            getfree) echo 0 - ;;
            getown) echo 3 02:00:00:00:00:01 ;;
            gettaken) echo 3 02:00:00:00:00:02 ;;
            claimtaken) exit 1 ;;
            claim*) echo $(($3 + 1)) $4 ;;
        esac"#;
        let (arbiter, folder) = arbiter("take-up", script);
        assert_eq!(arbiter.take_up("free"), Ok(Verdict::Granted { term: 1 }));
        assert_eq!(arbiter.take_up("own"), Ok(Verdict::Granted { term: 4 }));
        let record = Record { term: 3, holder: Some(HostId([2, 0, 0, 0, 0, 2])) };
        assert_eq!(arbiter.take_up("taken"), Ok(Verdict::Denied { record }));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_answer_is_no_decision() {
        for (name, script, expected) in [
            ("silent", "exit 0", ArbiterError::Answer(FixedText::new("it said nothing"))),
            ("failed", "echo no server; exit 1", ArbiterError::Failed(FixedText::new("no server"))),
            ("old", "echo 2 02:00:00:00:00:01", ArbiterError::Forgotten { term: 2, known: 5 }),
        ] {
            let (arbiter, folder) = arbiter(name, script);
            let mut settling = Settling::new(5, OWN);
            let claim = Claim { term: 5, own: OWN };
            assert_eq!(settling.next(0, false), Next::Ask(claim));
            assert_eq!(arbiter.settle("web", &mut settling, claim), Some(expected));
            assert!(matches!(settling.next(0, false), Next::Wait { .. }));
            std::fs::remove_dir_all(folder).unwrap();
        }
        let open = |kind| ArbiterProgram::open(kind, OWN, PEER);
        let missing = open(ArbiterKind::Exec("/nonexistent/arbiter"));
        assert_eq!(missing.unwrap_err(), ArbiterError::Command(CommandError::NotFound));
        let missing = open(ArbiterKind::Disk("/nonexistent/disk"));
        assert_eq!(missing.unwrap_err(), ArbiterError::NoDisk);
        assert!(open(ArbiterKind::None).unwrap().is_none());
    }
}
