//! Recorded writes of a real guest, and their replay.
//!
//! All numbers are 64-bit, little-endian:
//!
//! ```text
//! magic "PLXTRC01" | gfn count | epoch count | interval in microseconds
//! then per epoch: page count, then per page: gfn, 4096 bytes
//! ```
//!
//! Epoch 0 is the image that the guest begins with. The pages of each later epoch are what it wrote in
//! one interval; they are written again spread over as much time. After the last epoch comes epoch 1
//! again, onto what memory holds by then.

use core::fmt;

use crate::limits::{DOMAIN_PAGE_COUNT_MAX, INTERVAL_MS_MAX, PAGE_SIZE};

const MAGIC: &[u8; 8] = b"PLXTRC01";
/// Bytes before the first epoch.
const HEADER_SIZE: usize = 32;
/// Bytes of a page's gfn and content.
const RECORD_SIZE: usize = 8 + PAGE_SIZE;

/// Why bytes are no trace that can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceError {
    /// It does not begin with the magic number.
    Magic,
    /// It ends within this epoch, or before.
    Short {
        /// The epoch.
        epoch: u64,
    },
    /// There is something behind the last epoch.
    Long,
    /// It has no gfns, or more than a guest may have.
    GfnCount(u64),
    /// It has no epoch beside the image.
    EpochCount(u64),
    /// Its interval is none, or too long.
    Interval(u64),
    /// A page lies beyond the guest.
    Gfn {
        /// In this epoch.
        epoch: u64,
        /// Its gfn.
        gfn: u64,
    },
    /// No epoch beside the image holds a page.
    Nothing,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("it does not begin with PLXTRC01: name a page trace"),
            Self::Short { epoch } => write!(f, "it ends within epoch {epoch}: record it again"),
            Self::Long => f.write_str("something follows its last epoch: record it again"),
            Self::GfnCount(count) => {
                write!(f, "it names {count} gfns: 1 to {DOMAIN_PAGE_COUNT_MAX} can be rehearsed")
            }
            Self::EpochCount(count) => {
                write!(f, "it holds {count} epochs, the image among them: record more")
            }
            Self::Interval(interval_us) => {
                write!(f, "its interval is {interval_us} us: 1 us to {INTERVAL_MS_MAX} ms can be")
            }
            Self::Gfn { epoch, gfn } => {
                write!(f, "a page of epoch {epoch} lies at gfn {gfn}, beyond the guest")
            }
            Self::Nothing => f.write_str("no epoch beside the image holds a page: record more"),
        }
    }
}

impl core::error::Error for TraceError {}

/// A trace whose every number was checked.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'t> {
    /// Pages of the guest.
    pub gfn_count: u64,
    /// Epochs, the image among them; at least 2.
    pub epoch_count: u64,
    /// The time in which a guest wrote an epoch, in microseconds.
    pub interval_us: u64,
    /// The image's pages, and all later epochs.
    image: &'t [u8],
    epochs: &'t [u8],
}

/// A page of a trace.
pub type TracePage<'t> = (u64, &'t [u8; PAGE_SIZE]);

impl<'t> Trace<'t> {
    /// Checks all of `bytes`.
    ///
    /// # Errors
    /// [`TraceError`] for the first thing that cannot be.
    pub fn parse(bytes: &'t [u8]) -> Result<Self, TraceError> {
        let (magic, mut rest) = bytes.split_first_chunk::<8>().ok_or(TraceError::Magic)?;
        if magic != MAGIC {
            return Err(TraceError::Magic);
        }
        let mut number = || take_number(&mut rest).ok_or(TraceError::Short { epoch: 0 });
        let (gfn_count, epoch_count, interval_us) = (number()?, number()?, number()?);
        if !(1..=DOMAIN_PAGE_COUNT_MAX).contains(&gfn_count) {
            return Err(TraceError::GfnCount(gfn_count));
        }
        if epoch_count < 2 {
            return Err(TraceError::EpochCount(epoch_count));
        }
        if !(1..=u64::from(INTERVAL_MS_MAX) * 1000).contains(&interval_us) {
            return Err(TraceError::Interval(interval_us));
        }
        let mut epochs = rest;
        let mut written_count = 0;
        for epoch in 0..epoch_count {
            let short = TraceError::Short { epoch };
            let pages = take_epoch(&mut rest).ok_or(short)?;
            for (gfn, _) in pages_of(pages) {
                if gfn >= gfn_count {
                    return Err(TraceError::Gfn { epoch, gfn });
                }
            }
            if epoch == 0 {
                epochs = rest;
            } else {
                written_count += pages.len();
            }
        }
        if !rest.is_empty() {
            return Err(TraceError::Long);
        }
        if written_count == 0 {
            return Err(TraceError::Nothing);
        }
        let mut image = &bytes[HEADER_SIZE..];
        let image = take_epoch(&mut image).unwrap_or_default();
        Ok(Self { gfn_count, epoch_count, interval_us, image, epochs })
    }

    /// The pages that the guest begins with.
    pub fn image(&self) -> impl Iterator<Item = TracePage<'t>> + use<'t> {
        pages_of(self.image)
    }

    /// How long the epochs beside the image take, in microseconds.
    #[must_use]
    pub const fn duration_us(&self) -> u64 {
        (self.epoch_count - 1).saturating_mul(self.interval_us)
    }
}

/// The writes of a trace, one after the other, without end.
#[derive(Clone, Copy, Debug)]
pub struct TracePlayer<'t> {
    trace: Trace<'t>,
    /// Epochs that begin after the one at hand.
    rest: &'t [u8],
    /// Pages of the epoch at hand that are still to be written, and how many there were.
    pages: &'t [u8],
    page_count: u64,
    /// Epochs before the one at hand, rounds and all.
    epoch: u64,
}

impl<'t> TracePlayer<'t> {
    /// Before the first write.
    #[must_use]
    pub fn new(trace: Trace<'t>) -> Self {
        let mut player = Self { trace, rest: trace.epochs, pages: &[], page_count: 0, epoch: 0 };
        player.take_epoch();
        player.skip_empty();
        player
    }

    /// When the next write is due, in microseconds since the first epoch began.
    #[must_use]
    pub const fn due_us(&self) -> u64 {
        let interval_us = self.trace.interval_us;
        let written_count = self.page_count - (self.pages.len() / RECORD_SIZE) as u64;
        self.epoch * interval_us + written_count * interval_us / self.page_count
    }

    /// The next write.
    pub fn next_page(&mut self) -> TracePage<'t> {
        let (record, rest) = self.pages.split_at(RECORD_SIZE);
        self.pages = rest;
        self.skip_empty();
        pages_of(record).next().expect("a record is a page")
    }

    fn skip_empty(&mut self) {
        // Ends since a trace has an epoch that holds a page.
        while self.pages.is_empty() {
            self.epoch += 1;
            self.take_epoch();
        }
    }

    fn take_epoch(&mut self) {
        if self.rest.is_empty() {
            self.rest = self.trace.epochs;
        }
        self.pages = take_epoch(&mut self.rest).expect("the trace was checked");
        self.page_count = (self.pages.len() / RECORD_SIZE) as u64;
    }
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u64::from_le_bytes(*number))
}

/// The records of the next epoch.
fn take_epoch<'t>(rest: &mut &'t [u8]) -> Option<&'t [u8]> {
    let page_count = take_number(rest)?;
    let size = usize::try_from(page_count).ok()?.checked_mul(RECORD_SIZE)?;
    let (records, behind) = rest.split_at_checked(size)?;
    *rest = behind;
    Some(records)
}

fn pages_of(records: &[u8]) -> impl Iterator<Item = TracePage<'_>> {
    records.as_chunks::<RECORD_SIZE>().0.iter().filter_map(|record| {
        let (gfn, page) = record.split_first_chunk()?;
        Some((u64::from_le_bytes(*gfn), page.first_chunk()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(gfn_count: u64, interval_us: u64, epochs: &[Vec<(u64, u8)>]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [gfn_count, epochs.len() as u64, interval_us] {
            bytes.extend(number.to_le_bytes());
        }
        for pages in epochs {
            bytes.extend((pages.len() as u64).to_le_bytes());
            for (gfn, value) in pages {
                bytes.extend(gfn.to_le_bytes());
                bytes.extend([*value; PAGE_SIZE]);
            }
        }
        bytes
    }

    #[test]
    fn a_trace_is_replayed_in_its_time_and_starts_over() {
        let epochs = [vec![(0, 9), (3, 8)], vec![(1, 1), (2, 2)], vec![], vec![(1, 3)]];
        let bytes = bytes_of(4, 1000, &epochs);
        let trace = Trace::parse(&bytes).unwrap();
        assert_eq!(trace.image().map(|(gfn, page)| (gfn, page[7])).collect::<Vec<_>>(), epochs[0]);
        assert_eq!(trace.duration_us(), 3000);
        let mut player = TracePlayer::new(trace);
        let mut played = Vec::new();
        for _ in 0..5 {
            let due_us = player.due_us();
            let (gfn, page) = player.next_page();
            played.push((due_us, gfn, page[4095]));
        }
        let expected = [(0, 1, 1), (500, 2, 2), (2000, 1, 3), (3000, 1, 1), (3500, 2, 2)];
        assert_eq!(played, expected);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let parsed = |bytes: &[u8]| Trace::parse(bytes).map(|_| ());
        let good = bytes_of(4, 1000, &[vec![(0, 1)], vec![(3, 2)]]);
        assert_eq!(parsed(&good), Ok(()));
        assert_eq!(parsed(b"PLXTRC02"), Err(TraceError::Magic));
        assert_eq!(parsed(&good[..40]), Err(TraceError::Short { epoch: 0 }));
        assert_eq!(parsed(&good[..good.len() - 1]), Err(TraceError::Short { epoch: 1 }));
        assert_eq!(parsed(&[&good[..], b"x"].concat()), Err(TraceError::Long));
        let with = |gfn_count, interval_us, gfn| {
            parsed(&bytes_of(gfn_count, interval_us, &[vec![], vec![(gfn, 1)]]))
        };
        assert_eq!(with(0, 1000, 0), Err(TraceError::GfnCount(0)));
        assert_eq!(with(u64::MAX, 1000, 0), Err(TraceError::GfnCount(u64::MAX)));
        assert_eq!(with(4, 0, 0), Err(TraceError::Interval(0)));
        assert_eq!(with(4, 1000, 4), Err(TraceError::Gfn { epoch: 1, gfn: 4 }));
        assert_eq!(parsed(&bytes_of(4, 1000, &[vec![(1, 1)]])), Err(TraceError::EpochCount(1)));
        let empty = bytes_of(4, 1000, &[vec![(1, 1)], vec![], vec![]]);
        assert_eq!(parsed(&empty), Err(TraceError::Nothing));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(
            numbers in proptest::collection::vec(prop_oneof![0u64..5, any::<u64>()], 0..8),
            tail in proptest::collection::vec(any::<u8>(), 0..9000),
        ) {
            let mut bytes = MAGIC.to_vec();
            numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
            bytes.extend(tail);
            if let Ok(trace) = Trace::parse(&bytes) {
                prop_assert!(trace.image().all(|(gfn, _)| gfn < trace.gfn_count));
                let mut player = TracePlayer::new(trace);
                for _ in 0..10 {
                    prop_assert!(player.next_page().0 < trace.gfn_count);
                }
            }
        }

        #[test]
        fn traces_survive(epochs in proptest::collection::vec(
            proptest::collection::vec((0u64..16, any::<u8>()), 0..4), 2..6)) {
            let bytes = bytes_of(16, 1000, &epochs);
            let later: Vec<_> = epochs[1..].iter().flatten().copied().collect();
            match Trace::parse(&bytes) {
                Err(error) => prop_assert!(error == TraceError::Nothing && later.is_empty()),
                Ok(trace) => {
                    let mut player = TracePlayer::new(trace);
                    for expected in later.iter().chain(&later) {
                        let (gfn, page) = player.next_page();
                        prop_assert_eq!((gfn, page[0]), *expected);
                    }
                }
            }
        }
    }
}
