//! A guest whose writes are logged, and the copying of the pages that its log names.
//!
//! Full copy, pre-drain and checkpoint all do the same: read the log into a bitmap, and push the
//! pages whose bits are set. What the guest is, a domain of Xen's or a rehearsed one, is behind
//! [`LoggedGuest`]; when to read is decided by `pacing` and `log_policy`.

use super::error::CaptureError;
use super::output::EpochOutput;
use super::scan::Cursor;
use super::surroundings::Surroundings;
use crate::xen::GuestPage;

/// Pages that are known ahead of a copy, that one included.
const LOOKAHEAD: usize = 4;

/// What becomes of the log when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing: pages that it names now will be named again. The guest notices nothing.
    Keep,
    /// It is empty afterwards. The guest pays a fault for each page that it touches next.
    Clean,
}

/// A guest whose writes are logged.
pub trait LoggedGuest {
    /// One bit a gfn, as the log was read last.
    fn bitmap(&self) -> &[u64];

    /// The page at `gfn`, or none where no memory is known.
    fn page(&self, gfn: u64) -> Option<GuestPage<'_>>;

    /// Looks again whether there is memory at `gfn`, which the log names.
    ///
    /// # Errors
    /// Those of the guest's host.
    fn renew_page(&mut self, gfn: u64) -> Result<(), CaptureError>;

    /// Pages that the log names now: those written since it was last cleaned.
    ///
    /// # Errors
    /// Those of the guest's host.
    fn logged_page_count(&mut self) -> Result<u64, CaptureError>;

    /// Reads the log into the bitmap. Nothing of it is lost: a page that is written after the log
    /// was cleaned is in the next reading.
    ///
    /// # Errors
    /// Those of the guest's host.
    fn read_log(&mut self, reading: Reading) -> Result<(), CaptureError>;
}

/// Pushes the page at `gfn`; false when the guest has no memory there.
///
/// # Errors
/// Those of [`EpochOutput::push_page`], and the host's.
pub fn push_page(
    guest: &mut dyn LoggedGuest,
    gfn: u64,
    output: &mut EpochOutput<'_>,
    surroundings: &mut impl Surroundings,
) -> Result<bool, CaptureError> {
    if guest.page(gfn).is_none() {
        // Memory that the guest has only since a moment ago, or that it gave back.
        guest.renew_page(gfn)?;
    }
    let Some(page) = guest.page(gfn) else { return Ok(false) };
    output.push_page(gfn, page, surroundings)?;
    Ok(true)
}

/// Pushes every page of the bitmap and tells how many there were.
///
/// # Errors
/// As for [`push_page`].
pub fn push_all(
    guest: &mut dyn LoggedGuest,
    output: &mut EpochOutput<'_>,
    surroundings: &mut impl Surroundings,
) -> Result<u64, CaptureError> {
    push_more(guest, &mut Cursor::default(), u64::MAX, output, surroundings)
}

/// Pushes up to `page_count` pages of the bitmap from `cursor` on; tells how many there were, fewer
/// only at the end of the bitmap.
///
/// # Errors
/// As for [`push_page`].
pub fn push_more(
    guest: &mut dyn LoggedGuest,
    cursor: &mut Cursor,
    page_count: u64,
    output: &mut EpochOutput<'_>,
    surroundings: &mut impl Surroundings,
) -> Result<u64, CaptureError> {
    let mut pushed_count = 0;
    let mut ahead = *cursor;
    let mut take = |guest: &dyn LoggedGuest| ahead.next(guest.bitmap()).map(|gfn| (gfn, ahead));
    let mut upcoming: [_; LOOKAHEAD] = core::array::from_fn(|_| take(guest));
    while let [Some((gfn, after)), others @ ..] = upcoming
        && pushed_count < page_count
    {
        *cursor = after;
        let last = take(guest);
        upcoming.rotate_left(1);
        upcoming[LOOKAHEAD - 1] = last;
        let page = |it: Option<(u64, Cursor)>| it.and_then(|(gfn, _)| guest.page(gfn));
        // While this page is copied, the next one comes to the caches, and the place of one further on is found:
        // in a large guest that takes as long as the copy.
        if let Some(page) = page(last) {
            page.prefetch_line();
        }
        if let Some(page) = page(others[0]) {
            page.prefetch();
        }
        pushed_count += u64::from(push_page(guest, gfn, output, surroundings)?);
    }
    Ok(pushed_count)
}
