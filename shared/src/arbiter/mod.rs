//! Who may live: one authority decides between two hosts that have lost each other.
//!
//! The arbiter keeps one record for each domain: a **term**, which only grows, and the **holder** of
//! that term, the host that may run the domain with its output open. Both ends of a session know the
//! term that it began in. When the session ends without a word, whoever wants to live *claims* the
//! next term; the arbiter lets a claim pass only if the record still has the term that the claim
//! names, so of two claims to one term one passes. Whoever does not get it stops. Clocks have no part
//! in this, and while the link is up the arbiter is not asked at all: what keeps the primary's output
//! in check until then is the gate, which opens by acknowledgements alone.
//!
//! Here is what a record says to who asks; how an arbiter is asked is the platform's business
//! (`platform::linux::arbiter_program`), and when, that of `primary` and `backup`. An arbiter that is no more
//! than a shared disk is in `disk`.

pub mod disk;
mod settling;

use core::fmt;

pub use settling::{Next, Settling};

use crate::text::{parse_mac, parse_number, split_at_first};

/// The host that holds a term: the MAC address of its first replication interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostId(pub [u8; 6]);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What the arbiter has for a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// Counts from 1; 0 when the domain was never claimed.
    pub term: u64,
    /// Who holds the term; none when the domain was never claimed.
    pub holder: Option<HostId>,
}

impl Record {
    /// Reads `TERM HOLDER`, or `0 -` for a domain that was never claimed.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (term, holder) = split_at_first(line.trim_ascii(), b' ')?;
        let term = parse_number(term)?;
        let holder = match holder.trim_ascii_start() {
            "-" => None,
            holder => Some(HostId(parse_mac(holder)?)),
        };
        (holder.is_some() == (term > 0)).then_some(Self { term, holder })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holder {
            Some(holder) => write!(f, "{} {holder}", self.term),
            None => f.write_str("0 -"),
        }
    }
}

/// A claim to the term after `term`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The term that both ends know.
    pub term: u64,
    /// Who claims.
    pub own: HostId,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The claimer may live, in this term.
    Granted {
        /// The term that it holds now.
        term: u64,
    },
    /// Another host lives, or this one holds a later term by now: the claim came from the past.
    Denied {
        /// Who holds which term.
        record: Record,
    },
    /// The record is from before the term that both ends know: the arbiter has lost its memory, and
    /// nobody may live by it.
    Forgotten {
        /// What it knows.
        record: Record,
    },
}

impl Claim {
    /// What the record says that the arbiter has after this claim. A claim that was granted but whose
    /// answer was lost is granted again.
    #[must_use]
    pub fn judge(&self, record: Record) -> Verdict {
        let next = self.term + 1;
        if record.term == next && record.holder == Some(self.own) {
            Verdict::Granted { term: next }
        } else if record.term > self.term {
            Verdict::Denied { record }
        } else {
            Verdict::Forgotten { record }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    const A: HostId = HostId([0x52, 0x54, 0, 2, 0, 2]);
    const B: HostId = HostId([0x52, 0x54, 0, 3, 0, 2]);

    #[test]
    fn records_are_read() {
        let some = |term, holder| Some(Record { term, holder: Some(holder) });
        assert_eq!(Record::parse("7 52:54:00:02:00:02\n"), some(7, A));
        assert_eq!(Record::parse("1   52:54:00:03:00:02 "), some(1, B));
        assert_eq!(Record::parse("0 -"), Some(Record::default()));
        assert_eq!(Record::default().to_string(), "0 -");
        for wrong in [
            "",
            "7",
            "-",
            "0 52:54:00:02:00:02",
            "7 -",
            "+7 52:54:00:02:00:02",
            "7 host-a",
            "18446744073709551616 52:54:00:02:00:02",
            "7 52:54:00:02:00",
            "7 52:54:00:02:00:02 8",
        ] {
            assert_eq!(Record::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_of_two_claims_is_granted_however_often_they_are_made() {
        let claims = [A, B].map(|own| Claim { term: 4, own });
        // The arbiter let B's pass.
        let record = Record { term: 5, holder: Some(B) };
        assert_eq!(claims[1].judge(record), Verdict::Granted { term: 5 });
        assert_eq!(claims[1].judge(record), Verdict::Granted { term: 5 });
        assert_eq!(claims[0].judge(record), Verdict::Denied { record });
        // B has claimed again since; its claim of then is of no use any more.
        let record = Record { term: 6, holder: Some(B) };
        assert_eq!(claims[1].judge(record), Verdict::Denied { record });
    }

    #[test]
    fn an_arbiter_without_memory_lets_nobody_live() {
        let claim = Claim { term: 4, own: A };
        for record in [Record { term: 0, holder: None }, Record { term: 4, holder: Some(A) }] {
            assert_eq!(claim.judge(record), Verdict::Forgotten { record });
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(term in 1u64.., mac: [u8; 6]) {
            let holder = HostId(mac);
            let record = Record { term, holder: Some(holder) };
            prop_assert_eq!(Record::parse(&record.to_string()), Some(record));
            prop_assert_eq!(holder.to_string().len(), 17);
        }

        #[test]
        fn any_line_is_refused_or_a_record(line in ".{0,60}") {
            let _ = Record::parse(&line);
        }
    }
}
