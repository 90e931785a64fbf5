//! The half at the network as the half in dom0 sees it: a process beside it, or a stub domain.
//!
//! Whether it lives, how it has ended, and how it is made to. A stub domain can be there again after its end,
//! with another domid and another ring; a process cannot. How a stub domain is found and given the link is in
//! `finding` and `stub_domain`; what both sides agree on for that is `ring::hand_over`'s.

mod error;
mod finding;
mod heart;
mod returning;
mod stub_domain;

use core::fmt;

use crate::capture::ShutdownReason;
use crate::options::WithStubDomains;
use crate::platform::linux::process::{Child, ProcessEnd};
use crate::ring::hand_over::HandOverState;

pub use error::StubDomainError;
pub use finding::{FoundStubDomain, Wanted, find};
pub use returning::Returning;
pub use stub_domain::StubDomain;

/// How the half at the network has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfEnd {
    /// A process, and how that did.
    Process(ProcessEnd),
    /// The half in a stub domain, and how that did.
    StubDomain(WithStubDomains, StubDomainEnd),
}

/// How the half in a stub domain has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StubDomainEnd {
    /// As its hand-over page says.
    Link(HandOverState),
    /// The stub domain was destroyed.
    Destroyed,
    /// The stub domain has shut down.
    ShutDown(ShutdownReason),
    /// The stub domain hangs: its heartbeat stood still for too long.
    Hung,
    /// The stub domain did not end when it was asked to, and was let go.
    LetGo,
}

impl HalfEnd {
    /// Whether it has taken its leave as it was asked to.
    #[must_use]
    pub fn is_as_asked(self) -> bool {
        matches!(
            self,
            Self::Process(ProcessEnd::Exited(0))
                | Self::StubDomain(_, StubDomainEnd::Link(HandOverState::Ended))
        )
    }
}

impl fmt::Display for HalfEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(end) => end.fmt(f),
            Self::StubDomain(_, end) => end.fmt(f),
        }
    }
}

impl fmt::Display for StubDomainEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(HandOverState::Ended) => f.write_str("ended in its stub domain"),
            Self::Link(_) => {
                f.write_str("failed in its stub domain, whose console says why (xl console)")
            }
            Self::Destroyed => f.write_str("was destroyed with its stub domain"),
            Self::ShutDown(reason) => write!(f, "is gone with its stub domain, which {reason}"),
            Self::Hung => {
                f.write_str("stands still in its stub domain: destroy that and create it anew")
            }
            Self::LetGo => f.write_str("did not end in its stub domain and was let go"),
        }
    }
}

/// The half at the network.
#[derive(Debug)]
pub enum OtherHalf<'a> {
    /// A process of dom0.
    Process(Child),
    /// A stub domain that has the link.
    StubDomain(StubDomain<'a>),
    /// A stub domain that has ended so; nothing of it is held any more.
    Gone(WithStubDomains, StubDomainEnd),
}

impl OtherHalf<'_> {
    /// How it has ended, or nothing while it lives. To be asked again and again: a stub domain that hangs is
    /// told by that. One short system call at most.
    pub fn end(&mut self) -> Option<HalfEnd> {
        match self {
            Self::Process(child) => child.end().map(HalfEnd::Process),
            Self::StubDomain(domain) => {
                domain.end().map(|end| HalfEnd::StubDomain(domain.found.with, end))
            }
            Self::Gone(with, end) => Some(HalfEnd::StubDomain(*with, *end)),
        }
    }

    /// Ends one that does not answer, and says how that came out. A stub domain is not destroyed: that is the
    /// operator's, or the toolstack's. Its port is closed, so that it ends this life of its link half as soon as
    /// it runs at all.
    pub fn kill(&mut self) -> HalfEnd {
        match self {
            Self::Process(child) => {
                child.kill();
                HalfEnd::Process(child.wait())
            }
            Self::StubDomain(domain) => HalfEnd::StubDomain(domain.found.with, domain.let_go()),
            Self::Gone(with, end) => HalfEnd::StubDomain(*with, *end),
        }
    }

    /// Whether asking for its end costs nothing, as long as it is not time to look.
    #[must_use]
    pub const fn is_looked_at_by_clock(&self) -> bool {
        !matches!(self, Self::Process(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::process::{Forked, fork};
    use crate::platform::linux::program::{ExitStatus, exit};

    fn of_domain(end: StubDomainEnd) -> HalfEnd {
        HalfEnd::StubDomain(WithStubDomains::BUILT.unwrap(), end)
    }

    #[test]
    fn only_a_leave_that_was_asked_for_counts_as_one() {
        for (end, is_as_asked) in [
            (HalfEnd::Process(ProcessEnd::Exited(0)), true),
            (of_domain(StubDomainEnd::Link(HandOverState::Ended)), true),
            (HalfEnd::Process(ProcessEnd::Exited(1)), false),
            (HalfEnd::Process(ProcessEnd::Killed(9)), false),
            (of_domain(StubDomainEnd::Link(HandOverState::Failed)), false),
            (of_domain(StubDomainEnd::Destroyed), false),
            (of_domain(StubDomainEnd::ShutDown(ShutdownReason::PowerOff)), false),
            (of_domain(StubDomainEnd::Hung), false),
            (of_domain(StubDomainEnd::LetGo), false),
        ] {
            assert_eq!(end.is_as_asked(), is_as_asked, "{end}");
        }
        let told = of_domain(StubDomainEnd::ShutDown(ShutdownReason::Crash)).to_string();
        assert_eq!(told, "is gone with its stub domain, which crashed");
    }

    #[test]
    fn what_has_ended_stays_so() {
        let Forked::Parent(child) = fork().unwrap() else { exit(ExitStatus::Failed) };
        let mut half = OtherHalf::Process(child);
        let end = HalfEnd::Process(ProcessEnd::Exited(1));
        while half.end().is_none() {}
        assert_eq!((half.end(), half.kill()), (Some(end), end));
        let hung = of_domain(StubDomainEnd::Hung);
        let mut gone = OtherHalf::Gone(WithStubDomains::BUILT.unwrap(), StubDomainEnd::Hung);
        assert_eq!((gone.end(), gone.kill()), (Some(hung), hung));
    }
}
